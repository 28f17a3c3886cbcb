package e2ee

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// UploadRequest is the body of POST /keys/upload. Each part may be absent.
type UploadRequest struct {
	DeviceKeys  json.RawMessage            `json:"device_keys"`
	OneTimeKeys map[string]json.RawMessage `json:"one_time_keys"` // by "algorithm:id"
	Fallback    map[string]json.RawMessage `json:"fallback_keys"`
	// UnstableFallback is what Fallback was called before MSC2732 was merged.
	UnstableFallback map[string]json.RawMessage `json:"org.matrix.msc2732.fallback_keys"`
}

// upload is a request that has been checked.
type upload struct {
	by            By
	keys          []byte // nil for none
	identity      map[string]string
	oneTime, last map[store.KeyID]store.OneTimeKey
}

// Upload takes the public keys of a device, all of them or none, and returns how many one-time keys it has then, as an object: algorithm to
// number (Client-Server API, POST /keys/upload). A one-time key that is there is no error; with another content, it is. Errors:
// M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE, M_UNKNOWN_TOKEN for a device that is gone.
func (s *Service) Upload(ctx context.Context, by By, in UploadRequest) (json.RawMessage, error) {
	if by.Device == "" {
		return nil, invalidParam("Only a device can upload keys")
	}
	up, err := checkUpload(by, in)
	if err != nil {
		return nil, err
	}
	var (
		counts store.KeyCounts
		change store.DeviceChange
	)
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		has, err := tx.HasDevice(by.User, by.Device)
		if err == nil && !has {
			err = signedOut()
		}
		if err != nil {
			return err
		}
		userNID, err := tx.LookupNID(string(by.User))
		if err != nil {
			return err
		}
		if change, err = up.storeIdentity(tx, userNID); err != nil {
			return err
		}
		if err := up.storeOneTime(tx, userNID); err != nil {
			return err
		}
		if err := tx.CountKeys(userNID, by.Device, 0); err != nil {
			return err
		}
		counts, err = tx.KeyCounts(userNID, by.Device)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store keys of %s: %w", by.User, err)
	}
	s.ring(change)
	return counts.OneTime, nil
}

// ring wakes those who have to hear that a user's devices changed.
func (s *Service) ring(change store.DeviceChange) {
	if change.Pos != 0 {
		s.bus.Publish(notify.UserAndRooms(change.UserNID, change.Rooms, change.Pos)...)
	}
}

func checkUpload(by By, in UploadRequest) (*upload, error) {
	up := &upload{by: by}
	if len(in.DeviceKeys) > 0 && string(in.DeviceKeys) != "null" {
		keys, parsed, err := checkDeviceKeys(by, in.DeviceKeys)
		if err != nil {
			return nil, err
		}
		up.keys, up.identity = keys, parsed.Keys
	}
	fallback := in.Fallback
	if len(fallback) == 0 {
		fallback = in.UnstableFallback
	}
	var err error
	if up.oneTime, err = checkOneTimeKeys(by, "one_time_keys", in.OneTimeKeys); err != nil {
		return nil, err
	}
	if up.last, err = checkOneTimeKeys(by, "fallback_keys", fallback); err != nil {
		return nil, err
	}
	algorithms := make(map[string]bool)
	for k := range up.last {
		if algorithms[k.Algorithm] {
			return nil, invalidParam("fallback_keys has more than one key for %s", k.Algorithm)
		}
		algorithms[k.Algorithm] = true
	}
	return up, nil
}

// storeIdentity stores the identity keys where they are new. What one-time keys a device has of another identity nobody could use: they go.
func (up *upload) storeIdentity(tx *store.Tx, userNID int64) (store.DeviceChange, error) {
	if up.keys == nil {
		return store.DeviceChange{}, nil
	}
	old, err := tx.DeviceKeys(userNID, up.by.Device)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.DeviceChange{}, err
	}
	if bytes.Equal(old, up.keys) {
		return store.DeviceChange{}, nil
	}
	if old != nil && err == nil {
		var was deviceKeys
		if err := json.Unmarshal(old, &was); err != nil {
			return store.DeviceChange{}, fmt.Errorf("read the keys that a device had: %w", err)
		}
		if !maps.Equal(was.Keys, up.identity) {
			if err := tx.DeleteOneTimeKeys(userNID, up.by.Device); err != nil {
				return store.DeviceChange{}, err
			}
		}
	}
	if err := tx.SetDeviceKeys(userNID, up.by.Device, up.keys); err != nil {
		return store.DeviceChange{}, err
	}
	return tx.DevicesChanged(userNID)
}

func (up *upload) storeOneTime(tx *store.Tx, userNID int64) error {
	if len(up.oneTime) > 0 {
		have, err := tx.OneTimeKeys(userNID, up.by.Device)
		if err != nil {
			return err
		}
		fresh, err := freshKeys(up.by.Device, have, up.oneTime)
		if err != nil {
			return err
		}
		if err := tx.InsertOneTimeKeys(userNID, up.by.Device, fresh); err != nil {
			return err
		}
	}
	if len(up.last) == 0 {
		return nil
	}
	have, err := tx.FallbackKeys(userNID, up.by.Device)
	if err != nil {
		return err
	}
	kinds := make(map[string]bool)
	for k := range have {
		kinds[k.Algorithm] = true
	}
	for k, key := range up.last {
		// That a fallback key was used is not undone by uploading it again.
		if bytes.Equal(have[k].JSON, key.JSON) {
			continue
		}
		if kinds[k.Algorithm] = true; len(kinds) > maxFallbackKeys {
			return tooLarge("A device can have fallback keys for %d algorithms", maxFallbackKeys)
		}
		if err := tx.SetFallbackKey(userNID, up.by.Device, key); err != nil {
			return err
		}
	}
	return nil
}

// freshKeys returns those of the uploaded keys that a device does not have. One that was given out already, and is uploaded again because
// the client did not get our answer, is not fresh.
func freshKeys(device id.DeviceID, have, uploaded map[store.KeyID]store.OneTimeKey) ([]store.OneTimeKey, error) {
	unclaimed := 0
	for _, k := range have {
		if !k.Claimed {
			unclaimed++
		}
	}
	var fresh []store.OneTimeKey
	for name, k := range uploaded {
		old, ok := have[name]
		same := ok && bytes.Equal(old.JSON, k.JSON)
		switch {
		case same:
		case ok && !old.Claimed:
			return nil, invalidParam("One time key %s already exists, with another content, for device %s", name, device)
		default:
			fresh = append(fresh, k)
		}
	}
	if len(fresh) > 0 && unclaimed+len(fresh) > maxOneTimeKeys {
		return nil, tooLarge("A device can have %d one-time keys", maxOneTimeKeys)
	}
	slices.SortFunc(fresh, func(a, b store.OneTimeKey) int { return strings.Compare(a.String(), b.String()) })
	return fresh, nil
}
