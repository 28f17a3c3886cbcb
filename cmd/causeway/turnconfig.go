package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"causeway/sfu/turn"
)

// TURNConfig says how the media of calls gets around firewalls: by the built-in TURN server, by others that are named, or not at all.
type TURNConfig struct {
	Enabled bool `yaml:"enabled"`
	// Listen are the addresses for UDP and TCP; without any, the host of the main listener, and port 3478.
	Listen []string      `yaml:"listen"`
	TLS    TURNTLSConfig `yaml:"tls"`
	// Host is by what name clients reach it; "" for that of the public URL.
	Host string `yaml:"host"`
	// PublicAddresses are by which others reach relays, one for each family; without any, those of this machine.
	PublicAddresses []string `yaml:"public_addresses"`
	MinPort         int      `yaml:"min_port"`
	MaxPort         int      `yaml:"max_port"`
	AllowPeers      []string `yaml:"allow_peers"`
	RefusePeers     []string `yaml:"refuse_peers"`

	Allocations     int `yaml:"max_allocations"`
	UserAllocations int `yaml:"max_user_allocations"`
	Bandwidth       int `yaml:"max_bandwidth"` // in bytes a second

	Guests bool          `yaml:"guests"`
	TTL    time.Duration `yaml:"ttl"`

	// Of servers elsewhere, which take the place of the built-in one.
	URIs     []string `yaml:"uris"`
	Secret   string   `yaml:"secret"`
	Username string   `yaml:"username"`
	Password string   `yaml:"password"`
}

// TURNTLSConfig is of TURN by TLS.
type TURNTLSConfig struct {
	Listen      []string `yaml:"listen"`
	Certificate string   `yaml:"certificate"`
	Key         string   `yaml:"key"`
	// ProxiedPort is that of a proxy by which clients reach Listen, with the PROXY protocol; 0 for none.
	ProxiedPort int `yaml:"proxied_port"`
}

func defaultTURN() TURNConfig {
	return TURNConfig{
		Enabled: true, Listen: []string{}, TLS: TURNTLSConfig{Listen: []string{}}, PublicAddresses: []string{},
		MinPort: 49152, MaxPort: 50175, AllowPeers: []string{}, RefusePeers: []string{},
		Allocations: 1000, UserAllocations: 24, Bandwidth: 2_500_000,
		Guests: true, TTL: day, URIs: []string{},
	}
}

// minTURNTTL is for how long credentials are good at least: clients ask for new ones before the old end.
const minTURNTTL = 5 * time.Minute

func (c TURNConfig) check(bad report) {
	for i, listen := range c.Listen {
		checkListenAt(fmt.Sprintf("turn.listen[%d]", i), listen, bad)
	}
	for i, listen := range c.TLS.Listen {
		checkListenAt(fmt.Sprintf("turn.tls.listen[%d]", i), listen, bad)
	}
	switch missing := c.TLS.Certificate == "" || c.TLS.Key == ""; {
	case len(c.TLS.Listen) > 0 && missing:
		bad("turn.tls", "needs certificate and key to listen")
	case len(c.TLS.Listen) == 0 && (c.TLS.Certificate != "" || c.TLS.Key != ""):
		bad("turn.tls.listen", "must not be empty where there is a certificate")
	}
	switch {
	case c.TLS.ProxiedPort < 0 || c.TLS.ProxiedPort > 65535:
		bad("turn.tls.proxied_port", "must be from 1 to 65535, or 0 for no proxy")
	case c.TLS.ProxiedPort > 0 && len(c.TLS.Listen) == 0:
		bad("turn.tls.listen", "must not be empty where there is a proxy in front of it")
	}
	if strings.ContainsAny(c.Host, " /?") {
		bad("turn.host", "%q is not a host", c.Host)
	}
	families := map[bool]bool{}
	for i, text := range c.PublicAddresses {
		addr, err := netip.ParseAddr(text)
		if key := fmt.Sprintf("turn.public_addresses[%d]", i); err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.Is4In6() {
			bad(key, "%q is not an IP address by which others reach this machine", text)
		} else if families[addr.Is6()] {
			bad(key, "is the second of its family: relays have one address each for IPv4 and IPv6")
		}
		families[addr.Is6()] = true
	}
	c.checkPeers("turn.allow_peers", c.AllowPeers, bad)
	c.checkPeers("turn.refuse_peers", c.RefusePeers, bad)
	c.checkNumbers(bad)
	c.checkElsewhere(bad)
}

func (c TURNConfig) checkPeers(key string, peers []string, bad report) {
	for i, text := range peers {
		if _, err := parsePrefix(text); err != nil {
			bad(fmt.Sprintf("%s[%d]", key, i), "%q is neither an IP address nor a network such as 10.0.0.0/8", text)
		}
	}
}

func (c TURNConfig) checkNumbers(bad report) {
	if c.MinPort < 1024 || c.MinPort > 65535 {
		bad("turn.min_port", "must be from 1024 to 65535")
	}
	if c.MaxPort < c.MinPort || c.MaxPort > 65535 {
		bad("turn.max_port", "must be from min_port to 65535")
	}
	for key, value := range map[string]int{
		"max_allocations": c.Allocations, "max_user_allocations": c.UserAllocations, "max_bandwidth": c.Bandwidth,
	} {
		if value < 1 {
			bad("turn."+key, "must be at least 1; to switch TURN off, set turn.enabled to false")
		}
	}
	if c.TTL < minTURNTTL || c.TTL > turn.MaxTTL {
		bad("turn.ttl", "must be from %v to %v", minTURNTTL, turn.MaxTTL)
	}
}

// checkElsewhere checks what is said of other servers. It never shows a secret.
func (c TURNConfig) checkElsewhere(bad report) {
	for i, uri := range c.URIs {
		scheme, rest, _ := strings.Cut(uri, ":")
		if scheme != "turn" && scheme != "turns" && scheme != "stun" && scheme != "stuns" || rest == "" || strings.HasPrefix(rest, "/") {
			bad(fmt.Sprintf("turn.uris[%d]", i), "%q is no address such as turn:turn.example.org:3478?transport=udp", uri)
		}
	}
	shared, fixed := c.Secret != "", c.Username != "" || c.Password != ""
	switch {
	case len(c.URIs) == 0 && (shared || fixed):
		bad("turn.uris", "must not be empty: secret, username and password are of the servers that it names")
	case len(c.URIs) == 0:
	case shared == fixed:
		bad("turn.uris", "needs either secret, or username and password")
	case fixed && (c.Username == "" || c.Password == ""):
		bad("turn.username", "needs password, and password needs it")
	}
}

// elsewhere says whether other servers take the place of the built-in one.
func (c TURNConfig) elsewhere() bool { return len(c.URIs) > 0 }

// resolve makes paths absolute.
func (c *TURNConfig) resolve(abs func(key, path string) string) {
	for key, path := range map[string]*string{"turn.tls.certificate": &c.TLS.Certificate, "turn.tls.key": &c.TLS.Key} {
		if *path != "" {
			*path = abs(key, *path)
		}
	}
}

// prefixes are peers as package turn wants them.
func peerPrefixes(texts []string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		if p, err := parsePrefix(text); err == nil { // check has reported the others
			all = append(all, p)
		}
	}
	return all
}

// turnURI is the address of a server for clients.
func turnURI(scheme, host string, port int, transport string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + ":" + host + ":" + strconv.Itoa(port) + "?transport=" + transport
}
