package store

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// DeviceKeys are the identity keys of a device.
type DeviceKeys struct {
	UserNID     int64
	DeviceID    id.DeviceID
	JSON        json.RawMessage // as uploaded, canonical, without "unsigned"
	DisplayName string          // of the device, "" for none
}

// SetDeviceKeys puts identity keys in the place of those that a device has. The device must be there.
func (tx *Tx) SetDeviceKeys(userNID int64, device id.DeviceID, keys []byte) error {
	_, err := tx.Exec(`INSERT INTO device_keys (user_nid, device_id, json) VALUES ($1, $2, $3)
		ON CONFLICT (user_nid, device_id) DO UPDATE SET json = excluded.json`, userNID, string(device), string(keys))
	return err
}

// DeviceKeys returns the identity keys of one device. ErrNotFound.
func (tx *Tx) DeviceKeys(userNID int64, device id.DeviceID) (json.RawMessage, error) {
	var keys string
	found, err := tx.Row(`SELECT json FROM device_keys WHERE user_nid = $1 AND device_id = $2`, []any{userNID, string(device)}, &keys)
	if err == nil && !found {
		err = fmt.Errorf("device keys: %w", ErrNotFound)
	}
	return json.RawMessage(keys), err
}

// DeviceKeysOf calls visit with the identity keys of all devices of some users.
func (tx *Tx) DeviceKeysOf(userNIDs []int64, visit func(DeviceKeys)) error {
	return inBatches(userNIDs, func(some []int64) error {
		query, args := sqldb.In(`SELECT k.user_nid, k.device_id, k.json, d.display_name FROM device_keys k
			JOIN devices d ON d.user_nid = k.user_nid AND d.device_id = k.device_id WHERE k.user_nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				k            DeviceKeys
				device, keys string
				name         sql.NullString
			)
			if err := scan(&k.UserNID, &device, &keys, &name); err != nil {
				return fmt.Errorf("read device keys: %w", err)
			}
			k.DeviceID, k.JSON, k.DisplayName = id.DeviceID(device), json.RawMessage(keys), name.String
			visit(k)
			return nil
		})
	})
}

// Accounts returns those of some users, by their integers, who have an account here.
func (tx *Tx) Accounts(userNIDs []int64) (map[int64]bool, error) {
	have := make(map[int64]bool, len(userNIDs))
	err := inBatches(userNIDs, func(some []int64) error {
		query, args := sqldb.In(`SELECT nid FROM users WHERE nid IN `, 1, some)
		nids, err := tx.ints(query, args...)
		for _, nid := range nids {
			have[nid] = true
		}
		return err
	})
	return have, err
}

// deviceTables are those whose rows belong to devices, beside devices itself.
var deviceTables = []string{"access_tokens", "refresh_tokens", "device_keys", "one_time_keys", "fallback_keys", "key_counts", "to_device", "to_device_txns",
	"device_signatures", "master_signatures", "dehydrated_devices"}

// deviceSettings are the types of account data that go with the device whose id they end in (MSC3890).
var deviceSettings = [...]string{"org.matrix.msc3890.local_notification_settings.", "m.local_notification_settings."}

// DeleteDevice removes a device of a user, with its tokens, its keys and the messages that wait for it. It is no error when there is
// none. The change is zero when nobody else can have known keys of it.
func (tx *Tx) DeleteDevice(userNID int64, deviceID id.DeviceID) (DeviceChange, error) {
	if err := tx.deleteSlidingOf(userNID, deviceID, false); err != nil {
		return DeviceChange{}, err
	}
	for _, prefix := range deviceSettings {
		if _, err := tx.Exec(`DELETE FROM account_data WHERE user_nid = $1 AND room_nid = 0 AND type = $2`, userNID, prefix+string(deviceID)); err != nil {
			return DeviceChange{}, err
		}
	}
	return tx.deleteDevices(userNID, `device_id = $2`, deviceID)
}

// DeleteDevices is DeleteDevice for all devices of a user, but for keep ("" keeps none).
func (tx *Tx) DeleteDevices(userNID int64, keep id.DeviceID) (DeviceChange, error) {
	if err := tx.deleteSlidingOf(userNID, keep, true); err != nil {
		return DeviceChange{}, err
	}
	for _, prefix := range deviceSettings {
		if _, err := tx.Exec(`DELETE FROM account_data WHERE user_nid = $1 AND room_nid = 0 AND SUBSTR(type, 1, $2) = $3 AND type <> $4`,
			userNID, len(prefix), prefix, prefix+string(keep)); err != nil {
			return DeviceChange{}, err
		}
	}
	return tx.deleteDevices(userNID, `device_id <> $2`, keep)
}

func (tx *Tx) deleteDevices(userNID int64, which string, device id.DeviceID) (change DeviceChange, err error) {
	var one int64
	known, err := tx.Row(`SELECT 1 FROM device_keys WHERE user_nid = $1 AND `+which+` LIMIT 1`, []any{userNID, string(device)}, &one)
	if err != nil {
		return DeviceChange{}, err
	}
	for _, table := range append(deviceTables, "devices") {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_nid = $1 AND `+which, userNID, string(device)); err != nil {
			return DeviceChange{}, err
		}
	}
	if !known {
		return DeviceChange{}, nil
	}
	return tx.DevicesChanged(userNID)
}
