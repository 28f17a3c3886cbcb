package store

import (
	"encoding/binary"
	"maps"
	"testing"
)

// A database of before migration 4 holds its state sets packed otherwise and without hashes; they come to hold the same, found by what
// they hold.
func TestStateSetsAreRepacked(t *testing.T) {
	const room, n = 7, 300
	db, err := Open(t.Context(), t.TempDir()+"/db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := make([]StateSet, n)
	state := StateSet{}
	err = db.Write(t.Context(), func(tx *Tx) error {
		for i := range int64(n) {
			k := StateNID{Type: 1 + i%2, Key: 10 + i%40}
			entries := StateSet{k: 1000 + i}
			state[k] = 1000 + i
			want[i] = maps.Clone(state)
			args := []any{i + 1, i, i % 50}
			if i%50 == 0 {
				entries, args = state, []any{i + 1, nil, int64(0)}
			}
			var packed []byte
			for k, event := range entries {
				for _, v := range []int64{k.Type, k.Key, event} {
					packed = binary.AppendVarint(packed, v)
				}
			}
			if _, err := tx.Exec(`INSERT INTO state_sets (id, room_nid, parent, seq, entries) VALUES ($1, 7, $2, $3, $4)`, append(args, packed)...); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO chores (name) VALUES ('state_sets')`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = db.View(t.Context(), func(tx *Tx) error {
		for i, want := range want {
			setID := int64(i + 1)
			got, err := tx.StateSet(setID)
			if err != nil {
				return err
			}
			row, err := tx.stateRow(setID)
			if err != nil {
				return err
			}
			found, err := tx.findStateSet(room, db.stateKey.whole(want))
			if err != nil {
				return err
			}
			if !maps.Equal(got, want) || row.size != int64(len(want)) || found != setID {
				t.Errorf("set %d holds %v with size %d and is found as %d, want %v", setID, got, row.size, found, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
