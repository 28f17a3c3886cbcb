package homeserver

import (
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/sso"
)

// SSOConfig says by which providers people sign in.
type SSOConfig struct {
	sso.Config `yaml:",inline"`
}

// DefaultSSO is what holds where the operator says nothing.
func DefaultSSO() SSOConfig { return SSOConfig{sso.Default()} }

// service returns what sends people to the providers, nil where there are none.
func (c SSOConfig) service(publicURL string) *sso.Service {
	if len(c.Providers) == 0 {
		return nil
	}
	return sso.New(sso.Options{Config: c.Config, CallbackURL: strings.TrimSuffix(publicURL, "/") + sso.PathBack})
}

// account is what the accounts need to know of it.
func (c SSOConfig) account() account.SSOConfig {
	out := account.SSOConfig{Preferred: c.Preferred}
	for _, p := range c.Providers {
		out.Providers = append(out.Providers, account.IdentityProvider{ID: p.ID, Name: p.Name, Icon: p.Icon, Brand: p.Brand, Issuer: p.Issuer})
	}
	return out
}
