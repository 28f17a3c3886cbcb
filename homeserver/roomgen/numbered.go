package roomgen

import (
	"fmt"
	"math/rand/v2"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/stateres"
)

// Numbered is a room in the integers that stateres works with.
type Numbered struct {
	Version *event.RoomVersion
	IDs     map[id.EventID]int64      // of every event
	Events  map[int64]*stateres.Event // every event
	Auth    map[int64][]int64         // the auth events of every event, those that the room does not have left out
	Places  map[eventauth.StateKey]stateres.Place

	names map[stateres.Place]eventauth.StateKey
	texts map[string]int64 // the number of each type and state key
}

// Numbered numbers the events in their order.
func (r *Room) Numbered() *Numbered { return r.Renumbered(nil) }

// Renumbered numbers the events in a random order in which auth events come before what they authorise, and leaves random gaps.
// Without rng it is Numbered.
func (r *Room) Renumbered(rng *rand.Rand) *Numbered {
	n := &Numbered{
		Version: r.Version,
		IDs:     make(map[id.EventID]int64, len(r.Events)),
		Events:  make(map[int64]*stateres.Event, len(r.Events)),
		Auth:    make(map[int64][]int64, len(r.Events)),
		Places:  make(map[eventauth.StateKey]stateres.Place),
		names:   make(map[stateres.Place]eventauth.StateKey),
		texts:   make(map[string]int64),
	}
	next := int64(0)
	for _, i := range r.authOrder(rng) {
		next++
		if rng != nil {
			next += rng.Int64N(3)
		}
		n.add(next, &r.Events[i])
	}
	return n
}

// authOrder returns the indices of the events, auth events first.
func (r *Room) authOrder(rng *rand.Rand) []int {
	order := make([]int, 0, len(r.Events))
	if rng == nil {
		for i := range r.Events {
			order = append(order, i)
		}
		return order
	}
	done := make([]bool, len(r.Events))
	var visit func(i int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		for _, auth := range r.Events[i].PDU.AuthEvents {
			if j, ok := r.index[auth]; ok {
				visit(j)
			}
		}
		order = append(order, i)
	}
	for _, i := range rng.Perm(len(r.Events)) {
		visit(i)
	}
	return order
}

func (n *Numbered) add(number int64, e *Event) {
	p := e.PDU
	out := &stateres.Event{ID: number, PDU: p, Rejected: e.Rejected}
	if p.StateKey != nil {
		out.Place = n.place(eventauth.StateKey{Type: p.Type, Key: *p.StateKey})
	}
	auth := make([]int64, 0, len(p.AuthEvents))
	for _, a := range p.AuthEvents {
		if other, ok := n.IDs[a]; ok {
			auth = append(auth, other)
		}
	}
	n.IDs[p.EventID], n.Events[number], n.Auth[number] = number, out, auth
}

// place numbers types and state keys with one counter, as they are found.
func (n *Numbered) place(k eventauth.StateKey) stateres.Place {
	if place, ok := n.Places[k]; ok {
		return place
	}
	number := func(name string) int64 {
		if _, ok := n.texts[name]; !ok {
			n.texts[name] = int64(len(n.texts)) + 1
		}
		return n.texts[name]
	}
	place := stateres.Place{Type: number(k.Type), Key: number(k.Key)}
	n.Places[k], n.names[place] = place, k
	return place
}

// Set returns s in integers.
func (n *Numbered) Set(s State) stateres.Set {
	set := make(stateres.Set, len(s))
	for k, eventID := range s {
		set[n.Places[k]] = n.IDs[eventID]
	}
	return set
}

// State returns set in names.
func (n *Numbered) State(set stateres.Set) State {
	s := make(State, len(set))
	for place, number := range set {
		s[n.names[place]] = n.Events[number].PDU.EventID
	}
	return s
}

// Problem is the resolution of sets, with everything loaded.
func (n *Numbered) Problem(sets ...State) *stateres.Problem {
	p := &stateres.Problem{
		Version: n.Version, Auth: n.Auth, Events: n.Events,
		Place: func(k eventauth.StateKey) (stateres.Place, bool) {
			place, ok := n.Places[k]
			return place, ok
		},
	}
	for _, s := range sets {
		p.Sets = append(p.Sets, n.Set(s))
	}
	return p
}

// resolve is the Resolver that asks stateres.
func resolve(r *Room, sets []State) (State, error) {
	n := r.Numbered()
	set, err := n.Problem(sets...).Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve %d states of %s: %w", len(sets), r.RoomID, err)
	}
	return n.State(set), nil
}
