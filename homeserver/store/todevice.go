package store

import (
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// ToDevice is a message that waits for a device.
type ToDevice struct {
	Pos     int64
	Sender  id.UserID
	Type    string
	Content json.RawMessage // an object
}

// InsertToDevice puts a message behind those that wait for a device, and returns its position. The device must be there.
func (tx *Tx) InsertToDevice(userNID int64, device id.DeviceID, senderNID int64, eventType string, content []byte, ts int64) (int64, error) {
	pos, err := tx.NextPos()
	if err != nil {
		return 0, err
	}
	tx.touch(FamilyToDevice, pos)
	return pos, tx.Defer(`INSERT INTO to_device (pos, user_nid, device_id, sender_nid, type, content, ts) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		pos, userNID, string(device), senderNID, eventType, string(content), ts)
}

// ToDeviceAfter returns about limit of the messages for a device at after < pos ≤ upto, or more, oldest first.
func (tx *Tx) ToDeviceAfter(userNID int64, device id.DeviceID, after, upto int64, limit int) ([]ToDevice, error) {
	var all []ToDevice
	err := tx.Query(`SELECT m.pos, n.value, m.type, m.content FROM to_device m JOIN strings n ON n.nid = m.sender_nid
		WHERE m.user_nid = $1 AND m.device_id = $2 AND m.pos > $3 AND m.pos <= $4 ORDER BY m.pos LIMIT `+atLeast(limit),
		[]any{userNID, string(device), after, upto}, func(scan func(...any) error) error {
			var (
				m       ToDevice
				sender  string
				content string
			)
			if err := scan(&m.Pos, &sender, &m.Type, &content); err != nil {
				return fmt.Errorf("read a to-device message: %w", err)
			}
			m.Sender, m.Content = id.UserID(sender), json.RawMessage(content)
			all = append(all, m)
			return nil
		})
	return all, err
}

// HasToDevice tells whether a message for a device is still there at or before a position that the stream has reached. It is one query.
func (tx *Tx) HasToDevice(userNID int64, device id.DeviceID, upto int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM to_device WHERE user_nid = $1 AND device_id = $2 AND pos <= $3 LIMIT 1`,
		[]any{userNID, string(device), upto}, &one)
}

// DeleteToDevice deletes the messages for a device up to a position.
func (tx *Tx) DeleteToDevice(userNID int64, device id.DeviceID, upto int64) error {
	_, err := tx.Exec(`DELETE FROM to_device WHERE user_nid = $1 AND device_id = $2 AND pos <= $3`, userNID, string(device), upto)
	return err
}

// TrimToDevice deletes the oldest messages of one sender for a device, but for the newest keep, and tells how many these were. Its cost
// is that of the messages of this sender that wait.
func (tx *Tx) TrimToDevice(userNID int64, device id.DeviceID, senderNID int64, keep int) (int64, error) {
	var pos int64
	found, err := tx.Row(fmt.Sprintf(`SELECT pos FROM to_device WHERE user_nid = $1 AND device_id = $2 AND sender_nid = $3
		ORDER BY pos DESC LIMIT 1 OFFSET %d`, keep), []any{userNID, string(device), senderNID}, &pos)
	if err != nil || !found {
		return 0, err
	}
	return tx.Exec(`DELETE FROM to_device WHERE user_nid = $1 AND device_id = $2 AND sender_nid = $3 AND pos <= $4`,
		userNID, string(device), senderNID, pos)
}

// DropToDevice deletes some of the messages that came before a time and that nobody has acknowledged since. more tells that there may be
// others after the position last; the search begins after it. A dehydrated device keeps what it has: that it is not seen is its purpose.
// So does what an application service is still to be sent: that may be down for long.
func (tx *Tx) DropToDevice(after, beforeTS int64) (dropped, bytes, last int64, more bool, err error) {
	// Messages come in the order of their positions, but for clocks that are set.
	var going []int64
	scanned, old := 0, 0
	err = tx.Query(`SELECT m.pos, m.ts, OCTET_LENGTH(m.content), CASE WHEN d.user_nid IS NULL AND a.id IS NULL THEN 0 ELSE 1 END
		FROM to_device m LEFT JOIN dehydrated_devices d ON d.user_nid = m.user_nid AND d.device_id = m.device_id
		LEFT JOIN users u ON u.nid = m.user_nid LEFT JOIN appservices a ON a.id = u.appservice AND a.to_device = 1 AND a.pos < m.pos WHERE m.pos > $1 ORDER BY m.pos LIMIT `+atLeast(maxScan), []any{after},
		func(scan func(...any) error) error {
			var pos, ts, size, kept int64
			if err := scan(&pos, &ts, &size, &kept); err != nil {
				return err
			}
			scanned, last = scanned+1, pos
			if ts >= beforeTS {
				return nil
			}
			if old++; kept == 0 {
				going, bytes = append(going, pos), bytes+size
			}
			return nil
		})
	if err != nil {
		return 0, 0, 0, false, err
	}
	more = scanned >= maxScan && old > 0
	return int64(len(going)), bytes, last, more, tx.execIn(`DELETE FROM to_device WHERE pos IN `, going)
}

// InsertToDeviceTxn records a request to send messages by a device. fresh is false when there was the same one before. Requests of this
// device from before a time are forgotten.
func (tx *Tx) InsertToDeviceTxn(userNID int64, device, eventType, txnID string, ts, forgetTS int64) (fresh bool, err error) {
	if _, err := tx.Exec(`DELETE FROM to_device_txns WHERE user_nid = $1 AND device_id = $2 AND ts < $3`, userNID, device, forgetTS); err != nil {
		return false, err
	}
	n, err := tx.Exec(`INSERT INTO to_device_txns (user_nid, device_id, type, txn_id, ts) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (user_nid, device_id, type, txn_id) DO NOTHING`, userNID, device, eventType, txnID, ts)
	return n > 0, err
}

// DeviceIDs returns the devices of a user, in their order.
func (tx *Tx) DeviceIDs(userNID int64) ([]id.DeviceID, error) {
	names, err := tx.texts(`SELECT device_id FROM devices WHERE user_nid = $1 ORDER BY device_id`, userNID)
	all := make([]id.DeviceID, len(names))
	for i, name := range names {
		all[i] = id.DeviceID(name)
	}
	return all, err
}
