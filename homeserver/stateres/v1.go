package stateres

import (
	"bytes"
	"cmp"
	"crypto/sha1" // as the algorithm says
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// version1 is the algorithm of room version 1, "State resolution".
func (r *resolution) version1() Set {
	s := r.problem.split
	t := &trial{r: r, resolved: make(map[Place]*Event), agreed: s.unconflicted}
	byType := make(map[string][][]*Event)
	for k, ids := range s.conflicted {
		if len(ids) == 1 { // that others have nothing there is no conflict
			t.resolved[k] = r.problem.Events[ids[0]]
			continue
		}
		events := r.byDepth(ids)
		evType := events[0].PDU.Type
		if evType != event.TypePowerLevels && evType != event.TypeJoinRules && evType != event.TypeMember {
			evType = ""
		}
		byType[evType] = append(byType[evType], events)
	}
	// The places of one type do not see each other's outcome, so that their order is of no account.
	for _, evType := range []string{event.TypePowerLevels, event.TypeJoinRules, event.TypeMember} {
		var found []*Event
		for _, events := range byType[evType] {
			found = append(found, climb(t, events))
		}
		t.put(found)
	}
	var found []*Event
	for _, events := range byType[""] {
		found = append(found, highest(t, events))
	}
	t.put(found)
	return r.finish(t.resolved)
}

func (t *trial) put(events []*Event) {
	for _, e := range events {
		t.resolved[e.Place] = e
	}
}

// byDepth sorts events by ascending depth, then by descending SHA-1 of their ids.
func (r *resolution) byDepth(ids []int64) []*Event {
	type sortable struct {
		e    *Event
		hash [sha1.Size]byte
	}
	list := make([]sortable, len(ids))
	for i, id := range ids {
		e := r.problem.Events[id]
		list[i] = sortable{e, sha1.Sum([]byte(e.PDU.EventID))}
	}
	slices.SortFunc(list, func(a, b sortable) int {
		return cmp.Or(cmp.Compare(a.e.PDU.Depth, b.e.PDU.Depth), bytes.Compare(b.hash[:], a.hash[:]))
	})
	events := make([]*Event, len(list))
	for i, s := range list {
		events[i] = s.e
	}
	return events
}

// climb returns the last of the events each of which is allowed when the one before it holds the place.
func climb(t *trial, events []*Event) *Event {
	best := events[0]
	place := best.Place
	t.resolved[place] = best
	for _, e := range events[1:] {
		if e.Rejected || eventauth.Check(e.PDU, t) != nil {
			break
		}
		best = e
		t.resolved[place] = best
	}
	delete(t.resolved, place)
	return best
}

// highest returns the last of the events that is allowed, or the first when none is.
func highest(t *trial, events []*Event) *Event {
	for _, e := range slices.Backward(events) {
		if !e.Rejected && eventauth.Check(e.PDU, t) == nil {
			return e
		}
	}
	return events[0]
}
