package irc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2/networkid"

	"causeway/bridges"
)

// sealPrefix begins everything that vault has sealed, with the version of the form.
const sealPrefix = "v1:"

// errSealed is what opening returns when the key is not the one that sealed, or the row has been moved to somebody else.
var errSealed = errors.New("a stored secret cannot be opened with the bridge's key")

// vault keeps the secrets of people in the database: encrypted by AES-256-GCM under the key of bridges.Host.Secret, and
// bound to the login and the field, so that a row that is copied to another login does not open there.
// A vault without a key, because there is no data directory, takes nothing.
type vault struct{ aead cipher.AEAD }

// openVault makes the vault of a bridge.
func openVault(host *bridges.Host) (*vault, error) {
	key, err := host.Secret()
	switch {
	case errors.Is(err, bridges.ErrNoDataDir):
		return &vault{}, nil
	case err != nil:
		return nil, err
	}
	return newVault(key)
}

func newVault(key []byte) (*vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key for stored secrets: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key for stored secrets: %w", err)
	}
	return &vault{aead: aead}, nil
}

func sealedFor(login networkid.UserLoginID, field string) []byte {
	return []byte(string(login) + "\x00" + field)
}

// seal encrypts a secret of a login. Nothing stays nothing.
func (v *vault) seal(login networkid.UserLoginID, field, secret string) (string, error) {
	switch {
	case secret == "":
		return "", nil
	case v.aead == nil:
		return "", fmt.Errorf("nothing secret can be stored here: %w", bridges.ErrNoDataDir)
	}
	nonce := make([]byte, v.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return sealPrefix + base64.RawStdEncoding.EncodeToString(v.aead.Seal(nonce, nonce, []byte(secret), sealedFor(login, field))), nil
}

// open is the inverse of seal, or errSealed.
func (v *vault) open(login networkid.UserLoginID, field, sealed string) (string, error) {
	switch {
	case sealed == "":
		return "", nil
	case v.aead == nil:
		return "", errSealed
	}
	text, ok := strings.CutPrefix(sealed, sealPrefix)
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if !ok || err != nil || len(raw) < v.aead.NonceSize() {
		return "", errSealed
	}
	n := v.aead.NonceSize()
	plain, err := v.aead.Open(nil, raw[:n], raw[n:], sealedFor(login, field))
	if err != nil {
		return "", errSealed
	}
	return string(plain), nil
}
