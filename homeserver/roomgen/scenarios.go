package roomgen

import (
	"fmt"
	"maps"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// Scenario is a kind of room that is recorded.
type Scenario struct {
	Name     string
	Versions []string // those in which it is of interest
	Options  Options  // without Version and Seed
	// Shows reports whether the room is an example of what the scenario is about; nil when any is.
	Shows func(*Room) bool
}

var recordedVersions = []string{"1", "2", "6", "10", "11", "12"}

// Scenarios returns the kinds of rooms that are recorded.
func Scenarios() []Scenario {
	base := Options{Servers: 3, UsersPerServer: 2, Events: 30, Forks: 3, Extremities: 2}
	with := func(change func(*Options)) Options {
		o := base
		change(&o)
		return o
	}
	return []Scenario{
		{"fork", recordedVersions, with(func(o *Options) { o.DuplicateStates, o.Redactions, o.Extremities = true, true, 4 }), nil},
		{"ban-evasion", recordedVersions, with(func(o *Options) { o.Bans, o.DeadBranches = true, true }), evadesBan},
		{"power-struggle", recordedVersions, with(func(o *Options) {
			o.PowerStruggles, o.StringLevels, o.AdditionalCreators = true, true, 1
		}), disputesLevels},
		{"bad-clocks", recordedVersions, with(func(o *Options) { o.BadClocks, o.BadDepths, o.PowerStruggles = true, true, true }), timeGoesBack},
		{"joins-of-restricted", []string{"8", "10", "11", "12"}, with(func(o *Options) {
			o.Restricted, o.Bans, o.UsersPerServer = true, true, 3
		}), some(func(e *Event) bool { return e.PDU.AuthorisedVia() != "" })},
		{"knocks", []string{"7", "10", "11", "12"}, with(func(o *Options) {
			o.Knocks, o.ThirdPartyInvites, o.UsersPerServer = true, true, 3
		}), some(func(e *Event) bool { return e.PDU.Membership() == event.MembershipKnock })},
	}
}

// some reports whether the room has such an event.
func some(found func(*Event) bool) func(*Room) bool {
	return func(r *Room) bool {
		for i := range r.Events {
			if found(&r.Events[i]) {
				return true
			}
		}
		return false
	}
}

// evadesBan reports whether a user who is banned sends state on a branch that does not have the ban.
func evadesBan(r *Room) bool {
	banned := map[string]bool{}
	return some(func(e *Event) bool {
		if e.PDU.Membership() == event.MembershipBan {
			banned[*e.PDU.StateKey] = true
		}
		return banned[string(e.PDU.Sender)] && e.PDU.StateKey != nil
	})(r)
}

// disputesLevels reports whether a merge has to choose between power levels.
func disputesLevels(r *Room) bool {
	key := eventauth.StateKey{Type: event.TypePowerLevels}
	return some(func(e *Event) bool {
		for _, prev := range e.PDU.PrevEvents[min(1, len(e.PDU.PrevEvents)):] {
			if r.Lookup(prev).StateAfter[key] != r.Lookup(e.PDU.PrevEvents[0]).StateAfter[key] {
				return true
			}
		}
		return false
	})(r)
}

// timeGoesBack reports whether a state event is older, by its clock, than one that it replaces.
func timeGoesBack(r *Room) bool {
	return some(func(e *Event) bool {
		if e.PDU.StateKey == nil {
			return false
		}
		was := r.PDU(e.StateBefore[eventauth.StateKey{Type: e.PDU.Type, Key: *e.PDU.StateKey}])
		return was != nil && e.PDU.OriginServerTS < was.OriginServerTS
	})(r)
}

// Make returns the room of the scenario, with its options: that of the first seed in which more than one resolution has a result that is
// none of the states that went into it, and which shows what the scenario is about. Errors: ErrOptions when there is none, those of
// Generate.
func (s *Scenario) Make(version string) (*Room, Options, error) {
	const seeds = 1000
	o := s.Options
	o.Version = version
	for o.Seed = 1; o.Seed <= seeds; o.Seed++ {
		room, err := Generate(o)
		if err != nil {
			return nil, o, err
		}
		if news(room) > 1 && (s.Shows == nil || s.Shows(room)) {
			return room, o, nil
		}
	}
	return nil, o, fmt.Errorf("%w: %s in version %s has nothing to resolve", ErrOptions, s.Name, version)
}

// news counts the events before which the state is none of those after its prev events.
func news(room *Room) int {
	n := 0
	for i := range room.Events {
		e := &room.Events[i]
		fresh := len(e.PDU.PrevEvents) > 1
		for _, prev := range e.PDU.PrevEvents {
			fresh = fresh && !maps.Equal(room.Lookup(prev).StateAfter, e.StateBefore)
		}
		if fresh {
			n++
		}
	}
	return n
}
