package e2ee

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// signingAlgorithm begins the names of the keys that sign, before the device's id or the public key.
const signingAlgorithm = "ed25519:"

// signed is an object that is a key, or has some, as a client uploads it.
type signed struct {
	part       []byte            // canonical, without "signatures" and "unsigned": what signatures cover
	signatures map[string]string // those by the user whom it was read for, by the names of the keys; in base64, as it should be
}

// readSigned reads an object, and the signatures of it by one user. It is exact about the names of fields, as those who verify the
// signatures are. Signatures that cannot be one are left out.
func readSigned(raw []byte, by id.UserID) (signed, error) {
	if len(raw) > maxSignedBytes {
		return signed{}, tooLarge("A key can have %d bytes, with its signatures", maxSignedBytes)
	}
	canonical, err := event.CanonicalJSON(raw)
	if err != nil || canonical[0] != '{' {
		return signed{}, badJSON("a key must be an object")
	}
	s := signed{part: event.SignedPart(canonical), signatures: make(map[string]string)}
	n := 0
	for user, all := range event.Members(event.Field(canonical, "signatures")) {
		if event.Unescape(user) != string(by) || all[0] != '{' {
			continue
		}
		for key, value := range event.Members(all) {
			if n++; n > maxSignaturesPerKey {
				return signed{}, tooLarge("a key can have %d signatures", maxSignaturesPerKey)
			}
			text, _ := event.Text(value)
			if signature, ok := unpadded(text, ed25519.SignatureSize); ok {
				s.signatures[event.Unescape(key)] = signature
			}
		}
	}
	return s, nil
}

// by tells whether there is a signature by a key, and whether it is right.
func (s signed) by(keyID string, key ed25519.PublicKey) (there, right bool) {
	text, there := s.signatures[keyID]
	return there, there && signatureIs(s.part, text, key)
}

// with returns the object with one signature, which it has.
func (s signed) with(by id.UserID, keyID string) []byte {
	return event.AddSignature(s.part, string(by), keyID, s.signatures[keyID])
}

// signatureIs tells whether a signature of a canonical object is by a key.
func signatureIs(part []byte, signature string, key ed25519.PublicKey) bool {
	raw, err := base64.RawStdEncoding.DecodeString(signature)
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, part, raw)
}

// publicKey returns the key that text is in base64, nil when it is none.
func publicKey(text string) ed25519.PublicKey {
	clean, ok := unpadded(text, ed25519.PublicKeySize)
	if !ok {
		return nil
	}
	raw, err := base64.RawStdEncoding.DecodeString(clean)
	if err != nil {
		return nil
	}
	return raw
}

// unpadded returns the one form in unpadded base64 of what text is in base64, if that has so many bytes.
func unpadded(text string, size int) (string, bool) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return base64.RawStdEncoding.EncodeToString(raw), err == nil && len(raw) == size
}

// textsOf returns the strings in a member of a canonical object that is an object of strings. ok is false when it is none.
func textsOf(obj []byte, field string) (texts map[string]string, ok bool) {
	value := event.Field(obj, field)
	if len(value) == 0 || value[0] != '{' {
		return nil, false
	}
	texts = make(map[string]string)
	for key, v := range event.Members(value) {
		text, isText := event.Text(v)
		if !isText {
			return nil, false
		}
		texts[event.Unescape(key)] = text
	}
	return texts, true
}
