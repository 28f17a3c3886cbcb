package mail

import (
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/url"
	"strings"
	"time"
)

// Values of Config.TLS.
const (
	StartTLS = "starttls" // in the clear, and encrypted before anything is said
	Implicit = "implicit" // encrypted from the first byte
	NoTLS    = "none"
)

// Config says by which server mail goes out, and what it says.
type Config struct {
	// Host and Port are the SMTP server's. Without a host there is no mail.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	// TLS is StartTLS, Implicit or NoTLS.
	TLS string `yaml:"tls"`
	// User and Password log in there. Without a user nobody logs in.
	User     string `yaml:"user"`
	Password string `yaml:"password"`
	// From is the sender: an address, or a name and an address in angle brackets.
	From string `yaml:"from"`
	// Timeout bounds each step of the conversation.
	Timeout time.Duration `yaml:"timeout"`
	// TellUnknownAddresses has the server say to whoever asks whether an address is that of an account.
	TellUnknownAddresses bool `yaml:"tell_unknown_addresses"`
	// NextLinks are the beginnings of the addresses that a client may have people sent to once they have confirmed an address.
	NextLinks []string `yaml:"next_links"`
	// WebClient is the address of a client in the web, for the links in invitations; "" for none.
	WebClient string `yaml:"web_client"`
}

// DefaultConfig is what holds where the operator says nothing.
func DefaultConfig() Config {
	return Config{Port: 587, TLS: StartTLS, Timeout: 30 * time.Second, NextLinks: []string{}}
}

// Bounds of a configured timeout.
const (
	minTimeout = time.Second
	maxTimeout = 10 * time.Minute
)

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	if c.TLS != StartTLS && c.TLS != Implicit && c.TLS != NoTLS {
		bad("tls", "%q is not one of %s, %s, %s", c.TLS, StartTLS, Implicit, NoTLS)
	}
	if c.Port < 1 || c.Port > 65535 {
		bad("port", "%d is not a port between 1 and 65535", c.Port)
	}
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		bad("timeout", "must be from a second to ten minutes")
	}
	for i, link := range c.NextLinks {
		if !isWebAddress(link) {
			bad(fmt.Sprintf("next_links[%d]", i), "%q is not an http:// or https:// address", link)
		}
	}
	if c.WebClient != "" && !isWebAddress(c.WebClient) {
		bad("web_client", "%q is not an http:// or https:// address", c.WebClient)
	}
	if c.Host == "" {
		return errors.Join(errs...)
	}
	if _, err := netmail.ParseAddress(c.From); err != nil || strings.ContainsAny(c.From, "\r\n") {
		bad("from", "%q is not the address of a sender, such as matrix@example.org", c.From)
	}
	if c.TLS == NoTLS && c.User != "" && !isLoopback(c.Host) {
		bad("tls", "the password would go over the network for all to read")
	}
	return errors.Join(errs...)
}

// SMSConfig says by which gateway text messages go out.
type SMSConfig struct {
	// URL takes POST requests with {"to", "text", "id"}. Without it there are no text messages.
	URL string `yaml:"url"`
	// Token goes with each request, as a bearer token. It may be empty.
	Token string `yaml:"token"`
	// Timeout bounds a request.
	Timeout time.Duration `yaml:"timeout"`
}

// DefaultSMSConfig is what holds where the operator says nothing.
func DefaultSMSConfig() SMSConfig { return SMSConfig{Timeout: 30 * time.Second} }

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c SMSConfig) Validate() error {
	var errs []error
	if c.URL != "" && !isWebAddress(c.URL) {
		errs = append(errs, errors.New("url: must be an http:// or https:// address"))
	}
	if c.Timeout < minTimeout || c.Timeout > maxTimeout {
		errs = append(errs, errors.New("timeout: must be from a second to ten minutes"))
	}
	return errors.Join(errs...)
}

func isWebAddress(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
