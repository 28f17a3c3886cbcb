package store

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// InsertOpenIDToken keeps the hash of an OpenID token until it expires, and of a user's the newest keep; those that have expired go. device is the
// one that asked for it, "" for none.
func (tx *Tx) InsertOpenIDToken(hash [32]byte, user id.UserID, device id.DeviceID, nowTS, expiresTS int64, keep int) error {
	nid, err := tx.NID(string(user))
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM openid_tokens WHERE expires_ts <= $1`, nowTS); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO openid_tokens (hash, user_nid, expires_ts, device_id) VALUES ($1, $2, $3, $4)`, hash[:], nid, expiresTS,
		nullString(string(device))); err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM openid_tokens WHERE user_nid = $1 AND expires_ts < (SELECT expires_ts FROM openid_tokens
		WHERE user_nid = $1 ORDER BY expires_ts DESC LIMIT 1 OFFSET $2)`, nid, keep-1)
	return err
}

// OpenIDUser returns whose the OpenID token of a hash is. ErrNotFound when there is none that has not expired, for a user who may not use
// the account, and when the device that asked for it is gone.
func (tx *Tx) OpenIDUser(hash [32]byte, nowTS int64) (id.UserID, error) {
	var user string
	found, err := tx.Row(`SELECT u.value FROM openid_tokens o JOIN strings u ON u.nid = o.user_nid JOIN users a ON a.nid = o.user_nid
		WHERE o.hash = $1 AND o.expires_ts > $2 AND a.deactivated = 0 AND a.locked = 0 AND (a.valid_until_ts IS NULL OR a.valid_until_ts > $2)
		AND (o.device_id IS NULL OR EXISTS (SELECT 1 FROM devices d WHERE d.user_nid = o.user_nid AND d.device_id = o.device_id))`,
		[]any{hash[:], nowTS}, &user)
	if err == nil && !found {
		err = fmt.Errorf("openid token: %w", ErrNotFound)
	}
	return id.UserID(user), err
}
