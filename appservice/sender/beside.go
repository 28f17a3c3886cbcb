package sender

import (
	"context"

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
