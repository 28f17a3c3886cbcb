package account

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix/id"
)

// Config is what the operator decides, and what others do for the accounts.
type Config struct {
	ServerName       string
	OpenRegistration bool // everybody may make an account; otherwise it takes a registration token
	Guests           bool // everybody may have a guest's account
	Lifetimes        Lifetimes
	AccountURL       string // of the page where users manage their accounts, "" for none
	Rules            RegistrationRules
	JWT              JWTConfig
	// Attempts bounds failed attempts to log in to one account. The zero value is for no bound.
	Attempts Limit
	// Depart has a user whose account is deactivated leave all rooms. It may be called again for the same user. nil is for no rooms.
	Depart func(ctx context.Context, user id.UserID) error
	Users  UserQuerier // may be nil

	// SessionsChanged, if not nil, is told of users some of whose sessions have ended or changed, or whose account has. It must not block.
	SessionsChanged func(user id.UserID)

	SSO SSOConfig

	EmailRequired bool              // an account takes an email address
	Threepids     *threepid.Service // nil for none: then accounts have no addresses
	Identities    Identities        // nil for none
	// Owned, if not nil, runs in the transaction that gives an account an address.
	Owned func(tx *store.Tx, user id.UserID, medium, address string) error

	// QuickPasswords makes hashes of passwords that are next to no work, to guess as well. It is for tests of what is not about passwords;
	// no key of the configuration file sets it.
	QuickPasswords bool
}

func (c Config) passwordMemory() uint32 {
	if c.QuickPasswords {
		return quickMemory
	}
	return argonMemory
}

// Limit is a token bucket: PerSecond attempts in the long run, and Burst of them at once.
type Limit struct {
	PerSecond float64
	Burst     int
}

// SessionsConfig says how long sessions last. 0 is for ever.
type SessionsConfig struct {
	AccessTokenLifetime  time.Duration `yaml:"access_token_lifetime"`  // of access tokens that can be refreshed
	RefreshTokenLifetime time.Duration `yaml:"refresh_token_lifetime"` // of refresh tokens that nobody uses
	SessionLifetime      time.Duration `yaml:"session_lifetime"`       // of access tokens that cannot be refreshed
}

// DefaultSessions is what holds where the operator says nothing. A token that is refreshed lasts five minutes, as Synapse has it: what is
// stolen is soon worthless, and a client that is awake refreshes it before it ends.
func DefaultSessions() SessionsConfig { return SessionsConfig{AccessTokenLifetime: 5 * time.Minute} }

// minLifetime is less than anybody can want: a client would refresh all the time.
const minLifetime = 10 * time.Second

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c SessionsConfig) Validate() error {
	var errs []error
	for _, l := range [...]struct {
		key string
		d   time.Duration
	}{
		{"access_token_lifetime", c.AccessTokenLifetime}, {"refresh_token_lifetime", c.RefreshTokenLifetime}, {"session_lifetime", c.SessionLifetime},
	} {
		if l.d < 0 || l.d > 0 && l.d < minLifetime {
			errs = append(errs, fmt.Errorf("%s: must be 0 or at least %s", l.key, minLifetime))
		}
	}
	if c.RefreshTokenLifetime > 0 && c.RefreshTokenLifetime < c.AccessTokenLifetime {
		errs = append(errs, errors.New("refresh_token_lifetime: must not be less than access_token_lifetime"))
	}
	return errors.Join(errs...)
}

// Lifetimes is the configuration as Config wants it.
func (c SessionsConfig) Lifetimes() Lifetimes {
	return Lifetimes{AccessMS: c.AccessTokenLifetime.Milliseconds(), SessionMS: c.SessionLifetime.Milliseconds(), RefreshMS: c.RefreshTokenLifetime.Milliseconds()}
}

// RegistrationRules is what holds of those who make an account for themselves.
type RegistrationRules struct {
	// SharedSecret lets those who know it make accounts, at POST /_synapse/admin/v1/register. "" for nobody.
	SharedSecret string `yaml:"shared_secret"`
	// Validity is how long a new account can be used, 0 for ever.
	Validity time.Duration `yaml:"account_validity"`
	// PasswordMinLength is how many characters a password has at least that people choose, 0 for any.
	PasswordMinLength int               `yaml:"password_min_length"`
	Usernames         UsernameRules     `yaml:"usernames"`
	Terms             map[string]Policy `yaml:"terms"`
	Captcha           CaptchaConfig     `yaml:"captcha"`
}

// UsernameRules says which names people may choose.
type UsernameRules struct {
	Reserved  []string `yaml:"reserved"`
	Pattern   string   `yaml:"pattern"` // a regular expression that a whole name has to match, "" for any
	MinLength int      `yaml:"min_length"`
}

// Policy is a document that people have to accept, in one or more languages.
type Policy struct {
	Version   string              `yaml:"version"`
	Languages map[string]Document `yaml:"languages"` // by their codes, as "en"
}

// Document is a policy in one language.
type Document struct {
	Name string `json:"name" yaml:"name"`
	URL  string `json:"url" yaml:"url"`
}

// CaptchaConfig is of a service that tells people from programs, by the protocol of reCAPTCHA.
type CaptchaConfig struct {
	PublicKey  string `yaml:"public_key"` // "" for no such stage
	PrivateKey string `yaml:"private_key"`
	VerifyURL  string `yaml:"verify_url"`
	ScriptURL  string `yaml:"script_url"`
}

// DefaultRegistration is what holds where the operator says nothing.
func DefaultRegistration() RegistrationRules {
	return RegistrationRules{
		PasswordMinLength: 8,
		Usernames:         UsernameRules{Reserved: []string{}, MinLength: 1},
		Captcha: CaptchaConfig{
			VerifyURL: "https://www.google.com/recaptcha/api/siteverify", ScriptURL: "https://www.google.com/recaptcha/api.js",
		},
	}
}

// minSharedSecret bounds the shared secret from below, in bytes: who guesses it owns the server.
const minSharedSecret = 8

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c RegistrationRules) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(c.SharedSecret); n > 0 && n < minSharedSecret {
		bad("shared_secret: must have at least %d bytes", minSharedSecret)
	}
	if c.Validity < 0 {
		bad("account_validity: must not be negative")
	}
	if c.PasswordMinLength < 0 || c.PasswordMinLength > maxPasswordBytes {
		bad("password_min_length: must be from 0 to %d", maxPasswordBytes)
	}
	if _, err := regexp.Compile(c.Usernames.Pattern); err != nil {
		bad("usernames.pattern: is not a regular expression: %w", err)
	}
	if c.Usernames.MinLength < 1 || c.Usernames.MinLength > maxUserIDBytes {
		bad("usernames.min_length: must be from 1 to %d", maxUserIDBytes)
	}
	for name, policy := range c.Terms {
		if policy.Version == "" || len(policy.Languages) == 0 {
			bad("terms.%s: must have a version and a language", name)
		}
		for code, doc := range policy.Languages {
			if doc.Name == "" || !isWebAddress(doc.URL) || code == "version" {
				bad("terms.%s.languages.%s: must have a name and a url that begins with https:// or http://", name, code)
			}
		}
	}
	if c.Captcha.PublicKey == "" {
		return errors.Join(errs...)
	}
	if c.Captcha.PrivateKey == "" {
		bad("captcha.private_key: must not be empty")
	}
	for key, address := range map[string]string{"verify_url": c.Captcha.VerifyURL, "script_url": c.Captcha.ScriptURL} {
		if !isWebAddress(address) {
			bad("captcha.%s: %q is not an http:// or https:// address", key, address)
		}
	}
	return errors.Join(errs...)
}

func isWebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// JWTConfig lets people log in with tokens that somebody else has signed (org.matrix.login.jwt).
type JWTConfig struct {
	Enabled   bool   `yaml:"enabled"`
	Algorithm string `yaml:"algorithm"`
	// Secret is the key of HS256 and its like, and else the public key in PEM.
	Secret       string   `yaml:"secret"`
	Issuer       string   `yaml:"issuer"`    // "" for any
	Audiences    []string `yaml:"audiences"` // of which a token must have one; none for any
	SubjectClaim string   `yaml:"subject_claim"`
	NameClaim    string   `yaml:"display_name_claim"` // "" for none
	Register     bool     `yaml:"register"`           // whoever has a token and no account gets one
}

// DefaultJWT is what holds where the operator says nothing.
func DefaultJWT() JWTConfig {
	return JWTConfig{Algorithm: "HS256", Audiences: []string{}, SubjectClaim: "sub", Register: true}
}

// jwtAlgorithms are those that a token may be signed with. "none" is none of them.
var jwtAlgorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c JWTConfig) Validate() error {
	if !c.Enabled {
		return nil
	}
	var errs []error
	if !slices.Contains(jwtAlgorithms, c.Algorithm) {
		errs = append(errs, fmt.Errorf("algorithm: must be one of %s", strings.Join(jwtAlgorithms, ", ")))
	} else if _, err := c.key(); err != nil {
		errs = append(errs, fmt.Errorf("secret: %w", err))
	}
	if c.SubjectClaim == "" {
		errs = append(errs, errors.New("subject_claim: must not be empty"))
	}
	return errors.Join(errs...)
}
