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
		admin            int64
	)
	found, err := tx.Row(`SELECT t.user_nid, n.value, t.device_id, u.admin FROM access_tokens t JOIN users u ON u.nid = t.user_nid
		JOIN strings n ON n.nid = t.user_nid WHERE t.hash = $1`, []any{hash[:]}, &s.UserNID, &userID, &deviceID, &admin)
	if err == nil && !found {
		err = fmt.Errorf("access token: %w", ErrNotFound)
	}
	s.UserID, s.DeviceID, s.Admin = id.UserID(userID), id.DeviceID(deviceID), admin != 0
	return s, err
}

// DeleteDevice removes a device of a user and its tokens. It is no error when there is none.
func (tx *Tx) DeleteDevice(userNID int64, deviceID id.DeviceID) error {
	if _, err := tx.Exec(`DELETE FROM access_tokens WHERE user_nid = $1 AND device_id = $2`, userNID, string(deviceID)); err != nil {
		return err
	}
	for _, prefix := range deviceSettings {
		if _, err := tx.Exec(`DELETE FROM account_data WHERE user_nid = $1 AND room_nid = 0 AND type = $2`, userNID, prefix+string(deviceID)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM devices WHERE user_nid = $1 AND device_id = $2`, userNID, string(deviceID))
	return err
}

// deviceSettings are the types of account data that go with the device whose id they end in (MSC3890).
var deviceSettings = [...]string{"org.matrix.msc3890.local_notification_settings.", "m.local_notification_settings."}

// DeleteDevices removes all devices of a user and their tokens, but for keep ("" keeps none).
func (tx *Tx) DeleteDevices(userNID int64, keep id.DeviceID) error {
	if _, err := tx.Exec(`DELETE FROM access_tokens WHERE user_nid = $1 AND device_id <> $2`, userNID, string(keep)); err != nil {
		return err
	}
	for _, prefix := range deviceSettings {
		if _, err := tx.Exec(`DELETE FROM account_data WHERE user_nid = $1 AND room_nid = 0 AND SUBSTR(type, 1, $2) = $3 AND type <> $4`,
			userNID, len(prefix), prefix, prefix+string(keep)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM devices WHERE user_nid = $1 AND device_id <> $2`, userNID, string(keep))
	return err
}
