package stateres

import (
	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

var (
	createKey = eventauth.StateKey{Type: event.TypeCreate}
	levelsKey = eventauth.StateKey{Type: event.TypePowerLevels}
)

// MissingEvents returns the events that must be put into Events before the problem can be solved, once MissingAuth returns none: the full
// conflicted set and the auth events that it names, what the sets agree on where its authorisation depends on it, and the power levels
// before all these. It is called again, with those there, until it returns none.
func (p *Problem) MissingEvents() []int64 {
	s := p.splitOnce()
	if len(s.conflicted) == 0 {
		return nil
	}
	l := &wishes{problem: p, wanted: make(map[int64]bool), missing: make(map[int64]bool)}
	for _, id := range p.full {
		l.want(id)
	}
	for _, k := range []eventauth.StateKey{createKey, levelsKey} {
		l.wantPlace(k)
	}
	if p.Version.StateRes != event.StateResV1 {
		for _, id := range p.full {
			for _, a := range p.Auth[id] {
				l.want(a)
			}
		}
	}
	if p.Version.StateRes != event.StateResV21 { // 2.1 looks at nothing that the sets agree on
		for _, id := range p.full {
			if e := p.Events[id]; e != nil {
				for _, k := range eventauth.NeededBy(e.PDU) {
					l.wantPlace(k)
				}
			}
		}
	}
	return sortedIDs(l.missing)
}

// wishes are the events that a problem needs.
type wishes struct {
	problem         *Problem
	wanted, missing map[int64]bool
}

// want asks for an event, and if that is one of power levels, for those before it.
func (l *wishes) want(id int64) {
	for look := []int64{id}; len(look) > 0; {
		id := look[len(look)-1]
		look = look[:len(look)-1]
		if l.wanted[id] {
			continue
		}
		l.wanted[id] = true
		e := l.problem.Events[id]
		if e == nil {
			l.missing[id] = true
			continue
		}
		if e.PDU.IsStateOf(event.TypePowerLevels, "") {
			for _, a := range l.problem.Auth[id] {
				if a < id {
					look = append(look, a)
				}
			}
		}
	}
}

// wantPlace asks for what the sets agree on at a place.
func (l *wishes) wantPlace(k eventauth.StateKey) {
	place, ok := l.problem.Place(k)
	if !ok {
		return
	}
	if id := l.problem.split.unconflicted[place]; id != 0 {
		l.want(id)
	}
}
