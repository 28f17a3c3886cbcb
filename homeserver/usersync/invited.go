package usersync

import (
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

// invited writes a room that the user is invited to, or knocks at: stripped state as of the event that made it so.
func (r *roomPass) invited(section *[]byte, name string) error {
	member, err := r.tx.EventByNID(r.seat.EventNID)
	if err != nil {
		return err
	}
	state, err := strippedState(r.tx, member)
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
// the last of it.
func strippedState(tx *store.Tx, member *store.Event) ([]*store.Event, error) {
	places := make([]store.StateNID, 0, len(strippedTypes))
	for _, eventType := range strippedTypes {
		place, err := tx.LookupStateNID(eventType, "")
		if err != nil {
			return nil, err
		}
		if place.Type != 0 && place.Key != 0 {
			places = append(places, place)
		}
	}
	// The inviter's membership gives the inviter a name.
	inviter, err := tx.LookupStateNID(event.TypeMember, string(member.Sender))
	if err != nil {
		return nil, err
	}
	if member.StateKey != nil && string(member.Sender) != *member.StateKey && inviter.Key != 0 {
		places = append(places, inviter)
	}
	set, err := tx.StateValues(member.StateBefore, places...)
	if err != nil {
		return nil, err
	}
	state, err := tx.EventsByNID(slices.Collect(maps.Values(set)))
	if err != nil {
		return nil, err
	}
	sortByPos(state)
	return append(state, member), nil
}
