package stateres

import (
	"cmp"
	"math"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// version2 is the algorithm of room version 2, "State resolution", and that of room version 12, which starts from nothing instead of from
// what the sets agree on.
func (r *resolution) version2() Set {
	p := r.problem
	t := &trial{r: r, resolved: make(map[Place]*Event)}
	if p.Version.StateRes == event.StateResV2 {
		t.agreed = p.split.unconflicted
	}
	if p.Version.RoomIDIsCreateHash {
		r.created = r.create()
		t.create = r.created
	}
	power, rest := r.separate()
	r.iterate(t, power)
	r.sortByMainline(rest, t)
	r.iterate(t, rest)
	return r.finish(t.resolved)
}

// separate returns the power events of the full conflicted set, with those of it that are in their auth chains, in reverse topological
// power ordering; and the rest.
//
// Here and in the ordering, auth chains are followed within the full conflicted set alone, as all servers do. Room version 2 can be read
// to mean that an event outside of it still connects two inside. Who reads it so comes to other states than the rest of the room. From
// version 12 on there is no such event.
func (r *resolution) separate() (power, rest []*Event) {
	p := r.problem
	g := p.graph
	full, chosen := make([]bool, len(g.ids)), make([]bool, len(g.ids))
	for _, id := range p.full {
		full[g.index[id]] = true
	}
	for i := len(g.ids) - 1; i >= 0; i-- {
		if !full[i] {
			continue
		}
		if chosen[i] = chosen[i] || isPowerEvent(p.Events[g.ids[i]].PDU); !chosen[i] {
			continue
		}
		for _, a := range g.auth[i] {
			chosen[a] = full[a]
		}
	}
	for i, id := range g.ids {
		if full[i] && !chosen[i] {
			rest = append(rest, p.Events[id])
		}
	}
	return r.sortByPower(chosen), rest
}

// isPowerEvent is room version 2, "Power events".
func isPowerEvent(pdu *event.PDU) bool {
	switch pdu.Type {
	case event.TypePowerLevels, event.TypeJoinRules:
		return true
	case event.TypeMember:
		m := pdu.Membership()
		return (m == event.MembershipLeave || m == event.MembershipBan) && pdu.StateKey != nil && string(pdu.Sender) != *pdu.StateKey
	}
	return false
}

// ranked is an event with what it is ordered by.
type ranked struct {
	e     *Event
	node  int32
	power int64
}

func comparePower(a, b ranked) int {
	return cmp.Or(
		cmp.Compare(b.power, a.power),
		cmp.Compare(a.e.PDU.OriginServerTS, b.e.PDU.OriginServerTS),
		cmp.Compare(a.e.PDU.EventID, b.e.PDU.EventID),
	)
}

// sortByPower orders the chosen events so that each comes after those of its auth events that are chosen, and else by the power of the
// sender, the time and the id. Room version 2, "Reverse topological power ordering".
func (r *resolution) sortByPower(chosen []bool) []*Event {
	g := r.problem.graph
	waits, users := make(map[int32]int), make(map[int32][]int32)
	var queue powerQueue
	push := func(i int32) {
		e := r.problem.Events[g.ids[i]]
		queue.push(ranked{e: e, node: i, power: r.senderPower(e)})
	}
	for i := range g.ids {
		if !chosen[i] {
			continue
		}
		for _, a := range g.auth[i] {
			if chosen[a] {
				waits[int32(i)]++
				users[a] = append(users[a], int32(i))
			}
		}
		if waits[int32(i)] == 0 {
			push(int32(i))
		}
	}
	var order []*Event
	for len(queue) > 0 {
		next := queue.pop()
		order = append(order, next.e)
		for _, user := range users[next.node] {
			if waits[user]--; waits[user] == 0 {
				push(user)
			}
		}
	}
	return order
}

// powerQueue is a binary heap by comparePower.
type powerQueue []ranked

func (q *powerQueue) push(x ranked) {
	*q = append(*q, x)
	h := *q
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if comparePower(h[i], h[up]) >= 0 {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *powerQueue) pop() ranked {
	h := *q
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	*q = h
	for i := 0; ; {
		least := i
		for _, c := range [...]int{2*i + 1, 2*i + 2} {
			if c < len(h) && comparePower(h[c], h[least]) < 0 {
				least = c
			}
		}
		if least == i {
			return top
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// senderPower returns the power level of an event's sender by the event's own auth events.
func (r *resolution) senderPower(e *Event) int64 {
	t := &trial{r: r, auth: r.problem.Auth[e.ID], create: r.created}
	return eventauth.UserLevel(t, e.PDU.Sender)
}

// sortByMainline orders events by how far back in the line of the resolved power levels they were authorised, the earliest first, then
// by time and id. Room version 2, "Mainline ordering".
func (r *resolution) sortByMainline(events []*Event, t *trial) {
	position := make(map[int64]int) // of events of power levels; those that lead to no part of the mainline come before all
	var levels *Event
	if place, ok := r.place(levelsKey); ok {
		if levels = t.resolved[place]; levels == nil {
			levels = r.problem.Events[t.agreed[place]]
		}
	}
	for n := 0; levels != nil; n++ {
		position[levels.ID] = n
		levels = r.problem.levelsOf(levels.ID)
	}
	type placed struct {
		e        *Event
		position int
	}
	list := make([]placed, len(events))
	for i, e := range events {
		list[i] = placed{e, r.mainline(e, position)}
	}
	slices.SortFunc(list, func(a, b placed) int {
		return cmp.Or(
			cmp.Compare(b.position, a.position),
			cmp.Compare(a.e.PDU.OriginServerTS, b.e.PDU.OriginServerTS),
			cmp.Compare(a.e.PDU.EventID, b.e.PDU.EventID),
		)
	})
	for i, x := range list {
		events[i] = x.e
	}
}

// mainline returns the position of the mainline event that is closest to an event, and remembers it for those on the way.
func (r *resolution) mainline(e *Event, position map[int64]int) int {
	var way []int64
	found := math.MaxInt
	for at := r.problem.levelsOf(e.ID); at != nil; at = r.problem.levelsOf(at.ID) {
		if n, ok := position[at.ID]; ok {
			found = n
			break
		}
		way = append(way, at.ID)
	}
	for _, id := range way {
		position[id] = found
	}
	return found
}
