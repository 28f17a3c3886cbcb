package room

import (
	"fmt"
	"maps"

	"causeway/homeserver/eventauth"
	"causeway/homeserver/stateres"
	"causeway/homeserver/store"
)

// loader brings what a resolution needs into memory, so that the resolution itself touches nothing else.
type loader struct {
	resolver *Resolver
	problem  *stateres.Problem
	base     store.StateSet // what the base of the first state holds
	places   map[eventauth.StateKey]foundPlace
}

type foundPlace struct {
	place store.StateNID
	ok    bool
}

func (l *loader) load(tx *store.Tx, states []State, fresh *arriving) error {
	if err := l.loadSets(tx, states); err != nil {
		return err
	}
	p := l.problem
	p.Auth, p.Events = make(map[int64][]int64), make(map[int64]*stateres.Event)
	if fresh != nil {
		p.Auth[newEvent] = fresh.auth
		p.Events[newEvent] = &stateres.Event{ID: newEvent, PDU: fresh.pdu, Place: fresh.place}
	}
	var lookup error
	p.Place = func(k eventauth.StateKey) (stateres.Place, bool) {
		found, known := l.places[k]
		if !known && lookup == nil {
			found.place, lookup = tx.LookupStateNID(k.Type, k.Key)
			found.ok = found.place.Type != 0 && found.place.Key != 0
			l.places[k] = found
		}
		return found.place, found.ok
	}
	if err := l.loadAuth(tx); err != nil {
		return err
	}
	if err := l.loadEvents(tx); err != nil {
		return err
	}
	p.Place = func(k eventauth.StateKey) (stateres.Place, bool) {
		found := l.places[k]
		return found.place, found.ok
	}
	return lookup
}

func (l *loader) loadSets(tx *store.Tx, states []State) error {
	for i, s := range states {
		var set store.StateSet
		if i == 0 {
			whole, err := tx.StateSet(s.Base)
			if err != nil {
				return err
			}
			l.base, set = whole, maps.Clone(whole)
		} else {
			delta, err := tx.StateDelta(states[0].Base, s.Base)
			if err != nil {
				return err
			}
			set = maps.Clone(l.base)
			put(set, maps.All(delta))
		}
		put(set, func(yield func(store.StateNID, int64) bool) {
			for _, c := range s.Changes {
				if !yield(c.Place, c.New) {
					return
				}
			}
		})
		l.problem.Sets = append(l.problem.Sets, stateres.Set(set))
	}
	return nil
}

// put puts changes over a set.
func put(set store.StateSet, changes func(func(store.StateNID, int64) bool)) {
	for k, event := range changes {
		if event == 0 {
			delete(set, k)
		} else {
			set[k] = event
		}
	}
}

func (l *loader) loadAuth(tx *store.Tx) error {
	for {
		missing := l.problem.MissingAuth()
		if len(missing) == 0 {
			return nil
		}
		missing = l.resolver.knownAuth(missing, l.problem.Auth)
		auth, err := tx.AuthEvents(missing)
		if err != nil {
			return err
		}
		l.resolver.learnAuth(auth)
		for _, nid := range missing {
			if _, ok := auth[nid]; !ok {
				return fmt.Errorf("auth events of event %d: %w", nid, store.ErrNotFound)
			}
			l.problem.Auth[nid] = auth[nid]
		}
	}
}

func (l *loader) loadEvents(tx *store.Tx) error {
	for {
		missing := l.problem.MissingEvents()
		if len(missing) == 0 {
			return nil
		}
		events, err := tx.EventsByNID(missing)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.StateKey == nil {
				return fmt.Errorf("event %s stands in a state and is no state event", e.EventID)
			}
			place, err := tx.LookupStateNID(e.Type, *e.StateKey)
			if err != nil {
				return err
			}
			l.places[eventauth.StateKey{Type: e.Type, Key: *e.StateKey}] = foundPlace{place: place, ok: true}
			l.problem.Events[e.NID] = &stateres.Event{
				ID: e.NID, PDU: e.PDU, Place: place, Rejected: e.Status&store.Rejected != 0,
			}
		}
		for _, nid := range missing {
			if l.problem.Events[nid] == nil {
				return fmt.Errorf("event %d of a state: %w", nid, store.ErrNotFound)
			}
		}
	}
}
