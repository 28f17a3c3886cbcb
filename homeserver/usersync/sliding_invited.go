package usersync

import "causeway/homeserver/store"

// invited tells of a room that the user is invited to, or knocks at: stripped state as of when it came to that.
func (r *slidingRoom) invited() error {
	if r.told != nil && r.told.Pos >= r.seat.Pos {
		// It has become a direct message, or is one no longer.
		dst := append(appendKey(r.rooms, r.roomID), '{')
		return r.finish(appendBool(appendKey(dst, "is_dm"), r.direct))
	}
	member, err := r.tx.EventByNID(r.seat.EventNID)
	if err != nil {
		return err
	}
	state, err := r.v.strippedState(member, r.seat.StateID)
	if err != nil {
		return err
	}
	dst := append(append(appendKey(r.rooms, r.roomID), '{'), `"initial":true`...)
	if r.direct {
		dst = appendBool(appendKey(dst, "is_dm"), true)
	}
	name := "invite_state"
	if r.req.Stable {
		name = "stripped_state"
	}
	dst = append(appendKey(dst, name), '[')
	for _, e := range state {
		dst = e.AppendStripped(appendComma(dst))
	}
	return r.finish(append(dst, ']'))
}

// declined tells that an invitation or a knock has come to nothing. Clients of the unstable form would take stripped state for another
// invitation, and get the event itself.
func (r *slidingRoom) declined() error {
	dst := append(appendKey(r.rooms, r.roomID), '{')
	var state []*store.Event
	if r.seat.EventNID != 0 {
		e, err := r.tx.EventByNID(r.seat.EventNID)
		if err != nil {
			return err
		}
		state = append(state, e)
	}
	if r.req.Stable {
		dst = append(appendKey(dst, "stripped_state"), '[')
		for _, e := range state {
			dst = e.AppendStripped(appendComma(dst))
		}
		return r.finish(append(dst, ']'))
	}
	var err error
	if dst, err = r.renderer.appendState(appendKey(append(dst, `"initial":true`...), "required_state"), state); err != nil {
		return err
	}
	if dst, err = r.renderer.appendEvents(appendKey(dst, "timeline"), state); err != nil {
		return err
	}
	return r.finish(append(dst, `,"limited":false,"num_live":1`...))
}

// finish ends what is told of a room that the user has not been in.
func (r *slidingRoom) finish(dst []byte) error {
	dst, err := r.appendCommon(dst)
	if err != nil {
		return err
	}
	r.rooms = append(dst, '}')
	r.slidingPass.news = true
	next := &store.SlidingRoom{RoomNID: r.seat.RoomNID, Pos: r.slidingPass.upto, Config: r.config, Direct: r.direct}
	if r.told != nil {
		next.DataPos, next.ReceiptPos = r.told.DataPos, r.told.ReceiptPos
	}
	r.note(next)
	return nil
}
