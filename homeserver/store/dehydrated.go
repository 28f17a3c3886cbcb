package store

import (
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// DehydratedDevice returns the dehydrated device of a user, and what a client needs to wake it (MSC3814). ErrNotFound.
func (tx *Tx) DehydratedDevice(userNID int64) (device id.DeviceID, data json.RawMessage, err error) {
	var name, raw string
	found, err := tx.Row(`SELECT device_id, data FROM dehydrated_devices WHERE user_nid = $1`, []any{userNID}, &name, &raw)
	if err == nil && !found {
		err = fmt.Errorf("dehydrated device: %w", ErrNotFound)
	}
	return id.DeviceID(name), json.RawMessage(raw), err
}

// SetDehydratedDevice says which device of a user is dehydrated. The device must be there; the one that was dehydrated before becomes a
// usual one by this, so that it has to be deleted.
func (tx *Tx) SetDehydratedDevice(userNID int64, device id.DeviceID, data json.RawMessage) error {
	_, err := tx.Exec(`INSERT INTO dehydrated_devices (user_nid, device_id, data) VALUES ($1, $2, $3)
		ON CONFLICT (user_nid) DO UPDATE SET device_id = excluded.device_id, data = excluded.data`, userNID, string(device), string(data))
	return err
}
