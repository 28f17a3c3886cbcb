package turn

import (
	"net/netip"
	"slices"
)

// never are addresses that no peer on the internet has: what is sent there stays within somebody's network, this server's first of
// all, or goes nowhere (IANA, Special-Purpose Address Registries).
var never = prefixes(
	"0.0.0.0/8",       // this network
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // behind a carrier's NAT
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, where clouds have their metadata
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments, DS-Lite among them
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // relays of 6to4
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
	"2001::/23",       // protocol assignments, Teredo among them, which hides an IPv4 address
	"2001:db8::/32",   // documentation
	"3fff::/20",       // documentation
)

// globalUnicast is all of IPv6 that is given out. Loopback, unspecified, unique local, link-local, site-local, multicast and the
// like lie outside of it.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// Prefixes of IPv6 addresses that stand for an IPv4 address.
var (
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
)

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// isPublic says whether an address is one on the internet. One that stands for an IPv4 address is as that is: otherwise a private network
// would be reached by other names.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if inner, ok := embedded(addr); ok && !isPublic(inner) {
		return false
	}
	if addr.Is6() && !globalUnicast.Contains(addr) && !nat64.Contains(addr) {
		return false
	}
	return addr.IsValid() && !contains(never, addr)
}

// embedded returns the IPv4 address to which packets for an IPv6 address may be brought.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch isatap := [4]byte(b[8:12]); {
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case nat64.Contains(addr),
		isatap == [4]byte{0, 0, 0x5e, 0xfe}, isatap == [4]byte{2, 0, 0x5e, 0xfe}: // RFC 5214
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// mayReach says whether clients may have permission for an IP address. On addresses of this machine it is the port that
// decides, with each packet: see route.
func (s *Server) mayReach(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	switch {
	case s.relays.isPublicAddress(addr):
		return true // another client's relay: both are behind firewalls, and meet here
	case contains(s.cfg.Refuse, addr):
		return false
	case contains(s.cfg.Allow, addr):
		return true
	case s.isOwn(addr):
		return slices.ContainsFunc(s.services.Load().told(), func(p netip.AddrPort) bool { return p.Addr() == addr })
	}
	return isPublic(addr)
}

// route says where a packet for a peer is sent, and whether it may be sent at all. A relay on this server is reached directly: its
// public address may be that of a NAT, which often does not let packets back in.
func (s *Server) route(peer netip.AddrPort) (netip.AddrPort, bool) {
	addr := peer.Addr()
	if to, ok := s.relays.reach(peer); ok {
		return to, true
	}
	if to, ok := s.services.Load().reach(peer); ok {
		return to, true
	}
	if s.relays.isPublicAddress(addr) || s.isOwn(addr) {
		return peer, contains(s.cfg.Allow, addr) && !contains(s.cfg.Refuse, addr)
	}
	return peer, peer.Port() != 0
}

// origin is by what address a peer is known from which a packet has come: the inverse of route.
func (s *Server) origin(from netip.AddrPort) netip.AddrPort {
	if !s.isOwn(from.Addr()) {
		return from
	}
	if told, ok := s.relays.told(from); ok {
		return told
	}
	if told, ok := s.services.Load().origin(from); ok {
		return told
	}
	return from
}

// isOwn says whether an address is this machine's.
func (s *Server) isOwn(addr netip.Addr) bool {
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	_, own := (*s.own.Load())[addr]
	return own
}

// services are those of this machine that relays may reach.
type services map[netip.AddrPort]netip.AddrPort

func (s services) told() []netip.AddrPort {
	all := make([]netip.AddrPort, 0, len(s))
	for p := range s {
		all = append(all, p)
	}
	return all
}

func (s services) reach(told netip.AddrPort) (netip.AddrPort, bool) {
	to, ok := s[told]
	return to, ok
}

func (s services) origin(from netip.AddrPort) (netip.AddrPort, bool) {
	for told, at := range s {
		if at == from {
			return told, true
		}
	}
	return netip.AddrPort{}, false
}
