package store

import (
	"database/sql"
	"maps"
	"slices"
)

// maxRebase bounds the state sets that one rebase changes, and with it how long others wait for it.
const maxRebase = 5000

// rebase takes a room's state sets off ancestors that are there for nothing else: what those hold is of a time that has been purged.
type rebase struct {
	tx       *Tx
	direct   map[int64]bool // sets that something other than a set refers to
	parents  map[int64]int64
	seqs     map[int64]int64
	children map[int64][]int64
}

// DirectSets returns the state sets of a room to which something other than a state set refers.
func (tx *Tx) DirectSets(roomNID int64) (map[int64]bool, error) {
	direct := make(map[int64]bool)
	err := tx.Query(`SELECT DISTINCT state_before, state_after FROM events WHERE room_nid = $1`, []any{roomNID}, func(scan func(...any) error) error {
		var before, after int64
		err := scan(&before, &after)
		direct[before], direct[after] = true, true
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, query := range []string{`SELECT state_id FROM rooms WHERE nid = $1`, `SELECT state_id FROM room_states WHERE room_nid = $1`} {
		found, err := tx.ints(query, roomNID)
		if err != nil {
			return nil, err
		}
		for _, setID := range found {
			direct[setID] = true
		}
	}
	delete(direct, 0)
	return direct, nil
}

// RebaseStateSets stores the state sets of a room anew that are steps from sets to which nothing else refers, so that a sweep finds
// those. direct is what DirectSets said when the stream was at upto. In a room with very many sets nothing is done: a few
// sets of the time before then stay, with what they hold.
func (tx *Tx) RebaseStateSets(roomNID, upto int64, direct map[int64]bool) error {
	fresh, err := tx.freshSets(roomNID, upto)
	if err != nil {
		return err
	}
	r := &rebase{tx: tx, direct: maps.Clone(direct), parents: make(map[int64]int64), seqs: make(map[int64]int64), children: make(map[int64][]int64)}
	maps.Copy(r.direct, fresh)
	err = tx.Query(`SELECT id, parent, seq FROM state_sets WHERE room_nid = $1`, []any{roomNID}, func(scan func(...any) error) error {
		var (
			setID, seq int64
			parent     sql.NullInt64
		)
		err := scan(&setID, &parent, &seq)
		r.parents[setID], r.seqs[setID] = parent.Int64, seq
		r.children[parent.Int64] = append(r.children[parent.Int64], setID)
		return err
	})
	if err != nil {
		return err
	}
	var moved []int64 // whose parents are there for nothing else
	for setID := range r.direct {
		if parent := r.parents[setID]; parent != 0 && !r.direct[parent] {
			moved = append(moved, setID)
		}
	}
	if len(moved) == 0 {
		return nil
	}
	slices.Sort(moved)
	return r.move(moved)
}

// move makes the oldest of some sets whole, and the others steps from it.
func (r *rebase) move(moved []int64) error {
	seqs := map[int64]int64{moved[0]: 0}
	for _, setID := range moved[1:] {
		seqs[setID] = 1
	}
	for look := slices.Clone(moved); len(look) > 0; look = look[1:] {
		for _, child := range r.children[look[0]] {
			seq, was := seqs[look[0]], r.seqs[child]
			// A step comes after the step before it, or the one without its lowest bit.
			if _, done := seqs[child]; done || !r.direct[child] || seq == was-1 || seq == was&^(was&-was) {
				continue
			}
			seqs[child] = seq + 1
			look = append(look, child)
		}
		if len(seqs) > maxRebase {
			return nil
		}
	}
	root := moved[0]
	packed := make(map[int64][]byte, len(moved))
	for _, setID := range moved {
		from := root
		if setID == root {
			from = 0
		}
		entries, err := r.tx.StateDelta(from, setID)
		if err != nil {
			return err
		}
		packed[setID] = packState(entries)
	}
	for setID, seq := range seqs {
		var err error
		switch entries, isMoved := packed[setID]; {
		case setID == root:
			err = r.tx.Defer(`UPDATE state_sets SET parent = NULL, seq = 0, entries = $2 WHERE id = $1`, setID, entries)
		case isMoved:
			err = r.tx.Defer(`UPDATE state_sets SET parent = $2, seq = 1, entries = $3 WHERE id = $1`, setID, root, entries)
		default:
			err = r.tx.Defer(`UPDATE state_sets SET seq = $2 WHERE id = $1`, setID, seq)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
