package usersync

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
)

// Sliding sync (MSC4186) tells a device of the rooms that it asks for, rather than of all. What it shows of a room comes from where
// /sync has it; what differs is that each room is told from where the device last heard of it, on this connection. That is what
// slidingConn remembers, and with it all is told by comparing: a room is due when something of it is newer than what the device knows.

// SlidingResponse is the answer of sliding sync, as JSON.
type SlidingResponse struct {
	Pos  string
	body []byte
}

// AppendJSON appends the answer.
func (r SlidingResponse) AppendJSON(dst []byte) []byte { return append(dst, r.body...) }

// Sliding returns what is new to a device, and waits for it if there is nothing, until the timeout, or the server, or ctx ends.
// Errors: M_UNKNOWN_POS when the client must begin anew; ctx's when it is gone.
func (s *Service) Sliding(ctx context.Context, req *SlidingRequest) (SlidingResponse, error) {
	l := slidingLook{s: s, req: req}
	if req.Pos != "" {
		var ok bool
		if l.from, ok = parseSlidingPos(req.Pos); !ok {
			return SlidingResponse{}, errUnknownPos
		}
	}
	if err := l.receive(ctx); err != nil {
		return SlidingResponse{}, err
	}
	if s.presence != nil {
		// Who says nothing is there (MSC4186, "set_presence").
		ended := s.presence.Syncing(ctx, req.User, req.Device, cmp.Or(req.SetPresence, "online"))
		defer ended()
	}
	l.conn = s.slidings.acquire(connKey{req.User, req.Device, req.ConnID})
	defer s.slidings.release(l.conn)
	l.over = l.conn.take()
	err := s.await(ctx, &l, req.Timeout, req.Closing, l.over)
	if err != nil {
		return SlidingResponse{}, err
	}
	return l.response(ctx)
}

// take ends the request that waits on the connection, whose client has gone on, and returns what ends this one.
func (c *slidingConn) take() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		close(c.over)
	}
	c.over = make(chan struct{})
	return c.over
}

// slidingLook is one request, and what its readings of the database have found so far.
type slidingLook struct {
	s    *Service
	req  *SlidingRequest
	conn *slidingConn
	from slidingPos // of the request
	over <-chan struct{}

	mailed      int64             // the position of the token of the extension to_device
	stickyFrom  store.StickyPlace // the token of the extension sticky_events
	stickyEpoch int64             // see stickySet
	checked     int64             // up to here there is nothing besides rooms, if it is not before from
	keys        []notify.Key
	found       *slidingPass // the last reading
	pos         slidingPos   // of the answer, as far as is known
	stale       bool         // another request has taken the place of this one
}

func (l *slidingLook) bells() []notify.Key { return l.keys }

// done tells whether to answer now.
func (l *slidingLook) done() bool {
	return l.stale || l.found.news || l.req.Pos == "" || l.req.Timeout <= 0
}

// reread is read after a bell, which may have woken others too.
func (l *slidingLook) reread(ctx context.Context) error {
	return l.readBy(ctx, func(fn func(*store.Tx) error) error {
		return l.s.woken.view(ctx, l.s.db, l.asking(), fn)
	})
}

// asking is what is going to be asked of each database reading.
func (l *slidingLook) asking() asking {
	if l.found == nil {
		return asking{}
	}
	return asking{userNID: l.found.userNID, device: l.req.Device, after: l.found.upto}
}

// read looks for what is new, and records what is going to be told.
func (l *slidingLook) read(ctx context.Context) error {
	return l.readBy(ctx, func(fn func(*store.Tx) error) error { return l.s.db.View(ctx, fn) })
}

func (l *slidingLook) readBy(ctx context.Context, view func(func(*store.Tx) error) error) error {
	c := l.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != l.over {
		l.stale = true
		return nil
	}
	err := view(func(tx *store.Tx) error {
		p, err := newSlidingPass(l, tx)
		if err != nil {
			return err
		}
		l.found = p
		if err := p.run(); err != nil {
			return err
		}
		if l.done() {
			p.left.look(tx, p.userNID, l.req.Device)
		}
		l.keys, err = p.ears()
		return err
	})
	if err != nil {
		return err
	}
	return l.record(ctx)
}

// ready brings the connection to where the request says that the device is.
func (l *slidingLook) ready(tx *store.Tx, userNID, upto int64) error {
	c, generation := l.conn, l.s.db.Generation()
	if l.req.Pos == "" {
		c.begin(userNID, generation) // there is one reading only
		return nil
	}
	if l.from.stream > upto {
		return errUnknownPos // of a database that was since restored from a backup
	}
	if err := c.load(tx, userNID, generation); err != nil {
		return err
	}
	if err := c.resume(l.from); err != nil {
		return err
	}
	if len(c.wishes) > maxSlidingConfigs/2 {
		c.forgetConfigs()
	}
	return nil
}

// record takes note of what the answer tells, on disk too, so that it survives the server. An answer that tells nothing of rooms
// costs no write, but once in a while for the time of the last use.
func (l *slidingLook) record(ctx context.Context) error {
	c, p := l.conn, l.found
	settled := settlement{digest: l.req.digest, pos: p.upto, turn: c.settled.turn, rooms: p.relevantRooms(), counts: p.counts}
	settled.sticky = c.settled.sticky
	if !p.calm {
		c.turn++
		settled.turn, settled.sticky = c.turn, p.sticky.settled
	}
	if p.shifting || p.cut {
		settled = settlement{}
	}
	if p.cut {
		settled.live = p.liveSince()
	}
	l.checked = p.upto
	first := c.row.NID == 0
	told := len(p.changes) > 0 || first
	if !told {
		c.settled = settled
	}
	if told || l.s.now().UnixMilli()-c.row.UsedTS >= slidingTouch.Milliseconds() {
		if err := l.store(ctx, first, told); err != nil {
			return err
		}
	}
	l.pos = slidingPos{stream: p.upto, typing: p.typing, conn: c.row.NID, seq: c.row.Base}
	if told {
		c.next, c.pending, c.later = c.row.Seq, p.changes, settled
		l.pos.seq = c.next
	}
	l.noteTyping(settled.turn)
	return nil
}

// store writes the connection, with another answer if that tells something.
func (l *slidingLook) store(ctx context.Context, first, told bool) error {
	c := l.conn
	row := c.row
	row.UsedTS = l.s.now().UnixMilli()
	var err error
	if row.Configs, err = c.configsJSON(); err != nil {
		return err
	}
	var rows []store.SlidingRoom
	if told {
		row.Seq++
		for _, r := range l.found.changes {
			r.Seq = row.Seq
			rows = append(rows, *r)
		}
	}
	err = l.s.db.Write(ctx, func(tx *store.Tx) error {
		if first {
			var err error
			if row.NID, err = tx.NextPos(); err != nil {
				return err
			}
			if err := tx.InsertSlidingConnection(row, maxSlidingConnections); err != nil {
				return err
			}
		} else if err := tx.UpdateSlidingConnection(row); err != nil {
			return err
		}
		if err := tx.DeleteSlidingRooms(row.NID, c.obsolete); err != nil {
			return err
		}
		return tx.InsertSlidingRooms(row.NID, rows)
	})
	if errors.Is(err, store.ErrNotFound) {
		c.unload() // expired, or the device is deleted
		return errUnknownPos
	}
	if err == nil {
		c.row, c.obsolete = row, nil
	}
	return err
}

func (l *slidingLook) response(ctx context.Context) (SlidingResponse, error) {
	if l.stale {
		// Nobody will read it: the client has sent another request.
		return SlidingResponse{Pos: l.req.Pos, body: append(appendString([]byte(`{"pos":`), l.req.Pos), `,"lists":{},"rooms":{},"extensions":{}}`...)}, nil
	}
	if l.found.tellsKeys {
		counts, err := l.s.keyCounts(ctx, l.found.userNID, l.req.Device, l.found.left)
		if err != nil {
			return SlidingResponse{}, err
		}
		l.found.appendKeys(counts)
	}
	pos := l.pos.String()
	return SlidingResponse{Pos: pos, body: l.found.appendResponse(nil, pos)}, nil
}

// appendResponse appends the whole answer.
func (p *slidingPass) appendResponse(dst []byte, pos string) []byte {
	dst = slices.Grow(dst, 512+len(p.rooms)+len(p.extensions))
	dst = appendString(append(dst, `{"pos":`...), pos)
	if p.req.TxnID != "" {
		dst = appendString(appendKey(dst, "txn_id"), p.req.TxnID)
	}
	dst = append(dst, `,"lists":{`...)
	for _, name := range slices.Sorted(maps.Keys(p.counts)) {
		dst = appendInt(append(appendKey(dst, name), `{"count":`...), int64(p.counts[name]))
		dst = append(dst, '}')
	}
	dst = append(append(dst, `},"rooms":{`...), p.rooms...)
	dst = append(append(dst, `},"extensions":{`...), p.extensions...)
	return append(dst, `}}`...)
}
