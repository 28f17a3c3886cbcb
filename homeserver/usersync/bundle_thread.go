package usersync

import (
	"errors"
	"math"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	forever = math.MaxInt64
	// maxThreadLook bounds the events of one thread that are looked at one by one, for users who do not see all of them.
	maxThreadLook = 500
	// maxPageLook bounds them for all threads of a page.
	maxPageLook = 2000
	// maxVisibilities bounds how many changes of a room's history visibility are followed back.
	maxVisibilities = 16
)

// readThreads finds what is told of threads with their roots. Client-Server API, "Server-side aggregation of m.thread relationships".
func (b *bundler) readThreads(aggregates []store.Aggregate) error {
	if len(aggregates) == 0 {
		return nil
	}
	roots, latest := make([]int64, 0, len(aggregates)), make([]int64, 0, len(aggregates))
	for _, a := range aggregates {
		roots, latest = append(roots, a.Parent), append(latest, a.Latest)
	}
	in, err := b.v.tx.InThreads(roots, b.v.user)
	if err != nil {
		return err
	}
	hidden, err := b.hiddenIn(roots)
	if err != nil {
		return err
	}
	everything, err := b.v.seesEverything()
	if err != nil {
		return err
	}
	events, err := b.v.tx.EventsByNID(latest)
	if err != nil {
		return err
	}
	newest := make(map[int64]*store.Event, len(events))
	for _, e := range events {
		newest[e.NID] = e
	}
	looks := maxPageLook
	for _, a := range aggregates {
		t := &thread{events: a.Events - hidden[a.Parent], participated: in[a.Parent] || b.parents[a.Parent].Sender == b.v.user}
		if t.latest, err = b.v.seeChild(newest[a.Latest]); err != nil {
			return err
		}
		if !everything || t.latest == nil {
			if err := b.walk(a.Parent, t, !everything, &looks); err != nil {
				return err
			}
		}
		if t.latest != nil && t.events > 0 {
			b.of(a.Parent).thread = t
		}
	}
	return nil
}

// walk goes through a thread from its newest event, for the newest one that the user sees, and, if count is set, counts those that
// they see. Of those that are beyond the bounds it says nothing.
func (b *bundler) walk(root int64, t *thread, count bool, looks *int) error {
	t.latest = nil
	if count {
		t.events = 0
	}
	to := b.upto
	for looked := 0; looked < maxThreadLook && *looks > 0; {
		events, err := b.v.tx.Related(store.Related{
			Parent: root, RelType: event.RelThread, Depth: 1, To: to, Backwards: true, Limit: scanPage,
		})
		if err != nil {
			return err
		}
		for _, e := range events {
			seen, err := b.v.seeChild(e)
			if err != nil {
				return err
			}
			if seen == nil {
				continue
			}
			if t.latest == nil {
				t.latest = seen
			}
			if !count {
				return nil
			}
			t.events++
		}
		if looked, *looks = looked+len(events), *looks-len(events); len(events) < scanPage {
			return nil
		}
		to = events[len(events)-1].Pos - 1
	}
	return nil
}

// hiddenIn returns how many messages of threads are of users whom the user ignores, or are older than the room lets messages be. It is
// asked where there may be such; where messages expire, threads are not long.
func (b *bundler) hiddenIn(roots []int64) (map[int64]int64, error) {
	counts := make(map[int64]int64)
	since, err := b.v.keptSince()
	if err != nil {
		return nil, err
	}
	if ignores, err := b.v.ignoresAnybody(); err != nil || !ignores && since == math.MinInt64 {
		return counts, err
	}
	var parts []store.ThreadPart
	err = b.v.tx.ThreadParts(roots, since, func(p store.ThreadPart) { parts = append(parts, p) })
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		sender, err := b.v.tx.Text(p.Sender)
		if err != nil {
			return nil, err
		}
		ignored, err := b.v.ignores(id.UserID(sender))
		if err != nil {
			return nil, err
		}
		if ignored {
			counts[p.Root] += p.Messages
		} else {
			counts[p.Root] += p.Old
		}
	}
	return counts, nil
}

// seesEverything tells whether the rules of history visibility hide nothing of the room from the user: they are in it, and its
// history has never been kept from those who come later.
func (v *viewer) seesEverything() (bool, error) {
	if v.seat.Membership != event.MembershipJoin {
		return false, nil
	}
	if v.allKnown {
		return v.all, nil
	}
	v.allKnown = true
	e, err := v.tx.CurrentStateEvent(v.roomNID, event.TypeHistoryVisibility, "")
	for range maxVisibilities {
		if errors.Is(err, store.ErrNotFound) { // "shared", where nothing says otherwise
			v.all = true
			return true, nil
		}
		if err != nil {
			return false, err
		}
		switch e.HistoryVisibility() {
		case event.VisibilityShared, event.VisibilityWorldReadable:
		default:
			return false, nil
		}
		if e.Replaces == 0 {
			v.all = true
			return true, nil
		}
		e, err = v.tx.EventByNID(e.Replaces)
	}
	return false, nil
}
