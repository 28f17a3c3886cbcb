package usersync

import (
	"slices"
	"strconv"

	"causeway/homeserver/store"
)

// maxSticky bounds the sticky events of one room in one answer: of more, the oldest are left out.
const maxSticky = 500

// sticky returns the events of a room at after < pos ≤ upto that are sticky, but for those that the timeline shows, oldest first. Who is in
// the room sees them, whatever its history visibility; those of ignored users nobody does. MSC4354.
func (v *viewer) sticky(after, upto int64, shown []*store.Event) ([]*store.Event, error) {
	events, err := v.tx.StickyEvents(v.roomNID, after, upto, v.nowTS, maxSticky)
	if err != nil {
		return nil, err
	}
	kept := events[:0]
	for _, e := range events {
		if e.RedactedBy != 0 || slices.ContainsFunc(shown, func(s *store.Event) bool { return s.NID == e.NID }) {
			continue
		}
		if ignored, err := v.ignores(e.Sender); err != nil {
			return nil, err
		} else if !ignored {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// sticky finds the sticky events that are new to the device and not in its timeline.
func (r *roomPass) sticky(after int64) ([]*store.Event, error) {
	if !r.s.sticky {
		return nil, nil
	}
	return r.v.sticky(after, r.upto, r.t.shown)
}

// appendSticky appends a member of a joined room, if there are sticky events to tell of, with a comma after it.
func (r *roomPass) appendSticky(dst []byte, events []*store.Event) ([]byte, error) {
	if len(events) == 0 {
		return dst, nil
	}
	dst, err := r.appendEvents(append(dst, `"msc4354_sticky":{"events":`...), events)
	return append(dst, `},`...), err
}

// appendStickyTTL appends to the unsigned part of an event for how long it is sticky yet.
func (r *renderer) appendStickyTTL(u []byte, e *store.Event) []byte {
	until := e.StickyUntil(r.nowTS)
	if until <= r.nowTS {
		return u
	}
	return strconv.AppendInt(appendKey(u, "msc4354_sticky_duration_ttl_ms"), until-r.nowTS, 10)
}
