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
	rooms, err := p.tx.RoomsRead(p.userNID, p.after, p.upto, p.upto-p.after <= shortRange)
	if err != nil {
		return err
	}
	p.beside.read = make(map[int64]bool, len(rooms))
	for _, roomNID := range rooms {
		p.beside.rooms[roomNID], p.beside.read[roomNID] = true, true
	}
	return nil
}

// unread returns what the user has not read of a room that they are in.
func (p *pass) unread(seat store.Seat) (Unread, error) {
	if !p.personKnown {
		var err error
		if p.person, err = p.tx.IsPerson(p.userNID); err != nil {
			return Unread{}, err
		}
		p.personKnown = true
	}
	if !p.person { // nobody is notified of anything who is an application service's
		return Unread{}, nil
	}
	if (p.initial || p.req.FullState) && p.marks == nil {
		var err error
		if p.marks, err = p.tx.AllReadMarks(p.userNID); err != nil {
			return Unread{}, err
		}
	}
	c := counting{tx: p.tx, roomNID: seat.RoomNID, userNID: p.userNID, since: seat.Since, upto: p.upto, quiet: seat.LastPos}
	if p.marks != nil {
		c.marks = p.marks[seat.RoomNID]
		if c.marks == nil {
			c.marks = noMarks
		}
	}
	count, err := p.s.counts.of(&c)
	if err != nil {
		return Unread{}, err
	}
	return count.unread(p.tx)
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
