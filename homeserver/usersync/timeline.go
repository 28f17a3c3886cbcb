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
	shown   []*store.Event // oldest first
	scanned []*store.Event // oldest first: all from the first shown to the end, those that are hidden among them
	limited bool           // there is more between the start of the range and this
	start   int64          // position before the first event of scanned
}

// readTimeline returns the newest events at after < pos ≤ upto that the user may see and the filter lets pass, at most limit.
func readTimeline(v *viewer, filter *EventFilter, after, upto int64, limit int) (t timeline, err error) {
	size := limit + 1 // one more, to know whether there is more
	more := false
scan:
	for bound := upto; ; size = scanPage {
		page, err := v.tx.TimelineBefore(v.roomNID, after+1, bound, size)
		if err != nil {
			return t, err
		}
		for _, e := range page {
			seen := filter.allows(e.PDU)
			if seen {
				if seen, err = v.visible(e); err != nil {
					return t, err
				}
			}
			if seen && len(t.shown) == limit {
				more, t.start = true, e.Pos
				break scan
			}
			t.scanned = append(t.scanned, e)
			if seen {
				t.shown = append(t.shown, e)
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

// appendTimeline appends the timeline object of a room in /sync.
func (r *roomPass) appendTimeline(dst []byte, t *timeline) ([]byte, error) {
	dst = append(dst, `{"events":`...)
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
