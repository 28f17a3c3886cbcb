package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxDeleteDevices bounds the devices that one request deletes.
const maxDeleteDevices = 1000

// DeviceInfo is a device as its user sees it (Client-Server API, "Device Management").
type DeviceInfo struct {
	DeviceID    id.DeviceID `json:"device_id"`
	DisplayName string      `json:"display_name,omitempty"`
	LastSeenIP  string      `json:"last_seen_ip,omitempty"`
	LastSeenTS  int64       `json:"last_seen_ts,omitempty"`
	// UserAgent is what the device was last seen with. It is for the user's own eyes, on the page of the account.
	UserAgent   string `json:"-"`
	OAuthClient string `json:"-"` // the OAuth client that the device was made for, "" for none
}

func (s *Service) deviceInfo(user id.UserID, d store.Device) DeviceInfo {
	seen := d.LastSeen
	if newer, ok := s.seen.of(user, d.DeviceID); ok && newer.TS > seen.TS {
		seen = newer
	}
	return DeviceInfo{
		DeviceID: d.DeviceID, DisplayName: d.DisplayName, LastSeenIP: seen.IP, LastSeenTS: seen.TS, UserAgent: seen.Agent, OAuthClient: d.OAuthClient,
	}
}

// Devices returns the devices of a user, in the order in which they came. Errors: 404 M_NOT_FOUND for nobody.
func (s *Service) Devices(ctx context.Context, user id.UserID) ([]DeviceInfo, error) {
	var rows []store.Device
	err := s.db.View(ctx, func(tx *store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		rows, err = tx.Devices(u.NID)
		return err
	})
	if err != nil {
		return nil, deviceError(user, err)
	}
	all := make([]DeviceInfo, 0, len(rows))
	for _, d := range rows {
		all = append(all, s.deviceInfo(user, d))
	}
	return all, nil
}

// Device returns a device of a user. Errors: 404 M_NOT_FOUND, for others' devices, too.
func (s *Service) Device(ctx context.Context, user id.UserID, device id.DeviceID) (DeviceInfo, error) {
	var row store.Device
	err := s.db.View(ctx, func(tx *store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		row, err = tx.Device(u.NID, device)
		return err
	})
	return s.deviceInfo(user, row), deviceError(user, err)
}

func deviceError(user id.UserID, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("No such device")
	}
	if err != nil {
		return fmt.Errorf("devices of %s: %w", user, err)
	}
	return nil
}

// UpdateDevice gives a device another name, nil for the one that it has. An application service makes a device that is not there
// (Application Service API, "Managing devices"; MSC4190). Errors: 404 M_NOT_FOUND; 400 M_INVALID_PARAM.
func (s *Service) UpdateDevice(ctx context.Context, who Requester, device id.DeviceID, name *string) (created bool, err error) {
	return s.updateDevice(ctx, who, device, name, func(*store.Tx) error { return nil })
}

// RenameDevice gives a device of whoever is signed in in a browser another name. Errors: 403 M_FORBIDDEN when they are not any more, and those
// of [Service.UpdateDevice].
func (s *Service) RenameDevice(ctx context.Context, b Browser, device id.DeviceID, name string) error {
	_, err := s.updateDevice(ctx, Requester{UserID: b.UserID}, device, &name, func(tx *store.Tx) error { return b.Check(tx, s.now()) })
	return err
}

func (s *Service) updateDevice(
	ctx context.Context, who Requester, device id.DeviceID, name *string, may func(*store.Tx) error,
) (created bool, err error) {
	d := Device{DeviceID: device}
	if name != nil {
		d.DisplayName = *name
	}
	if err := d.check(); err != nil {
		return false, err
	}
	var change store.DeviceChange
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		created, change = false, store.DeviceChange{}
		if err := may(tx); err != nil {
			return err
		}
		user, err := tx.User(who.UserID)
		if err != nil {
			return err
		}
		old, err := tx.Device(user.NID, device)
		switch {
		case errors.Is(err, store.ErrNotFound) && who.ByAppService:
			created = true
			return s.ensureDevice(tx, user.NID, device, d.DisplayName)
		case err != nil || name == nil || *name == old.DisplayName:
			return err
		}
		change, err = tx.RenameDevice(user.NID, device, *name)
		return err
	})
	if err != nil {
		return false, deviceError(who.UserID, err)
	}
	s.devicesChanged(change)
	return created, nil
}

// DeleteDevices removes devices of a user, with their sessions and keys, after the user has proven who they are. Devices that are not the
// user's are passed over. Errors: *Challenge; 400 M_INVALID_PARAM.
func (s *Service) DeleteDevices(ctx context.Context, who Requester, devices []id.DeviceID, auth *AuthData) error {
	if len(devices) > maxDeleteDevices {
		return invalidParam("One request can delete %d devices", maxDeleteDevices)
	}
	done, err := s.Confirm(ctx, who, deletionOf(devices), auth)
	if err != nil {
		return err
	}
	if err := s.RemoveDevices(ctx, who.UserID, devices); err != nil {
		return err
	}
	done()
	return nil
}

// RemoveDevices is DeleteDevices for who has proven who they are in another way.
func (s *Service) RemoveDevices(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	return s.endSessions(ctx, user, func(tx *store.Tx, userNID int64) (change store.DeviceChange, err error) {
		for _, device := range devices {
			if !storable(string(device)) {
				continue // no database has it
			}
			one, err := tx.DeleteDevice(userNID, device)
			if err != nil {
				return change, err
			}
			if one.Pos != 0 {
				change = one
			}
		}
		return change, nil
	})
}

// deletionOf names the deletion of devices, so that what is proven for one deletion does not count for another.
func deletionOf(devices []id.DeviceID) string {
	sorted := slices.Clone(devices)
	slices.Sort(sorted)
	raw, _ := json.Marshal(slices.Compact(sorted)) // texts can be marshalled
	sum := sha256.Sum256(raw)
	return "sign out devices: " + hex.EncodeToString(sum[:])
}
