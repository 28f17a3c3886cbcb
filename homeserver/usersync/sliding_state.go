package usersync

import (
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// maxLazyMembers bounds the members of a room of which a connection remembers that the device has them. Of others it is told again.
const maxLazyMembers = 100

// stateStub is a place of the state that is empty now.
type stateStub struct{ eventType, key string }

// stateNews is what of the state is to be told.
type stateNews struct {
	events []*store.Event
	stubs  []stateStub
	moved  map[int64]int64 // lazily loaded members who have changed: by the user's integer, that of the event, 0 for none any more
}

// requiredState returns the state to tell: all that is wished for, or what of it the device does not know; and it sets members.
func (r *slidingRoom) requiredState() (n stateNews, err error) {
	if err := r.changedState(&n); err != nil {
		return n, err
	}
	if r.initial || r.told.Config != r.config {
		more, err := r.grown()
		if err != nil {
			return n, err
		}
		n.events = append(n.events, more...)
	}
	if !r.lazy {
		return n, nil
	}
	members, err := r.lazyMembers(n.moved)
	if err != nil {
		return n, err
	}
	for _, user := range members {
		if nid, changed := n.moved[user]; changed && nid == 0 {
			name, err := r.tx.Text(user)
			if err != nil {
				return n, err
			}
			n.stubs = append(n.stubs, stateStub{event.TypeMember, name})
		}
	}
	lazy, err := r.memberEvents(members)
	n.events = append(n.events, lazy...)
	return n, err
}

// changedState finds what has changed of the state that is wished for.
func (r *slidingRoom) changedState(n *stateNews) error {
	memberNID, err := r.tx.LookupNID(event.TypeMember)
	if err != nil {
		return err
	}
	n.moved = make(map[int64]int64)
	var nids []int64
	for place, nid := range r.changes {
		eventType, key, err := r.place(place)
		if err != nil {
			return err
		}
		switch wished := r.wish.matches(eventType, key); {
		case wished && nid != 0:
			nids = append(nids, nid)
		case wished:
			n.stubs = append(n.stubs, stateStub{eventType, key})
		case place.Type == memberNID && r.lazy:
			n.moved[place.Key] = nid
		}
	}
	n.events, err = r.tx.EventsByNID(nids)
	return err
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
func (r *slidingRoom) appendRequired(dst []byte, n stateNews) ([]byte, error) {
	dst, err := r.renderer.appendState(dst, n.events)
	if err != nil || !r.req.Stable {
		return dst, err
	}
	dst = dst[:len(dst)-1]
	for _, stub := range n.stubs {
		dst = appendString(append(appendComma(dst), `{"type":`...), stub.eventType)
		dst = append(appendString(appendKey(dst, "state_key"), stub.key), '}')
	}
	return append(dst, ']'), nil
}
