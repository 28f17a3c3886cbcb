package stateres

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

var (
	createKey    = eventauth.StateKey{Type: event.TypeCreate}
	levelsKey    = eventauth.StateKey{Type: event.TypePowerLevels}
	joinRulesKey = eventauth.StateKey{Type: event.TypeJoinRules}
)

// MissingEvents returns the events that must be put into Events before the problem can be solved, once MissingAuth returns none: the full
// conflicted set and the auth events that it names, what the sets agree on where its authorisation depends on it, and of the power levels
// before all these as many as it takes to compare them. It is called again, with those there, until it returns none.
func (p *Problem) MissingEvents() []int64 {
	s := p.splitOnce()
	if len(s.conflicted) == 0 {
		return nil
	}
	l := &wishes{problem: p, wanted: make(map[int64]bool, 2*len(p.full)), missing: make(map[int64]bool)}
	for _, id := range p.full {
		l.want(id)
	}
	l.wantAgreed(createKey)
	if p.Version.StateRes != event.StateResV21 { // 2.1 looks at nothing else that the sets agree on
		l.wantAgreed(levelsKey)
		l.wantAgreed(joinRulesKey)
		for _, id := range p.full {
			if e := p.Events[id]; e != nil {
				l.wantMembers(e.PDU)
			}
		}
	}
	if p.Version.StateRes != event.StateResV1 {
		for _, id := range p.full {
			l.wantAuth(id)
		}
		l.wantLevels()
	}
	return sortedIDs(l.missing)
}

// wishes are the events that a problem needs.
type wishes struct {
	problem         *Problem
	wanted, missing map[int64]bool
	levels          []int64 // those wanted that are of power levels
}

// want asks for an event.
func (l *wishes) want(id int64) {
	if l.wanted[id] {
		return
	}
	l.wanted[id] = true
	e := l.problem.Events[id]
	switch {
	case e == nil:
		l.missing[id] = true
	case e.PDU.IsStateOf(event.TypePowerLevels, ""):
		l.levels = append(l.levels, id)
	}
}

// wantAuth asks for the auth events of an event.
func (l *wishes) wantAuth(id int64) {
	for _, a := range l.problem.Auth[id] {
		if a < id {
			l.want(a)
		}
	}
}

// wantAgreed asks for what the sets agree on at a place.
func (l *wishes) wantAgreed(k eventauth.StateKey) {
	if place, ok := l.problem.Place(k); ok {
		if id := l.problem.split.unconflicted[place]; id != 0 {
			l.want(id)
		}
	}
}

// wantMembers asks for what the sets agree on about the people whom an event is authorised by.
func (l *wishes) wantMembers(p *event.PDU) {
	l.wantAgreed(eventauth.StateKey{Type: event.TypeMember, Key: string(p.Sender)})
	if p.Type != event.TypeMember || p.StateKey == nil {
		return
	}
	if *p.StateKey != string(p.Sender) {
		l.wantAgreed(eventauth.StateKey{Type: event.TypeMember, Key: *p.StateKey})
	}
	if via := p.AuthorisedVia(); via != "" {
		l.wantAgreed(eventauth.StateKey{Type: event.TypeMember, Key: string(via)})
	}
	signed := event.Field(p.ContentValue("third_party_invite"), "signed")
	if token, ok := event.Text(event.Field(signed, "token")); ok {
		l.wantAgreed(eventauth.StateKey{Type: event.TypeThirdPartyInvite, Key: token})
	}
}

// wantLevels asks for the power levels before those that are wanted, back to where all of them come from one event. Whatever line is the
// mainline goes on from there for all alike.
func (l *wishes) wantLevels() {
	p := l.problem
	lines := l.levels
	slices.Sort(lines)
	for len(lines) > 1 {
		newest := lines[len(lines)-1]
		lines = lines[:len(lines)-1]
		l.levels = nil
		l.wantAuth(newest)
		before := p.levelsOf(newest)
		if before == nil {
			continue // the first of its line, or there is more to load
		}
		if i, known := slices.BinarySearch(lines, before.ID); !known {
			lines = slices.Insert(lines, i, before.ID)
		}
	}
}

// levelsOf returns the power levels among an event's auth events, or nil.
func (p *Problem) levelsOf(id int64) *Event {
	for _, a := range p.Auth[id] {
		if found := p.Events[a]; found != nil && a < id && found.PDU.IsStateOf(event.TypePowerLevels, "") {
			return found
		}
	}
	return nil
}
