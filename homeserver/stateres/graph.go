package stateres

import (
	"maps"
	"slices"

	"causeway/homeserver/event"
)

// graph is the part of a room's auth graph below some events, with dense indices in the order of the integers: auth events come first.
type graph struct {
	ids   []int64
	index map[int64]int32
	auth  [][]int32
}

// below collects the events of the auth chains of roots, with the roots themselves, that are greater than floor. What is not loaded is
// returned as missing.
func (p *Problem) below(roots []int64, floor int64) (g *graph, missing []int64) {
	seen := make(map[int64]bool, 2*len(roots))
	look := make([]int64, 0, len(roots))
	add := func(id int64) {
		if id > floor && !seen[id] {
			seen[id] = true
			look = append(look, id)
		}
	}
	for _, id := range roots {
		add(id)
	}
	for i := 0; i < len(look); i++ {
		auth, ok := p.Auth[look[i]]
		if !ok {
			missing = append(missing, look[i])
			continue
		}
		for _, a := range auth {
			if a < look[i] {
				add(a)
			}
		}
	}
	if len(missing) > 0 {
		return nil, missing
	}
	return p.dense(look), nil
}

func (p *Problem) dense(ids []int64) *graph {
	slices.Sort(ids)
	g := &graph{ids: ids, index: make(map[int64]int32, len(ids)), auth: make([][]int32, len(ids))}
	edges := 0
	for i, id := range ids {
		g.index[id] = int32(i)
		edges += len(p.Auth[id])
	}
	all := make([]int32, 0, edges)
	for i, id := range ids {
		start := len(all)
		for _, a := range p.Auth[id] {
			if j, ok := g.index[a]; ok && int(j) < i {
				all = append(all, j)
			}
		}
		g.auth[i] = all[start:len(all):len(all)]
	}
	return g
}

// MissingAuth returns the events whose auth events must be put into Auth before the problem can be solved. It is called again, with
// those there, until it returns none.
func (p *Problem) MissingAuth() []int64 {
	s := p.splitOnce()
	if len(s.conflicted) == 0 || p.full != nil {
		return nil
	}
	if p.Version.StateRes == event.StateResV1 { // looks at the conflicted events alone
		p.full = slices.Concat(s.each...)
		slices.Sort(p.full)
		p.full = slices.Compact(p.full)
		return nil
	}
	if p.graph == nil {
		g, missing := p.below(slices.Concat(s.each...), 0)
		if len(missing) > 0 {
			return missing
		}
		p.graph = g
	}
	if missing := p.missingLevels(s); len(missing) > 0 {
		return missing
	}
	full, missing := p.fullConflictedSet(s)
	if len(missing) > 0 {
		return missing
	}
	p.full = full
	return nil
}

// missingLevels asks for the auth chain of the power levels that the states agree on: the mainline may go along it. Version 2.1 takes
// none from there.
func (p *Problem) missingLevels(s *split) []int64 {
	place, ok := p.Place(levelsKey)
	if p.Version.StateRes == event.StateResV21 || !ok || s.unconflicted[place] == 0 {
		return nil
	}
	_, missing := p.below([]int64{s.unconflicted[place]}, 0)
	return missing
}

// fullConflictedSet returns the conflicted events, the auth difference and, from version 2.1 on, the conflicted state subgraph, in the
// order of their integers. Room version 2, "Full conflicted set"; room version 12, "State resolution".
func (p *Problem) fullConflictedSet(s *split) (full, missing []int64) {
	g := p.graph
	in := make([]bool, len(g.ids))
	for _, ids := range s.each {
		for _, id := range ids {
			in[g.index[id]] = true
		}
	}
	difference, missing := p.authDifference(s, in)
	if len(missing) > 0 {
		return nil, missing
	}
	var subgraph []int32
	if p.Version.StateRes == event.StateResV21 {
		subgraph = g.between(in)
	}
	for _, i := range slices.Concat(difference, subgraph) {
		in[i] = true
	}
	for i, id := range g.ids {
		if in[i] {
			full = append(full, id)
		}
	}
	return full, nil
}

// authDifference returns the events that are in the full auth chains of some sets, but not of all, without those that are conflicted
// anyway. Room version 2, "Auth difference".
//
// The events of a set count as part of its chain. So Synapse has it, which most servers are, and who reads the words otherwise
// comes to other states. So what the sets agree on is in every chain, and all before it. The chains of the conflicted events are
// compared first; of the rest only that is looked at which is newer than the oldest event at which they differ, and that is seldom
// anything.
func (p *Problem) authDifference(s *split, conflicted []bool) (difference []int32, missing []int64) {
	g := p.graph
	words := (len(s.each) + 63) / 64
	chain := make([]uint64, words*len(g.ids))
	for set, ids := range s.each {
		for _, id := range ids {
			chain[words*int(g.index[id])+set/64] |= 1 << (set % 64)
		}
	}
	for _, id := range s.unconflicted {
		if i, ok := g.index[id]; ok {
			for w := range words {
				chain[words*int(i)+w] = ^uint64(0)
			}
		}
	}
	for i := len(g.ids) - 1; i >= 0; i-- {
		for _, a := range g.auth[i] {
			for w := range words {
				chain[words*int(a)+w] |= chain[words*i+w]
			}
		}
	}
	for i := range g.ids {
		if !conflicted[i] && partial(chain[words*i:words*(i+1)], len(s.each)) {
			difference = append(difference, int32(i))
		}
	}
	if len(difference) == 0 {
		return nil, nil
	}
	return p.withoutShared(s, difference)
}

// partial tells whether some, but not all of n bits are set.
func partial(bits []uint64, n int) bool {
	some, all := false, true
	for w, b := range bits {
		want := ^uint64(0)
		if rest := n - 64*w; rest < 64 {
			want = 1<<rest - 1
		}
		some, all = some || b != 0, all && b&want == want
	}
	return some && !all
}

// withoutShared leaves out of the difference what is in the auth chains of what the sets agree on. Of those chains only the part is
// walked that is newer than the difference.
func (p *Problem) withoutShared(s *split, difference []int32) (left []int32, missing []int64) {
	ids := p.graph.ids
	floor := ids[difference[0]]
	open := make(map[int64]bool, len(difference))
	for _, i := range difference {
		open[ids[i]] = true
	}
	seen := make(map[int64]bool) // those that something names
	var look []int64
	walk := func(id int64) {
		auth, ok := p.Auth[id]
		if !ok {
			missing = append(missing, id)
		}
		for _, a := range auth {
			if a >= floor && a < id && !seen[a] {
				seen[a] = true
				delete(open, a)
				look = append(look, a)
			}
		}
	}
	for _, id := range s.unconflicted {
		if id > floor {
			walk(id)
		}
	}
	for len(look) > 0 && len(open) > 0 {
		id := look[len(look)-1]
		look = look[:len(look)-1]
		walk(id)
	}
	if len(open) == 0 {
		return nil, nil
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, slices.Compact(missing)
	}
	for _, i := range difference {
		if open[ids[i]] {
			left = append(left, i)
		}
	}
	return left, nil
}

// between returns the events that lie on a path of auth events from one of some events to another. MSC4297, "conflicted state subgraph".
func (g *graph) between(ends []bool) []int32 {
	n := len(g.ids)
	above, below := make([]bool, n), make([]bool, n)
	for i := n - 1; i >= 0; i-- {
		if ends[i] || above[i] {
			for _, a := range g.auth[i] {
				above[a] = true
			}
		}
	}
	var all []int32
	for i := range n {
		for _, a := range g.auth[i] {
			below[i] = below[i] || ends[a] || below[a]
		}
		if above[i] && below[i] {
			all = append(all, int32(i))
		}
	}
	return all
}

// sortedIDs returns the events of a set of integers in their order.
func sortedIDs(set map[int64]bool) []int64 { return slices.Sorted(maps.Keys(set)) }
