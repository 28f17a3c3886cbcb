package e2ee

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on the keys of one device.
const (
	maxDeviceKeysBytes  = 64 << 10
	maxSignedBytes      = 128 << 10 // of an object before what the server has no use for is taken out
	maxOneTimeKeyBytes  = 8 << 10
	maxOneTimeKeys      = 500 // that wait to be given out
	maxFallbackKeys     = 16  // algorithms
	maxKeysPerUpload    = 1000
	maxAlgorithms       = 64
	maxIdentityKeys     = 64
	maxSignaturesPerKey = 256
)

// signedCurve25519 is the algorithm of one-time keys that have to be signed. Client-Server API, "Key algorithms".
const signedCurve25519 = "signed_curve25519"

// deviceKeys are the identity keys of a device.
type deviceKeys struct {
	json []byte            // as they are stored: canonical, with the signature of the device itself and no other
	keys map[string]string // by "algorithm:device"
	key  ed25519.PublicKey // by which the device signs, nil for none that could
	// signed tells that the device itself has signed them: the owner of the key, and nobody else, says what belongs to it.
	signed bool
	other  signed // with signatures by other keys of the user, not verified
}

// keyID is the name of the key by which a device signs.
func keyID(device id.DeviceID) string { return signingAlgorithm + string(device) }

// checkDeviceKeys reads the identity keys of a device. Where they have a signature by the device, it must be right. They may have none:
// other devices have no use for them then. Client-Server API, POST /keys/upload: DeviceKeys.
func checkDeviceKeys(by By, raw json.RawMessage) (*deviceKeys, error) {
	canonical, err := event.CanonicalJSON(raw)
	if err != nil {
		return nil, badJSON("device_keys: %v", err)
	}
	s, err := readSigned(canonical, by.User)
	if err != nil {
		return nil, err
	}
	user, hasUser := event.Text(event.Field(canonical, "user_id"))
	device, hasDevice := event.Text(event.Field(canonical, "device_id"))
	keys, hasKeys := textsOf(canonical, "keys")
	algorithms, hasAlgorithms := countTexts(event.Field(canonical, "algorithms"))
	signatures := event.Field(canonical, "signatures")
	switch {
	case !hasUser || !hasDevice || !hasKeys || !hasAlgorithms || len(signatures) == 0 || signatures[0] != '{':
		return nil, badJSON("device_keys need user_id, device_id, algorithms, keys and signatures, of the types that they should have")
	case id.UserID(user) != by.User || id.DeviceID(device) != by.Device:
		return nil, invalidParam("device_keys are not those of this user's device")
	case algorithms > maxAlgorithms || len(keys) > maxIdentityKeys:
		return nil, tooLarge("device_keys have too many algorithms or keys")
	}
	k := &deviceKeys{keys: keys, key: publicKey(keys[keyID(by.Device)]), other: s}
	own, right := s.by(keyID(by.Device), k.key)
	switch k.signed = right; {
	case right:
		k.json = s.with(by.User, keyID(by.Device))
	case own:
		return nil, invalidSignature("device_keys are not signed by the device's own key, although they say so")
	default:
		k.json = event.WithSignatures(s.part, []byte(`{}`))
	}
	if len(k.json) > maxDeviceKeysBytes {
		return nil, tooLarge("device_keys can have %d bytes", maxDeviceKeysBytes)
	}
	return k, nil
}

// storedDeviceKeys reads identity keys that are stored.
func storedDeviceKeys(by By, stored []byte) (*deviceKeys, error) {
	s, err := readSigned(stored, by.User)
	if err != nil {
		return nil, fmt.Errorf("read the keys that a device has: %w", err)
	}
	keys, _ := textsOf(stored, "keys")
	k := &deviceKeys{json: stored, keys: keys, key: publicKey(keys[keyID(by.Device)]), other: s}
	_, k.signed = s.by(keyID(by.Device), k.key)
	return k, nil
}

// countTexts returns how many elements a canonical array of strings has. ok is false when it is none.
func countTexts(array []byte) (n int, ok bool) {
	if len(array) == 0 || array[0] != '[' {
		return 0, false
	}
	for v := range event.Elements(array) {
		if _, isText := event.Text(v); !isText {
			return 0, false
		}
		n++
	}
	return n, true
}

// checkOneTimeKeys returns one-time keys, or fallback keys, by their ids. A key is an object, or, for algorithms that do not sign, a string.
func checkOneTimeKeys(field string, raw map[string]json.RawMessage) (map[store.KeyID]store.OneTimeKey, error) {
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
		k := store.KeyID{Algorithm: algorithm, ID: keyID}
		keys[k] = store.OneTimeKey{KeyID: k, JSON: canonical}
	}
	return keys, nil
}

// verifyOneTimeKeys verifies the signatures of one-time or fallback keys by the device whose they are: each that there is, and that there
// is one where the algorithm demands it.
func verifyOneTimeKeys(by By, keys map[store.KeyID]store.OneTimeKey, key ed25519.PublicKey) error {
	for name, k := range keys {
		must := name.Algorithm == signedCurve25519
		if k.JSON[0] != '{' {
			if must {
				return invalidSignature("The key %s is not signed", name)
			}
			continue
		}
		s, err := readSigned(k.JSON, by.User)
		if err != nil {
			return err
		}
		if there, right := s.by(keyID(by.Device), key); !right && (there || must) {
			return invalidSignature("The key %s is not signed by the device's own key", name)
		}
	}
	return nil
}

// canonicalKey returns a key, a string or an object, in canonical JSON.
func canonicalKey(raw json.RawMessage) ([]byte, error) {
	canonical, err := event.CanonicalJSON(raw)
	if err != nil {
		return nil, err
	}
	text, isText := event.Text(canonical)
	if !isText {
		text, isText = event.Text(event.Field(canonical, "key"))
	}
	if !isText || text == "" {
		return nil, fmt.Errorf("a key is a string, or an object with one as its key")
	}
	return canonical, nil
}

func invalidSignature(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_INVALID_SIGNATURE", format, args...)
}
