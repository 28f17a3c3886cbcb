// Package stateres resolves the state of a room where branches of its history meet: version 1 of the algorithm (room version 1),
// version 2 (room versions 2 to 11), and version 2.1 (room version 12 on).
//
// room asks it, and whoever checks a room's history again. It is pure: it works on integers, and everything that it needs is loaded
// before it starts. A Problem says what is still missing (MissingAuth, then MissingEvents), and then has an answer (Resolve).
package stateres

import (
	"fmt"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// Place is a type and a state key as integers. It is an alias, so that maps by it are what stores of state sets have.
type Place = struct{ Type, Key int64 }

// Set is what a state holds: events as integers, by place.
type Set = map[Place]int64

// Event is what resolution must know of a state event.
type Event struct {
	ID       int64
	PDU      *event.PDU
	Place    Place // of its type and state key
	Rejected bool
}

// Problem is one resolution, with what it needs. Integers grow along the auth graph: an auth event's is smaller than that of the event
// which names it. Edges that say otherwise are left out of account. A Problem is used by one goroutine.
type Problem struct {
	Version *event.RoomVersion
	Sets    []Set             // the states to resolve, in any order
	Auth    map[int64][]int64 // auth events, of the events that MissingAuth has asked for
	Events  map[int64]*Event  // those that MissingEvents has asked for
	// Place returns the integers of a type and state key; false when no event of the room has them.
	Place func(eventauth.StateKey) (Place, bool)

	split *split
	graph *graph  // the conflicted events and their auth chains, once these are loaded
	full  []int64 // the full conflicted set, once it is known
}

// MissingError is returned for a Problem that lacks what it has asked for.
type MissingError struct{ ID int64 }

// Error names the event.
func (e *MissingError) Error() string {
	return fmt.Sprintf("event %d of the state was not loaded", e.ID)
}

// split is what the states agree on, and what they do not.
type split struct {
	unconflicted Set
	conflicted   map[Place][]int64 // the distinct events of a place
	each         [][]int64         // the conflicted events of each set
}

// Split returns the places at which all sets have the same event, and for the others the events that there are. A place that only some
// sets have is among the latter. Room version 2, "Unconflicted state map and conflicted state set".
func Split(sets []Set) (unconflicted Set, conflicted map[Place][]int64) {
	s := splitSets(sets)
	return s.unconflicted, s.conflicted
}

func splitSets(sets []Set) *split {
	s := &split{conflicted: make(map[Place][]int64), each: make([][]int64, len(sets))}
	if len(sets) == 0 {
		s.unconflicted = Set{}
		return s
	}
	first := sets[0]
	for _, set := range sets[1:] {
		agreed := 0
		for k, id := range set {
			if first[k] == id {
				agreed++
			} else {
				s.conflicted[k] = nil
			}
		}
		if agreed == len(first) {
			continue
		}
		for k, id := range first {
			if set[k] != id {
				s.conflicted[k] = nil
			}
		}
	}
	s.unconflicted = maps.Clone(first)
	for k := range s.conflicted {
		delete(s.unconflicted, k)
		var events []int64
		for i, set := range sets {
			id := set[k]
			if id == 0 {
				continue
			}
			s.each[i] = append(s.each[i], id)
			if !slices.Contains(events, id) {
				events = append(events, id)
			}
		}
		s.conflicted[k] = events
	}
	return s
}

// splitOnce is what Split returns of the problem's sets.
func (p *Problem) splitOnce() *split {
	if p.split == nil {
		p.split = splitSets(p.Sets)
	}
	return p.split
}

// Resolve returns the resolved state. All that MissingAuth and MissingEvents ask for must be there, or a *MissingError says so.
func (p *Problem) Resolve() (Set, error) {
	s := p.splitOnce()
	if len(s.conflicted) == 0 {
		return s.unconflicted, nil
	}
	if missing := p.MissingAuth(); len(missing) > 0 {
		return nil, &MissingError{missing[0]}
	}
	if missing := p.MissingEvents(); len(missing) > 0 {
		return nil, &MissingError{missing[0]}
	}
	r := &resolution{problem: p, places: make(map[eventauth.StateKey]foundPlace)}
	if p.Version.StateRes == event.StateResV1 {
		return r.version1(), nil
	}
	return r.version2(), nil
}
