package usersync

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// What sliding sync tells beside events and account data, as far as it has to do with what the user has read. Of what the device knows
// of rooms, a connection keeps count; messages to the device, lists of devices, and who is typing have places of their own (see
// sliding_devices.go and sliding_ephemeral.go).

// manyTallies is how many rooms are worth a reading of how far the user has read all of them.
const manyTallies = 50

// settledTo returns up to where a room of the request has been told, at least: what the row of the room says, or more where the same
// request has been answered since.
func (p *slidingPass) settledTo(roomNID, pos int64) int64 {
	settled := &p.conn.settled
	if pos > 0 && settled.digest == p.req.digest && settled.rooms[roomNID] {
		return max(pos, settled.pos)
	}
	return pos
}

// readReads finds the rooms of which the counts are other ones because the user has read them, perhaps with another device. Only the
// unstable form tells counts.
func (p *slidingPass) readReads() error {
	if p.req.Stable {
		return nil
	}
	lower := p.upto
	for _, r := range p.relevant {
		if r.told != nil && r.told.Pos > 0 && r.isJoined() {
			lower = min(lower, p.settledTo(r.seat.RoomNID, r.told.Pos))
		}
	}
	if p.tx.Quiet(store.FamilyReceipts, lower) {
		return nil
	}
	var err error
	p.reads, err = roomsRead(p.tx, p.userNID, lower, p.upto, p.upto-lower <= shortRange)
	return err
}

func (r *slidingRoom) isJoined() bool { return r.seat.Membership.Membership == event.MembershipJoin }

// unread returns the counts of a room, which the unstable form tells.
func (r *slidingRoom) unread() (store.Unread, error) {
	if !r.isJoined() {
		return store.Unread{}, nil
	}
	p := r.slidingPass
	if p.tally == nil {
		many := p.req.Pos == "" && len(p.relevant) >= manyTallies
		p.tally = &tally{tx: p.tx, counts: &p.s.counts, userNID: p.userNID, upto: p.upto, many: many}
	}
	unread, err := p.tally.unread(r.seat.Seat)
	return unread.Total(), err
}

// quietElsewhere tells that nothing has happened to receipts after settled, nor to what lives outside of connections (who is typing,
// messages to the device, lists of devices, which threads they follow) after since.
func (p *slidingPass) quietElsewhere(settled, since int64) (bool, error) {
	if !p.typingQuiet() {
		return false, nil
	}
	if news, err := p.receiptNews(settled); err != nil || news {
		return false, err
	}
	if err := p.readMail(); err != nil || len(p.mail.messages) > 0 {
		return false, err
	}
	if err := p.readKeys(since); err != nil || p.keys.news() {
		return false, err
	}
	news, err := p.threadNews(since)
	return !news, err
}

// receiptNews tells whether there are new receipts in rooms of the settled request.
func (p *slidingPass) receiptNews(settled int64) (bool, error) {
	if p.tx.Quiet(store.FamilyReceipts, settled) {
		return false, nil
	}
	if p.req.extensions.Receipts.Enabled {
		rooms, err := roomsWithReceipts(p.tx, p.userNID, settled, p.upto, true)
		return slices.ContainsFunc(rooms, func(nid int64) bool { return p.conn.settled.rooms[nid] }), err
	}
	if p.req.Stable || !p.asksForRooms() {
		return false, nil
	}
	reads, err := roomsRead(p.tx, p.userNID, settled, p.upto, true)
	for nid := range reads {
		if p.conn.settled.rooms[nid] {
			return true, err
		}
	}
	return false, err
}
