package store

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// SetSuspended records whether a user is suspended. ErrNotFound when there is no such user, or the account is deactivated.
func (tx *Tx) SetSuspended(user id.UserID, suspended bool) error {
	return tx.setState(`suspended`, user, boolInt(suspended))
}

// SetLocked records whether a user is locked out. ErrNotFound when there is no such user, or the account is deactivated.
func (tx *Tx) SetLocked(user id.UserID, locked bool) error {
	return tx.setState(`locked`, user, boolInt(locked))
}

// SetValidUntil records when an account ends, 0 for never. ErrNotFound when there is no such user, or the account is deactivated.
func (tx *Tx) SetValidUntil(user id.UserID, ts int64) error {
	return tx.setState(`valid_until_ts`, user, nullInt(ts))
}

func (tx *Tx) setState(column string, user id.UserID, value any) error {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE users SET `+column+` = $2 WHERE nid = $1 AND deactivated = 0`, nid, value)
	if err == nil && n == 0 {
		err = fmt.Errorf("user %s: %w", user, ErrNotFound)
	}
	return err
}

// ImportedPassword returns a password hash that came from another server, "" when there is none.
func (tx *Tx) ImportedPassword() (hash string, err error) {
	_, err = tx.Row(`SELECT password FROM users WHERE SUBSTR(password, 1, 2) = '$2' LIMIT 1`, nil, &hash)
	return hash, err
}

// ReplacePassword puts another hash of the same password in the place of one. It is false when the user's hash is another by now.
func (tx *Tx) ReplacePassword(userNID int64, old, hash string) (bool, error) {
	n, err := tx.Exec(`UPDATE users SET password = $3 WHERE nid = $1 AND password = $2`, userNID, old, hash)
	return n > 0, err
}
