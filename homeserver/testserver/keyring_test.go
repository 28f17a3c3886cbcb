package testserver_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"causeway/homeserver/event"
)

// private is the private key of that name, the same each time. There is no slash in the public part, so that it can be part of a path to
// a value.
func private(name string) ed25519.PrivateKey {
	for seed := sha256.Sum256([]byte(name)); ; seed = sha256.Sum256(seed[:]) {
		key := ed25519.NewKeyFromSeed(seed[:])
		if !strings.Contains(base64.RawStdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)), "/") {
			return key
		}
	}
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

// signingKey is a cross-signing key of a user, without a signature. round tells those apart that the user has one after the other.
func (s *script) signingKey(user, usage, round string) string {
	key := public(usage + " " + user + " " + round)
	return fmt.Sprintf(`{"user_id":%q,"usage":[%q],"keys":{"ed25519:%s":%[3]q}}`, s.words[user], usage, key)
}

// bySigningKey adds to an object a signature by a cross-signing key of a user.
func (s *script) bySigningKey(object, user, usage, round string) string {
	s.t.Helper()
	name := usage + " " + user + " " + round
	return s.sign(object, s.words[user], "ed25519:"+public(name), private(name))
}

// signingKeys is a body of POST /keys/device_signing/upload with some of a user's keys, signed by the master key of a round.
func (s *script) signingKeys(user, round, masterRound string, usages ...string) string {
	s.t.Helper()
	body := ""
	for _, usage := range usages {
		key := s.signingKey(user, usage, round)
		if usage != "master" {
			key = s.bySigningKey(key, user, "master", masterRound)
		}
		if body != "" {
			body += ","
		}
		body += fmt.Sprintf(`"%s_key":%s`, usage, key)
	}
	return "{" + body + "}"
}

// withPassword adds to a body that the user knows the password.
func (s *script) withPassword(body, user string) string {
	return fmt.Sprintf(`%s,"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":%q},"password":"correct horse battery"}}`,
		body[:len(body)-1], s.words[user])
}

var allUsages = []string{"master", "self_signing", "user_signing"}

// crossSign has users upload their first cross-signing keys.
func (s *script) crossSign(users ...string) {
	s.t.Helper()
	for _, user := range users {
		s.get(user+" POST /keys/device_signing/upload", s.signingKeys(user, "1", "1", allUsages...))
	}
}
