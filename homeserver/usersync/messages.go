package usersync

import (
	"context"
	"slices"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	// DefaultPage and maxPage are the events of one answer of /messages.
	DefaultPage = 10
	maxPage     = 1000
	// maxPageBytes ends a page early, past its first event.
	maxPageBytes = 4 << 20
)

// Viewer says who looks.
type Viewer struct {
	User   id.UserID
	Device id.DeviceID
}

// MessagesRequest asks for a page of a room's timeline.
type MessagesRequest struct {
	Viewer
	RoomID    id.RoomID
	From, To  string // tokens, "" for the first or last event, and for no end
	Backwards bool
	Limit     int
	Filter    *EventFilter // nil for none
}

// JSON is an answer that was made ready.
type JSON []byte

// AppendJSON appends the answer.
func (j JSON) AppendJSON(dst []byte) []byte { return append(dst, j...) }

// Messages returns a page of a room's timeline, in the order of the stream (Client-Server API, GET /rooms/{roomId}/messages):
// {start, end, chunk, state}. end is absent when there is no more. Errors: M_FORBIDDEN, M_INVALID_PARAM.
func (s *Service) Messages(ctx context.Context, req MessagesRequest) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := s.open(tx, req.User, req.RoomID)
		if err != nil {
			return err
		}
		p := page{reading: r, filter: req.Filter, limit: min(req.Limit, maxPage), backwards: req.Backwards}
		if err := p.setRange(req.From, req.To); err != nil {
			return err
		}
		if p.filter.allowsRoom(req.RoomID) {
			if err := p.read(); err != nil {
				return err
			}
		}
		out, err = p.append(s.renderer(r, req.Viewer))
		return err
	})
	return out, err
}

func (s *Service) renderer(r *reading, v Viewer) *renderer {
	return &renderer{v: r.viewer, device: v.Device, nowTS: s.now().UnixMilli(), bundles: true}
}

// page is a run of a room's timeline that is read event by event, in either direction.
type page struct {
	*reading
	filter    *EventFilter
	limit     int
	backwards bool

	start, cursor, stop int64 // tokens: where it began, where it is, and how far it may go
	more                bool  // there are events past the cursor

	events []*store.Event
	bytes  int
}

// setRange reads the tokens.
func (p *page) setRange(from, to string) (err error) {
	p.cursor, p.stop = 0, p.upto
	if p.backwards {
		p.cursor, p.stop = p.upto, 0
	}
	if from != "" {
		if p.cursor, err = parseToken("from", from); err != nil {
			return err
		}
	}
	if to != "" {
		if p.stop, err = parseToken("to", to); err != nil {
			return err
		}
	}
	p.cursor, p.stop = min(p.cursor, p.upto), min(p.stop, p.upto)
	p.start = p.cursor
	return nil
}

// read fills the page. It stops at the limit, at the end of the range, or when it has looked at so much that the client must
// ask again.
func (p *page) read() error {
	size := min(p.limit+1, scanPage)
	for scanned := 0; ; size = scanPage {
		events, err := p.next(size)
		if err != nil {
			return err
		}
		if err := p.relate(p.filter, events); err != nil {
			return err
		}
		for _, e := range events {
			if len(p.events) >= p.limit || p.bytes > maxPageBytes {
				p.more = true // e, if nothing else
				return nil
			}
			if err := p.take(e); err != nil {
				return err
			}
		}
		if len(events) < size {
			break
		}
		if scanned += len(events); scanned >= maxScanned {
			p.more = true
			return nil
		}
	}
	// Past the end of the range that was asked for there is more, unless it is that of the timeline.
	p.cursor = p.stop
	p.more = len(p.events) > 0 && p.stop > 0 && p.stop < p.upto
	return nil
}

// next reads the events after the cursor.
func (p *page) next(size int) ([]*store.Event, error) {
	if p.backwards {
		return p.tx.TimelineBefore(p.roomNID, p.stop+1, p.cursor, size)
	}
	return p.tx.TimelineAfter(p.roomNID, p.cursor+1, p.stop, size)
}

// take moves the cursor past an event, and puts the event on the page if it is to be shown.
func (p *page) take(e *store.Event) error {
	seen, err := p.pick(p.filter, e)
	if err == nil {
		p.pass(e, seen)
	}
	return err
}

// pass moves the cursor past an event of which the user sees seen, nil for nothing.
func (p *page) pass(e, seen *store.Event) {
	p.cursor = e.Pos
	if p.backwards {
		p.cursor--
	}
	if seen != nil {
		p.events = append(p.events, seen)
		p.bytes += len(seen.JSON())
	}
}

func (p *page) append(r *renderer) ([]byte, error) {
	dst := append([]byte(nil), `{"chunk":`...)
	dst, err := r.appendEvents(dst, p.events)
	if err != nil {
		return nil, err
	}
	dst = appendString(appendKey(dst, "start"), token(p.start))
	if p.more {
		dst = appendString(appendKey(dst, "end"), token(p.cursor))
	}
	if p.filter.lazy() && len(p.events) > 0 {
		state, err := p.senderMembers(p.events, p.events[0].StateAfter)
		if err != nil {
			return nil, err
		}
		if dst, err = r.appendState(appendKey(dst, "state"), state); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// senderMembers returns the member events of the senders of events in a state set. Those who are not in it, as they came later or on
// another branch, are looked for in the state that the user may read.
func (r *reading) senderMembers(events []*store.Event, setID int64) ([]*store.Event, error) {
	nids, err := senders(r.tx, events)
	if err != nil {
		return nil, err
	}
	members, err := stateMembers(r.tx, r.roomNID, setID, r.room.StateID, nids)
	if err != nil || len(members) == len(nids) || setID == r.stateID {
		return members, err
	}
	for _, e := range members {
		nid, err := r.tx.LookupNID(*e.StateKey)
		if err != nil {
			return nil, err
		}
		nids = slices.DeleteFunc(nids, func(n int64) bool { return n == nid })
	}
	more, err := stateMembers(r.tx, r.roomNID, r.stateID, r.room.StateID, nids)
	return append(members, more...), err
}
