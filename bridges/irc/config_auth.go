package irc

import (
	"fmt"
	"slices"
	"strings"
)

// Values of AuthConfig.Ghosts.
const (
	GhostsByAccount = "account"
	GhostsByNick    = "nick"
)

// AuthConfig is how people log in to the accounts of a network, and what accounts mean to the bridge.
type AuthConfig struct {
	// NickServ is whom to tell a password where there is no SASL, for instance NickServ@services.example.org. Empty, the
	// default, means nobody: on a network without services, anybody may be called NickServ.
	NickServ string `yaml:"nickserv,omitempty"`
	// Regain is the command of NickServ that gives a nick back to its owner: REGAIN (the default), RECOVER or GHOST.
	Regain string `yaml:"regain,omitempty"`
	// Required keeps people off the network who are not logged in to an account there.
	Required bool `yaml:"required,omitempty"`
	// Plaintext lets passwords go over a connection that others may read or fake: without tls, or with tls_insecure.
	Plaintext bool `yaml:"plaintext,omitempty"`
	// FixedNicks lets nobody choose another nick than that of the template.
	FixedNicks bool `yaml:"fixed_nicks,omitempty"`
	// Ghosts is what makes somebody on IRC the same person on Matrix: their account where they have one (account, the
	// default), or always their nick (nick).
	Ghosts string `yaml:"ghosts,omitempty"`
}

func (a AuthConfig) validate(field string) error {
	switch {
	case a.NickServ != "" && (!validNick(a.NickServ) || isChannel(a.NickServ) || strings.ContainsAny(a.NickServ, ",:")):
		return fmt.Errorf("%s.nickserv: %q is no nick, nor a nick and a host such as NickServ@services.example.org", field, a.NickServ)
	case !slices.Contains([]string{"", "REGAIN", "RECOVER", "GHOST"}, a.Regain):
		return fmt.Errorf("%s.regain: %q is none of REGAIN, RECOVER, GHOST", field, a.Regain)
	case !slices.Contains([]string{"", GhostsByAccount, GhostsByNick}, a.Ghosts):
		return fmt.Errorf("%s.ghosts: %q is neither account nor nick", field, a.Ghosts)
	}
	return nil
}

func (a AuthConfig) withDefaults() AuthConfig {
	if a.Regain == "" {
		a.Regain = "REGAIN"
	}
	if a.Ghosts == "" {
		a.Ghosts = GhostsByAccount
	}
	return a
}
