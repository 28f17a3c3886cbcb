package main

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"causeway/sfu/network"
	"causeway/sfu/turn"

	"github.com/rs/zerolog"
)

// stunPort is the port of STUN (RFC 8489, section 18.6).
const stunPort = "3478"

// publicAddresses finds by what addresses media reaches this machine where it is behind NAT. Nobody is asked whom the operator has not named:
// a STUN server, or the name by which clients reach this server. moved is called when they change.
func publicAddresses(cfg *Config, log zerolog.Logger, moved func()) *network.Discovery {
	how := discovery(cfg)
	how.Changed, how.Log = moved, log.With().Str("part", "calls").Logger()
	return network.Discover(how)
}

// discovery says whom to ask: nobody, where media does not come here, or clients are on this machine.
func discovery(cfg *Config) network.DiscoveryConfig {
	found := network.DiscoveryConfig{Given: givenAddresses(cfg)}
	ownMedia := cfg.Calls.Enabled && cfg.Calls.SFU.LiveKit.URL == "" && len(cfg.Calls.SFU.Nodes) == 0 || cfg.TURN.Enabled && !cfg.TURN.elsewhere()
	base, err := url.Parse(cfg.BaseURL())
	if err != nil || !ownMedia || localBase(cfg.BaseURL()) {
		return found
	}
	found.STUN, found.Host = cfg.Calls.stun(), base.Hostname()
	if cfg.TURN.Host != "" && !cfg.TURN.elsewhere() {
		found.Host = cfg.TURN.Host // where this is another name, it is the one that leads to this machine itself
	}
	return found
}

// givenAddresses are those that the configuration names: of calls, and of TURN for a family of which calls have none.
func givenAddresses(cfg *Config) []netip.Addr {
	var all []netip.Addr
	families := map[bool]bool{}
	for _, texts := range [][]string{cfg.Calls.PublicIPs, cfg.TURN.PublicAddresses} {
		before := map[bool]bool{false: families[false], true: families[true]}
		for _, text := range texts {
			a, err := netip.ParseAddr(text)
			if a = a.Unmap(); err == nil && !before[a.Is6()] {
				all, families[a.Is6()] = append(all, a), true
			}
		}
	}
	return all
}

// stun is the STUN server as host:port, "" for none.
func (c CallsConfig) stun() string {
	server := strings.TrimPrefix(c.STUN, "stun:")
	if server == "" {
		return ""
	}
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), stunPort)
}

// relayPublic is as what relays with a socket there are known: what the configuration says, or an address of the machine's own that others
// reach, or what is found otherwise.
func relayPublic(c TURNConfig, bind netip.Addr, shared *network.Discovery) (netip.Addr, bool) {
	for _, text := range c.PublicAddresses {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() == bind.Is6() {
			return addr, true
		}
	}
	if bind.IsLoopback() || network.IsPublic(bind) {
		return bind.WithZone(""), true
	}
	if addr, ok := shared.Public(bind.Is6()); ok {
		return addr, true
	}
	if !bind.IsUnspecified() {
		return bind.WithZone(""), true
	}
	if bind.Is6() {
		return outgoing("udp6", "[2001:db8::1]:9")
	}
	if addr, ok := outgoing("udp4", "192.0.2.1:9"); ok {
		return addr, true
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
}

// move has new relays be known by the public addresses as they are now.
func (t *turnPart) move() {
	if t == nil || t.server == nil {
		return
	}
	relays := relayAddresses(t.config, t.hosts, t.public)
	if err := t.server.Move(relays, t.services()); err != nil {
		t.log.Warn().Err(err).Msg("TURN goes on with the public addresses of before")
		return
	}
	t.tellRelays(relays)
}

// tellRelays tells the log where relays are.
func (t *turnPart) tellRelays(relays []turn.Address) {
	for _, r := range relays {
		t.log.Info().Strs("uris", t.uris).Stringer("relays", r.Public).Msg("Relaying calls")
	}
}

// services are the addresses at which clients reach the SFU by UDP, and where those are from here: relays may send there, whatever else of this
// machine they may not reach. Where there are public addresses of a family, clients' relays use those: a socket has one address for them.
func (c *calls) services() map[netip.AddrPort]netip.AddrPort {
	if c == nil || c.net == nil {
		return nil
	}
	services := map[netip.AddrPort]netip.AddrPort{}
	for _, v6 := range []bool{false, true} {
		sockets, told := ofFamily(c.net.Addresses(), v6), ofFamily(c.public.Addresses(), v6)
		if len(told) == 0 {
			told = sockets
		}
		port := uint16(c.net.UDPPort())
		for i := range min(len(sockets), len(told)) {
			services[netip.AddrPortFrom(told[i], port)] = netip.AddrPortFrom(sockets[i], port)
		}
	}
	return services
}

func ofFamily(all []netip.Addr, v6 bool) []netip.Addr {
	var found []netip.Addr
	for _, a := range all {
		if a.Is6() == v6 {
			found = append(found, a)
		}
	}
	return found
}
