package store

import (
	"database/sql"
	"fmt"
	"slices"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Device is a device of a user.
type Device struct {
	DeviceID    id.DeviceID
	DisplayName string // "" for none
	CreatedTS   int64
	LastSeen    Sighting
	OAuthClient string // the OAuth client that it was made for, "" for none
}

// Sighting is when, from where and with what a device was seen. TS is 0 for never since that is kept.
type Sighting struct {
	TS    int64
	IP    string
	Agent string
}

// Devices returns the devices of a user, in the order in which they came.
func (tx *Tx) Devices(userNID int64) ([]Device, error) {
	return tx.devices(`user_nid = $1 ORDER BY created_ts, device_id`, userNID)
}

// Device returns a device of a user. ErrNotFound.
func (tx *Tx) Device(userNID int64, deviceID id.DeviceID) (Device, error) {
	all, err := tx.devices(`user_nid = $1 AND device_id = $2`, userNID, string(deviceID))
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("device: %w", ErrNotFound)
	}
	if err != nil {
		return Device{}, err
	}
	return all[0], nil
}

func (tx *Tx) devices(which string, args ...any) ([]Device, error) {
	var all []Device
	err := tx.Query(`SELECT device_id, display_name, created_ts, last_seen_ts, last_seen_ip, last_seen_agent, oauth_client FROM devices
		WHERE `+which, args, func(scan func(...any) error) error {
		var (
			d                       Device
			name, ip, agent, client sql.NullString
			seen                    sql.NullInt64
		)
		if err := scan(&d.DeviceID, &name, &d.CreatedTS, &seen, &ip, &agent, &client); err != nil {
			return fmt.Errorf("read a device: %w", err)
		}
		d.DisplayName, d.OAuthClient = name.String, client.String
		d.LastSeen = Sighting{TS: seen.Int64, IP: ip.String, Agent: agent.String}
		all = append(all, d)
		return nil
	})
	return all, err
}

// RenameDevice gives a device of a user another name, "" for none. Who can know keys of the device has to hear of it: the change is zero
// when nobody can. ErrNotFound.
func (tx *Tx) RenameDevice(userNID int64, deviceID id.DeviceID, name string) (change DeviceChange, err error) {
	n, err := tx.Exec(`UPDATE devices SET display_name = $3 WHERE user_nid = $1 AND device_id = $2`, userNID, string(deviceID), nullString(name))
	if err == nil && n == 0 {
		err = fmt.Errorf("device: %w", ErrNotFound)
	}
	if err != nil {
		return DeviceChange{}, err
	}
	var one int64
	known, err := tx.Row(`SELECT 1 FROM device_keys WHERE user_nid = $1 AND device_id = $2`, []any{userNID, string(deviceID)}, &one)
	if err != nil || !known {
		return DeviceChange{}, err
	}
	return tx.DevicesChanged(userNID)
}

// SetLastSeen records that a device was seen, unless it is not there any more, or was seen since.
func (tx *Tx) SetLastSeen(user id.UserID, deviceID id.DeviceID, seen Sighting) error {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return err
	}
	return tx.Defer(`UPDATE devices SET last_seen_ts = $3, last_seen_ip = $4, last_seen_agent = $5
		WHERE user_nid = $1 AND device_id = $2 AND (last_seen_ts IS NULL OR last_seen_ts < $3)`,
		nid, string(deviceID), seen.TS, nullString(seen.IP), nullString(seen.Agent))
}

// SeenAt tells whether a device of a user was last seen at one of some addresses.
func (tx *Tx) SeenAt(userNID int64, ips ...string) (bool, error) {
	ips = slices.DeleteFunc(ips, func(ip string) bool { return ip == "" })
	if len(ips) == 0 {
		return false, nil
	}
	var one int64
	query, args := sqldb.In(`SELECT 1 FROM devices WHERE user_nid = $1 AND last_seen_ip IN `, 2, ips)
	return tx.Row(query+` LIMIT 1`, append([]any{userNID}, args...), &one)
}
