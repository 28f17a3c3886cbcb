package store

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// userTables are those whose rows belong to users alone, and go with the account.
var userTables = []string{
	"login_tokens", "openid_tokens", "delayed_events", "profile_fields", "thread_subscriptions", "filters", "user_words", "user_words_due",
	"accepted_terms", "browser_sessions", "oauth_codes", "oauth_device_codes",
	"sso_links", "call_seats",
}

// Deactivate ends an account for ever: its devices, its tokens, its addresses, its profile and what it has kept go; its name stays, so that
// nobody else can have it. Its encryption keys and the backups of such go, too, and what it has read that others were not told of. The
// user has rooms to leave then (Departures). With erase, what the user said is kept from those who were not there, and what the user has read
// goes.
// ErrNotFound when there is no such account, or it is deactivated already.
func (tx *Tx) Deactivate(user id.UserID, erase bool) (change DeviceChange, err error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return DeviceChange{}, err
	}
	n, err := tx.Exec(`UPDATE users SET deactivated = 1, password = NULL, admin = 0, displayname = NULL, avatar_url = NULL
		WHERE nid = $1 AND deactivated = 0`, nid)
	if err == nil && n == 0 {
		err = fmt.Errorf("user %s: %w", user, ErrNotFound)
	}
	if err != nil {
		return DeviceChange{}, err
	}
	if erase {
		if err := tx.SetErased(user, true); err != nil {
			return DeviceChange{}, err
		}
	}
	if change, err = tx.dropKeysOfUser(nid); err != nil {
		return DeviceChange{}, err
	}
	if err := tx.dropAccountData(nid); err != nil {
		return DeviceChange{}, err
	}
	if err := tx.dropAddresses(nid, user); err != nil {
		return DeviceChange{}, err
	}
	if err := tx.endPresence(nid); err != nil {
		return DeviceChange{}, err
	}
	if err := tx.dropReceipts(nid, erase); err != nil {
		return DeviceChange{}, err
	}
	for _, table := range userTables {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_nid = $1`, nid); err != nil {
			return DeviceChange{}, fmt.Errorf("delete what a user has in %s: %w", table, err)
		}
	}
	_, err = tx.Exec(`INSERT INTO departures (user_nid) VALUES ($1) ON CONFLICT (user_nid) DO NOTHING`, nid)
	return change, err
}

// dropAddresses deletes the addresses of a user, and what the built-in identity service has of the user.
func (tx *Tx) dropAddresses(nid int64, user id.UserID) error {
	if err := tx.DeleteThreepids(nid); err != nil {
		return err
	}
	for _, table := range [...]string{"identity_bindings", "identity_tokens", "identity_accepted"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_id = $1`, string(user)); err != nil {
			return fmt.Errorf("delete what a user has in %s: %w", table, err)
		}
	}
	return nil
}

// dropKeysOfUser deletes all devices and all keys of a user.
func (tx *Tx) dropKeysOfUser(userNID int64) (DeviceChange, error) {
	var one int64
	hadKeys, err := tx.Row(`SELECT 1 FROM cross_signing_keys WHERE user_nid = $1 LIMIT 1`, []any{userNID}, &one)
	if err != nil {
		return DeviceChange{}, err
	}
	if err := tx.DropCrossSigning(userNID); err != nil {
		return DeviceChange{}, err
	}
	if err := tx.DeleteBackups(userNID); err != nil {
		return DeviceChange{}, err
	}
	change, err := tx.DeleteDevices(userNID, "")
	if err == nil && change.Pos == 0 && hadKeys {
		change, err = tx.DevicesChanged(userNID)
	}
	return change, err
}

// dropAccountData deletes all account data of a user, and tells those who keep some of it in memory.
func (tx *Tx) dropAccountData(userNID int64) error {
	types, err := tx.texts(`SELECT type FROM account_data WHERE user_nid = $1 AND room_nid = 0`, userNID)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM account_data WHERE user_nid = $1`, userNID); err != nil {
		return err
	}
	for _, dataType := range types {
		tx.watched(userNID, 0, dataType)
	}
	return nil
}

// Departures returns at most limit users whose account is deactivated and who have yet to leave their rooms, after one on, in the order
// of their integers.
func (tx *Tx) Departures(after int64, limit int) ([]int64, error) {
	return tx.ints(`SELECT user_nid FROM departures WHERE user_nid > $1 ORDER BY user_nid LIMIT `+atLeast(limit), after)
}

// EndDeparture records that a user has left all rooms. Nobody is there any more to be told that the user is gone.
func (tx *Tx) EndDeparture(userNID int64) error {
	if err := tx.dropPresence(userNID); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM departures WHERE user_nid = $1`, userNID)
	return err
}

// SeatsToLeave returns the rooms that a user is in, is invited to, or knocks at, with the membership. Rooms that are being purged are left
// out.
func (tx *Tx) SeatsToLeave(userNID int64) (rooms []id.RoomID, err error) {
	names, err := tx.texts(`SELECT r.room_id FROM memberships m JOIN rooms r ON r.nid = m.room_nid
		WHERE m.user_nid = $1 AND m.membership IN ('invite', 'knock', 'join') AND r.purging = 0 ORDER BY m.membership, m.room_nid`, userNID)
	for _, name := range names {
		rooms = append(rooms, id.RoomID(name))
	}
	return rooms, err
}
