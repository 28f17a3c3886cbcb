package store

import (
	"errors"
	"strings"
	"sync"
)

// maxNames bounds the strings kept in memory in each direction.
const maxNames = 100_000

// names remembers strings and their integers. It only ever holds committed rows.
type names struct {
	mu    sync.RWMutex // guards both maps
	nids  map[string]int64
	texts map[int64]string
}

func newNames() *names {
	return &names{nids: make(map[string]int64), texts: make(map[int64]string)}
}

func (n *names) nid(s string) (int64, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	nid, ok := n.nids[s]
	return nid, ok
}

func (n *names) text(nid int64) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s, ok := n.texts[nid]
	return s, ok
}

func (n *names) put(nid int64, s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.nids) >= maxNames {
		clear(n.nids)
		clear(n.texts)
	}
	n.nids[s], n.texts[nid] = nid, s
}

// nobodys tells whether s is text that no row has: PostgreSQL takes none with a NUL, and a query for it would fail.
func nobodys(s string) bool { return strings.IndexByte(s, 0) >= 0 }

var errNUL = errors.New("text with a NUL cannot be stored")

type newNamesKey struct{}

// NID returns the integer of a user id, event type or state key, and makes one if there is none yet.
func (tx *Tx) NID(s string) (int64, error) {
	nid, err := tx.LookupNID(s)
	if err != nil || nid != 0 {
		return nid, err
	}
	if nobodys(s) {
		return 0, errNUL
	}
	if nid, err = tx.NextPos(); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(`INSERT INTO strings (nid, value) VALUES ($1, $2)`, nid, s); err != nil {
		return 0, err
	}
	fresh, _ := tx.Value(newNamesKey{}).(map[string]int64)
	if fresh == nil {
		fresh = make(map[string]int64)
		tx.SetValue(newNamesKey{}, fresh)
	}
	fresh[s] = nid
	tx.AfterCommit(func() { tx.db.names.put(nid, s) })
	return nid, nil
}

// LookupNID returns the integer of s, or 0 when the database has never seen it.
func (tx *Tx) LookupNID(s string) (int64, error) {
	if nid, ok := tx.db.names.nid(s); ok {
		return nid, nil
	}
	if fresh, ok := tx.Value(newNamesKey{}).(map[string]int64); ok {
		if nid, ok := fresh[s]; ok {
			return nid, nil
		}
	}
	if nobodys(s) {
		return 0, nil
	}
	var nid int64
	found, err := tx.Row(`SELECT nid FROM strings WHERE value = $1`, []any{s}, &nid)
	if err == nil && found && !tx.Writable() {
		tx.db.names.put(nid, s)
	}
	return nid, err
}

// KnownNID is LookupNID without a transaction: 0 also for what is not in memory.
func (db *DB) KnownNID(s string) int64 {
	nid, _ := db.names.nid(s)
	return nid
}

// Text returns the string behind an integer that NID gave.
func (tx *Tx) Text(nid int64) (string, error) {
	if s, ok := tx.db.names.text(nid); ok {
		return s, nil
	}
	var s string
	found, err := tx.Row(`SELECT value FROM strings WHERE nid = $1`, []any{nid}, &s)
	if err != nil {
		return "", err
	}
	if !found {
		return "", ErrNotFound
	}
	if !tx.Writable() {
		tx.db.names.put(nid, s)
	}
	return s, nil
}
