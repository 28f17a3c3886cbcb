package usersync

import (
	"errors"
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// The state that names a room.
const (
	typeName           = "m.room.name"
	typeCanonicalAlias = "m.room.canonical_alias"
)

// maxHeroes is how many members a room is named after. Client-Server API, GET /sync, m.heroes.
const maxHeroes = 5

// summary appends the summary of a room when something in it may have changed, and returns the heroes' integers.
func (r *roomPass) summary(full bool, changes store.StateSet) (dst []byte, heroes []int64, err error) {
	if changed, err := r.summaryChanged(full, changes); err != nil || !changed {
		return nil, nil, err
	}
	joined, invited, err := r.tx.MemberCounts(r.seat.RoomNID)
	if err != nil {
		return nil, nil, err
	}
	named, err := r.named()
	if err != nil {
		return nil, nil, err
	}
	dst = append(dst, '{')
	if !named {
		if heroes, err = heroesOf(r.tx, r.seat.RoomNID, r.userNID); err != nil {
			return nil, nil, err
		}
		dst = append(dst, `"m.heroes":[`...)
		for _, nid := range heroes {
			user, err := r.tx.Text(nid)
			if err != nil {
				return nil, nil, err
			}
			dst = appendString(appendComma(dst), user)
		}
		dst = append(dst, ']')
	}
	dst = strconv.AppendInt(appendKey(dst, "m.joined_member_count"), joined, 10)
	dst = strconv.AppendInt(appendKey(dst, "m.invited_member_count"), invited, 10)
	return append(dst, '}'), heroes, nil
}

func (r *roomPass) summaryChanged(full bool, changes store.StateSet) (bool, error) {
	if full {
		return true, nil
	}
	for _, e := range r.t.scanned {
		if e.IsState() && (e.Type == event.TypeMember || e.Type == typeName || e.Type == typeCanonicalAlias) {
			return true, nil
		}
	}
	if len(changes) == 0 {
		return false, nil
	}
	for _, eventType := range [...]string{event.TypeMember, typeName, typeCanonicalAlias} {
		nid, err := r.tx.LookupNID(eventType)
		if err != nil {
			return false, err
		}
		for place := range changes {
			if place.Type == nid {
				return true, nil
			}
		}
	}
	return false, nil
}

// named tells whether the room's state gives it a name, so that it need not be named after its members.
func (r *roomPass) named() (bool, error) {
	for eventType, key := range map[string]string{typeName: "name", typeCanonicalAlias: "alias"} {
		e, err := r.tx.CurrentStateEvent(r.seat.RoomNID, eventType, "")
		if err == nil && e.ContentString(key) != "" {
			return true, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
	}
	return false, nil
}

// heroesOf returns the users to name a room after for one of them: the first who are in it or invited, or else those who were.
func heroesOf(tx *store.Tx, roomNID, userNID int64) ([]int64, error) {
	for _, gone := range [...]bool{false, true} {
		members, err := tx.FirstMembers(roomNID, userNID, gone, maxHeroes)
		if err != nil {
			return nil, err
		}
		if len(members) > 0 {
			nids := make([]int64, len(members))
			for i, m := range members {
				nids[i] = m.UserNID
			}
			return nids, nil
		}
	}
	return nil, nil
}
