package store

import (
	"bytes"
	"database/sql"
	"slices"

	"causeway/homeserver/sqldb"
)

// StateHash is the address of a state set: what it holds, keyed by the database's secret. That of the empty set is zero.
type StateHash = stateHash

// StateEntry is one place of a state set.
type StateEntry struct {
	Place StateNID
	Event int64 // 0 takes the place of the parent away
}

// AuditSet is a row of state_sets.
type AuditSet struct {
	ID, Parent, Seq, Size int64
	Hash                  StateHash
	HashBad               bool         // there is no hash, or it is none
	Entries               []StateEntry // in the order of their places
	Damaged               bool         // the entries cannot be read, or are not in order: then there are none
}

// CompareStateNID orders places as the entries of a state set are ordered.
func CompareStateNID(a, b StateNID) int { return compareStateNID(a, b) }

// AuditSetIDs returns the state sets of a room, in the order of their ids.
func (tx *Tx) AuditSetIDs(roomNID int64) ([]int64, error) {
	ids, err := tx.ints(`SELECT id FROM state_sets WHERE room_nid = $1`, roomNID)
	slices.Sort(ids)
	return ids, err
}

// AuditSets reads state sets by their ids, in their order.
func (tx *Tx) AuditSets(ids []int64) ([]AuditSet, error) {
	all := make([]AuditSet, 0, len(ids))
	err := inBatches(ids, func(some []int64) error {
		query, args := sqldb.In(`SELECT id, parent, seq, size, hash, entries FROM state_sets WHERE id IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				s            AuditSet
				parent       sql.NullInt64
				hash, packed []byte
			)
			if err := scan(&s.ID, &parent, &s.Seq, &s.Size, &hash, &packed); err != nil {
				return err
			}
			s.Parent = parent.Int64
			var err error
			s.Hash, err = readStateHash(hash)
			s.HashBad = err != nil
			s.Entries, s.Damaged = auditEntries(packed)
			all = append(all, s)
			return nil
		})
	})
	slices.SortFunc(all, func(a, b AuditSet) int { return compareInts(a.ID, b.ID) })
	return all, err
}

// auditEntries unpacks entries that are packed just as packState would.
func auditEntries(packed []byte) (entries []StateEntry, damaged bool) {
	set := make(StateSet)
	err := unpackState(packed, func(k StateNID, event int64) bool {
		entries = append(entries, StateEntry{Place: k, Event: event})
		set[k] = event
		return true
	})
	if err != nil || !bytes.Equal(packState(set), packed) {
		return nil, true
	}
	return entries, false
}

// AuditHash returns the hash of a state set whose place k goes from event old to event now; 0 is none.
func (tx *Tx) AuditHash(h StateHash, k StateNID, old, now int64) StateHash {
	return tx.db.stateKey.change(h, k, old, now)
}

// AuditStateKey tells whether the database has the secret by which state sets are hashed.
func (tx *Tx) AuditStateKey() (bool, error) {
	var n int64
	_, err := tx.Row(`SELECT COUNT(*) FROM secrets WHERE name = 'state_sets'`, nil, &n)
	return n == 1, err
}
