package stateres

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// resolution is a problem while it is being solved.
type resolution struct {
	problem *Problem
	places  map[eventauth.StateKey]foundPlace
	created *Event // the create event, where the room's ID implies it
}

type foundPlace struct {
	place Place
	ok    bool
}

// place is Problem.Place, remembered.
func (r *resolution) place(k eventauth.StateKey) (Place, bool) {
	found, known := r.places[k]
	if !known {
		found.place, found.ok = r.problem.Place(k)
		r.places[k] = found
	}
	return found.place, found.ok
}

// trial is the state that an event is authorised against: what has been resolved so far, then what the sets agree on, and, where neither
// has a place, the event's own auth events.
type trial struct {
	r        *resolution
	resolved map[Place]*Event
	agreed   Set     // nil where the algorithm starts from nothing
	auth     []int64 // of the event, where they count
	create   *Event  // where the room's id implies it
}

// Get returns the event at k, or nil.
func (t *trial) Get(k eventauth.StateKey) *event.PDU {
	place, ok := t.r.place(k)
	if !ok {
		return nil
	}
	if e := t.resolved[place]; e != nil {
		return e.PDU
	}
	events := t.r.problem.Events
	if id := t.agreed[place]; id != 0 {
		if e := events[id]; e != nil {
			return e.PDU
		}
	}
	for _, id := range t.auth {
		if e := events[id]; e != nil && !e.Rejected && e.Place == place {
			return e.PDU
		}
	}
	if t.create != nil && t.create.Place == place {
		return t.create.PDU
	}
	return nil
}

// iterate applies events one after the other, each if those before it allow it. Room version 2, "Iterative auth checks".
func (r *resolution) iterate(t *trial, events []*Event) {
	for _, e := range events {
		if e.Rejected || e.PDU.StateKey == nil {
			continue
		}
		t.auth = r.problem.Auth[e.ID]
		if eventauth.Check(e.PDU, t) == nil {
			t.resolved[e.Place] = e
		}
	}
	t.auth = nil
}

// create returns the create event that the room's ID is the hash of, whether the sets agree on it or not; nil when none has it.
func (r *resolution) create() *Event {
	p := r.problem
	place, ok := r.place(createKey)
	if !ok {
		return nil
	}
	room := p.Events[p.full[0]].PDU.RoomID
	for _, id := range append(slices.Clone(p.split.conflicted[place]), p.split.unconflicted[place]) {
		if e := p.Events[id]; e != nil && !e.Rejected && e.PDU.RoomID == room {
			return e
		}
	}
	return nil
}

// finish returns what the sets agree on, and what was resolved where they do not. It uses up the problem's split.
func (r *resolution) finish(resolved map[Place]*Event) Set {
	out := r.problem.split.unconflicted
	for k, e := range resolved {
		if out[k] == 0 {
			out[k] = e.ID
		}
	}
	r.problem.split = nil
	return out
}
