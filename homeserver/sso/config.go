package sso

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Config is of the providers by which people sign in.
type Config struct {
	Providers []Provider `yaml:"providers"`
	// TrustedClients are addresses of clients, to which, and to what is below them, people are sent without being asked.
	TrustedClients []string `yaml:"trusted_clients"`
	// Preferred has clients that know of OAuth offer this way alone (Client-Server API, OAuth 2.0 aware clients).
	Preferred bool `yaml:"preferred"`
}

// Provider is a provider of OpenID Connect.
type Provider struct {
	ID    string `yaml:"id"` // in addresses, and for clients; should never change
	Name  string `yaml:"name"`
	Icon  string `yaml:"icon"`  // an mxc:// address, "" for none
	Brand string `yaml:"brand"` // a name by which clients know what it looks like, "" for none

	Issuer           string   `yaml:"issuer"`
	ClientID         string   `yaml:"client_id"`
	ClientSecret     string   `yaml:"client_secret"`
	ClientSecretFile string   `yaml:"client_secret_file"` // read whenever the secret is needed
	Auth             string   `yaml:"token_endpoint_auth"`
	Scopes           []string `yaml:"scopes"` // beside openid; none for profile and email

	// The claims by which somebody is known, NoClaim for none.
	LocalpartClaim   string `yaml:"localpart_claim"`
	DisplayNameClaim string `yaml:"display_name_claim"`
	EmailClaim       string `yaml:"email_claim"`

	AskUsername   bool `yaml:"ask_username"`    // even where the claim has a name that is free
	NoNewAccounts bool `yaml:"no_new_accounts"` // only those sign in who have linked their account
	NoLinking     bool `yaml:"no_linking"`      // people cannot link the accounts that they have

	// AssumeLoginPrompt is for a provider that asks people anew when it is told to, and never says when they were asked (auth_time).
	AssumeLoginPrompt bool `yaml:"assume_login_prompt"`
}

// Ways in which this server says at a token endpoint who it is (OpenID Connect Core 1.0, section 9).
const (
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
	AuthNone  = "none"
)

// emailClaim is what email_verified is about (OpenID Connect Core 1.0, section 5.1).
const emailClaim = "email"

// NoClaim is for a claim that is not to be looked at.
const NoClaim = "-"

// Bounds of the configuration.
const (
	maxProviderID = 64
	maxNameBytes  = 64
)

var (
	idPattern    = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`) // Appendices, Opaque Identifiers
	brandPattern = regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)
	iconPattern  = regexp.MustCompile(`^mxc://[A-Za-z0-9.:\[\]-]+/[A-Za-z0-9_-]+$`)
	scopePattern = regexp.MustCompile(`^[!#-\[\]-~]+$`) // RFC 6749, section 3.3
)

// Default is what holds where the operator says nothing.
func Default() Config { return Config{Providers: []Provider{}, TrustedClients: []string{}} }

// withDefaults fills in what was left out.
func (p Provider) withDefaults() Provider {
	if p.Auth == "" {
		p.Auth = AuthBasic
	}
	if p.Scopes == nil {
		p.Scopes = []string{"profile", "email"}
	}
	for _, claim := range [...]struct {
		of   *string
		name string
	}{{&p.LocalpartClaim, "preferred_username"}, {&p.DisplayNameClaim, "name"}, {&p.EmailClaim, emailClaim}} {
		switch *claim.of {
		case "":
			*claim.of = claim.name
		case NoClaim:
			*claim.of = ""
		}
	}
	return p
}

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c Config) Validate() error {
	var errs []error
	seen := make(map[string]bool)
	for i, p := range c.Providers {
		bad := func(key, format string, args ...any) {
			errs = append(errs, fmt.Errorf("providers[%d].%s: %w", i, key, fmt.Errorf(format, args...)))
		}
		p.validate(bad)
		if seen[p.ID] {
			bad("id", "another provider has the id %q", p.ID)
		}
		seen[p.ID] = true
	}
	for i, address := range c.TrustedClients {
		if _, err := CheckRedirect(address); err != nil {
			errs = append(errs, fmt.Errorf("trusted_clients[%d]: %q is no address of a client: %w", i, address, err))
		}
	}
	return errors.Join(errs...)
}

func (p Provider) validate(bad func(key, format string, args ...any)) {
	if len(p.ID) > maxProviderID || !idPattern.MatchString(p.ID) || strings.Trim(p.ID, ".") == "" {
		bad("id", "must be of letters, digits, and ._~-, at most %d", maxProviderID)
	}
	if p.Name == "" || len(p.Name) > maxNameBytes {
		bad("name", "must have from 1 to %d bytes", maxNameBytes)
	}
	if p.Icon != "" && !iconPattern.MatchString(p.Icon) {
		bad("icon", "must be an mxc:// address")
	}
	if p.Brand != "" && !brandPattern.MatchString(p.Brand) {
		bad("brand", "must be of small letters, digits, and ._-")
	}
	if err := checkIssuer(p.Issuer); err != nil {
		bad("issuer", "%w", err)
	}
	if claim := p.withDefaults().EmailClaim; claim != "" && claim != emailClaim {
		bad("email_claim", "must be %s or %s: of no other claim do providers say whether the address is verified", emailClaim, NoClaim)
	}
	if p.ClientID == "" {
		bad("client_id", "must not be empty")
	}
	auth := p.withDefaults().Auth
	if !slices.Contains([]string{AuthBasic, AuthPost, AuthNone}, auth) {
		bad("token_endpoint_auth", "must be %s, %s or %s", AuthBasic, AuthPost, AuthNone)
	}
	switch secret := p.ClientSecret != "" || p.ClientSecretFile != ""; {
	case p.ClientSecret != "" && p.ClientSecretFile != "":
		bad("client_secret_file", "must be empty where there is a client_secret")
	case secret && auth == AuthNone:
		bad("token_endpoint_auth", "must not be none where there is a secret")
	case !secret && auth != AuthNone:
		bad("client_secret", "must not be empty, or token_endpoint_auth must be none")
	}
	for _, scope := range p.Scopes {
		if !scopePattern.MatchString(scope) {
			bad("scopes", "%q is no scope", scope)
		}
	}
}

// checkIssuer wants https, but of what runs on the same machine.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q is not the address of an issuer, as https://id.example.org", issuer)
	case u.Scheme == "https", u.Scheme == "http" && Loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q does not begin with https://", issuer)
}

// Loopback tells whether a host is the machine itself on which somebody names it.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
