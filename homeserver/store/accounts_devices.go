package store

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// Session is what an access token stands for.
type Session struct {
	UserID   id.UserID
	UserNID  int64
	DeviceID id.DeviceID
	Admin    bool
	Guest    bool
}

// EnsureDevice adds a device to a user unless there is one of this id. displayName counts for a new one only.
func (tx *Tx) EnsureDevice(userNID int64, deviceID id.DeviceID, displayName string, ts int64) error {
	_, err := tx.Exec(`INSERT INTO devices (user_nid, device_id, display_name, created_ts) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_nid, device_id) DO NOTHING`, userNID, string(deviceID), nullString(displayName), ts)
	return err
}

// HasDevice tells whether a device belongs to a user.
func (tx *Tx) HasDevice(userID id.UserID, deviceID id.DeviceID) (bool, error) {
	nid, err := tx.LookupNID(string(userID))
	if err != nil || nid == 0 {
		return false, err
	}
	var one int64
	return tx.Row(`SELECT 1 FROM devices WHERE user_nid = $1 AND device_id = $2`, []any{nid, string(deviceID)}, &one)
}

// InsertAccessToken records the SHA-256 of a token for a device, in the place of the device's other tokens.
func (tx *Tx) InsertAccessToken(hash [32]byte, userNID int64, deviceID id.DeviceID, ts int64) error {
	if _, err := tx.Exec(`DELETE FROM access_tokens WHERE user_nid = $1 AND device_id = $2`, userNID, string(deviceID)); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO access_tokens (hash, user_nid, device_id, created_ts) VALUES ($1, $2, $3, $4)`,
		hash[:], userNID, string(deviceID), ts)
	return err
}

// SessionByToken finds whose the token with this SHA-256 is. ErrNotFound.
func (tx *Tx) SessionByToken(hash [32]byte) (Session, error) {
	var (
		s                Session
		userID, deviceID string
		admin, guest     int64
	)
	found, err := tx.Row(`SELECT t.user_nid, n.value, t.device_id, u.admin, u.guest FROM access_tokens t JOIN users u ON u.nid = t.user_nid
		JOIN strings n ON n.nid = t.user_nid WHERE t.hash = $1`, []any{hash[:]}, &s.UserNID, &userID, &deviceID, &admin, &guest)
	if err == nil && !found {
		err = fmt.Errorf("access token: %w", ErrNotFound)
	}
	s.UserID, s.DeviceID, s.Admin, s.Guest = id.UserID(userID), id.DeviceID(deviceID), admin != 0, guest != 0
	return s, err
}
