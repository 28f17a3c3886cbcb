package usersync

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// appendMeta appends the members that say what the room is, as far as they may have changed.
func (r *slidingRoom) appendMeta(dst []byte) ([]byte, error) {
	named, renamed, err := r.changed(typeName)
	if err != nil {
		return dst, err
	}
	name := ""
	if named != nil {
		name = named.ContentString("name")
	}
	if renamed {
		dst = r.appendText(dst, "name", name, r.req.Stable)
	}
	face, changed, err := r.changed(typeAvatar)
	if err != nil {
		return dst, err
	}
	if changed {
		url := ""
		if face != nil {
			url = face.ContentString("url")
		}
		dst = r.appendText(dst, "avatar", url, true)
	}
	if r.seat.Membership.Membership != event.MembershipJoin {
		return dst, nil
	}
	memberNID, err := r.tx.LookupNID(event.TypeMember)
	if err != nil {
		return dst, err
	}
	moved := r.initial
	for place := range r.changes {
		moved = moved || place.Type == memberNID
	}
	if moved {
		joined, invited, err := r.tx.MemberCounts(r.seat.RoomNID)
		if err != nil {
			return dst, err
		}
		dst = appendInt(appendField(dst, "joined_count"), joined)
		dst = appendInt(appendField(dst, "invited_count"), invited)
	}
	if name == "" && (moved || renamed) {
		return r.appendHeroes(dst)
	}
	return dst, nil
}

// appendField is appendKey for members that stand in no object yet.
func appendField(dst []byte, key string) []byte {
	if len(dst) == 0 {
		return append(appendString(dst, key), ':')
	}
	return appendKey(dst, key)
}

// appendText appends a text that may be there no more, which null says, where the client knows that word.
func (r *slidingRoom) appendText(dst []byte, key, text string, null bool) []byte {
	switch {
	case text != "":
		return appendString(appendField(dst, key), text)
	case !r.initial && null:
		return append(appendField(dst, key), "null"...)
	}
	return dst
}

// changed returns the event that holds a place with an empty state key, nil for none, and whether that may be news.
func (r *slidingRoom) changed(eventType string) (*store.Event, bool, error) {
	changed := r.initial
	if !changed {
		place, err := r.tx.LookupStateNID(eventType, "")
		if err != nil {
			return nil, false, err
		}
		_, changed = r.changes[place]
	}
	if !changed && (eventType != typeName || len(r.changes) == 0) {
		return nil, false, nil
	}
	e, err := r.stateEvent(r.seat, r.end, eventType)
	return e, changed, err
}

// appendHeroes appends the users after whom the room is named.
func (r *slidingRoom) appendHeroes(dst []byte) ([]byte, error) {
	nids, err := heroesOf(r.tx, r.seat.RoomNID, r.userNID)
	if err != nil || len(nids) == 0 {
		return dst, err
	}
	events, err := r.memberEvents(nids)
	if err != nil {
		return dst, err
	}
	if events, err = r.v.seeState(events); err != nil {
		return dst, err
	}
	byUser := make(map[id.UserID]*store.Event, len(events))
	for _, e := range events {
		byUser[id.UserID(*e.StateKey)] = e
	}
	dst = append(appendField(dst, "heroes"), '[')
	for _, nid := range nids {
		user, err := r.tx.Text(nid)
		if err != nil {
			return dst, err
		}
		dst = appendString(append(appendComma(dst), `{"user_id":`...), user)
		if e := byUser[id.UserID(user)]; e != nil {
			for _, field := range [...]string{"displayname", "avatar_url"} {
				if text := e.ContentString(field); text != "" {
					dst = appendString(appendKey(dst, field), text)
				}
			}
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}
