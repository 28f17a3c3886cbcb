package room

import (
	"context"
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"
)

// receiveState finds the state before the event, and rejects the event when that does not allow it.
func (s *Service) receiveState(ctx context.Context, a *arrival) (err error) {
	if a.before, err = s.stateBefore(ctx, a); err != nil {
		return err
	}
	if a.status != 0 {
		return nil
	}
	return s.DB.View(ctx, func(tx *store.Tx) error {
		state, err := loadAuthState(tx, a.before, a.pdu)
		if err != nil {
			return err
		}
		err = eventauth.Check(a.pdu, state)
		if err != nil && a.remote != nil { // the other server's word is not enough to reject the event for good
			return fmt.Errorf("%w: by word of %s, it is not allowed: %w", errMissing, a.origin, err)
		}
		if err != nil {
			a.reject("By the state before it: " + err.Error())
		}
		return nil
	})
}

// stateBefore resolves the states after the events that the event comes after.
func (s *Service) stateBefore(ctx context.Context, a *arrival) (State, error) {
	var sets []int64
	for _, prev := range a.prevs {
		sets = append(sets, prev.StateAfter)
	}
	slices.Sort(sets)
	sets = slices.Compact(sets)
	switch {
	case a.remote == nil:
		return s.resolver.Resolve(ctx, a.nid, a.version, sets)
	case len(sets) == 0:
		return *a.remote, nil
	}
	states := []State{*a.remote}
	for _, setID := range sets {
		states = append(states, State{Base: setID})
	}
	return s.resolver.resolve(ctx, a.version, states, nil)
}

// loadAuthState loads what of a state the authorisation of an event depends on.
func loadAuthState(tx *store.Tx, s State, pdu *event.PDU) (eventauth.StateMap, error) {
	state, _, err := loadKeys(tx, s, append(eventauth.NeededBy(pdu), createKey))
	return state, err
}

// loadKeys loads the given places of a state.
func loadKeys(tx *store.Tx, s State, keys []eventauth.StateKey) (eventauth.StateMap, map[eventauth.StateKey]*store.Event, error) {
	var places []store.StateNID
	for _, k := range keys {
		place, err := tx.LookupStateNID(k.Type, k.Key)
		if err != nil {
			return nil, nil, err
		}
		if place.Type != 0 && place.Key != 0 {
			places = append(places, place)
		}
	}
	values, err := tx.StateValues(s.Base, places...)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range s.Changes {
		if slices.Contains(places, c.Place) {
			values[c.Place] = c.New
		}
	}
	nids := make([]int64, 0, len(values))
	for _, nid := range values {
		if nid != 0 {
			nids = append(nids, nid)
		}
	}
	all, err := tx.EventsByNID(nids)
	if err != nil {
		return nil, nil, err
	}
	state, events := make(eventauth.StateMap, len(all)), make(map[eventauth.StateKey]*store.Event, len(all))
	for _, e := range all {
		k := eventauth.StateKey{Type: e.Type, Key: *e.StateKey}
		state[k], events[k] = e.PDU, e
	}
	return state, events, nil
}
