package store

import (
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// SetErased records whether a user of this server has asked for what they said to be kept from those who were not there when they
// said it (Client-Server API, POST /account/deactivate, erase). ErrNotFound when there is no such user.
func (tx *Tx) SetErased(user id.UserID, erased bool) error {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return err
	}
	var flag int64
	if erased {
		flag = 1
	}
	n, err := tx.Exec(`UPDATE users SET erased = $2 WHERE nid = $1`, nid, flag)
	if err == nil && n == 0 {
		err = fmt.Errorf("user %s: %w", user, ErrNotFound)
	}
	return err
}

// AnyErased tells whether there is any erased user.
func (tx *Tx) AnyErased() (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users WHERE erased = 1 LIMIT 1`, nil, &one)
}

// ErasedUsers returns those of the given users, by their integers, that are erased.
func (tx *Tx) ErasedUsers(userNIDs []int64) (erased []int64, err error) {
	err = inBatches(userNIDs, func(some []int64) error {
		query, args := sqldb.In(`SELECT nid FROM users WHERE erased = 1 AND nid IN `, 1, some)
		found, err := tx.ints(query, args...)
		erased = append(erased, found...)
		return err
	})
	return erased, err
}
