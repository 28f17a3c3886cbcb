package sfu

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"causeway/sfu/network"
	"causeway/sfu/signalling"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// newWorld6 starts a server whose media has an address of IPv6 alone.
func newWorld6(t *testing.T) *world {
	t.Helper()
	free, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	port := int(addrPortOf(free).Port())
	_ = free.Close()
	n, err := network.Listen(network.Config{Addresses: []netip.Addr{netip.IPv6Loopback()}, UDPPort: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return newWorld(t, func(c *Config) { c.UDP, c.TCP, c.Flush, c.Addresses = n.UDP, nil, n.Flush, n.Has })
}

// clientSocket6 opens a client's socket: by itself pion opens none on ::1.
func clientSocket6(t *testing.T) ice.UDPMux {
	t.Helper()
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn})
	t.Cleanup(func() { _ = mux.Close() })
	return mux
}

// TestIPv6 has two people see and hear each other by IPv6 alone, by either signalling.
func TestIPv6(t *testing.T) {
	for name, v1 := range map[string]bool{"v1": true, "v0": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld6(t)
			join := func(identity string) *client {
				c := w.client(token(t, "room", identity, everything), identity, v1)
				c.types, c.udp = []webrtc.NetworkType{webrtc.NetworkTypeUDP6}, func() ice.UDPMux { return clientSocket6(t) }
				c.connect(nil)
				return c
			}
			alice, bob := join("alice"), join("bob")
			alice.publish("camera", signalling.Camera)
			bob.publish("voice", signalling.Microphone)
			for _, c := range []*client{alice, bob} {
				track := c.awaitTrack()
				packets := c.awaitPackets(track, 20)
				for i := 1; i < len(packets); i++ {
					if packets[i].SequenceNumber != packets[i-1].SequenceNumber+1 {
						t.Errorf("%s: after %d came %d", c.identity, packets[i-1].SequenceNumber, packets[i].SequenceNumber)
					}
				}
			}
			answers, offers := alice.described()
			for _, text := range append(answers, offers...) {
				if !strings.Contains(text, " ::1 ") || strings.Contains(text, " 127.0.0.1 ") {
					t.Errorf("addresses are not of IPv6 alone:\n%s", text)
				}
			}
			for which, pc := range alice.connections("room") {
				pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
				if err != nil || pair == nil || pair.Remote.Address != "::1" || pair.Remote.Protocol != webrtc.ICEProtocolUDP {
					t.Errorf("alice's %s goes by %v, %v", which, pair, err)
				}
			}
		})
	}
}
