package room

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/stateres"
	"causeway/homeserver/store"

	"golang.org/x/sync/singleflight"
)

// State is a stored state set with changes put over it, which perhaps are not stored yet. The zero State holds nothing.
type State struct {
	Base    int64
	Changes []store.StateChange
}

// newEvent stands for an event that has no integer yet. It is greater than all others, as an event's is than those of its auth
// events.
const newEvent = math.MaxInt64

// arriving is the event that newEvent stands for.
type arriving struct {
	pdu   *event.PDU
	place store.StateNID
	auth  []int64
}

// Resolver finds the state where branches of a room meet. What it found it remembers by the sets that it was asked about, and those who
// ask the same at the same time share the answer. It never holds up other rooms: few resolutions run at once, and none of them on
// the goroutine that writes.
type Resolver struct {
	db      *store.DB
	flights singleflight.Group
	slots   chan struct{}

	mu    sync.Mutex // guards what follows
	memo  map[string]State
	order []string          // of memo, oldest first
	auth  map[int64][]int64 // auth events, as far as they were read of late; they never change
}

// maxResolved bounds the resolutions that are remembered, maxMemoChanges the changes of one of them, and maxAuthLists the events whose
// auth events are remembered: those of a room of 50,000 members, in some 10 MB.
const (
	maxResolved    = 1024
	maxMemoChanges = 1000
	maxAuthLists   = 100_000
)

// NewResolver returns a Resolver over the rooms of a database.
func NewResolver(db *store.DB) *Resolver {
	return &Resolver{
		db: db, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), memo: make(map[string]State), auth: make(map[int64][]int64),
	}
}

// Resolve returns the state of a room where branches with the given state sets meet.
func (r *Resolver) Resolve(ctx context.Context, roomNID int64, version *event.RoomVersion, sets []int64) (State, error) {
	sets = slices.Compact(slices.Sorted(slices.Values(sets)))
	switch len(sets) {
	case 0:
		return State{}, nil
	case 1:
		return State{Base: sets[0]}, nil
	}
	key := memoKey(sets)
	if known, ok := r.recall(key); ok {
		return known, nil
	}
	found, err, _ := r.flights.Do(key, func() (any, error) {
		states := make([]State, len(sets))
		for i, setID := range sets {
			states[i].Base = setID
		}
		// Those who wait for this one must not lose it because the first of them gave up.
		resolved, err := r.resolve(context.WithoutCancel(ctx), version, states, nil)
		if err == nil {
			r.remember(key, resolved)
		}
		return resolved, err
	})
	if err != nil {
		return State{}, fmt.Errorf("resolve the state of room %d: %w", roomNID, err)
	}
	return found.(State), nil
}

func memoKey(sets []int64) string {
	b := make([]byte, 0, 8*len(sets))
	for _, setID := range sets {
		b = binary.BigEndian.AppendUint64(b, uint64(setID))
	}
	return string(b)
}

func (r *Resolver) recall(key string) (State, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.memo[key]
	return s, ok
}

func (r *Resolver) remember(key string, s State) {
	if len(s.Changes) > maxMemoChanges {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.memo[key]; ok {
		return
	}
	r.memo[key] = s
	if r.order = append(r.order, key); len(r.order) > maxResolved {
		delete(r.memo, r.order[0])
		r.order = r.order[1:]
	}
}

// knownAuth adds to known the auth events of those of the events for which they are remembered, and returns the others.
func (r *Resolver) knownAuth(nids []int64, known map[int64][]int64) (unknown []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, nid := range nids {
		if auth, ok := r.auth[nid]; ok {
			known[nid] = auth
		} else {
			unknown = append(unknown, nid)
		}
	}
	return unknown
}

// learnAuth remembers auth events.
func (r *Resolver) learnAuth(found map[int64][]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.auth)+len(found) > maxAuthLists {
		clear(r.auth)
	}
	if len(found) <= maxAuthLists {
		maps.Copy(r.auth, found)
	}
}

// Forget forgets all that was resolved: state sets have been deleted.
func (r *Resolver) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.memo)
	r.order = nil
}

// resolve loads all that a resolution needs and then does it. The result is told as changes of the first state's base. fresh is the
// event that newEvent stands for in the states, if it is in any of them.
func (r *Resolver) resolve(ctx context.Context, version *event.RoomVersion, states []State, fresh *arriving) (State, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return State{}, ctx.Err()
	}
	l := loader{resolver: r, problem: &stateres.Problem{Version: version}, places: make(map[eventauth.StateKey]foundPlace)}
	if err := r.db.View(ctx, func(tx *store.Tx) error { return l.load(tx, states, fresh) }); err != nil {
		return State{}, err
	}
	resolved, err := l.problem.Resolve()
	if err != nil {
		return State{}, err
	}
	return State{Base: states[0].Base, Changes: differences(l.base, resolved)}, nil
}

// differences returns the changes that make a state of another.
func differences(from, to map[store.StateNID]int64) []store.StateChange {
	var changes []store.StateChange
	for k, now := range to {
		if old := from[k]; old != now {
			changes = append(changes, store.StateChange{Place: k, Old: old, New: now})
		}
	}
	for k, old := range from {
		if _, ok := to[k]; !ok {
			changes = append(changes, store.StateChange{Place: k, Old: old})
		}
	}
	return changes
}

// rebase tells a state as changes of another base.
func rebase(tx *store.Tx, s State, base int64) (State, error) {
	if s.Base == base {
		return s, nil
	}
	delta, err := tx.StateDelta(base, s.Base)
	if err != nil {
		return State{}, err
	}
	for _, c := range s.Changes {
		delta[c.Place] = c.New
	}
	old, err := tx.StateValues(base, slices.Collect(maps.Keys(delta))...)
	if err != nil {
		return State{}, err
	}
	out := State{Base: base}
	for k, now := range delta {
		if old[k] != now {
			out.Changes = append(out.Changes, store.StateChange{Place: k, Old: old[k], New: now})
		}
	}
	return out, nil
}

// value returns the event that a state holds at a place, or 0.
func (s State) value(tx *store.Tx, k store.StateNID) (int64, error) {
	for _, c := range s.Changes {
		if c.Place == k {
			return c.New, nil
		}
	}
	values, err := tx.StateValues(s.Base, k)
	return values[k], err
}
