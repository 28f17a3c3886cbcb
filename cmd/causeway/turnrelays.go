package main

import (
	"net"
	"net/netip"

	"causeway/sfu/network"
	"causeway/sfu/turn"
)

// relayAddresses are those of relays: for each family that clients come by, where the first socket is, and as what it is known.
func relayAddresses(c TURNConfig, hosts []netip.Addr, shared *network.Discovery) []turn.Address {
	var all []turn.Address
	for _, v6 := range []bool{false, true} {
		bind, ok := relayBind(hosts, v6)
		if !ok {
			continue
		}
		if public, ok := relayPublic(c, bind, shared); ok {
			all = append(all, turn.Address{Bind: bind, Public: public})
		}
	}
	return all
}

// relayBind is where relays of a family have their sockets.
func relayBind(hosts []netip.Addr, v6 bool) (netip.Addr, bool) {
	for _, host := range hosts {
		switch {
		case host.Is6() == v6:
			return host, true
		case host == netip.IPv6Unspecified(): // a socket of both families
			return netip.IPv4Unspecified(), true
		}
	}
	return netip.Addr{}, false
}

// outgoing is the address that this machine has towards the rest of the world. Nothing is sent: UDP asks the routing table alone.
func outgoing(network, somewhere string) (netip.Addr, bool) {
	conn, err := net.Dial(network, somewhere)
	if err != nil {
		return netip.Addr{}, false
	}
	defer conn.Close()
	at, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return at.AddrPort().Addr().Unmap().WithZone(""), true
}
