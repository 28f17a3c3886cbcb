package stateres_test

import (
	"cmp"
	"crypto/sha1"
	"math"
	"slices"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/roomgen"
)

// reference resolves state by the words of the specification: with strings, maps and no thought of speed. It is what the package is
// measured by, and shares nothing with it but the authorisation rules.
type reference struct {
	room   *roomgen.Room
	chains map[id.EventID]refSet // auth chains, once walked
}

// refState is a map of state. Its keys are "2-tuples of strings", its values events.
type refState map[eventauth.StateKey]*event.PDU

// Get makes it what the authorisation rules read.
func (s refState) Get(k eventauth.StateKey) *event.PDU { return s[k] }

// refSet is a set of events.
type refSet map[id.EventID]*event.PDU

func (s refSet) has(p *event.PDU) bool { return s[p.EventID] != nil }
func (s refSet) add(p *event.PDU)      { s[p.EventID] = p }

func placeOf(p *event.PDU) eventauth.StateKey {
	return eventauth.StateKey{Type: p.Type, Key: *p.StateKey}
}

// referenceResolver is a roomgen.Resolver.
func referenceResolver(room *roomgen.Room, sets []roomgen.State) (roomgen.State, error) {
	r := reference{room, map[id.EventID]refSet{}}
	var states []refState
	for _, set := range sets {
		s := refState{}
		for k, eventID := range set {
			s[k] = room.PDU(eventID)
		}
		states = append(states, s)
	}
	var resolved refState
	switch room.Version.StateRes {
	case event.StateResV1:
		resolved = r.version1(states)
	case event.StateResV2:
		resolved = r.version2(states)
	case event.StateResV21:
		resolved = r.version21(states)
	}
	out := roomgen.State{}
	for k, p := range resolved {
		out[k] = p.EventID
	}
	return out, nil
}

// version1 is the algorithm of rooms/v1, "State resolution".
func (r reference) version1(states []refState) refState {
	// "A conflict occurs between states where those states have different event_ids for the same (event_type, state_key)."
	events := map[eventauth.StateKey]refSet{}
	for _, s := range states {
		for k, p := range s {
			if events[k] == nil {
				events[k] = refSet{}
			}
			events[k].add(p)
		}
	}
	// "Start by setting R to the union of the states to be resolved, excluding any conflicting events."
	result := refState{}
	conflicts := map[eventauth.StateKey][]*event.PDU{}
	for k, set := range events {
		var list []*event.PDU
		for _, p := range set {
			list = append(list, p)
		}
		if len(list) == 1 {
			result[k] = list[0]
			continue
		}
		// "Sort the list by ascending depth then descending sha1(event_id)."
		slices.SortFunc(list, func(x, y *event.PDU) int {
			hx, hy := sha1.Sum([]byte(x.EventID)), sha1.Sum([]byte(y.EventID))
			return cmp.Or(cmp.Compare(x.Depth, y.Depth), slices.Compare(hy[:], hx[:]))
		})
		conflicts[k] = list
	}
	for _, evType := range []string{event.TypePowerLevels, event.TypeJoinRules, event.TypeMember} {
		// Nothing says in which order the conflicts of one type are to be resolved. They are resolved independently.
		found := refState{}
		for k, list := range conflicts {
			if k.Type == evType {
				found[k] = climb(result, list)
				delete(conflicts, k)
			}
		}
		for k, p := range found {
			result[k] = p
		}
	}
	found := refState{}
	for k, list := range conflicts {
		if p := highest(result, list); p != nil {
			found[k] = p
		}
	}
	for k, p := range found {
		result[k] = p
	}
	return result
}

// climb returns the last of the events each of which is allowed when the one before it is the state.
func climb(result refState, list []*event.PDU) *event.PDU {
	trial := refState{}
	for k, p := range result {
		trial[k] = p
	}
	// "Add the first event in the list to R."
	best := list[0]
	trial[placeOf(best)] = best
	for _, p := range list[1:] {
		// "If it would not be allowed, stop".
		if eventauth.Check(p, trial) != nil {
			break
		}
		best = p
		trial[placeOf(best)] = best
	}
	return best
}

// highest is "the event with the highest depth and lowest sha1(event_id) that passes authentication in R". Where none passes, servers
// have always taken the last one they looked at, the lowest.
func highest(result refState, list []*event.PDU) *event.PDU {
	for _, p := range slices.Backward(list) {
		if eventauth.Check(p, result) == nil {
			return p
		}
	}
	return list[0]
}

// version2 is the algorithm of rooms/v2, "State resolution".
func (r reference) version2(states []refState) refState {
	unconflicted, conflicted := r.separate(states)
	full := refSet{}
	for _, p := range conflicted {
		full.add(p)
	}
	for _, p := range r.authDifference(states) {
		full.add(p)
	}
	return r.resolve(unconflicted, full, unconflicted)
}

// version21 is the algorithm of rooms/v12, "State resolution".
func (r reference) version21(states []refState) refState {
	unconflicted, conflicted := r.separate(states)
	full := refSet{}
	for _, set := range []refSet{conflicted, r.subgraph(conflicted), r.authDifference(states)} {
		for _, p := range set {
			full.add(p)
		}
	}
	return r.resolve(unconflicted, full, refState{})
}

// separate is "Unconflicted state map and conflicted state set".
func (r reference) separate(states []refState) (refState, refSet) {
	unconflicted, conflicted := refState{}, refSet{}
	for _, s := range states {
		for k, p := range s {
			everywhere := true
			for _, other := range states {
				everywhere = everywhere && other[k] != nil && other[k].EventID == p.EventID
			}
			if everywhere {
				unconflicted[k] = p
			} else {
				conflicted.add(p)
			}
		}
	}
	return unconflicted, conflicted
}

// auths returns the auth events of p.
func (r reference) auths(p *event.PDU) []*event.PDU {
	var list []*event.PDU
	for _, auth := range p.AuthEvents {
		list = append(list, r.room.PDU(auth))
	}
	return list
}

// chain is "Auth chain".
func (r reference) chain(p *event.PDU) refSet {
	if chain, ok := r.chains[p.EventID]; ok {
		return chain
	}
	chain := refSet{}
	r.chains[p.EventID] = chain
	queue := r.auths(p)
	for len(queue) > 0 {
		auth := queue[0]
		queue = queue[1:]
		if !chain.has(auth) {
			chain.add(auth)
			queue = append(queue, r.auths(auth)...)
		}
	}
	return chain
}

// authDifference is "Auth difference". The events of a state count as part of its chain, as they do in Synapse.
func (r reference) authDifference(states []refState) refSet {
	var chains []refSet
	union := refSet{}
	for _, s := range states {
		chain := refSet{}
		for _, p := range s {
			chain.add(p)
			for _, auth := range r.chain(p) {
				chain.add(auth)
				union.add(auth)
			}
		}
		chains = append(chains, chain)
	}
	difference := refSet{}
	for _, p := range union {
		if slices.ContainsFunc(chains, func(chain refSet) bool { return !chain.has(p) }) {
			difference.add(p)
		}
	}
	return difference
}

// subgraph is "Conflicted state subgraph".
func (r reference) subgraph(conflicted refSet) refSet {
	subgraph := refSet{}
	for _, start := range conflicted {
		subgraph.add(start)
		for _, between := range r.chain(start) {
			for _, end := range conflicted {
				if r.chain(between).has(end) {
					subgraph.add(between)
				}
			}
		}
	}
	return subgraph
}

// resolve is "Algorithm", where versions differ in the full conflicted set and in what they start from.
func (r reference) resolve(unconflicted refState, full refSet, start refState) refState {
	// 1. Auth chains are followed within the full conflicted set, as all servers do.
	power := refSet{}
	var look []*event.PDU
	for _, p := range full {
		if isPowerEvent(p) {
			look = append(look, p)
		}
	}
	for len(look) > 0 {
		p := look[0]
		look = look[1:]
		power.add(p)
		for _, auth := range r.auths(p) {
			if full.has(auth) && !power.has(auth) {
				look = append(look, auth)
			}
		}
	}
	// 2.
	partial := r.iterate(start, r.powerOrder(power))
	// 3.
	var rest []*event.PDU
	for _, p := range full {
		if !power.has(p) {
			rest = append(rest, p)
		}
	}
	r.mainlineOrder(rest, partial[eventauth.StateKey{Type: event.TypePowerLevels}])
	// 4.
	result := r.iterate(partial, rest)
	// 5.
	for k, p := range unconflicted {
		result[k] = p
	}
	return result
}

// isPowerEvent is "Power events".
func isPowerEvent(p *event.PDU) bool {
	switch p.Type {
	case event.TypePowerLevels, event.TypeJoinRules:
		return true
	case event.TypeMember:
		m := p.Membership()
		return (m == event.MembershipLeave || m == event.MembershipBan) && string(p.Sender) != *p.StateKey
	}
	return false
}

// powerOrder is "Reverse topological power ordering". An event comes after all of its auth chain that is in the set, even where the way
// there leads through events that are not.
func (r reference) powerOrder(set refSet) []*event.PDU {
	var order []*event.PDU
	left := refSet{}
	for _, p := range set {
		left.add(p)
	}
	for len(left) > 0 {
		var least *event.PDU
		for _, p := range left {
			free := true
			for _, auth := range r.auths(p) {
				free = free && !left.has(auth)
			}
			if free && (least == nil || r.comparePower(p, least) < 0) {
				least = p
			}
		}
		order = append(order, least)
		delete(left, least.EventID)
	}
	return order
}

func (r reference) comparePower(x, y *event.PDU) int {
	return cmp.Or(
		cmp.Compare(r.senderPower(y), r.senderPower(x)),
		cmp.Compare(x.OriginServerTS, y.OriginServerTS),
		cmp.Compare(x.EventID, y.EventID),
	)
}

// senderPower is the power level of the sender of p "when looking at their respective auth_events".
func (r reference) senderPower(p *event.PDU) int64 {
	create := r.room.Events[0].PDU
	content, _ := create.Create()
	if r.room.Version.PrivilegedCreators && content.IsCreator(p.Sender) {
		return math.MaxInt64
	}
	levels := r.levelsOf(p)
	if levels == nil {
		if !r.room.Version.PrivilegedCreators && slices.Contains(r.auths(p), create) && content.Creator == p.Sender {
			return 100
		}
		return 0
	}
	l, err := levels.PowerLevels()
	if err != nil {
		return 0
	}
	if level, ok := l.Users[p.Sender]; ok {
		return level
	}
	return l.UsersDefault
}

// levelsOf is "the m.room.power_levels event in the auth_events of p", or nil.
func (r reference) levelsOf(p *event.PDU) *event.PDU {
	for _, auth := range r.auths(p) {
		if auth.IsStateOf(event.TypePowerLevels, "") {
			return auth
		}
	}
	return nil
}

// mainlineOrder is "Mainline ordering".
func (r reference) mainlineOrder(list []*event.PDU, levels *event.PDU) {
	mainline := map[id.EventID]int{}
	for ; levels != nil; levels = r.levelsOf(levels) {
		mainline[levels.EventID] = len(mainline)
	}
	position := func(p *event.PDU) int {
		for e := r.levelsOf(p); e != nil; e = r.levelsOf(e) {
			if i, ok := mainline[e.EventID]; ok {
				return i
			}
		}
		return math.MaxInt
	}
	slices.SortFunc(list, func(x, y *event.PDU) int {
		return cmp.Or(
			cmp.Compare(position(y), position(x)),
			cmp.Compare(x.OriginServerTS, y.OriginServerTS),
			cmp.Compare(x.EventID, y.EventID),
		)
	})
}

// iterate is "Iterative auth checks".
func (r reference) iterate(start refState, list []*event.PDU) refState {
	state := refState{}
	for k, p := range start {
		state[k] = p
	}
	for _, p := range list {
		trial := refState{}
		for _, auth := range r.auths(p) {
			if !r.room.Lookup(auth.EventID).Rejected {
				trial[placeOf(auth)] = auth
			}
		}
		if r.room.Version.RoomIDIsCreateHash {
			// No event names the create event: the room ID does.
			trial[eventauth.StateKey{Type: event.TypeCreate}] = r.room.Events[0].PDU
		}
		for k, p := range state {
			trial[k] = p
		}
		if eventauth.Check(p, trial) == nil {
			state[placeOf(p)] = p
		}
	}
	return state
}
