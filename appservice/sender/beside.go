package sender

import (
	"context"
	"slices"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// beside is what a service gets beside events: receipts, presence and who is typing, if its registration says receive_ephemeral;
// messages to devices, changes of device lists and what is left of keys, if it says org.matrix.msc3202. Those that are rows have
// positions of the one stream, so that what was sent of them is known by the same cursor as of events. Who is typing is told live.
//
// Messages to devices, and keys, are those of the accounts that the service made. Others of its namespaces are people, or another
// service's: they have devices of their own, which ask /sync.
type beside struct {
	ephemeral, devices bool
	live               Live // nil when there is nothing of that kind
	presenceMembers    int

	hasKeys   bool // a device of the service has identity keys; only then do the devices of others matter
	askedKeys bool // it has been looked whether there are any
	serial    int64
	typing    map[int64][]id.UserID // by room: what is to be told
	told      map[int64]bool        // the rooms of which it was told that somebody types
}

// maxTypingBytes bounds the events that say who is typing in a transaction, but for the last of them.
const maxTypingBytes = 128 << 10

// maxTold bounds the rooms of which a worker remembers that it told of somebody typing.
const maxTold = 10_000

// wanted tells whether there is anything beside events to be sent.
func (b *beside) wanted() bool { return b.ephemeral || b.devices }

// stretch is a piece of the stream: what there is of each kind at after < pos ≤ upto, whomever it concerns.
type stretch struct {
	after, upto int64
	end         bool // nothing is after it
	rows        []store.EventIDs
	receipts    []store.Receipt
	presences   []store.Presence
	mail        []store.ServiceMail
	changes     []store.DeviceChange
	keys        []store.ServiceKeys
}

// readStretch reads what comes after a position. It ends early where there is much of one kind.
func (w *worker) readStretch(tx *store.Tx, after int64) (*stretch, error) {
	rows, err := tx.StreamIDs(after, readLimit)
	s := &stretch{after: after, rows: rows}
	if err != nil {
		return nil, err
	}
	if s.upto, err = tx.StreamPos(); err != nil {
		return nil, err
	}
	s.end = true
	if len(rows) == readLimit {
		s.cut(rows[readLimit-1].Pos)
	}
	b := &w.beside
	if b.ephemeral {
		err = errFirst(
			readKind(tx, s, store.FamilyReceipts, kindReceipt, &s.receipts, tx.StreamReceipts, func(r store.Receipt) int64 { return r.Pos }),
			readKind(tx, s, store.FamilyPresence, kindPresence, &s.presences, tx.StreamPresence, func(p store.Presence) int64 { return p.Pos }))
	}
	if err != nil || !b.devices {
		return s, err
	}
	service := w.client.reg.ID
	mail := func(after, upto int64, limit int) ([]store.ServiceMail, error) {
		return tx.StreamToDevice(service, after, upto, limit)
	}
	keys := func(after, upto int64, limit int) ([]store.ServiceKeys, error) {
		return tx.StreamKeyCounts(service, after, upto, limit)
	}
	return s, errFirst(
		readKind(tx, s, store.FamilyToDevice, kindMail, &s.mail, mail, func(m store.ServiceMail) int64 { return m.Pos }),
		readKind(tx, s, store.FamilyDeviceLists, kindChanged, &s.changes, tx.StreamDeviceChanges, func(c store.DeviceChange) int64 { return c.Pos }),
		readKind(tx, s, store.FamilyKeyCounts, kindKeys, &s.keys, keys, func(k store.ServiceKeys) int64 { return k.Pos }))
}

// cut ends the stretch at a position.
func (s *stretch) cut(upto int64) {
	if upto < s.upto {
		s.upto, s.end = upto, false
	}
}

// errFirst returns the first error.
func errFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// readKind reads the rows of a family, at most as many as a transaction takes of the kind: if there are more, the stretch ends before
// those. Rows of one position stay together.
func readKind[R any](tx *store.Tx, s *stretch, f store.Family, k kind, into *[]R, read func(after, upto int64, limit int) ([]R, error), pos func(R) int64) error {
	if tx.Quiet(f, s.after) {
		return nil
	}
	limit := maxOfKind[k]
	rows, err := read(s.after, s.upto, limit+1)
	if err != nil {
		return err
	}
	*into = rows
	if len(rows) > limit {
		next := pos(rows[limit])
		if first := pos(rows[0]); first == next {
			next++ // more of one position than there may be: all the same
		}
		s.cut(next - 1)
	}
	return nil
}

// scanBeside is scan for a service that gets more than events.
func (w *worker) scanBeside(ctx context.Context) error {
	w.more = true
	for seen := 0; len(w.queue) < maxTxnEvents && seen < maxScan; {
		err := w.db.View(ctx, func(tx *store.Tx) error {
			s, err := w.readStretch(tx, w.pos)
			if err != nil {
				return err
			}
			seen += len(s.rows) + 1
			items, err := w.choose(tx, s)
			if err != nil {
				return err
			}
			w.queue, w.pos, w.more = append(w.queue, items...), s.upto, !s.end
			if s.end {
				return w.readTyping(tx)
			}
			return nil
		})
		if err != nil {
			// What the interest has taken in may be more than what was put into the queue.
			w.interest = newInterest(w.client.matcher)
			return err
		}
		if !w.more {
			return nil
		}
	}
	return nil
}

// choose returns what of a stretch concerns the service, in the order of the stream, and ends the stretch where there are enough
// events.
func (w *worker) choose(tx *store.Tx, s *stretch) ([]item, error) {
	var aliases map[int64][]id.RoomAlias
	if w.interest.hasAliases() {
		var err error
		if aliases, err = aliasesOf(tx, s.rows); err != nil {
			return nil, err
		}
	}
	var wanted []store.EventIDs
	for _, row := range s.rows {
		if row.Pos > s.upto {
			break
		}
		if w.interest.boring(row, aliases[row.RoomNID]) {
			continue
		}
		want, err := w.interest.decide(tx, row, aliases[row.RoomNID])
		if err != nil {
			return nil, err
		}
		if want {
			wanted = append(wanted, row)
		}
		if len(wanted) >= maxTxnEvents {
			s.cut(row.Pos)
		}
	}
	events, err := loadEvents(tx, wanted)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	items := events.items(now)
	c := &choice{w: w, tx: tx, s: s, now: now, items: items}
	if w.beside.ephemeral {
		err = errFirst(c.receipts(), c.presences())
	}
	if err == nil && w.beside.devices {
		err = errFirst(c.mail(), c.keys(), c.deviceLists(events))
	}
	slices.SortStableFunc(c.items, func(a, b item) int { return int(a.pos - b.pos) })
	return c.items, err
}

// choice gathers what of a stretch concerns the service.
type choice struct {
	w     *worker
	tx    *store.Tx
	s     *stretch
	now   int64
	items []item
}

// receipts takes those of rooms that concern the service and where it may listen, and of the private ones those of its own users.
// Application Service API, "Pushing ephemeral data", m.receipt.
func (c *choice) receipts() error {
	for _, r := range c.s.receipts {
		if r.Pos > c.s.upto {
			break
		}
		ours, err := c.w.interest.user(c.tx, r.UserNID)
		if err != nil {
			return err
		}
		if r.Type == store.ReceiptReadPrivate && !ours {
			continue
		}
		hears, err := c.w.interest.hears(c.tx, r.RoomNID, c.s.upto)
		if err != nil {
			return err
		}
		if !hears {
			continue
		}
		roomID, err := c.tx.RoomID(r.RoomNID)
		if err != nil {
			return err
		}
		user, err := c.tx.Text(r.UserNID)
		if err != nil {
			return err
		}
		c.items = append(c.items, item{pos: r.Pos, kind: kindReceipt, receipt: &receipt{Receipt: r, roomID: roomID, user: id.UserID(user)}})
	}
	return nil
}

// presences takes those of the service's users, and of those who share a room with one, of the size in which people hear of each other's
// presence. Application Service API, "Pushing ephemeral data", m.presence.
func (c *choice) presences() error {
	for _, p := range c.s.presences {
		if p.Pos > c.s.upto {
			break
		}
		near, err := c.w.interest.user(c.tx, p.UserNID)
		if err == nil && !near {
			var rooms []int64
			if rooms, err = c.tx.SmallRooms(p.UserNID, c.w.beside.presenceMembers); err == nil {
				near, err = c.w.interest.inAny(c.tx, rooms, c.s.upto)
			}
		}
		if err != nil {
			return err
		}
		if !near {
			continue
		}
		name, err := c.tx.Text(p.UserNID)
		if err != nil {
			return err
		}
		var active int64
		if c.w.beside.live != nil {
			active = c.w.beside.live.LastActive(id.UserID(name))
		}
		c.items = append(c.items, item{pos: p.Pos, kind: kindPresence, json: presenceEvent(id.UserID(name), p, active, c.now)})
	}
	return nil
}

// readTyping takes note of who types where that is new.
func (w *worker) readTyping(tx *store.Tx) error {
	b := &w.beside
	if !b.ephemeral || b.live == nil {
		return nil
	}
	rooms, serial, known := b.live.TypingSince(b.serial)
	if serial == b.serial {
		return nil
	}
	if !known { // some may have ended unheard of
		for nid := range b.told {
			if _, still := rooms[nid]; !still {
				b.typing[nid] = nil
			}
		}
	}
	for nid, users := range rooms {
		hears, err := w.interest.hears(tx, nid, w.pos)
		if err != nil {
			return err
		}
		if hears && (len(users) > 0 || b.told[nid]) {
			b.typing[nid] = users
		} else {
			delete(b.typing, nid)
		}
	}
	b.serial = serial
	return nil
}

// takeTyping returns the events for the next transaction, and notes that they have been told.
func (w *worker) takeTyping(ctx context.Context) ([][]byte, error) {
	b := &w.beside
	if len(b.typing) == 0 {
		return nil, nil
	}
	var events [][]byte
	var nids []int64
	size := 0
	err := w.db.View(ctx, func(tx *store.Tx) error {
		for nid, users := range b.typing {
			if len(nids) == maxTxnTyping || size > maxTypingBytes {
				break
			}
			nids = append(nids, nid)
			roomID, err := tx.RoomID(nid)
			if err != nil {
				return err
			}
			events = append(events, typingEvent(roomID, users))
			size += len(events[len(events)-1])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, nid := range nids {
		if len(b.typing[nid]) == 0 {
			delete(b.told, nid)
		} else if len(b.told) < maxTold {
			b.told[nid] = true
		}
		delete(b.typing, nid)
	}
	return events, nil
}

// aliasesOf returns the aliases of the rooms of events.
func aliasesOf(tx *store.Tx, rows []store.EventIDs) (map[int64][]id.RoomAlias, error) {
	seen := make(map[int64]bool)
	var rooms []int64
	for _, row := range rows {
		if row.HasAlias && !seen[row.RoomNID] {
			seen[row.RoomNID] = true
			rooms = append(rooms, row.RoomNID)
		}
	}
	return tx.AliasesOfRooms(rooms)
}

// isMember tells whether an event says whether somebody is in a room, and before it.
func isMember(e, before *store.Event) (now, was bool) {
	now = e.Membership() == event.MembershipJoin
	return now, before != nil && before.Membership() == event.MembershipJoin
}
