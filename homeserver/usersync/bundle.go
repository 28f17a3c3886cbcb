package usersync

import (
	"maps"
	"slices"
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// What is bundled with an event of what relates to it. Client-Server API, "Aggregations of child events".

// maxReferences bounds the references to one event that are listed with it, newest first.
const maxReferences = 100

// maxEdits is how many replacements of one event are looked at, newest first, to find one that the user sees.
const maxEdits = 8

// bundle is what one event is told with, as the user sees it.
type bundle struct {
	edit       *store.Event // the newest replacement, nil for none
	references []*store.Event
	thread     *thread
}

// thread is what is told of a thread with its root.
type thread struct {
	latest       *store.Event
	events       int64
	participated bool
}

// bundler finds out what is bundled with the events of one page, with few questions for all of them.
type bundler struct {
	v       *viewer
	upto    int64 // the newest position that counts
	parents map[int64]*store.Event
	found   map[int64]*bundle // by parent
}

// bundle reads what is bundled with events of a timeline. State events have nothing. Where nothing relates to any of them, it is one
// query.
func (r *renderer) bundle(events []*store.Event) error {
	b := &bundler{v: r.v, parents: make(map[int64]*store.Event, len(events)), found: make(map[int64]*bundle)}
	nids := make([]int64, 0, len(events))
	for _, e := range events {
		if e.IsState() || e.Pos == 0 || b.parents[e.NID] != nil {
			continue
		}
		if _, done := r.bundled[e.NID]; done {
			continue
		}
		b.parents[e.NID] = e
		nids = append(nids, e.NID)
	}
	if len(nids) == 0 {
		return nil
	}
	aggregates, err := r.v.tx.Aggregates(r.v.roomNID, nids)
	if err != nil {
		return err
	}
	if r.bundled == nil {
		r.bundled = make(map[int64][]byte, len(nids))
	}
	for _, nid := range nids {
		r.bundled[nid] = nil // asked for
	}
	if len(aggregates) == 0 {
		return nil
	}
	if b.upto, err = r.v.lastReadable(); err != nil {
		return err
	}
	if err := b.read(aggregates); err != nil {
		return err
	}
	return r.renderBundles(b.found)
}

// lastReadable is the newest position of the room that the user may read, as far as positions tell: those who have left read it as it
// was then.
func (v *viewer) lastReadable() (int64, error) {
	until, err := v.stayedUntil()
	if err != nil || until != 0 {
		return until, err
	}
	return forever, nil // a room that is open to strangers
}

func (b *bundler) read(aggregates []store.Aggregate) error {
	var edited, referred []int64
	var threads []store.Aggregate
	for _, a := range aggregates {
		parent := b.parents[a.Parent]
		relation, related := parent.Relation()
		switch {
		case a.RelType == event.RelReference:
			referred = append(referred, a.Parent)
		case a.RelType == event.RelThread && !related: // or it is not a root
			threads = append(threads, a)
		case a.RelType == event.RelReplace && parent.RedactedBy == 0 && relation.Type != event.RelReplace:
			edited = append(edited, a.Parent)
		}
	}
	if err := b.readEdits(edited); err != nil {
		return err
	}
	if err := b.readReferences(referred); err != nil {
		return err
	}
	return b.readThreads(threads)
}

func (b *bundler) of(parent int64) *bundle {
	if b.found[parent] == nil {
		b.found[parent] = new(bundle)
	}
	return b.found[parent]
}

// readEdits finds the newest replacement of each event that the user sees. Client-Server API, "Server-side aggregation of m.replace
// relationships".
func (b *bundler) readEdits(parents []int64) error {
	// Nearly always the newest of each is seen.
	for nth := 0; nth < maxEdits && len(parents) > 0; nth++ {
		edits, err := b.v.tx.Replacements(parents, b.upto, nth)
		if err != nil {
			return err
		}
		events, err := b.v.tx.EventsByNID(slices.Collect(maps.Values(edits)))
		if err != nil {
			return err
		}
		byNID := make(map[int64]*store.Event, len(events))
		for _, e := range events {
			byNID[e.NID] = e
		}
		parents = parents[:0]
		for parent, edit := range edits {
			seen, err := b.v.seeChild(byNID[edit])
			if err != nil {
				return err
			}
			if seen != nil {
				b.of(parent).edit = seen
			} else {
				parents = append(parents, parent)
			}
		}
	}
	return nil
}

// seeChild returns what the user sees of an event that relates to another; nil when they see nothing, or not that it does. e may be
// nil.
func (v *viewer) seeChild(e *store.Event) (*store.Event, error) {
	if e == nil {
		return nil, nil
	}
	seen, err := v.see(e)
	if err != nil || seen == nil {
		return nil, err
	}
	if _, related := seen.Relation(); !related {
		return nil, nil
	}
	return seen, nil
}

// readReferences finds the references to events that the user sees, oldest first. Client-Server API, "Server-side aggregation of
// m.reference".
func (b *bundler) readReferences(parents []int64) error {
	if len(parents) == 0 {
		return nil
	}
	children, err := b.v.tx.References(parents, b.upto, maxReferences)
	if err != nil {
		return err
	}
	for parent, nids := range children {
		events, err := b.v.tx.EventsByNID(nids)
		if err != nil {
			return err
		}
		sortByPos(events)
		for _, e := range events {
			seen, err := b.v.seeChild(e)
			if err != nil {
				return err
			}
			if seen != nil {
				b.of(parent).references = append(b.of(parent).references, seen)
			}
		}
	}
	return nil
}

// renderBundles makes the JSON of bundles, which goes into the unsigned part of their events.
func (r *renderer) renderBundles(bundles map[int64]*bundle) error {
	var inner, latest []*store.Event
	for _, b := range bundles {
		if b.edit != nil {
			inner = append(inner, b.edit)
		}
		if b.thread != nil {
			latest = append(latest, b.thread.latest)
		}
	}
	// The newest event of a thread has a bundle of its own. It ends there, as what is in a thread is no root.
	if err := r.bundle(latest); err != nil {
		return err
	}
	if err := r.gatherRelated(slices.Concat(inner, latest)); err != nil {
		return err
	}
	for nid, b := range bundles {
		raw, err := r.appendBundle(nil, b)
		if err != nil {
			return err
		}
		r.bundled[nid] = raw
	}
	return nil
}

func (r *renderer) appendBundle(dst []byte, b *bundle) ([]byte, error) {
	var err error
	dst = append(dst, '{')
	if b.edit != nil {
		if dst, err = r.appendEvent(appendKey(dst, event.RelReplace), b.edit); err != nil {
			return dst, err
		}
	}
	if len(b.references) > 0 {
		dst = append(appendKey(dst, event.RelReference), `{"chunk":[`...)
		for _, e := range b.references {
			dst = append(appendComma(dst), `{"event_id":`...)
			dst = append(appendString(dst, e.EventID), '}')
		}
		dst = append(dst, `]}`...)
	}
	if t := b.thread; t != nil {
		if dst, err = r.appendEvent(append(appendKey(dst, event.RelThread), `{"latest_event":`...), t.latest); err != nil {
			return dst, err
		}
		dst = strconv.AppendInt(append(dst, `,"count":`...), t.events, 10)
		dst = strconv.AppendBool(append(dst, `,"current_user_participated":`...), t.participated)
		dst = append(dst, '}')
	}
	return append(dst, '}'), nil
}
