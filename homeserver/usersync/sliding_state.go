package usersync

import (
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxLazyMembers bounds the members of a room of which a connection remembers that the device has them. Of others it is told again.
const maxLazyMembers = 100

// stateStub is a place of the state that is empty now.
type stateStub struct{ eventType, key string }

// requiredState returns the state to tell: all that is wished for, or what of it the device does not know; and it sets members.
func (r *slidingRoom) requiredState() ([]*store.Event, []stateStub, error) {
	var (
		events []*store.Event
		stubs  []stateStub
		gone   = make(map[int64]bool)  // users who have no membership any more
		moved  = make(map[int64]int64) // users whose membership has changed, by integer, and the events
		err    error
	)
	memberNID, err := r.tx.LookupNID(event.TypeMember)
	if err != nil {
		return nil, nil, err
	}
	var nids []int64
	for place, nid := range r.changes {
		eventType, key, err := r.place(place)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case r.wish.matches(eventType, key):
			if nid != 0 {
				nids = append(nids, nid)
			} else {
				stubs = append(stubs, stateStub{eventType, key})
			}
		case place.Type == memberNID && r.lazy:
			moved[place.Key] = nid
			gone[place.Key] = nid == 0
		}
	}
	if events, err = r.tx.EventsByNID(nids); err != nil {
		return nil, nil, err
	}
	if r.initial || r.told.Config != r.config {
		more, err := r.grown()
		if err != nil {
			return nil, nil, err
		}
		events = append(events, more...)
	}
	if !r.lazy {
		return events, stubs, nil
	}
	members, err := r.lazyMembers(moved)
	if err != nil {
		return nil, nil, err
	}
	for user, empty := range gone {
		if empty && slices.Contains(members, user) {
			name, err := r.tx.Text(user)
			if err != nil {
				return nil, nil, err
			}
			stubs = append(stubs, stateStub{event.TypeMember, name})
		}
	}
	lazy, err := r.memberEvents(members)
	return append(events, lazy...), stubs, err
}

func (r *slidingRoom) place(k store.StateNID) (eventType, key string, err error) {
	if eventType, err = r.tx.Text(k.Type); err != nil {
		return "", "", err
	}
	key, err = r.tx.Text(k.Key)
	return eventType, key, err
}

// grown returns the state that is wished for and has not been by what the device was told last.
func (r *slidingRoom) grown() ([]*store.Event, error) {
	var old stateWish // nothing, where it is not remembered
	if !r.initial {
		old = r.conn.wishes[r.told.Config]
	}
	all, err := r.look()
	if err != nil {
		return nil, err
	}
	seen := make(map[int64]bool, len(all))
	kept := all[:0]
	for _, e := range all {
		if seen[e.NID] || !r.wish.matches(e.Type, *e.StateKey) || old.matches(e.Type, *e.StateKey) {
			continue
		}
		if place, err := r.tx.LookupStateNID(e.Type, *e.StateKey); err != nil {
			return nil, err
		} else if _, changed := r.changes[place]; changed {
			continue // told already
		}
		seen[e.NID] = true
		kept = append(kept, e)
	}
	return kept, nil
}

// look returns the events at end where what is wished for is to be found.
func (r *slidingRoom) look() (all []*store.Event, err error) {
	if r.end != r.seat.StateID {
		return r.lookBack()
	}
	add := func(events []*store.Event, e error) {
		all = append(all, events...)
		if err == nil {
			err = e
		}
	}
	roomNID := r.seat.RoomNID
	if r.plan.all {
		add(r.tx.CurrentStateExcept(roomNID, event.TypeMember))
	} else {
		add(r.tx.CurrentStateOfTypes(roomNID, r.plan.types, false))
		add(r.tx.CurrentStateOfTypes(roomNID, r.plan.keyless, true))
	}
	if r.plan.members {
		add(r.tx.CurrentStateOfType(roomNID, event.TypeMember))
	}
	for eventType, keys := range r.plan.keyed {
		nids := make([]int64, 0, len(keys))
		for _, key := range keys {
			nid, err := r.tx.LookupNID(key)
			if err != nil {
				return nil, err
			}
			nids = append(nids, nid)
		}
		add(r.tx.CurrentStateOfKeys(roomNID, eventType, nids))
	}
	for _, key := range r.plan.keys {
		add(r.tx.CurrentStateOfKey(roomNID, key))
	}
	return all, err
}

// lookBack is look for a state that is not the current one.
func (r *slidingRoom) lookBack() ([]*store.Event, error) {
	set, err := r.tx.StateDelta(0, r.end)
	if err != nil {
		return nil, err
	}
	var nids []int64
	for place, nid := range set {
		eventType, key, err := r.place(place)
		if err != nil {
			return nil, err
		}
		if r.wish.matches(eventType, key) {
			nids = append(nids, nid)
		}
	}
	return r.tx.EventsByNID(nids)
}

// lazyMembers returns the users whose m.room.member events go with the timeline: senders and those whom it is about, whom the device
// does not have yet, and all whose membership has changed. Where the timeline has a gap, clients forget whom they had, so that the
// former are told again, and of the latter only those whom it had (MSC4186, "Lazy loaded memberships").
func (r *slidingRoom) lazyMembers(moved map[int64]int64) ([]int64, error) {
	wanted, err := senders(r.tx, r.t.shown)
	if err != nil {
		return nil, err
	}
	for _, e := range r.t.shown {
		if !e.IsState() || e.Type != event.TypeMember {
			continue
		}
		nid, err := r.tx.LookupNID(*e.StateKey)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(wanted, nid) {
			wanted = append(wanted, nid)
		}
	}
	var had []int64
	if r.told != nil && !r.initial {
		had = r.told.Members
	}
	gap := r.initial || r.t.limited && !r.expanded
	if !gap {
		wanted = slices.DeleteFunc(wanted, func(nid int64) bool { return slices.Contains(had, nid) })
	}
	for _, nid := range slices.Sorted(maps.Keys(moved)) {
		if (!gap || slices.Contains(had, nid)) && !slices.Contains(wanted, nid) {
			wanted = append(wanted, nid)
		}
	}
	// Those who are wished for by name are told anyway.
	kept := wanted[:0]
	for _, nid := range wanted {
		name, err := r.tx.Text(nid)
		if err != nil {
			return nil, err
		}
		if !r.wish.matches(event.TypeMember, name) {
			kept = append(kept, nid)
		}
	}
	r.members = slices.Clone(kept)
	if !gap {
		for _, nid := range had {
			if !slices.Contains(r.members, nid) {
				r.members = append(r.members, nid)
			}
		}
	}
	r.members = r.members[:min(len(r.members), maxLazyMembers)]
	return kept, nil
}

// memberEvents returns the m.room.member events of users at end.
func (r *slidingRoom) memberEvents(users []int64) ([]*store.Event, error) {
	if len(users) == 0 {
		return nil, nil
	}
	return stateMembers(r.tx, r.seat.RoomNID, r.end, r.seat.StateID, users)
}

// appendRequired appends the array of required_state. Only the stable form has words for what is there no more.
func (r *slidingRoom) appendRequired(dst []byte, state []*store.Event, stubs []stateStub) ([]byte, error) {
	dst, err := r.renderer.appendState(dst, state)
	if err != nil || !r.req.Stable {
		return dst, err
	}
	dst = dst[:len(dst)-1]
	for _, stub := range stubs {
		dst = appendString(append(appendComma(dst), `{"type":`...), stub.eventType)
		dst = append(appendString(appendKey(dst, "state_key"), stub.key), '}')
	}
	return append(dst, ']'), nil
}

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
		dst = appendInt(appendMember1(dst, "joined_count"), joined)
		dst = appendInt(appendMember1(dst, "invited_count"), invited)
	}
	if name == "" && (moved || renamed) {
		return r.appendHeroes(dst)
	}
	return dst, nil
}

// appendMember1 is appendKey for members that stand in no object yet.
func appendMember1(dst []byte, key string) []byte {
	if len(dst) == 0 {
		return append(appendString(dst, key), ':')
	}
	return appendKey(dst, key)
}

// appendText appends a text that may be there no more, which null says, where the client knows that word.
func (r *slidingRoom) appendText(dst []byte, key, text string, null bool) []byte {
	switch {
	case text != "":
		return appendString(appendMember1(dst, key), text)
	case !r.initial && null:
		return append(appendMember1(dst, key), "null"...)
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
	dst = append(appendMember1(dst, "heroes"), '[')
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
