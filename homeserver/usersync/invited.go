package usersync

import (
	"cmp"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// strippedTypes are the state events that tell a user what a room is before they join it. Client-Server API, "Stripped
// state"; the create event is required since Matrix 1.16.
var strippedTypes = []string{
	event.TypeCreate, event.TypeJoinRules, typeName, "m.room.avatar", "m.room.topic", typeCanonicalAlias, "m.room.encryption",
}

// invited writes a room that the user is invited to, or knocks at: stripped state as of when it came to that. Invitations that the
// user does not want to see are kept from the client.
func (r *roomPass) invited(section *[]byte, name string) error {
	member, err := r.tx.EventByNID(r.seat.EventNID)
	if err != nil {
		return err
	}
	if unwanted, err := r.unwanted(member.Sender); err != nil || unwanted {
		return err
	}
	state, err := r.v.strippedState(member, r.seat.StateID)
	if err != nil {
		return err
	}
	dst := append(appendKey(*section, r.roomID), '{')
	dst = append(appendString(dst, name), `:{"events":[`...)
	for _, e := range state {
		dst = e.AppendStripped(appendComma(dst))
	}
	*section = append(dst, `]}}`...)
	r.news = true
	return nil
}

// strippedState returns the state that a user may know of who is invited by, or knocks with, a member event: that event is
// the last of it. stateID is the room's current state set.
func (v *viewer) strippedState(member *store.Event, stateID int64) ([]*store.Event, error) {
	places := make([]store.StateNID, 0, len(strippedTypes)+1)
	for _, eventType := range strippedTypes {
		place, err := v.tx.LookupStateNID(eventType, "")
		if err != nil {
			return nil, err
		}
		if place.Type != 0 && place.Key != 0 {
			places = append(places, place)
		}
	}
	// The inviter's membership gives the inviter a name.
	inviter, err := v.tx.LookupStateNID(event.TypeMember, string(member.Sender))
	if err != nil {
		return nil, err
	}
	if member.Sender != v.user && inviter.Key != 0 {
		places = append(places, inviter)
	}
	setID, err := v.tx.StateIDAt(v.roomNID, v.seat.Pos)
	if err != nil {
		return nil, err
	}
	if setID == 0 { // purged, but for what the event itself needs
		setID = cmp.Or(member.StateAfter, stateID)
	}
	set, err := v.tx.StateValues(setID, places...)
	if err != nil {
		return nil, err
	}
	state, err := v.tx.EventsByNID(slices.Collect(maps.Values(set)))
	if err != nil {
		return nil, err
	}
	sortByPos(state)
	return v.seeState(append(state, member))
}
