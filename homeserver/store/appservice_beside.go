package store

import (
	"encoding/json"
	"fmt"
	"strconv"

	"maunium.net/go/mautrix/id"
)

// StreamReceipts returns at most limit receipts of all rooms at after < pos ≤ upto, oldest first, those among them that only their
// users may see.
func (tx *Tx) StreamReceipts(after, upto int64, limit int) ([]Receipt, error) {
	all, err := tx.receipts(`SELECT `+receiptColumns+` FROM receipts r WHERE r.pos > $1 AND r.pos <= $2 ORDER BY r.pos LIMIT `+atLeast(limit), after, upto)
	return all[:min(len(all), limit)], err
}

// StreamPresence returns at most limit presences of all users at after < pos ≤ upto, oldest first.
func (tx *Tx) StreamPresence(after, upto int64, limit int) ([]Presence, error) {
	all, err := tx.presences(`SELECT `+presenceColumns+` FROM presence p WHERE p.pos > $1 AND p.pos <= $2 ORDER BY p.pos LIMIT `+atLeast(limit), after, upto)
	return all[:min(len(all), limit)], err
}

// StreamDeviceChanges returns at most limit changes of users' devices at after < pos ≤ upto, oldest first, without the rooms.
func (tx *Tx) StreamDeviceChanges(after, upto int64, limit int) ([]DeviceChange, error) {
	var all []DeviceChange
	err := tx.Query(`SELECT user_nid, pos FROM device_changes WHERE pos > $1 AND pos <= $2 ORDER BY pos LIMIT `+atLeast(limit), []any{after, upto},
		func(scan func(...any) error) error {
			var c DeviceChange
			err := scan(&c.UserNID, &c.Pos)
			all = append(all, c)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read changes of devices: %w", err)
	}
	return all[:min(len(all), limit)], nil
}

// ServiceDevice is a device of an account that an application service made.
type ServiceDevice struct {
	UserNID  int64
	DeviceID id.DeviceID
}

// ServiceMail is a message to a device of an account that an application service made.
type ServiceMail struct {
	ServiceDevice
	ToDevice
}

// StreamToDevice returns at most limit messages to devices of accounts that an application service made, at after < pos ≤ upto, oldest
// first. Those for a dehydrated device wait for whoever takes that over. The cost is that of all messages in the range.
func (tx *Tx) StreamToDevice(serviceID string, after, upto int64, limit int) ([]ServiceMail, error) {
	var all []ServiceMail
	err := tx.Query(`SELECT m.user_nid, m.device_id, m.pos, n.value, m.type, m.content FROM to_device m
		CROSS JOIN users u CROSS JOIN strings n WHERE m.pos > $1 AND m.pos <= $2 AND u.nid = m.user_nid AND u.appservice = $3
		AND n.nid = m.sender_nid AND NOT EXISTS (SELECT 1 FROM dehydrated_devices d WHERE d.user_nid = m.user_nid AND d.device_id = m.device_id)
		ORDER BY m.pos LIMIT `+atLeast(limit), []any{after, upto, serviceID},
		func(scan func(...any) error) error {
			var (
				m                       ServiceMail
				device, sender, content string
			)
			if err := scan(&m.UserNID, &device, &m.Pos, &sender, &m.Type, &content); err != nil {
				return err
			}
			m.DeviceID, m.Sender, m.Content = id.DeviceID(device), id.UserID(sender), json.RawMessage(content)
			all = append(all, m)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read messages to devices of %s: %w", serviceID, err)
	}
	return all[:min(len(all), limit)], nil
}

// ServiceKeys is what a device of an account that an application service made has left of its keys.
type ServiceKeys struct {
	ServiceDevice
	KeyCounts
}

// StreamKeyCounts returns at most limit of the devices of accounts that an application service made of which somebody took a key at
// after < pos ≤ upto, in the order in which that happened last.
func (tx *Tx) StreamKeyCounts(serviceID string, after, upto int64, limit int) ([]ServiceKeys, error) {
	var all []ServiceKeys
	err := tx.Query(`SELECT k.user_nid, k.device_id, k.pos, k.one_time, k.fallback FROM key_counts k CROSS JOIN users u
		WHERE k.pos > $1 AND k.pos <= $2 AND u.nid = k.user_nid AND u.appservice = $3 ORDER BY k.pos LIMIT `+atLeast(limit), []any{after, upto, serviceID},
		func(scan func(...any) error) error {
			var (
				k                         ServiceKeys
				device, oneTime, fallback string
			)
			if err := scan(&k.UserNID, &device, &k.Pos, &oneTime, &fallback); err != nil {
				return err
			}
			k.DeviceID, k.OneTime, k.Fallback = id.DeviceID(device), json.RawMessage(oneTime), json.RawMessage(fallback)
			all = append(all, k)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read what keys devices of %s have left: %w", serviceID, err)
	}
	return all[:min(len(all), limit)], nil
}

// ServiceHasKeys tells whether any device of an account that an application service made has identity keys.
func (tx *Tx) ServiceHasKeys(serviceID string) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users u CROSS JOIN device_keys k WHERE u.appservice = $1 AND k.user_nid = u.nid LIMIT 1`, []any{serviceID}, &one)
}

// MadeBy tells whether an application service made an account.
func (tx *Tx) MadeBy(serviceID string, userNID int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users WHERE nid = $1 AND appservice = $2`, []any{userNID, serviceID}, &one)
}

// DeleteServiceMail deletes the messages up to a position for a device of an account that an application service made, unless the
// device has asked /sync itself.
func (tx *Tx) DeleteServiceMail(serviceID string, d ServiceDevice, upto int64) error {
	_, err := tx.Exec(`DELETE FROM to_device WHERE user_nid = $1 AND device_id = $2 AND pos <= $3
		AND EXISTS (SELECT 1 FROM users u WHERE u.nid = $1 AND u.appservice = $4)
		AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.user_nid = $1 AND d.device_id = $2 AND d.syncs = 1)`,
		d.UserNID, string(d.DeviceID), upto, serviceID)
	return err
}

// TakesToDevice says whether an application service takes messages to devices with its transactions.
func (tx *Tx) TakesToDevice(serviceID string, takes bool) error {
	_, err := tx.Exec(`UPDATE appservices SET to_device = $2 WHERE id = $1 AND to_device <> $2`, serviceID, boolInt(takes))
	return err
}

// TakersOfToDevice returns the application services that take messages to devices with their transactions.
func (tx *Tx) TakersOfToDevice() ([]string, error) {
	return tx.texts(`SELECT id FROM appservices WHERE to_device = 1 ORDER BY id`)
}

// SetSyncs says that a device asks /sync, which only matters, and is only stored, of the accounts that application services made.
func (tx *Tx) SetSyncs(userNID int64, device id.DeviceID) error {
	_, err := tx.Exec(`UPDATE devices SET syncs = 1 WHERE user_nid = $1 AND device_id = $2 AND syncs = 0
		AND EXISTS (SELECT 1 FROM users u WHERE u.nid = $1 AND u.appservice IS NOT NULL)`, userNID, string(device))
	return err
}

// Syncs tells whether it is stored that a device asks /sync; matters is false when it need not be, as of a person's.
func (tx *Tx) Syncs(userNID int64, device id.DeviceID) (stored, matters bool, err error) {
	var syncs int64
	matters, err = tx.Row(`SELECT d.syncs FROM devices d JOIN users u ON u.nid = d.user_nid WHERE d.user_nid = $1 AND d.device_id = $2
		AND u.appservice IS NOT NULL`, []any{userNID, string(device)}, &syncs)
	return syncs != 0, matters, err
}

// EventsAfter counts the events after a position, up to a bound.
func (tx *Tx) EventsAfter(pos int64, bound int) (n int64, err error) {
	_, err = tx.Row(`SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE pos > $1 LIMIT `+strconv.Itoa(bound)+`) x`, []any{pos}, &n)
	return n, err
}

// JoinedMatch returns a user of whom match is true and who is in a room, 0 when there is none. first, unless it is "", is looked for
// before all others.
func (tx *Tx) JoinedMatch(roomNID int64, first id.UserID, match func(id.UserID) bool) (int64, error) {
	if first != "" {
		nid, err := tx.LookupNID(string(first))
		if err != nil {
			return 0, err
		}
		if joined, err := tx.IsJoined(roomNID, nid); joined || err != nil {
			return nid, err
		}
	}
	return tx.memberIn(roomNID, `('join')`, nil, match)
}

// HasMoreMembers tells whether more than so many users are in a room. Its cost does not grow beyond that.
func (tx *Tx) HasMoreMembers(roomNID int64, than int) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM memberships WHERE room_nid = $1 AND membership = 'join' LIMIT 1 OFFSET `+strconv.Itoa(than), []any{roomNID}, &one)
}

// IsJoined tells whether a user is in a room.
func (tx *Tx) IsJoined(roomNID, userNID int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM memberships WHERE user_nid = $1 AND room_nid = $2 AND membership = 'join'`, []any{userNID, roomNID}, &one)
}
