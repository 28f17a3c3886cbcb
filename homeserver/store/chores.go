package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// maxChore bounds the rows that one transaction of a chore changes.
const maxChore = 500

// prepare does what migrations leave to the program, before anyone uses the database.
func (db *DB) prepare(ctx context.Context) error {
	if err := db.loadStateKey(ctx); err != nil {
		return fmt.Errorf("read the key of the state sets: %w", err)
	}
	chores := []struct {
		name string
		some func(*Tx) (more bool, err error)
	}{
		{"state_sets", (*Tx).repackStateSets},
		{"event_auth", (*Tx).fillAuth},
		{"relations", (*Tx).fillRelations},
		{"room_bumps", (*Tx).fillBumps},
	}
	for _, c := range chores {
		for more := true; more; {
			err := db.Write(ctx, func(tx *Tx) error {
				left := 0
				more = false
				if _, err := tx.Row(`SELECT COUNT(*) FROM chores WHERE name = $1`, []any{c.name}, &left); err != nil || left == 0 {
					return err
				}
				var err error
				if more, err = c.some(tx); err != nil || more {
					return err
				}
				_, err = tx.Exec(`DELETE FROM chores WHERE name = $1`, c.name)
				return err
			})
			if err != nil {
				return fmt.Errorf("bring %s up to date: %w", c.name, err)
			}
		}
	}
	return nil
}

func (db *DB) loadStateKey(ctx context.Context) error {
	return db.Write(ctx, func(tx *Tx) error {
		var key []byte
		found, err := tx.Row(`SELECT value FROM secrets WHERE name = 'state_sets'`, nil, &key)
		if err != nil {
			return err
		}
		if !found {
			key = make([]byte, len(db.stateKey))
			_, _ = rand.Read(key) // never fails
			if _, err := tx.Exec(`INSERT INTO secrets (name, value) VALUES ('state_sets', $1)`, key); err != nil {
				return err
			}
		}
		if copy(db.stateKey[:], key) != len(db.stateKey) {
			return errBadStateSet
		}
		return nil
	})
}

// repackStateSets gives the sets of before migration 4, which were packed as triples of plain varints, the form of today. A
// parent has a smaller id than its children, so it has had its turn.
func (tx *Tx) repackStateSets() (more bool, err error) {
	type oldSet struct {
		id, parent int64
		packed     []byte
	}
	var sets []oldSet
	err = tx.Query(`SELECT id, parent, entries FROM state_sets WHERE hash IS NULL ORDER BY id LIMIT 500`, nil, func(scan func(...any) error) error {
		var (
			s      oldSet
			parent sql.NullInt64
		)
		err := scan(&s.id, &parent, &s.packed)
		s.parent = parent.Int64
		sets = append(sets, s)
		return err
	})
	if err != nil {
		return false, err
	}
	for _, s := range sets {
		entries := make(StateSet)
		if err := unpackOldState(s.packed, func(k StateNID, event int64) { entries[k] = event }); err != nil {
			return false, fmt.Errorf("state set %d: %w", s.id, err)
		}
		// From the parent's, or the time would grow with the square of the room.
		row, err := tx.stateRow(s.parent)
		if err != nil {
			return false, err
		}
		old, err := tx.StateValues(s.parent, slices.Collect(maps.Keys(entries))...)
		if err != nil {
			return false, err
		}
		for k, event := range entries {
			row.hash = tx.db.stateKey.change(row.hash, k, old[k], event)
			if old[k] == 0 {
				row.size++
			}
		}
		if _, err := tx.Exec(`UPDATE state_sets SET entries = $2, hash = $3, size = $4 WHERE id = $1`,
			s.id, packState(entries), row.hash.bytes(), row.size); err != nil {
			return false, err
		}
	}
	return len(sets) == maxChore, nil
}

func unpackOldState(packed []byte, visit func(StateNID, int64)) error {
	for len(packed) > 0 {
		var k StateNID
		var event int64
		for _, field := range []*int64{&k.Type, &k.Key, &event} {
			v, n := binary.Varint(packed)
			if n <= 0 {
				return errBadStateSet
			}
			*field, packed = v, packed[n:]
		}
		visit(k, event)
	}
	return nil
}

// fillAuth records the auth events of the state events of before migration 4, which have them in their JSON alone.
func (tx *Tx) fillAuth() (more bool, err error) {
	events, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.state_key_nid IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM event_auth a WHERE a.event_nid = e.nid) ORDER BY e.nid LIMIT 500`, nil)
	if err != nil {
		return false, err
	}
	for _, e := range events {
		auth, err := tx.NIDsOf(e.AuthEvents)
		if err != nil {
			return false, err
		}
		nids := make([]int64, 0, len(auth))
		for _, nid := range auth {
			nids = append(nids, nid)
		}
		if err := tx.insertAuth(e.NID, nids); err != nil {
			return false, err
		}
	}
	return len(events) == maxChore, nil
}
