package usersync

import (
	"slices"
	"strconv"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Unread is what a user has been notified of in a room and has not read.
type Unread struct {
	Main    store.Unread                // the main timeline
	Threads map[id.EventID]store.Unread // by root; those without anything unread are left out
}

// Total counts the main timeline and all threads together.
func (u Unread) Total() store.Unread {
	sum := u.Main
	for _, t := range u.Threads {
		sum.Notifications += t.Notifications
		sum.Highlights += t.Highlights
	}
	return sum
}

// readUnread looks for rooms whose counts are other ones because the user has read them, perhaps with another device.
func (p *pass) readUnread() error {
	if p.initial || p.tx.Quiet(store.FamilyReceipts, p.after) {
		return nil
	}
	rooms, err := roomsRead(p.tx, p.userNID, p.after, p.upto, p.upto-p.after <= shortRange)
	if err != nil {
		return err
	}
	p.beside.read = make(map[int64]bool, len(rooms))
	for roomNID := range rooms {
		p.beside.rooms[roomNID], p.beside.read[roomNID] = true, true
	}
	return nil
}

// unread returns what the user has not read of a room that they are in.
func (p *pass) unread(seat store.Seat) (Unread, error) {
	if p.tally == nil {
		p.tally = &tally{tx: p.tx, counts: &p.s.counts, userNID: p.userNID, upto: p.upto, many: p.initial || p.req.FullState}
	}
	return p.tally.unread(seat)
}

// tally finds what a user has not read, in one reading of the database.
type tally struct {
	tx      *store.Tx
	counts  *counts
	userNID int64
	upto    int64
	many    bool // it is asked for about all the user's rooms

	known  bool                       // whether person and marks are
	person bool                       // the user is no application service's
	marks  map[int64]map[string]int64 // how far the user has read, by room; nil unless many
}

// prepare reads what all rooms have in common.
func (t *tally) prepare() (err error) {
	if t.known {
		return nil
	}
	if t.person, err = isPerson(t.tx, t.userNID); err != nil {
		return err
	}
	if t.many && t.person {
		if t.marks, err = t.tx.AllReadMarks(t.userNID); err != nil {
			return err
		}
	}
	t.known = true
	return nil
}

// unread returns what the user has not read of a room that they are in.
func (t *tally) unread(seat store.Seat) (Unread, error) {
	if err := t.prepare(); err != nil || !t.person { // nobody is notified of anything who is an application service's
		return Unread{}, err
	}
	c := counting{tx: t.tx, roomNID: seat.RoomNID, userNID: t.userNID, since: seat.Since, upto: t.upto, quiet: seat.LastPos}
	if t.marks != nil {
		c.marks = t.marks[seat.RoomNID]
		if c.marks == nil {
			c.marks = noMarks
		}
	}
	count, err := t.counts.of(&c)
	if err != nil {
		return Unread{}, err
	}
	return count.unread(t.tx)
}

// appendUnread appends how many events of the room the user has not read, by thread for those who ask for that: members of a joined
// room. Client-Server API, GET /sync, unread_notifications.
func (r *roomPass) appendUnread(dst []byte) ([]byte, error) {
	u, err := r.unread(r.seat)
	if err != nil {
		return dst, err
	}
	filter := r.filter.Room.Timeline
	if filter == nil || !filter.UnreadThreads {
		return appendCounts(append(dst, `"unread_notifications":`...), u.Total()), nil
	}
	dst = appendCounts(append(dst, `"unread_notifications":`...), u.Main)
	if len(u.Threads) == 0 {
		return dst, nil
	}
	roots := make([]id.EventID, 0, len(u.Threads))
	for root := range u.Threads {
		roots = append(roots, root)
	}
	slices.Sort(roots)
	dst = append(dst, `,"unread_thread_notifications":{`...)
	for _, root := range roots {
		dst = appendCounts(appendKey(dst, root), u.Threads[root])
	}
	return append(dst, '}'), nil
}

func appendCounts(dst []byte, u store.Unread) []byte {
	dst = append(dst, `{"highlight_count":`...)
	dst = strconv.AppendInt(dst, u.Highlights, 10)
	dst = append(dst, `,"notification_count":`...)
	dst = strconv.AppendInt(dst, u.Notifications, 10)
	return append(dst, '}')
}
