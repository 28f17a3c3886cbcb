package store

import (
	"database/sql"
	"fmt"
	"maps"
)

// maxSteps bounds the steps from a set that is stored whole, and so, with the parents chosen as they are, the ancestors of a set
// to 20 and the entries of a step.
const maxSteps = 1 << 20

// stateRow is a row of state_sets.
type stateRow struct {
	id, parent, seq, size int64
	hash                  stateHash
	packed                []byte
}

func (tx *Tx) stateRow(setID int64) (stateRow, error) {
	row := stateRow{id: setID}
	if setID == 0 {
		return row, nil
	}
	var (
		parent sql.NullInt64
		hash   []byte
	)
	found, err := tx.Row(`SELECT parent, seq, size, hash, entries FROM state_sets WHERE id = $1`, []any{setID},
		&parent, &row.seq, &row.size, &hash, &row.packed)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err == nil {
		row.hash, err = readStateHash(hash)
	}
	row.parent = parent.Int64
	if err != nil {
		return row, fmt.Errorf("state set %d: %w", setID, err)
	}
	return row, nil
}

// StateChange is a place of a state that goes from one event to another; 0 is none.
type StateChange struct {
	Place    StateNID
	Old, New int64
}

// InsertStateSet stores the state that is base (0: nothing) with changes put over it, and returns its id. A state that is stored
// already is found by its hash and not stored again.
func (tx *Tx) InsertStateSet(roomNID, base int64, changes StateSet) (int64, error) {
	places := make([]StateNID, 0, len(changes))
	for k := range changes {
		places = append(places, k)
	}
	old, err := tx.StateValues(base, places...)
	if err != nil {
		return 0, err
	}
	list := make([]StateChange, 0, len(changes))
	for k, event := range changes {
		if old[k] != event {
			list = append(list, StateChange{Place: k, Old: old[k], New: event})
		}
	}
	return tx.ChangeState(roomNID, base, list)
}

// ChangeState is InsertStateSet for a caller who knows what the changes replace, which must be true.
func (tx *Tx) ChangeState(roomNID, base int64, changes []StateChange) (int64, error) {
	return tx.changeState(roomNID, base, changes, false)
}

// AddToState is ChangeState with one change, to an event that is being inserted: no set can hold it yet.
func (tx *Tx) AddToState(roomNID, base int64, change StateChange) (int64, error) {
	return tx.changeState(roomNID, base, []StateChange{change}, true)
}

func (tx *Tx) changeState(roomNID, base int64, changes []StateChange, fresh bool) (int64, error) {
	if len(changes) == 0 {
		return base, nil
	}
	from, err := tx.stateRow(base)
	if err != nil {
		return 0, err
	}
	next := stateRow{seq: from.seq + 1, size: from.size, hash: from.hash}
	entries := make(StateSet, len(changes))
	for _, c := range changes {
		next.hash = tx.db.stateKey.change(next.hash, c.Place, c.Old, c.New)
		entries[c.Place] = c.New
		switch {
		case c.Old == 0 && c.New != 0:
			next.size++
		case c.Old != 0 && c.New == 0:
			next.size--
		}
	}
	if next.size == 0 {
		return 0, nil
	}
	if !fresh {
		if setID, err := tx.findStateSet(roomNID, next.hash); err != nil || setID != 0 {
			return setID, err
		}
	}
	if err := tx.stepFrom(&next, from, entries); err != nil {
		return 0, err
	}
	return next.id, tx.insertStateRow(roomNID, &next)
}

// findStateSet returns the set with a hash, or 0.
func (tx *Tx) findStateSet(roomNID int64, hash stateHash) (setID int64, err error) {
	_, err = tx.Row(`SELECT id FROM state_sets WHERE room_nid = $1 AND hash = $2`, []any{roomNID, hash.bytes()}, &setID)
	return setID, err
}

// stepFrom chooses the parent of a set that is entries put over from, and packs what the set has over that parent. The parent of
// step n is step n without its lowest bit: most steps hold one change, and no chain is longer than a number has bits. A set is
// stored whole when its step would be as large as half of it.
func (tx *Tx) stepFrom(next *stateRow, from stateRow, entries StateSet) error {
	target := next.seq &^ (next.seq & -next.seq)
	row := from
	for row.id != 0 && row.seq > target {
		if err := addEntries(entries, row.packed); err != nil {
			return fmt.Errorf("state set %d: %w", row.id, err)
		}
		if int64(len(entries)) > next.size/2 {
			break
		}
		var err error
		if row, err = tx.stateRow(row.parent); err != nil {
			return err
		}
	}
	if row.id != 0 && row.seq == target && int64(len(entries)) <= next.size/2 && next.seq < maxSteps {
		next.parent, next.packed = row.id, packState(entries)
		return nil
	}
	whole, err := tx.StateSet(from.id)
	if err != nil {
		return err
	}
	maps.Copy(whole, entries)
	maps.DeleteFunc(whole, func(_ StateNID, event int64) bool { return event == 0 })
	next.parent, next.seq, next.packed = 0, 0, packState(whole)
	return nil
}

// addEntries adds packed entries to those that are put over them.
func addEntries(over StateSet, packed []byte) error {
	return unpackState(packed, func(k StateNID, event int64) bool {
		if _, newer := over[k]; !newer {
			over[k] = event
		}
		return true
	})
}

func (tx *Tx) insertStateRow(roomNID int64, row *stateRow) (err error) {
	if row.id, err = tx.NextPos(); err != nil {
		return err
	}
	return tx.Defer(`INSERT INTO state_sets (id, room_nid, parent, seq, size, hash, entries) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		row.id, roomNID, nullInt(row.parent), row.seq, row.size, row.hash.bytes(), row.packed)
}

// StateSet reads a state set whole. Set 0 is empty.
func (tx *Tx) StateSet(setID int64) (StateSet, error) {
	out := make(StateSet)
	err := tx.walkState(setID, 0, func(packed []byte) (bool, error) { return true, addEntries(out, packed) })
	maps.DeleteFunc(out, func(_ StateNID, event int64) bool { return event == 0 })
	return out, err
}

// StateValues returns the events that a state set holds for the given keys; keys that it does not hold are left out.
func (tx *Tx) StateValues(setID int64, keys ...StateNID) (StateSet, error) {
	wanted := make(map[StateNID]bool, len(keys))
	for _, k := range keys {
		wanted[k] = true
	}
	out := make(StateSet, len(keys))
	err := tx.walkState(setID, 0, func(packed []byte) (bool, error) {
		err := unpackState(packed, func(k StateNID, event int64) bool {
			if wanted[k] {
				out[k] = event
				delete(wanted, k)
			}
			return len(wanted) > 0
		})
		return len(wanted) > 0, err
	})
	maps.DeleteFunc(out, func(_ StateNID, event int64) bool { return event == 0 })
	return out, err
}

// walkState calls visit with the packed entries of a set, then of its parent and so on, until visit returns false or the set stop
// is reached.
func (tx *Tx) walkState(setID, stop int64, visit func(packed []byte) (more bool, err error)) error {
	for setID != 0 && setID != stop {
		var (
			parent sql.NullInt64
			packed []byte
		)
		found, err := tx.Row(`SELECT parent, entries FROM state_sets WHERE id = $1`, []any{setID}, &parent, &packed)
		if err == nil && !found {
			err = ErrNotFound
		}
		more := false
		if err == nil {
			more, err = visit(packed)
		}
		if err != nil {
			return fmt.Errorf("state set %d: %w", setID, err)
		}
		if !more {
			return nil
		}
		setID = parent.Int64
	}
	return nil
}

// StateDelta returns what has to be put over state set from to get state set to; an event 0 takes a place away. With from 0 that
// is the whole of to.
func (tx *Tx) StateDelta(from, to int64) (StateSet, error) {
	if from == to {
		return StateSet{}, nil
	}
	if from == 0 {
		return tx.StateSet(to)
	}
	common, err := tx.commonAncestor(from, to)
	if err != nil {
		return nil, err
	}
	if common == 0 {
		return tx.wholeDelta(from, to)
	}
	were, are := make(StateSet), make(StateSet)
	for _, side := range []struct {
		set  StateSet
		from int64
	}{{were, from}, {are, to}} {
		err := tx.walkState(side.from, common, func(packed []byte) (bool, error) { return true, addEntries(side.set, packed) })
		if err != nil {
			return nil, err
		}
	}
	return tx.settle(common, were, are)
}

// settle returns the difference between two sets that are given by what they put over a common ancestor.
func (tx *Tx) settle(common int64, were, are StateSet) (StateSet, error) {
	var unknown []StateNID
	for k := range were {
		if _, ok := are[k]; !ok {
			unknown = append(unknown, k)
		}
	}
	for k := range are {
		if _, ok := were[k]; !ok {
			unknown = append(unknown, k)
		}
	}
	base := StateSet{}
	if len(unknown) > 0 {
		var err error
		if base, err = tx.StateValues(common, unknown...); err != nil {
			return nil, err
		}
	}
	value := func(set StateSet, k StateNID) int64 {
		if event, ok := set[k]; ok {
			return event
		}
		return base[k]
	}
	delta := make(StateSet, len(are))
	for _, side := range []StateSet{were, are} {
		for k := range side {
			if now := value(are, k); now != value(were, k) {
				delta[k] = now
			}
		}
	}
	return delta, nil
}

// wholeDelta compares two sets that have no ancestor in common.
func (tx *Tx) wholeDelta(from, to int64) (StateSet, error) {
	were, err := tx.StateSet(from)
	if err != nil {
		return nil, err
	}
	are, err := tx.StateSet(to)
	if err != nil {
		return nil, err
	}
	for k, event := range were {
		if now, ok := are[k]; !ok {
			are[k] = 0
		} else if now == event {
			delete(are, k)
		}
	}
	return are, nil
}

// commonAncestor returns the nearest set that is, or is an ancestor of, both; 0 when there is none.
func (tx *Tx) commonAncestor(a, b int64) (int64, error) {
	seen := map[int64]bool{}
	for a != 0 || b != 0 {
		for _, at := range []*int64{&a, &b} {
			if *at == 0 {
				continue
			}
			if seen[*at] {
				return *at, nil
			}
			seen[*at] = true
			var parent sql.NullInt64
			found, err := tx.Row(`SELECT parent FROM state_sets WHERE id = $1`, []any{*at}, &parent)
			if err == nil && !found {
				err = ErrNotFound
			}
			if err != nil {
				return 0, fmt.Errorf("state set %d: %w", *at, err)
			}
			*at = parent.Int64
		}
	}
	return 0, nil
}
