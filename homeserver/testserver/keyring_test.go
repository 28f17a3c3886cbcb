package testserver_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"causeway/homeserver/event"
)

// private is the private key of that name, the same each time.
func private(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// public is the public part of it in unpadded base64.
func public(name string) string {
	return base64.RawStdEncoding.EncodeToString(private(name).Public().(ed25519.PublicKey))
}

// sign adds to an object a signature by the key of a user that is called keyID, "ed25519:…".
func (s *script) sign(object, user, keyID string, key ed25519.PrivateKey) string {
	s.t.Helper()
	signed, err := event.SignJSON([]byte(object), &event.Key{ServerName: user, KeyID: keyID, Private: key})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(signed)
}

// byDevice adds to an object a signature by the device of a user.
func (s *script) byDevice(object, user string) string {
	s.t.Helper()
	return s.sign(object, s.words[user], "ed25519:"+s.words[user+" device"], private("device "+user))
}

// unsignedKeys are identity keys of a user's device that differ by salt, without a signature.
func (s *script) unsignedKeys(user, salt string) string {
	return fmt.Sprintf(`{"user_id":%[1]q,"device_id":%[2]q,"algorithms":["m.olm.v1.curve25519-aes-sha2","m.megolm.v1.aes-sha2"],
		"keys":{"ed25519:%[2]s":%[3]q,"curve25519:%[2]s":"C%[4]s"},"signatures":{}}`, s.words[user], s.words[user+" device"], public("device "+user), salt)
}

// deviceKeys are identity keys of a user's device that differ by salt, but for the one by which it signs.
func (s *script) deviceKeys(user, salt string) string {
	s.t.Helper()
	return s.byDevice(s.unsignedKeys(user, salt), user)
}

// signedKey is a one-time key that the device of a user has signed.
func (s *script) signedKey(user, key string) string {
	s.t.Helper()
	return s.byDevice(`{"key":"`+key+`"}`, user)
}

// uploadDevice uploads the identity keys of users' devices.
func (s *script) uploadDevice(users ...string) {
	s.t.Helper()
	s.devices(users...)
	for _, user := range users {
		s.get(user+" POST /keys/upload", `{"device_keys":`+s.deviceKeys(user, "0")+`}`)
	}
}

// member returns a member of a JSON object as it stands.
func (s *script) member(object, name string) json.RawMessage {
	s.t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &all); err != nil {
		s.t.Fatal(err)
	}
	return all[name]
}
