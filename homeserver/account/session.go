package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Forms of what is made up at random, and bounds on what clients choose.
const (
	accessTokenBytes   = 32
	accessTokenPrefix  = "cwt_" // lets scanners for leaked secrets tell what it is
	refreshTokenPrefix = "cwr_"
	deviceIDLetters    = 10
	maxDeviceIDBytes   = 255
	maxDeviceNameBytes = 255
	upperLetters       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lowerLetters       = "abcdefghijklmnopqrstuvwxyz"
)

// Device is what a client says about itself when it logs in.
type Device struct {
	DeviceID    id.DeviceID // "" for one that the server picks
	DisplayName string      // counts for a new device only
	Refreshable bool        // the client knows of refresh tokens
	AppService  string      // the application service that logs it in, "" for none
}

func (d *Device) check() error {
	switch {
	case len(d.DeviceID) > maxDeviceIDBytes || !storable(string(d.DeviceID)):
		return invalidParam("device_id must be text of at most %d bytes", maxDeviceIDBytes)
	case len(d.DisplayName) > maxDeviceNameBytes || !storable(d.DisplayName):
		return invalidParam("initial_device_display_name must be text of at most %d bytes", maxDeviceNameBytes)
	}
	if d.DeviceID == "" {
		d.DeviceID = id.DeviceID(randomText(upperLetters, deviceIDLetters))
	}
	return nil
}

// insertSession gives a user's device new tokens, in the place of those that it has.
func (s *Service) insertSession(tx *store.Tx, userNID int64, device Device) (Tokens, error) {
	if err := s.ensureDevice(tx, userNID, device.DeviceID, device.DisplayName); err != nil {
		return Tokens{}, err
	}
	if err := tx.EndTokens(userNID, device.DeviceID); err != nil {
		return Tokens{}, err
	}
	// A device that came by OAuth is that client's no more: it is logged in as any other, and confirms things as any other.
	if err := tx.SetDeviceOrigin(userNID, device.DeviceID, "", device.AppService); err != nil {
		return Tokens{}, err
	}
	f := s.newTokens(userNID, device.DeviceID, device.Refreshable, "")
	return f.Tokens, f.insert(tx)
}

// ensureDevice adds a device that somebody uses to a user, unless it is there. The error is 400 M_INVALID_PARAM for an id that no such
// device can have: that of a cross-signing key, or of the dehydrated device, which others send what is meant for all of the user's (MSC3814).
func (s *Service) ensureDevice(tx *store.Tx, userNID int64, device id.DeviceID, name string) error {
	dehydrated, _, err := tx.DehydratedDevice(userNID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err == nil && dehydrated == device {
		return invalidParam("device_id is that of your dehydrated device")
	}
	err = tx.EnsureDevice(userNID, device, name, s.now())
	if errors.Is(err, store.ErrKeyName) {
		return invalidParam("device_id is the name of a cross-signing key")
	}
	return err
}

// Logout ends the session of a device and removes the device.
func (s *Service) Logout(ctx context.Context, user id.UserID, device id.DeviceID) error {
	if device == "" {
		return forbidden("There is no session to end")
	}
	return s.endSessions(ctx, user, func(tx *store.Tx, userNID int64) (store.DeviceChange, error) {
		return tx.DeleteDevice(userNID, device)
	})
}

// EndDevice is Logout for whoever is signed in in a browser. The error is 403 M_FORBIDDEN when they are not any more.
func (s *Service) EndDevice(ctx context.Context, b Browser, device id.DeviceID) error {
	return s.endSessions(ctx, b.UserID, func(tx *store.Tx, userNID int64) (store.DeviceChange, error) {
		if err := b.Check(tx, s.now()); err != nil {
			return store.DeviceChange{}, err
		}
		return tx.DeleteDevice(userNID, device)
	})
}

// LogoutAll ends all sessions of a user and removes the devices, but for keep ("" keeps none). Browsers are signed out, and what was granted
// and has not been redeemed ends.
func (s *Service) LogoutAll(ctx context.Context, user id.UserID, keep id.DeviceID) error {
	return s.endSessions(ctx, user, func(tx *store.Tx, userNID int64) (store.DeviceChange, error) {
		if err := tx.EndGrants(userNID); err != nil {
			return store.DeviceChange{}, err
		}
		return tx.DeleteDevices(userNID, keep)
	})
}

func (s *Service) endSessions(ctx context.Context, user id.UserID, end func(*store.Tx, int64) (store.DeviceChange, error)) error {
	var change store.DeviceChange
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		change, err = end(tx, u.NID)
		return err
	})
	s.forget(user)
	if err != nil {
		return fmt.Errorf("end sessions of %s: %w", user, err)
	}
	s.devicesChanged(change)
	return nil
}

// devicesChanged wakes those who have to hear that devices with keys are gone.
func (s *Service) devicesChanged(change store.DeviceChange) {
	if change.Pos != 0 {
		s.bus.Publish(notify.UserAndRooms(change.UserNID, change.Rooms, change.Pos)...)
	}
}

// randomText returns n random letters of an alphabet of at most 256.
func randomText(alphabet string, n int) string {
	text := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet) // bytes from here on would favour the first letters
	buffer := make([]byte, 2*n)
	for len(text) < n {
		_, _ = rand.Read(buffer) // never fails
		for _, b := range buffer {
			if int(b) < limit && len(text) < n {
				text = append(text, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(text)
}

// storable tells whether every database takes s for text.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
