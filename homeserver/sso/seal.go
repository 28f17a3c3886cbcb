package sso

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // an address has many &
	if err := encoder.Encode(v); err != nil {
		return "", fmt.Errorf("seal %s: %w", use, err)
	}
	plain := text.Bytes()
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	sealed := base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, plain, []byte(use)))
	if len(sealed) > maxSealed {
		return "", &PageError{Status: http.StatusBadRequest, cause: fmt.Errorf("seal %s: %d bytes do not fit in a cookie", use, len(sealed)),
			Message: "The address of where you are to go on is too long for this server. Tell those who make the application that you come from."}
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

// maxSpent bounds how many are remembered that have served. Past it the oldest is forgotten: strangers are not to shut others out, and what
// serves again is good for nothing but in the browser in which it has served, where the provider takes its code no more.
const maxSpent = 100_000

// spent remembers what has served, until it has expired anyway.
type spent struct {
	max int

	mu    sync.Mutex // guards the rest
	ids   map[string]bool
	order []spentID // in the order in which they have served
}

type spentID struct {
	id      string
	expires int64
}

func newSpent() spent { return spent{max: maxSpent, ids: make(map[string]bool)} }

// take is true once for an id.
func (s *spent) take(id string, expiresTS, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids[id] {
		return false
	}
	for len(s.order) > 0 && (s.order[0].expires <= now || len(s.order) >= s.max) {
		delete(s.ids, s.order[0].id)
		s.order = s.order[1:]
	}
	s.ids[id] = true
	s.order = append(s.order, spentID{id, expiresTS})
	return true
}
