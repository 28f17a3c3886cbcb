package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"causeway/sfu/network"

	"github.com/rs/zerolog"
)

// CallsConfig is of group calls.
type CallsConfig struct {
	Enabled bool `yaml:"enabled"`
	// Listen is where media comes in: one UDP port for all. "" is port 7882, of loopback alone where the server is there alone.
	Listen string `yaml:"listen"`
	// PublicIPs are told to clients beside the machine's own.
	PublicIPs []string `yaml:"public_ips"`
	// STUN is a server, host or host:port, that is asked for public addresses of families that none is given of; "" for none.
	STUN string `yaml:"stun"`
	// Page is the folder with the files of Element Call, which is served then; "" for none.
	Page string `yaml:"page"`
	// SFU is who hands on sound and picture, if not this server.
	SFU SFUConfig `yaml:"sfu"`
}

// SFUConfig says where an SFU is.
type SFUConfig struct {
	LiveKit LiveKitConfig `yaml:"livekit"`
	// Nodes are SFUs of ours on other machines, whose role is roleSFU. Secret is known to them and to this server.
	Nodes  []NodeConfig `yaml:"nodes"`
	Secret string       `yaml:"secret"`
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
	return CallsConfig{Enabled: true, PublicIPs: []string{}, SFU: SFUConfig{Nodes: []NodeConfig{}}}
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
	if c.STUN != "" {
		host, _, _ := net.SplitHostPort(c.stun())
		wrong := host == ""
		checkListenAt("", c.stun(), func(string, string, ...any) { wrong = true })
		if wrong {
			bad("calls.stun", "%q is not host or host:port, such as stun.example.org:3478", c.STUN)
		}
	}
	c.SFU.LiveKit.check(bad)
	c.SFU.checkNodes(bad)
}

func (c LiveKitConfig) check(bad report) {
	const at = "calls.sfu.livekit."
	if c.URL == "" {
		if c.APIURL != "" || c.Key != "" || c.Secret != "" {
			bad(at+"url", "must not be empty when there is something else about LiveKit")
		}
		return
	}
	checkMediaURL(at+"url", c.URL, bad)
	checkMediaURL(at+"api_url", c.APIURL, bad)
	if c.Key == "" {
		bad(at+"key", "must not be empty")
	}
	if len(c.Secret) < minLiveKitSecret {
		bad(at+"secret", "must have %d characters at least", minLiveKitSecret)
	}
}

// checkMediaURL checks the address of an SFU, if there is one.
func checkMediaURL(key, value string, bad report) {
	u, err := url.Parse(value)
	if value != "" && (err != nil || u.Host == "" || u.RawQuery != "" || u.User != nil || !strings.Contains(" http https ws wss ", " "+u.Scheme+" ")) {
		bad(key, "%q is no wss:// or https:// address", value)
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
const defaultMediaPort = 7882

// openMedia opens the sockets of media: one UDP port and the same of TCP, on each address of this machine or on the one that is named. Where
// another program has the default port, it is any other; one that is named is taken, or the error says who stands in the way.
func openMedia(cfg *Config, log zerolog.Logger) (*network.Network, error) {
	host, port := "", defaultMediaPort
	if cfg.Calls.Listen != "" {
		h, text, err := net.SplitHostPort(cfg.Calls.Listen)
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, err
		}
		host, port = h, int(n)
	} else if h, _, err := net.SplitHostPort(cfg.Listen); err == nil && isLoopback(h) && cfg.PublicURL == "" {
		host = h
	}
	addresses, err := mediaAddresses(host, localBase(cfg.BaseURL()))
	if err != nil {
		return nil, err
	}
	n, err := network.Listen(network.Config{Addresses: addresses, UDPPort: port, TCPPort: port})
	for range otherPorts {
		if !errors.Is(err, syscall.EADDRINUSE) || cfg.Calls.Listen != "" {
			break
		}
		other := 20_000 + mathrand.IntN(12_000) // below the ports that systems give out by themselves
		if n, err = network.Listen(network.Config{Addresses: addresses, UDPPort: other, TCPPort: other}); err == nil {
			log.Warn().Int("port", port).Int("instead", other).
				Msg("Another program has the port for calls, so that it is another one, which firewalls may not let through: set calls.listen")
		}
	}
	if err != nil {
		return nil, mediaTaken(cfg.Calls.Listen, port, err)
	}
	if b := n.Buffers(); len(b.Short()) > 0 {
		log.Info().Int("asked", b.Asked).Int("receive", b.Receive).Int("send", b.Send).Strs("sysctls", b.Short()).
			Msg("The kernel gives media small buffers, so that some of it may be lost where much comes at once: these sysctls bound them")
	}
	return n, nil
}

// mediaTaken says what is wrong with the port of media.
func mediaTaken(address string, port int, err error) error {
	if address == "" {
		address = strconv.Itoa(port)
	}
	socket, ok := errors.AsType[*net.OpError](err)
	if !ok || !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s for calls: %w", address, err)
	}
	return fmt.Errorf("another program listens on %s (%s): stop it, or set another address in calls.listen", address, strings.ToUpper(socket.Net))
}

// otherPorts is how many other ports are tried.
const otherPorts = 20

// mediaAddresses are those to take media on: one that is named, or all of this machine, with loopback where clients are on it.
func mediaAddresses(host string, here bool) ([]netip.Addr, error) {
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if host != "" {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return nil, err
		}
		if !a.IsUnspecified() {
			return []netip.Addr{a}, nil
		}
	}
	addresses, err := network.Local()
	if err != nil {
		return nil, err
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if here && !slices.Contains(addresses, loopback) {
		addresses = append(addresses, loopback)
	}
	return addresses, nil
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
