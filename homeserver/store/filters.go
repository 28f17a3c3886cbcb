package store

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// FilterID finds the filter of a user that has this canonical JSON. ErrNotFound.
func (tx *Tx) FilterID(user id.UserID, canonical json.RawMessage) (int64, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return 0, err
	}
	var filterID int64
	hash := sha256.Sum256(canonical)
	found, err := tx.Row(`SELECT filter_id FROM filters WHERE user_nid = $1 AND hash = $2`, []any{nid, hash[:]}, &filterID)
	if err == nil && !found {
		err = fmt.Errorf("filter: %w", ErrNotFound)
	}
	return filterID, err
}

// InsertFilter adds a filter, which the user must not have yet, and forgets the oldest ones past the newest keep. IDs are
// not used again.
func (tx *Tx) InsertFilter(user id.UserID, canonical json.RawMessage, keep int64) (int64, error) {
	nid, err := tx.NID(string(user))
	if err != nil {
		return 0, err
	}
	var last int64
	if _, err := tx.Row(`SELECT COALESCE(MAX(filter_id), 0) FROM filters WHERE user_nid = $1`, []any{nid}, &last); err != nil {
		return 0, err
	}
	filterID := last + 1
	hash := sha256.Sum256(canonical)
	if _, err := tx.Exec(`INSERT INTO filters (user_nid, filter_id, hash, json) VALUES ($1, $2, $3, $4)`,
		nid, filterID, hash[:], string(canonical)); err != nil {
		return 0, err
	}
	_, err = tx.Exec(`DELETE FROM filters WHERE user_nid = $1 AND filter_id <= $2`, nid, filterID-keep)
	return filterID, err
}

// Filter returns the canonical JSON of a user's filter. ErrNotFound.
func (tx *Tx) Filter(user id.UserID, filterID int64) (json.RawMessage, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return nil, err
	}
	var raw string
	found, err := tx.Row(`SELECT json FROM filters WHERE user_nid = $1 AND filter_id = $2`, []any{nid, filterID}, &raw)
	if err == nil && !found {
		err = fmt.Errorf("filter %d: %w", filterID, ErrNotFound)
	}
	return json.RawMessage(raw), err
}
