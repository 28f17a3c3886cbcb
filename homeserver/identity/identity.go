// Package identity is the identity service (Identity Service API): it has people prove that an address is theirs, publishes that as they
// wish, finds users by their addresses, and keeps invitations for people who have no account yet. identityapi serves it; account and room
// reach it, or another one that the operator has named, through Gateway. It knows addresses and user ids; accounts and rooms it does
// not touch.
package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Values of Config.Server.
const (
	Auto    = "auto"     // BuiltIn when mail can be sent, else Off
	BuiltIn = "built-in" // this package's
	Off     = "off"
)

// Config says which identity service there is, and its terms.
type Config struct {
	// Server is Auto, BuiltIn, Off, or the base URL of another service.
	Server string `yaml:"server"`
	// PlainLookup allows clients to send addresses for what they are, rather than as hashes.
	PlainLookup bool `yaml:"plain_lookup"`
	// Terms are what users have to accept before they use the built-in service, by an ID of the operator's choice.
	Terms map[string]Policy `yaml:"terms"`
}

// Policy is a document that users have to accept, in some languages.
type Policy struct {
	Version   string                    `yaml:"version"`
	Languages map[string]PolicyLanguage `yaml:"languages"` // by language: "en"
}

// PolicyLanguage is a document in one language.
type PolicyLanguage struct {
	Name string `yaml:"name" json:"name"`
	URL  string `yaml:"url" json:"url"`
}

// DefaultConfig is what holds where the operator says nothing.
func DefaultConfig() Config { return Config{Server: Auto, Terms: map[string]Policy{}} }

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c Config) Validate() error {
	var errs []error
	if !slices.Contains([]string{Auto, BuiltIn, Off}, c.Server) {
		if u, err := url.Parse(c.Server); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			errs = append(errs, fmt.Errorf("server: %q is neither %s, %s, %s nor an https:// address", c.Server, Auto, BuiltIn, Off))
		}
	}
	for name, p := range c.Terms {
		if p.Version == "" || len(p.Languages) == 0 {
			errs = append(errs, fmt.Errorf("terms.%s: needs a version and languages", name))
		}
		for language, l := range p.Languages {
			if u, err := url.Parse(l.URL); l.Name == "" || err != nil || u.Host == "" || language == "version" {
				errs = append(errs, fmt.Errorf("terms.%s.languages.%s: needs a name, and a url that is an address", name, language))
			}
		}
	}
	return errors.Join(errs...)
}

// Options are what a Service needs.
type Options struct {
	Config
	ServerName string // of the homeserver
	PublicURL  string
	DB         *store.DB
	Mail       *mail.Service
	Threepids  *threepid.Service
	// OpenID returns whose a token of a homeserver is (Server-Server API, GET /openid/userinfo). Errors are Matrix errors.
	OpenID func(ctx context.Context, server, token string) (id.UserID, error)
	// Keys returns a homeserver's public key, of those that are known.
	Keys func(ctx context.Context, server, keyID string) (ed25519.PublicKey, bool)
	// Redeem has a user of this homeserver get an invitation. Errors that are Matrix errors are final. nil for none.
	Redeem func(ctx context.Context, invite SignedInvite) error
	Now    func() time.Time
}

// Service is the built-in identity service.
type Service struct {
	Options
	name string // as which it signs
	wake chan struct{}
}

// New returns a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	s := &Service{Options: o, name: o.ServerName, wake: make(chan struct{}, 1)}
	if u, err := url.Parse(o.PublicURL); err == nil && u.Host != "" {
		s.name = u.Host
	}
	return s
}

// is tells whether a name is one of this service: its host, the homeserver's name, or its base URL.
func (s *Service) is(server string) bool {
	server = strings.TrimRight(server, "/")
	return strings.EqualFold(server, s.name) || strings.EqualFold(server, s.ServerName) || strings.EqualFold(server, s.PublicURL)
}

// keyID is the name of the service's long-term key, and keySecret that of its seed among the server's secrets.
const (
	keyID     = "ed25519:0"
	keySecret = "identity_key"
)

// key returns the service's long-term key.
func (s *Service) key(tx *store.Tx) (*event.Key, error) {
	seed, err := tx.Secret(keySecret, func() []byte {
		seed := make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // never fails
		return seed
	})
	if err == nil && len(seed) != ed25519.SeedSize {
		err = errors.New("the key of the identity service is damaged")
	}
	if err != nil {
		return nil, err
	}
	return &event.Key{ServerName: s.name, KeyID: keyID, Private: ed25519.NewKeyFromSeed(seed)}, nil
}

// PublicKey returns a long-term key by its ID. 404 M_NOT_FOUND.
func (s *Service) PublicKey(ctx context.Context, id string) (string, error) {
	if id != keyID {
		return "", matrixError(404, "M_NOT_FOUND", "The public key was not found")
	}
	var public string
	err := s.DB.Write(ctx, func(tx *store.Tx) error {
		key, err := s.key(tx)
		if err == nil {
			public = publicKey(key.Private)
		}
		return err
	})
	return public, err
}

// KeyValid tells whether a key is the service's long-term one.
func (s *Service) KeyValid(ctx context.Context, key string) (bool, error) {
	own, err := s.PublicKey(ctx, keyID)
	return err == nil && standard(key) == own, err
}

// EphemeralKeyValid tells whether a key is that of an invitation that has not served.
func (s *Service) EphemeralKeyValid(ctx context.Context, key string) (valid bool, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		valid, err = tx.EphemeralKeyValid(standard(key))
		return err
	})
	return valid, err
}

func publicKey(private ed25519.PrivateKey) string {
	return base64.RawStdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
}

// standard returns a key in the alphabet in which keys are kept.
func standard(key string) string {
	return strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(key), "=")
}

func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}

// missingParam has a code of its own: Identity Service API, "Standard error response".
func missingParam(name string) error { return matrixError(400, "M_MISSING_PARAMS", "Missing %s", name) }
