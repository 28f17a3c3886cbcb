package e2ee

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
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
	keys          *deviceKeys // nil for none
	oneTime, last map[store.KeyID]store.OneTimeKey
	// signer is the key of the device by which the signatures were found right, nil when there was none to verify.
	signer ed25519.PublicKey
}

// Upload takes the public keys of a device, all of them or none, and returns how many one-time keys it has then, as an object: algorithm to
// number (Client-Server API, POST /keys/upload). A one-time key that is there is no error; with another content, it is. Signatures by the
// device are verified. Errors: M_BAD_JSON, M_INVALID_PARAM, M_INVALID_SIGNATURE, M_TOO_LARGE, M_UNKNOWN_TOKEN for a device that is gone.
func (s *Service) Upload(ctx context.Context, by By, in UploadRequest) (json.RawMessage, error) {
	if by.Device == "" {
		return nil, invalidParam("Only a device can upload keys")
	}
	up, err := checkUpload(by, in)
	if err != nil {
		return nil, err
	}
	if err := s.verifyUpload(ctx, up); err != nil {
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
		if change, err = up.store(tx, userNID); err != nil {
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

// store stores what was uploaded.
func (up *upload) store(tx *store.Tx, userNID int64) (store.DeviceChange, error) {
	change, err := up.storeIdentity(tx, userNID)
	if err != nil {
		return change, err
	}
	if err := up.storeOneTime(tx, userNID); err != nil {
		return change, err
	}
	return change, tx.CountKeys(userNID, up.by.Device, 0)
}

// verifyUpload verifies the signatures of one-time keys, by the identity that the request has or the one that is stored. It does so before
// the transaction that stores them: there may be a thousand.
func (s *Service) verifyUpload(ctx context.Context, up *upload) error {
	if len(up.oneTime)+len(up.last) == 0 {
		return nil
	}
	if up.keys != nil {
		up.signer = up.keys.key
	} else {
		err := s.db.View(ctx, func(tx *store.Tx) error {
			userNID, err := tx.LookupNID(string(up.by.User))
			if err != nil {
				return err
			}
			stored, err := up.stored(tx, userNID)
			if stored != nil {
				up.signer = stored.key
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := verifyOneTimeKeys(up.by, up.oneTime, up.signer); err != nil {
		return err
	}
	return verifyOneTimeKeys(up.by, up.last, up.signer)
}

// stored returns the identity keys that the device has, nil for none.
func (up *upload) stored(tx *store.Tx, userNID int64) (*deviceKeys, error) {
	stored, err := tx.DeviceKeys(userNID, up.by.Device)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return storedDeviceKeys(up.by, stored)
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
		var err error
		if up.keys, err = checkDeviceKeys(by, in.DeviceKeys); err != nil {
			return nil, err
		}
	}
	fallback := in.Fallback
	if len(fallback) == 0 {
		fallback = in.UnstableFallback
	}
	var err error
	if up.oneTime, err = checkOneTimeKeys("one_time_keys", in.OneTimeKeys); err != nil {
		return nil, err
	}
	if up.last, err = checkOneTimeKeys("fallback_keys", fallback); err != nil {
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
