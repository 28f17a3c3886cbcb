package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
)

// CallsConfig is of group calls.
type CallsConfig struct {
	Enabled bool `yaml:"enabled"`
	// Listen is where media comes in: one UDP port for all. "" is port 7882, of loopback alone where the server is there alone.
	Listen string `yaml:"listen"`
	// PublicIPs are told to clients in the place of the machine's own.
	PublicIPs []string `yaml:"public_ips"`
	// SFU is who hands on sound and picture, if not this server.
	SFU SFUConfig `yaml:"sfu"`
}

// SFUConfig says where an SFU is.
type SFUConfig struct {
	LiveKit LiveKitConfig `yaml:"livekit"`
}

// LiveKitConfig is of a LiveKit server elsewhere, or a cluster of them.
type LiveKitConfig struct {
	// URL is the address for clients, wss://host; "" for none. APIURL is that of its RoomService, https://host; "" for the same host.
	URL    string `yaml:"url"`
	APIURL string `yaml:"api_url"`
	Key    string `yaml:"key"`
	Secret string `yaml:"secret"`
}

// minLiveKitSecret is what LiveKit itself wants of a secret, in bytes.
const minLiveKitSecret = 32

func defaultCalls() CallsConfig {
	return CallsConfig{Enabled: true, PublicIPs: []string{}}
}

func (c CallsConfig) check(bad report) {
	if c.Listen != "" {
		checkListenAt("calls.listen", c.Listen, bad)
	}
	for i, s := range c.PublicIPs {
		if _, err := netip.ParseAddr(s); err != nil {
			bad(fmt.Sprintf("calls.public_ips[%d]", i), "%q is no IP address", s)
		}
	}
	c.SFU.LiveKit.check(bad)
}

func (c LiveKitConfig) check(bad report) {
	const at = "calls.sfu.livekit."
	if c.URL == "" {
		if c.APIURL != "" || c.Key != "" || c.Secret != "" {
			bad(at+"url", "must not be empty when there is something else about LiveKit")
		}
		return
	}
	for key, value := range map[string]string{"url": c.URL, "api_url": c.APIURL} {
		u, err := url.Parse(value)
		if value != "" && (err != nil || u.Host == "" || u.RawQuery != "" || u.User != nil || !strings.Contains(" http https ws wss ", " "+u.Scheme+" ")) {
			bad(at+key, "%q is no wss:// or https:// address", value)
		}
	}
	if c.Key == "" {
		bad(at+"key", "must not be empty")
	}
	if len(c.Secret) < minLiveKitSecret {
		bad(at+"secret", "must have %d characters at least", minLiveKitSecret)
	}
}

// media is the address for clients.
func (c LiveKitConfig) media() string { return withScheme(c.URL, "ws") }

// api is the address of RoomService.
func (c LiveKitConfig) api() string {
	if c.APIURL != "" {
		return withScheme(c.APIURL, "http")
	}
	return withScheme(c.URL, "http")
}

// withScheme gives an address the scheme http or ws, or https or wss if it has one of those, and no slash at its end.
func withScheme(address, scheme string) string {
	of, rest, _ := strings.Cut(strings.TrimRight(address, "/"), "://")
	if of == "https" || of == "wss" {
		scheme += "s"
	}
	return scheme + "://" + rest
}

// defaultMediaPort is that of LiveKit, which descriptions of firewalls for calls name.
const defaultMediaPort = "7882"

// openMedia opens the UDP port of media. Where another program has the default one, it is any other.
func openMedia(cfg *Config, log zerolog.Logger) (net.PacketConn, error) {
	listen := cfg.Calls.Listen
	if listen == "" {
		host := ""
		if h, _, err := net.SplitHostPort(cfg.Listen); err == nil && isLoopback(h) && cfg.PublicURL == "" {
			host = h
		}
		listen = net.JoinHostPort(host, defaultMediaPort)
	}
	conn, err := net.ListenPacket("udp", listen)
	if errors.Is(err, syscall.EADDRINUSE) && cfg.Calls.Listen == "" {
		host, _, _ := net.SplitHostPort(listen)
		if conn, err = net.ListenPacket("udp", net.JoinHostPort(host, "0")); err == nil {
			log.Warn().Str("listen", listen).Stringer("instead", conn.LocalAddr()).
				Msg("Another program has the UDP port for calls, so that it is another one, which firewalls may not let through: set calls.listen")
		}
	}
	return conn, err
}

func hostAt(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// localBase is whether clients are on this machine.
func localBase(base string) bool {
	u, err := url.Parse(base)
	return err == nil && (u.Hostname() == "localhost" || isLoopback(u.Hostname()))
}

// callKey reads the key by which access tokens are signed, which is made at first. Tokens outlive a restart by it.
func callKey(path string) (name, secret string, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw = []byte("API" + rand.Text()[:12] + " " + rand.Text() + rand.Text() + "\n")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			return "", "", fmt.Errorf("keep the key of access tokens for calls: %w", err)
		}
	} else if err != nil {
		return "", "", fmt.Errorf("read the key of access tokens for calls: %w", err)
	}
	name, secret, ok := strings.Cut(strings.TrimSpace(string(raw)), " ")
	if !ok || len(secret) < 32 {
		return "", "", fmt.Errorf("%s is no key of access tokens for calls: delete it, and another one is made", path)
	}
	return name, secret, nil
}
