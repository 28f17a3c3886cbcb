package store

import (
	"database/sql"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// Profile returns the profile of an account of this server; "" for what is not set. ErrNotFound when there is no such
// account.
func (tx *Tx) Profile(user id.UserID) (displayname, avatarURL string, err error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return "", "", err
	}
	var (
		name, avatar sql.NullString
		found        bool
	)
	if nid != 0 {
		found, err = tx.Row(`SELECT displayname, avatar_url FROM users WHERE nid = $1`, []any{nid}, &name, &avatar)
	}
	if err == nil && !found {
		err = fmt.Errorf("profile of %s: %w", user, ErrNotFound)
	}
	return name.String, avatar.String, err
}

// SetDisplayName changes the display name of an account; "" removes it. ErrNotFound.
func (tx *Tx) SetDisplayName(user id.UserID, name string) error {
	return tx.setProfile(`UPDATE users SET displayname = $2 WHERE nid = $1`, user, name)
}

// SetAvatarURL changes the avatar of an account; "" removes it. ErrNotFound.
func (tx *Tx) SetAvatarURL(user id.UserID, url string) error {
	return tx.setProfile(`UPDATE users SET avatar_url = $2 WHERE nid = $1`, user, url)
}

func (tx *Tx) setProfile(update string, user id.UserID, value string) error {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return err
	}
	n, err := tx.Exec(update, nid, nullString(value))
	if err == nil && n == 0 {
		err = fmt.Errorf("profile of %s: %w", user, ErrNotFound)
	}
	if err == nil {
		err = tx.wordsDue(nid)
	}
	return err
}
