package doctor

import (
	"slices"

	"causeway/homeserver/store"
)

// maxAncestors is more than a state set can have: 50 before sets were chosen parents as in a skip list, and 20 since.
const maxAncestors = 72

// stateSets are the state sets of a room.
type stateSets struct {
	ids     []int64 // all, in order
	parents []int64 // by index in ids
	depth   []uint8 // by index in ids: ancestors
	used    []bool  // by index in ids
	broken  map[int64]bool
	mended  map[int64]store.StateHash // true hashes of those whose own is wrong
	loaded  cache[int64, *store.AuditSet]
}

// checkSets verifies each state set of the room: its parent, its hash and size, and the events that it names.
func (r *roomCheck) checkSets() error {
	ids, err := r.tx.AuditSetIDs(r.row.NID)
	if err != nil {
		return err
	}
	r.sets = stateSets{
		ids: ids, parents: make([]int64, len(ids)), depth: make([]uint8, len(ids)), used: make([]bool, len(ids)),
		broken: make(map[int64]bool), mended: make(map[int64]store.StateHash), loaded: cache[int64, *store.AuditSet]{limit: maxEntries},
	}
	told := make(map[store.StateEntry]bool)
	for start := 0; start < len(ids); start += eventBatch {
		some, err := r.tx.AuditSets(ids[start:min(len(ids), start+eventBatch)])
		if err != nil {
			return err
		}
		for i := range some {
			if err := r.checkSet(start+i, &some[i], told); err != nil {
				return err
			}
		}
	}
	r.report.Checked.StateSets += int64(len(ids))
	return nil
}

func (r *roomCheck) checkSet(i int, s *store.AuditSet, told map[store.StateEntry]bool) error {
	if s.Damaged {
		r.sets.broken[s.ID] = true
		r.fault(KindStateSet, "state_sets", 0, "state set %d cannot be read", s.ID)
		return nil
	}
	parent, err := r.checkParent(i, s)
	if err != nil || r.sets.broken[s.ID] {
		return err
	}
	hash, size := store.StateHash{}, int64(0)
	if parent != nil {
		hash, size = r.hashOf(parent), parent.Size
	}
	for _, e := range s.Entries {
		old, _, err := r.value(s.Parent, e.Place)
		if err != nil {
			return err
		}
		hash = r.tx.AuditHash(hash, e.Place, old, e.Event)
		size += count(e.Event) - count(old)
		if e.Event != 0 && !told[e] {
			if wrong := r.wrongEntry(e); wrong != "" {
				told[e] = true
				r.fault(KindStateSet, "state_sets", e.Event, "state set %d holds an event that %s", s.ID, wrong)
			}
		} else if e.Event == 0 && parent == nil {
			r.fault(KindStateSet, "state_sets", 0, "state set %d takes away what is not there", s.ID)
		}
	}
	if r.hashed && (s.HashBad || hash != s.Hash) {
		r.sets.mended[s.ID] = hash
		r.fault(KindStateSet, "state_sets", 0, "the hash of state set %d is not that of what it holds", s.ID)
	}
	if size != s.Size {
		r.fault(KindStateSet, "state_sets", 0, "state set %d says that it holds %d places, and holds %d", s.ID, s.Size, size)
		s.Size = size
	}
	r.sets.loaded.put(s.ID, s, len(s.Entries)+1)
	return nil
}

func count(event int64) int64 {
	if event == 0 {
		return 0
	}
	return 1
}

// checkParent returns the parent of a set, nil when it has none. A parent is older than its children, of the same room, and the one
// that the rule of the chain says: step n less its lowest bit, or, in sets of before there was that rule, the step before.
func (r *roomCheck) checkParent(i int, s *store.AuditSet) (*store.AuditSet, error) {
	if s.Parent == 0 {
		if s.Seq != 0 {
			r.fault(KindStateSet, "state_sets", 0, "state set %d is step %d of a chain, and has no parent", s.ID, s.Seq)
		}
		return nil, nil
	}
	at, ok := slices.BinarySearch(r.sets.ids, s.Parent)
	if !ok || at >= i {
		r.sets.broken[s.ID] = true
		r.fault(KindStateSet, "state_sets", 0, "the parent of state set %d, %d, is not an older one of the same room", s.ID, s.Parent)
		return nil, nil
	}
	if r.sets.broken[s.Parent] {
		r.sets.broken[s.ID] = true // told of the parent
		return nil, nil
	}
	r.sets.parents[i], r.sets.depth[i] = s.Parent, r.sets.depth[at]+1
	if r.sets.depth[i] > maxAncestors {
		r.sets.depth[i] = 0 // said once of the chain
		r.fault(KindStateSet, "state_sets", 0, "state set %d has more than %d ancestors", s.ID, maxAncestors)
	}
	parent, err := r.set(s.Parent)
	if err != nil {
		return nil, err
	}
	if rule := s.Seq &^ (s.Seq & -s.Seq); parent.Seq != rule && parent.Seq != s.Seq-1 {
		r.fault(KindStateSet, "state_sets", 0, "state set %d is step %d of its chain, and its parent step %d instead of %d", s.ID, s.Seq, parent.Seq, rule)
	}
	return parent, nil
}

// wrongEntry says what is wrong with an event that stands in a state, "" for nothing.
func (r *roomCheck) wrongEntry(e store.StateEntry) string {
	i, ok := r.find(e.Event)
	switch {
	case !ok:
		return "is not in the room"
	case !r.places[i].State || r.places[i].Place != e.Place:
		return "is of another type or state key"
	case r.places[i].Status&store.Rejected != 0:
		return "was rejected"
	}
	return ""
}

// set returns a state set that was examined before and is not broken, nil when there is none.
func (r *roomCheck) set(setID int64) (*store.AuditSet, error) {
	if s, ok := r.sets.loaded.get(setID); ok {
		return s, nil
	}
	if !r.usable(setID) || setID == 0 {
		return nil, nil
	}
	rows, err := r.tx.AuditSets([]int64{setID})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r.sets.loaded.put(setID, &rows[0], len(rows[0].Entries)+1)
	return &rows[0], nil
}

// usable tells whether a state set is there and can be read.
func (r *roomCheck) usable(setID int64) bool {
	_, ok := slices.BinarySearch(r.sets.ids, setID)
	return setID == 0 || ok && !r.sets.broken[setID]
}

func (r *roomCheck) hashOf(s *store.AuditSet) store.StateHash {
	if s == nil {
		return store.StateHash{}
	}
	if h, ok := r.sets.mended[s.ID]; ok {
		return h
	}
	return s.Hash
}

// hashOfSet returns the hash of what a state set holds. ok is false when it is of no use.
func (r *roomCheck) hashOfSet(setID int64) (h store.StateHash, ok bool, err error) {
	if !r.usable(setID) {
		return h, false, nil
	}
	s, err := r.set(setID)
	return r.hashOf(s), true, err
}

// value returns the event that a state set holds at a place, 0 for none. ok is false when the set is of no use.
func (r *roomCheck) value(setID int64, k store.StateNID) (event int64, ok bool, err error) {
	if !r.usable(setID) {
		return 0, false, nil
	}
	for setID != 0 {
		s, err := r.set(setID)
		if err != nil || s == nil {
			return 0, false, err
		}
		i, found := slices.BinarySearchFunc(s.Entries, k, func(e store.StateEntry, k store.StateNID) int {
			return store.CompareStateNID(e.Place, k)
		})
		if found {
			return s.Entries[i].Event, true, nil
		}
		setID = s.Parent
	}
	return 0, true, nil
}

// whole returns all that a state set holds. ok is false when it is of no use.
func (r *roomCheck) whole(setID int64) (all store.StateSet, ok bool, err error) {
	if !r.usable(setID) {
		return nil, false, nil
	}
	all = make(store.StateSet)
	for setID != 0 {
		s, err := r.set(setID)
		if err != nil || s == nil {
			return nil, false, err
		}
		for _, e := range s.Entries {
			if _, newer := all[e.Place]; !newer {
				all[e.Place] = e.Event
			}
		}
		setID = s.Parent
	}
	for k, event := range all {
		if event == 0 {
			delete(all, k)
		}
	}
	return all, true, nil
}

// refer marks a state set as used, and tells whether it is there.
func (r *roomCheck) refer(setID int64) bool {
	if setID == 0 {
		return true
	}
	i, ok := slices.BinarySearch(r.sets.ids, setID)
	if ok {
		r.sets.used[i] = true
	}
	return ok
}

// checkUnusedSets finds the state sets that nothing refers to, by themselves or as an ancestor.
func (r *roomCheck) checkUnusedSets() error {
	for i := len(r.sets.ids) - 1; i >= 0; i-- {
		if !r.sets.used[i] && r.row.Sweep != store.SweepNothing {
			continue // told of with the room
		}
		if !r.sets.used[i] {
			r.fault(KindOrphanSet, "state_sets", 0, "nothing refers to state set %d", r.sets.ids[i])
			continue
		}
		if parent := r.sets.parents[i]; parent != 0 {
			r.refer(parent)
		}
	}
	return nil
}
