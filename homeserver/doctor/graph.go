package doctor

import (
	"cmp"
	"maps"
	"slices"

	"causeway/homeserver/store"
)

// meet counts an edge that was seen in the table (by 1) or in the JSON (by -1). What is seen in both is forgotten.
func (r *roomCheck) meet(e edge, by int) {
	if n := r.edges[e] + by; n == 0 {
		delete(r.edges, e)
	} else {
		r.edges[e] = n
	}
}

// checkPrevs examines what an event comes after.
func (r *roomCheck) checkPrevs(s *subject) {
	for _, prev := range s.prevs {
		i, ok := r.find(prev.nid)
		if !ok {
			r.fault(KindEdges, "events", s.row.NID, "it comes after %s, which is of another room", prev.id)
			s.noPrev = true
			continue
		}
		r.meet(edge{prev.nid, s.row.NID}, -1)
		if s.place.Pos != 0 {
			r.hasNext[i] = true
		} else if !s.is(store.Outlier) {
			r.behind[s.at] = append(r.behind[s.at], i)
		}
		before := &r.places[i]
		if before.Status&store.Outlier != 0 {
			s.lost = append(s.lost, prev.id)
		}
		s.latePrev = s.latePrev || prev.nid > s.row.NID || s.place.Pos != 0 && before.Pos > s.place.Pos
	}
	if s.is(store.Outlier) {
		return // told when the marks were read
	}
	marked := r.gaps[s.row.NID]
	for _, prev := range s.lost {
		if !slices.Contains(marked, prev) {
			r.fault(KindGaps, "gaps", s.row.NID, "%s, which it comes after, is not here or has no place, and is not marked", prev)
		}
	}
	for _, prev := range marked {
		if !slices.Contains(s.lost, prev) {
			r.fault(KindGaps, "gaps", s.row.NID, "%s is marked as one that is not here, although it is, or the event does not come after it", prev)
		}
	}
}

// checkEdges looks at the edges of which only one half was seen.
func (r *roomCheck) checkEdges() error {
	odd := slices.SortedFunc(maps.Keys(r.edges), func(a, b edge) int { return cmp.Or(cmp.Compare(a.event, b.event), cmp.Compare(a.prev, b.prev)) })
	for _, e := range odd {
		if err := r.tx.Context().Err(); err != nil {
			return err
		}
		i, ok := r.find(e.event)
		if !ok {
			// Where the event is nowhere, the edge is an orphan.
			if rows, err := r.tx.AuditEvents([]int64{e.event}); err != nil {
				return err
			} else if len(rows) > 0 {
				r.fault(KindEdges, "edges", e.prev, "it is said to come before %s, which is of another room", rows[0].EventID)
			}
			continue
		}
		at, _ := r.find(e.prev) // it is of the room: its edges were asked for, or it was found
		blind := (r.places[i].Status|r.places[at].Status)&store.Outlier != 0
		switch {
		case r.unread[e.event]: // nobody knows what it says
			r.hasNext[at] = r.hasNext[at] || r.places[i].Pos != 0
		case r.edges[e] > 0:
			r.fault(KindEdges, "edges", e.event, "it is said to come after %s, and does not say so", r.eventID(e.prev))
		case !blind: // where nothing is known of where an event stands, there need not be an edge
			r.fault(KindEdges, "edges", e.event, "it comes after %s, and the table does not know", r.eventID(e.prev))
		}
	}
	return nil
}

// spread finds the events that events of the timeline come after only by way of others, which are not in the timeline.
func (r *roomCheck) spread() (behind map[int]bool) {
	behind = make(map[int]bool)
	var look []int
	for i := range r.behind {
		if r.hasNext[i] {
			look = append(look, i)
		}
	}
	for len(look) > 0 {
		i := look[0]
		look = look[1:]
		for _, before := range r.behind[i] {
			if !behind[before] {
				behind[before] = true
				look = append(look, before)
			}
		}
	}
	return behind
}

// checkTips compares the room's extremities with the events of the timeline that no other of the timeline comes after. Where one does by
// way of events that are not in the timeline, it depends on the order in which they came whether the event is still a tip.
func (r *roomCheck) checkTips() (err error) {
	if r.tips, err = r.tx.AuditExtremities(r.row.NID); err != nil {
		return err
	}
	behind := r.spread()
	slices.Sort(r.tips)
	for _, nid := range r.tips {
		i, ok := r.find(nid)
		switch {
		case !ok:
			r.fault(KindExtremities, "extremities", 0, "event %d is a tip, and is not in the room", nid)
		case r.places[i].Pos == 0:
			r.fault(KindExtremities, "extremities", nid, "it is a tip, and is not in the timeline")
		case r.hasNext[i]:
			r.fault(KindExtremities, "extremities", nid, "it is a tip, although events come after it")
		}
	}
	// What came after an event may have been purged: then one that came after that, and so later, has a gap.
	var lastGap int64
	for i := range r.places {
		if len(r.gaps[r.places[i].NID]) > 0 {
			lastGap = max(lastGap, r.places[i].Pos)
		}
	}
	for i := range r.places {
		if r.places[i].Pos < lastGap || r.places[i].Pos == 0 || r.hasNext[i] || behind[i] {
			continue
		}
		if _, ok := slices.BinarySearch(r.tips, r.places[i].NID); !ok {
			r.fault(KindExtremities, "extremities", r.places[i].NID, "nothing comes after it, and it is not a tip")
		}
	}
	return nil
}
