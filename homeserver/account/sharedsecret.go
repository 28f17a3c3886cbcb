package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"

	"causeway/homeserver/store"
)

// Bounds of the nonces of registrations by the shared secret.
const (
	nonceMS    = 60_000 // how long a nonce serves, in milliseconds
	maxNonces  = 10_000
	nonceChars = 32
)

// errNoSecret is the answer where there is no shared secret.
var errNoSecret = matrixError(http.StatusBadRequest, "M_UNKNOWN", "Shared secret registration is not enabled")

// nonces are the numbers of which each serves one registration, so that a request that somebody overheard is of no use.
type nonces struct {
	mu   sync.Mutex // guards rows
	rows map[string]int64
}

func newNonces() *nonces { return &nonces{rows: make(map[string]int64)} }

func (n *nonces) add(now int64) string {
	nonce := randomText(lowerLetters, nonceChars)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.rows) >= maxNonces {
		for old, expires := range n.rows {
			if expires <= now || len(n.rows) >= maxNonces {
				delete(n.rows, old)
			}
		}
	}
	n.rows[nonce] = now + nonceMS
	return nonce
}

// use tells whether a nonce serves, which it does not afterwards.
func (n *nonces) use(nonce string, now int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	expires, ok := n.rows[nonce]
	delete(n.rows, nonce)
	return ok && expires > now
}

// SecretRegistration is the body of POST /_synapse/admin/v1/register.
type SecretRegistration struct {
	Nonce       string  `json:"nonce"`
	Username    string  `json:"username"`
	Password    string  `json:"password"`
	DisplayName string  `json:"displayname"`
	Admin       bool    `json:"admin"`
	UserType    *string `json:"user_type"`
	MAC         string  `json:"mac"` // HMAC-SHA1 in hexadecimal

	InhibitLogin bool `json:"inhibit_login"`
}

// RegistrationNonce returns a nonce for RegisterBySecret. Errors: 400 M_UNKNOWN where there is no shared secret.
func (s *Service) RegistrationNonce() (string, error) {
	if s.cfg.Rules.SharedSecret == "" {
		return "", errNoSecret
	}
	return s.nonces.add(s.now()), nil
}

// RegisterBySecret makes an account for who knows the shared secret. The HMAC is over the nonce, the name, the password, "admin" or
// "notadmin" and, if given, the user type, with a NUL between each, as Synapse documents it. Errors: 400 M_UNKNOWN, 403 M_UNKNOWN for a wrong
// HMAC, and those of [Service.CreateUser].
func (s *Service) RegisterBySecret(ctx context.Context, in SecretRegistration) (Login, error) {
	if s.cfg.Rules.SharedSecret == "" {
		return Login{}, errNoSecret
	}
	for name, value := range map[string]string{"nonce": in.Nonce, "username": in.Username, "password": in.Password, "mac": in.MAC} {
		if value == "" {
			return Login{}, missingParam(name)
		}
		if strings.Contains(value, "\x00") {
			return Login{}, invalidParam("%s cannot hold a NUL", name)
		}
	}
	if !s.nonces.use(in.Nonce, s.now()) {
		return Login{}, matrixError(http.StatusBadRequest, "M_UNKNOWN", "unrecognised nonce")
	}
	got, err := hex.DecodeString(in.MAC)
	if err != nil || !hmac.Equal(got, s.secretMAC(in)) {
		return Login{}, matrixError(http.StatusForbidden, "M_UNKNOWN", "HMAC incorrect")
	}
	if err := s.Available(ctx, in.Username); err != nil {
		return Login{}, err
	}
	if err := checkGivenPassword(in.Password); err != nil {
		return Login{}, err
	}
	if err := checkDisplayName(in.DisplayName); err != nil {
		return Login{}, err
	}
	device := Device{}
	if err := device.check(); err != nil {
		return Login{}, err
	}
	hash, err := s.passwords.hash(ctx, in.Password)
	if err != nil {
		return Login{}, err
	}
	user := &store.User{UserID: s.userID(lower(in.Username)), Password: hash, Admin: in.Admin}
	login, err := s.insertUser(ctx, user, device, in.InhibitLogin, nil)
	if err == nil && in.DisplayName != "" {
		err = s.SetDisplayName(ctx, user.UserID, in.DisplayName)
	}
	return login, err
}

func (s *Service) secretMAC(in SecretRegistration) []byte {
	mac := hmac.New(sha1.New, []byte(s.cfg.Rules.SharedSecret))
	admin := "notadmin"
	if in.Admin {
		admin = "admin"
	}
	mac.Write([]byte(in.Nonce + "\x00" + in.Username + "\x00" + in.Password + "\x00" + admin))
	if in.UserType != nil {
		mac.Write([]byte("\x00" + *in.UserType))
	}
	return mac.Sum(nil)
}
