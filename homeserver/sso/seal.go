package sso

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// maxSealed bounds what is kept in a cookie.
const maxSealed = 3900

var errSeal = errors.New("not sealed by this server, or not for this")

// sealer seals what a browser keeps for this server, so that it can be neither read nor changed there. The key is of this process: what was
// begun before a restart is begun again.
type sealer struct{ aead cipher.AEAD }

func newSealer() sealer {
	key := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(key) // never fails
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // the key has the right length
	}
	return sealer{aead}
}

// seal returns v as a cookie's value, which opens for the same use alone.
func (s sealer) seal(use string, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", use, err)
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	sealed := base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(use)))
	if len(sealed) > maxSealed {
		return "", fmt.Errorf("seal %s: %d bytes do not fit in a cookie", use, len(sealed))
	}
	return sealed, nil
}

func (s sealer) open(use, sealed string, v any) error {
	if len(sealed) > maxSealed {
		return errSeal
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(raw) < s.aead.NonceSize() {
		return errSeal
	}
	plain, err := s.aead.Open(nil, raw[:s.aead.NonceSize()], raw[s.aead.NonceSize():], []byte(use))
	if err != nil {
		return errSeal
	}
	return json.Unmarshal(plain, v)
}

// maxSpent bounds how many are remembered that have served.
const maxSpent = 100_000

// spent remembers what has served, until it has expired anyway.
type spent struct {
	mu  sync.Mutex
	ids map[string]int64 // when they expire
}

// take is true once for an id.
func (s *spent) take(id string, expiresTS, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, served := s.ids[id]; served {
		return false
	}
	if len(s.ids) >= maxSpent {
		for id, expires := range s.ids {
			if expires <= now {
				delete(s.ids, id)
			}
		}
	}
	if len(s.ids) >= maxSpent {
		return false
	}
	s.ids[id] = expiresTS
	return true
}
