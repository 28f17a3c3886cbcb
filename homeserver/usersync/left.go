package usersync

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// left writes a room that the user has left or was removed from, and such whose invitation has come to nothing.
func (r *roomPass) left() error {
	fresh := r.seat.Pos > r.after && !r.initial
	if !fresh && !r.filter.Room.IncludeLeave {
		return nil
	}
	departure, err := r.v.departure()
	if err != nil {
		return err
	}
	if departure == nil && !fresh {
		return nil // never in the room: an invitation that came to nothing long ago
	}
	var state []*store.Event
	if departure != nil && (!fresh || departure.pos > r.after) {
		state, err = r.stayed(departure)
	} else {
		// What happened since was none of the user's business, but for what ended the invitation, or the ban.
		state, err = r.onlyMembership()
	}
	if err != nil {
		return err
	}
	data, err := r.accountData(r.known == 0)
	if err != nil {
		return err
	}
	r.news = true
	dst := append(appendKey(r.leave, r.roomID), '{')
	if dst, err = r.appendStateAndTimeline(dst, state); err != nil {
		return err
	}
	dst = append(dst, `,"account_data":{"events":[`...)
	dst = append(dst, data...)
	r.leave = append(dst, `]}}`...)
	return nil
}

// stayed reads what the client does not know of the user's last stay in the room, up to its end.
func (r *roomPass) stayed(d *departure) ([]*store.Event, error) {
	after, full := r.after, r.initial || r.req.FullState
	if !r.initial {
		known, err := r.tx.StateIDAt(r.seat.RoomNID, r.after)
		if err != nil {
			return nil, err
		}
		membership, err := r.v.member.at(r.tx, known)
		if err != nil {
			return nil, err
		}
		if membership != event.MembershipJoin {
			after, full = 0, true // came and went
		}
		if !full {
			r.known = known
		}
	}
	var err error
	if r.t, err = r.readTimeline(after, d.pos); err != nil {
		return nil, err
	}
	r.t.limited = r.t.limited || after == 0 && !r.initial
	r.end = d.stateID
	changes, err := r.delta(full)
	if err != nil {
		return nil, err
	}
	state, err := r.state(full, changes, nil)
	if err != nil || r.seat.EventNID == d.eventNID {
		return state, err
	}
	return r.showMembership(state) // a ban, or another invitation that came to nothing, has followed
}

// onlyMembership shows the event that holds the user's membership, and nothing else.
func (r *roomPass) onlyMembership() ([]*store.Event, error) {
	r.t = timeline{start: r.seat.Pos - 1}
	r.known = r.seat.StateID // no state, no account data
	return r.showMembership(nil)
}

// showMembership adds the event that holds the user's membership to the end of the timeline, and, when it has no place there or the
// client wants the state at its end, to the state, whatever the filter says: without it the client would not know that it is out. There is none when a fork was resolved so
// that the user never had any membership; then the room's being among those left must do.
func (r *roomPass) showMembership(state []*store.Event) ([]*store.Event, error) {
	if r.seat.EventNID == 0 {
		return state, nil
	}
	e, err := r.tx.EventByNID(r.seat.EventNID)
	if err != nil {
		return nil, err
	}
	holds := r.v.holds(e)
	if holds {
		r.t.shown = append(r.t.shown, e)
		r.t.scanned = append(r.t.scanned, e)
	}
	if holds && r.req.StateAfter == "" {
		return state, nil
	}
	// The state after the timeline has it too, and not what it took the place of: the client takes no state from the timeline.
	state = slices.DeleteFunc(state, func(old *store.Event) bool {
		return old.Type == e.Type && old.StateKey != nil && e.StateKey != nil && *old.StateKey == *e.StateKey
	})
	return append(state, e), nil
}
