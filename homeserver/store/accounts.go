package store

import (
	"database/sql"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// User is an account of this server.
type User struct {
	NID        int64
	UserID     id.UserID
	Password   string // a PHC string, "" when nobody can log in with a password
	Admin      bool
	AppService string // the id of the application service that made the account, "" for people
	Guest      bool   // may do little: Client-Server API, "Guest Access"
	CreatedTS  int64

	Deactivated  bool  // for ever
	Locked       bool  // nobody can use it for now
	Suspended    bool  // may read, and leave
	ValidUntilTS int64 // when the account ends, 0 for never
}

// InsertUser adds an account; u.NID is filled in. ErrExists when the user id is taken.
func (tx *Tx) InsertUser(u *User) error {
	nid, err := tx.NID(string(u.UserID))
	if err != nil {
		return err
	}
	if exists, err := tx.userExists(nid); err != nil || exists {
		if err == nil {
			err = fmt.Errorf("user %s: %w", u.UserID, ErrExists)
		}
		return err
	}
	u.NID = nid
	_, err = tx.Exec(`INSERT INTO users (nid, password, admin, appservice, created_ts, guest, valid_until_ts)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		nid, nullString(u.Password), boolInt(u.Admin), nullString(u.AppService), u.CreatedTS, boolInt(u.Guest), nullInt(u.ValidUntilTS))
	if err == nil {
		err = tx.wordsDue(nid)
	}
	return err
}

// User finds an account. ErrNotFound.
func (tx *Tx) User(userID id.UserID) (*User, error) {
	nid, err := tx.LookupNID(string(userID))
	if err != nil {
		return nil, err
	}
	u := &User{NID: nid, UserID: userID}
	var (
		password, appService           sql.NullString
		admin, guest                   int64
		deactivated, locked, suspended int64
		valid                          sql.NullInt64
		found                          bool
	)
	if nid != 0 {
		found, err = tx.Row(`SELECT password, admin, appservice, created_ts, guest, deactivated, locked, suspended, valid_until_ts
			FROM users WHERE nid = $1`, []any{nid},
			&password, &admin, &appService, &u.CreatedTS, &guest, &deactivated, &locked, &suspended, &valid)
	}
	if err == nil && !found {
		err = fmt.Errorf("user %s: %w", userID, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	u.Password, u.Admin, u.AppService, u.Guest = password.String, admin != 0, appService.String, guest != 0
	u.Deactivated, u.Locked, u.Suspended, u.ValidUntilTS = deactivated != 0, locked != 0, suspended != 0, valid.Int64
	return u, nil
}

// UserByNID finds an account by its integer. ErrNotFound.
func (tx *Tx) UserByNID(nid int64) (*User, error) {
	userID, err := tx.Text(nid)
	if err != nil {
		return nil, err
	}
	return tx.User(id.UserID(userID))
}

// UserExists tells whether this server has an account of this id.
func (tx *Tx) UserExists(userID id.UserID) (bool, error) {
	nid, err := tx.LookupNID(string(userID))
	if err != nil || nid == 0 {
		return false, err
	}
	return tx.userExists(nid)
}

func (tx *Tx) userExists(nid int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users WHERE nid = $1`, []any{nid}, &one)
}

// HasPerson tells whether there is an account that no application service made, and that is no guest's.
func (tx *Tx) HasPerson() (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users WHERE appservice IS NULL AND guest = 0 LIMIT 1`, nil, &one)
}

// HasAdmin tells whether there is an administrator.
func (tx *Tx) HasAdmin() (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users WHERE appservice IS NULL AND admin = 1 LIMIT 1`, nil, &one)
}

// SetPassword records the PHC string of a user's new password. Browsers in which the user is signed in are signed out, and what the user
// has granted, and nobody has redeemed, ends: who knew the old password is not to stay.
func (tx *Tx) SetPassword(userNID int64, password string) error {
	if err := tx.EndGrants(userNID); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE users SET password = $2 WHERE nid = $1`, userNID, nullString(password))
	return err
}

// FirstPassword records the password of a user who has none, and tells whether that is so.
func (tx *Tx) FirstPassword(userNID int64, password string) (bool, error) {
	n, err := tx.Exec(`UPDATE users SET password = $2 WHERE nid = $1 AND password IS NULL AND deactivated = 0`, userNID, password)
	return n > 0, err
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
