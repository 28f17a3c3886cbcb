package usersync

import (
	"cmp"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// keptSeats are the user's memberships as of a position of the stream, as a connection has read them last. Keeping them spares an account
// in thousands of rooms to read them all for each message.
type keptSeats struct {
	asOf int64                        // 0 where there are none
	all  map[int64]*store.SlidingSeat // by room
}

// readSeats finds the user's memberships, and puts the rooms that the list of rooms has into order.
func (p *slidingPass) readSeats() error {
	kept := &p.conn.seats
	if err := p.followSeats(kept); err != nil {
		return err
	}
	if !p.followed {
		seats, err := p.tx.SlidingSeats(p.userNID)
		if err != nil {
			return err
		}
		*kept = keptSeats{all: make(map[int64]*store.SlidingSeat, len(seats))}
		kept.put(seats)
	}
	kept.asOf, p.seats = p.upto, kept.all
	p.ordered = make([]*store.SlidingSeat, 0, len(p.seats))
	for _, seat := range p.seats {
		listed, err := p.listed(seat)
		if err != nil {
			return err
		}
		if listed {
			p.ordered = append(p.ordered, seat)
		}
	}
	// By the last event, not by bump_stamp: then all that is new lies at the top (MSC4186, "Activity ordering").
	slices.SortFunc(p.ordered, func(a, b *store.SlidingSeat) int {
		return cmp.Or(cmp.Compare(activity(b), activity(a)), cmp.Compare(b.RoomNID, a.RoomNID))
	})
	return nil
}

// followSeats takes what has happened since into the memberships that are kept, where there are some, and that is little.
func (p *slidingPass) followSeats(kept *keptSeats) error {
	if kept.asOf == 0 || p.upto < kept.asOf || p.upto-kept.asOf > shortRange || !p.tx.SeatsQuiet(p.userNID, kept.asOf) {
		return nil
	}
	if p.moved == nil || p.conn.settled.pos != kept.asOf { // else isCalm has read them
		var err error
		if p.moved, err = seatsChanged(p.tx, p.userNID, kept.asOf, p.upto); err != nil {
			return err
		}
	}
	rooms := make([]int64, 0, len(p.moved))
	for _, seat := range p.moved {
		rooms = append(rooms, seat.RoomNID)
	}
	seats, err := p.tx.SlidingSeatsOf(p.userNID, rooms)
	if err != nil {
		return err
	}
	p.followed, p.asOf = true, kept.asOf
	kept.put(seats)
	return nil
}

func (k *keptSeats) put(seats []store.SlidingSeat) {
	for i := range seats {
		seat := seats[i] // of its own, so that one does not hold the memory of all
		k.all[seat.RoomNID] = &seat
	}
}

// activity is the position by which a room has its place in the list. What goes on in rooms that the user is not in does not count.
func activity(s *store.SlidingSeat) int64 {
	if s.Membership.Membership == event.MembershipJoin {
		return s.LastPos
	}
	return s.Pos
}

// listed tells whether a room is in the list of rooms. Those that the user has left are until that has been told, if the device
// knows them; those from which they were removed are always (MSC4186, "Lists").
func (p *slidingPass) listed(seat *store.SlidingSeat) (bool, error) {
	switch seat.Membership.Membership {
	case event.MembershipJoin, event.MembershipKnock:
		return true, nil
	case event.MembershipInvite:
		hidden, err := p.hiddenInvite(seat)
		return !hidden, err
	}
	if told := p.conn.rooms[seat.RoomNID]; told != nil && told.Pos > 0 && told.Pos < seat.Pos {
		return true, nil
	}
	if seat.Forgotten || !seat.Removed {
		return false, nil
	}
	stay, err := p.viewer(seat).departure()
	return stay != nil, err
}

// hiddenInvite tells whether an invitation is kept from the client: see unwanted.
func (p *slidingPass) hiddenInvite(seat *store.SlidingSeat) (bool, error) {
	member, err := p.tx.EventByNID(seat.EventNID)
	if err != nil {
		return false, err
	}
	return p.unwanted(member.Sender)
}

func (p *slidingPass) viewer(seat *store.SlidingSeat) *viewer {
	return newViewer(p.sight, seat.RoomNID, seat.Membership, seat.StateID)
}
