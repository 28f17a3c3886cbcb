package store

import (
	"fmt"
)

// InsertLoginToken keeps the hash of a login token until it expires, and of a user's the newest keep; those that have expired go.
func (tx *Tx) InsertLoginToken(hash [32]byte, userNID, nowTS, expiresTS int64, keep int) error {
	if _, err := tx.Exec(`DELETE FROM login_tokens WHERE expires_ts <= $1`, nowTS); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO login_tokens (hash, user_nid, expires_ts) VALUES ($1, $2, $3)`, hash[:], userNID, expiresTS); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM login_tokens WHERE user_nid = $1 AND hash <> $2 AND hash NOT IN (SELECT hash FROM login_tokens
		WHERE user_nid = $1 AND hash <> $2 ORDER BY expires_ts DESC LIMIT $3)`, userNID, hash[:], keep-1)
	return err
}

// UseLoginToken deletes a login token, and returns whose it was. ErrNotFound when there is none that has not expired.
func (tx *Tx) UseLoginToken(hash [32]byte, nowTS int64) (userNID int64, err error) {
	var expiresTS int64
	found, err := tx.Row(`SELECT user_nid, expires_ts FROM login_tokens WHERE hash = $1`, []any{hash[:]}, &userNID, &expiresTS)
	if err != nil {
		return 0, err
	}
	n, err := tx.Exec(`DELETE FROM login_tokens WHERE hash = $1`, hash[:])
	if err == nil && (!found || n == 0 || expiresTS <= nowTS) {
		err = fmt.Errorf("login token: %w", ErrNotFound)
	}
	return userNID, err
}
