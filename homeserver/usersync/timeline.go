package usersync

import (
	"slices"

	"causeway/homeserver/store"
)

const (
	// maxScanned bounds the events that are read to fill one page, when a filter or the rules of visibility hide most of
	// them, and maxHidden those that one timeline of /sync leaves out: it is one of many.
	maxScanned = 1000
	maxHidden  = 300
	// scanPage is how many events are read at a time after the first page.
	scanPage = 100
)

// timeline is a run of a room's events.
type timeline struct {
	shown   []*store.Event // oldest first, as the user sees them
	scanned []*store.Event // oldest first: all from the first shown to the end, those that are hidden among them
	limited bool           // there is more between the start of the range and this
	cutOff  bool           // some of it would have been shown, had it not misled the client: see cut
	start   int64          // position before the first event of scanned
}

// readTimeline returns the newest events at after < pos ≤ upto that the user may see and the filter lets pass, at most limit.
func readTimeline(v *viewer, filter *EventFilter, after, upto int64, limit int) (t timeline, err error) {
	size := limit + 1 // one more, to know whether there is more
	more := false
scan:
	for bound := upto; ; size = scanPage {
		page, err := timelineBefore(v.tx, v.roomNID, after+1, bound, size)
		if err != nil {
			return t, err
		}
		if err := v.relate(filter, page); err != nil {
			return t, err
		}
		for _, e := range page {
			seen, err := v.pick(filter, e)
			if err != nil {
				return t, err
			}
			if seen != nil && len(t.shown) == limit {
				more, t.start = true, e.Pos
				break scan
			}
			t.scanned = append(t.scanned, e)
			if seen != nil {
				t.shown = append(t.shown, seen)
			}
		}
		if len(page) < size {
			t.start = after
			break
		}
		bound = page[len(page)-1].Pos - 1
		if len(t.scanned)-len(t.shown) >= maxHidden {
			more, t.start = true, bound
			break
		}
	}
	t.limited = more
	slices.Reverse(t.shown)
	slices.Reverse(t.scanned)
	return t, nil
}

// pick returns what the user sees of an event if the filter lets it pass, and nil if it does not or there is nothing to see.
func (v *viewer) pick(filter *EventFilter, e *store.Event) (*store.Event, error) {
	if !filter.allows(e.PDU) || filter.aboutChildren() && !v.related[e.NID] {
		return nil, nil
	}
	seen, err := v.see(e)
	if err != nil || seen == nil || seen == e || filter.allows(seen.PDU) {
		return seen, err
	}
	return nil, nil
}

// straight tells whether the events from the first shown to the end follow each other on one branch that ends with the state set end,
// with each change of the state shown.
func (t *timeline) straight(end int64) bool {
	state, next := int64(0), 0
	for _, e := range t.scanned {
		shown := next < len(t.shown) && t.shown[next].NID == e.NID
		if next > 0 && e.StateBefore != state {
			return false
		}
		if shown {
			next++
		} else if next > 0 && e.StateBefore != e.StateAfter {
			return false
		}
		state = e.StateAfter
	}
	return next == 0 || state == end
}

// cut takes the events up to a position off the start.
func (t *timeline) cut(pos int64) {
	t.shown, t.scanned = after(t.shown, pos), after(t.scanned, pos)
	t.limited, t.cutOff, t.start = true, true, pos
}

// after returns those of events, oldest first, that come after a position.
func after(events []*store.Event, pos int64) []*store.Event {
	for len(events) > 0 && events[0].Pos <= pos {
		events = events[1:]
	}
	return events
}

// appendTimeline appends the timeline object of a room in /sync.
func (r *roomPass) appendTimeline(dst []byte, t *timeline) ([]byte, error) {
	dst = append(dst, `{"events":`...)
	// Of what has come since, the client hears all that relates to it.
	r.bundles = t.limited
	dst, err := r.appendEvents(dst, t.shown)
	if err != nil {
		return dst, err
	}
	if t.limited {
		dst = append(dst, `,"limited":true`...)
	} else {
		dst = append(dst, `,"limited":false`...)
	}
	if t.start > 0 {
		dst = append(dst, `,"prev_batch":"`...)
		dst = appendToken(dst, t.start)
		dst = append(dst, '"')
	}
	return append(dst, '}'), nil
}
