package irc

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// DialConfig is how the connections of a network are made.
type DialConfig struct {
	// Bind is the address that connections come from, or a network such as 2001:db8:1::/64, out of which each person
	// has an address of their own, always the same.
	Bind string `yaml:"bind,omitempty"`
	// FreeBind binds also addresses that no interface has (IP_FREEBIND), as those of a network are that is only routed to
	// this machine. Linux only.
	FreeBind bool `yaml:"freebind,omitempty"`
	// SOCKS5 is a proxy: socks5://host:port, or socks5://user:password@host:port. It resolves the server's name.
	SOCKS5 string `yaml:"socks5,omitempty"`
	// ClientCert and ClientKey are PEM files with a certificate for TLS that is shown for people who have none.
	ClientCert string `yaml:"client_cert,omitempty"`
	ClientKey  string `yaml:"client_key,omitempty"`
}

// minHostBits is the least that a network of DialConfig.Bind leaves for people, or they would share addresses.
const minHostBits = 16

func (d DialConfig) validate(field string, withTLS bool) error {
	if d.Bind != "" {
		if _, err := parseBind(d.Bind); err != nil {
			return fmt.Errorf("%s.bind: %w", field, err)
		}
	}
	if d.SOCKS5 != "" {
		u, err := url.Parse(d.SOCKS5)
		if err != nil || u.Scheme != "socks5" || u.Port() == "" || u.Hostname() == "" {
			// Never the value: it may hold a password.
			return fmt.Errorf("%s.socks5: is not of the form socks5://host:port", field)
		}
		if d.Bind != "" {
			return fmt.Errorf("%s.bind: has no meaning with socks5", field)
		}
	}
	switch {
	case (d.ClientCert == "") != (d.ClientKey == ""):
		return fmt.Errorf("%s.client_cert: client_cert and client_key need each other", field)
	case d.ClientCert != "" && !withTLS:
		return fmt.Errorf("%s.client_cert: has no meaning without tls", field)
	case d.ClientCert != "":
		if _, err := tls.LoadX509KeyPair(d.ClientCert, d.ClientKey); err != nil {
			return fmt.Errorf("%s.client_cert: %w", field, err)
		}
	}
	return nil
}

// parseBind reads an address or a network.
func parseBind(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 2001:db8:1::/64", text)
	case prefix.Addr().BitLen()-prefix.Bits() < minHostBits:
		return netip.Prefix{}, fmt.Errorf("%q has too few addresses for people: it may have at most %d bits", text, prefix.Addr().BitLen()-minHostBits)
	}
	return prefix.Masked(), nil
}

// WebIRCConfig tells the network who is behind a connection, by the WEBIRC command, where its operators have given a
// password for it.
type WebIRCConfig struct {
	// Password is that of the network's operators. Empty means no WEBIRC.
	Password string `yaml:"password,omitempty"`
	// Gateway is the name of this bridge to the operators. Default "causeway".
	Gateway string `yaml:"gateway,omitempty"`
	// Host is the host name that others see; {localpart} is that of the Matrix user. Default is the address.
	Host string `yaml:"host,omitempty"`
	// Addresses is the network out of which each person has an address to show, always the same.
	// Default "fd63:6175:7365::/48", which is private.
	Addresses string `yaml:"addresses,omitempty"`
}

func (w WebIRCConfig) validate(field string) error {
	if strings.ContainsAny(w.Password+w.Gateway+w.Host, "\r\n\x00 ") {
		return fmt.Errorf("%s: password, gateway and host must be words without spaces", field)
	}
	if w.Addresses != "" {
		prefix, err := parseBind(w.Addresses)
		if err == nil && prefix.IsSingleIP() {
			err = fmt.Errorf("%q is a single address, and must be a network", w.Addresses)
		}
		if err != nil {
			return fmt.Errorf("%s.addresses: %w", field, err)
		}
	}
	return nil
}

func (w WebIRCConfig) withDefaults() WebIRCConfig {
	if w.Gateway == "" {
		w.Gateway = "causeway"
	}
	if w.Addresses == "" {
		w.Addresses = "fd63:6175:7365::/48"
	}
	return w
}

// IdleConfig closes the connections of people who say nothing.
type IdleConfig struct {
	// After is how long somebody may say nothing before their connection is closed, until they speak. 0, the default,
	// means for ever.
	After time.Duration `yaml:"after,omitempty"`
	// CloseListeners closes also the last connection to a channel, whose room then hears nothing until somebody speaks.
	CloseListeners bool `yaml:"close_listeners,omitempty"`
}

// minIdle keeps an idle limit from being a disconnection in the middle of a talk.
const minIdle = time.Hour

func (i IdleConfig) validate(field string) error {
	if i.After != 0 && i.After < minIdle {
		return fmt.Errorf("%s.after: must be 0 or at least %s", field, minIdle)
	}
	return nil
}

// IdentdConfig is the answer to the question of an IRC server whose a connection is (RFC 1413).
type IdentdConfig struct {
	// Listen is host:port, usually ":113". Empty, the default, means no answers.
	Listen string `yaml:"listen,omitempty"`
}

func (i IdentdConfig) validate() error {
	if i.Listen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(i.Listen); err != nil {
		return fmt.Errorf("identd.listen: %q is not host:port", i.Listen)
	}
	return nil
}
