package e2ee

import (
	"encoding/json"
	"fmt"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on the keys of one device.
const (
	maxDeviceKeysBytes  = 64 << 10
	maxOneTimeKeyBytes  = 8 << 10
	maxOneTimeKeys      = 500 // that wait to be given out
	maxFallbackKeys     = 16  // algorithms
	maxKeysPerUpload    = 1000
	maxAlgorithms       = 64
	maxIdentityKeys     = 64
	maxSignaturesPerKey = 256
)

// deviceKeys is what has to be in a DeviceKeys object.
type deviceKeys struct {
	UserID     id.UserID                       `json:"user_id"`
	DeviceID   id.DeviceID                     `json:"device_id"`
	Algorithms []string                        `json:"algorithms"`
	Keys       map[string]string               `json:"keys"`
	Signatures map[id.UserID]map[string]string `json:"signatures"`
}

// checkDeviceKeys returns the identity keys of a device as they are stored: canonical, and without "unsigned", which is the server's.
// Client-Server API, POST /keys/upload: DeviceKeys.
func checkDeviceKeys(by By, raw json.RawMessage) ([]byte, deviceKeys, error) {
	var keys deviceKeys
	if err := json.Unmarshal(raw, &keys); err != nil {
		return nil, keys, badJSON("device_keys are not of the form that they should have")
	}
	switch {
	case keys.UserID == "" || keys.DeviceID == "" || keys.Algorithms == nil || keys.Keys == nil || keys.Signatures == nil:
		return nil, keys, badJSON("device_keys need user_id, device_id, algorithms, keys and signatures")
	case keys.UserID != by.User || keys.DeviceID != by.Device:
		return nil, keys, invalidParam("device_keys are not those of this user's device")
	case len(keys.Algorithms) > maxAlgorithms || len(keys.Keys) > maxIdentityKeys || len(keys.Signatures) > maxSignaturesPerKey:
		return nil, keys, tooLarge("device_keys have too many algorithms, keys or signatures")
	}
	if err := verify(by, raw); err != nil {
		return nil, keys, err
	}
	canonical, err := canonicalWithout(raw, "unsigned")
	if err != nil {
		return nil, keys, badJSON("device_keys: %v", err)
	}
	if len(canonical) > maxDeviceKeysBytes {
		return nil, keys, tooLarge("device_keys can have %d bytes", maxDeviceKeysBytes)
	}
	return canonical, keys, nil
}

// checkOneTimeKeys returns one-time keys, or fallback keys, by their ids. A key is an object, or, for algorithms that do not sign, a string.
func checkOneTimeKeys(by By, field string, raw map[string]json.RawMessage) (map[store.KeyID]store.OneTimeKey, error) {
	if len(raw) > maxKeysPerUpload {
		return nil, tooLarge("%s can have %d keys", field, maxKeysPerUpload)
	}
	keys := make(map[store.KeyID]store.OneTimeKey, len(raw))
	for name, value := range raw {
		algorithm, keyID, ok := strings.Cut(name, ":")
		if !ok || !isName(algorithm) || !isName(keyID) {
			return nil, invalidParam("%s: a key's name is algorithm:id, each of at most %d bytes", field, maxNameBytes)
		}
		canonical, err := canonicalKey(value)
		if err != nil {
			return nil, badJSON("%s: %v", field, err)
		}
		if len(canonical) > maxOneTimeKeyBytes {
			return nil, tooLarge("%s: a key can have %d bytes", field, maxOneTimeKeyBytes)
		}
		if canonical[0] == '{' {
			if err := verify(by, canonical); err != nil {
				return nil, err
			}
		}
		k := store.KeyID{Algorithm: algorithm, ID: keyID}
		keys[k] = store.OneTimeKey{KeyID: k, JSON: canonical}
	}
	return keys, nil
}

// canonicalKey returns a key, a string or an object, in canonical JSON.
func canonicalKey(raw json.RawMessage) ([]byte, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		wrapped, err := event.CanonicalJSON([]byte(`{"k":` + string(raw) + `}`))
		if err != nil {
			return nil, err
		}
		return wrapped[len(`{"k":`) : len(wrapped)-1], nil
	}
	var object struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(raw, &object); err != nil || object.Key == "" {
		return nil, fmt.Errorf("a key is a string, or an object with one as its key")
	}
	return event.CanonicalJSON(raw)
}

func canonicalWithout(raw json.RawMessage, field string) ([]byte, error) {
	canonical, err := event.CanonicalJSON(raw)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(canonical, &members); err != nil {
		return nil, err
	}
	if _, has := members[field]; !has {
		return canonical, nil
	}
	delete(members, field)
	rest, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	return event.CanonicalJSON(rest)
}

// verify is where the signatures of uploaded keys will be verified, all of them: it is called with each object that a device uploads,
// before anything is stored. So far it is the other device that verifies, as it always must.
func verify(By, json.RawMessage) error { return nil }
