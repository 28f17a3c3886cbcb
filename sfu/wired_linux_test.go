package sfu

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"causeway/sfu/network"

	"github.com/pion/rtp"
)

// newWiredWorld starts a server at a wire and at loopback, with the sockets that it has outside of tests.
func newWiredWorld(t *testing.T, line *wire) *world {
	t.Helper()
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	port := freeUDP(t)
	n, err := network.Listen(network.Config{Addresses: []netip.Addr{nearAddr, local}, UDPPort: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	line.serve(port)
	return newWorld(t, func(c *Config) {
		c.UDP, c.Flush, c.Addresses = n.UDP, n.Flush, n.Has
		c.PublicIPs = func() []netip.Addr { return []netip.Addr{farAddr} }
	})
}

func freeUDP(t *testing.T) uint16 {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return addrPortOf(conn).Port()
}

// joinWired brings somebody into a room whose media goes over the wire, and no other way.
func (w *world) joinWired(room, identity string, layers bool) *client {
	w.t.Helper()
	c := w.client(token(w.t, room, identity, everything), identity, true)
	c.layers = layers
	c.local = func(ip net.IP) bool { return ip.Equal(nearAddr.AsSlice()) }
	c.onAnswer = func(sdp string) string { return onlyAddress(sdp, farAddr.String()) }
	c.connect(nil)
	return c
}

// TestWire has media go through the kernel's network, in a namespace of its own, where tc makes it worse.
func TestWire(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	t.Run("loss, delay and reorder", testWireLoss)
	t.Run("bandwidth", testWireBandwidth)
}

// testWireLoss has both the publisher and the subscriber lose 2 % both ways, with 20 ms of delay that a quarter of the packets do not have: next to all
// of a video come all the same.
func testWireLoss(t *testing.T) {
	line := newWire(t)
	w := newWiredWorld(t, line)
	alice, bob := w.joinWired("room", "alice", true), w.joinWired("room", "bob", false)
	alice.publishLayers("camera", map[string]int{"f": 2_000_000})
	track := bob.awaitTrack()
	bob.awaitPackets(track, 50)
	how := rough{loss: 0.02, delay: 20 * time.Millisecond, reorder: 0.25, correlation: 0.5}
	line.impair(how)
	missing, of := bob.missing(3000, func() *rtp.Packet { return bob.awaitPackets(track, 1)[0] })
	dropped := line.lost()
	t.Logf("%s: %d of %d packets did not come, of which the network lost %d both ways", how, missing, of, dropped)
	if dropped < 30 {
		t.Fatalf("the network lost %d packets, which shows nothing", dropped)
	}
	if missing*1000 > of {
		t.Errorf("%d of %d packets did not come: more than 0.1 %%", missing, of)
	}
}

// testWireBandwidth takes nine tenths of a subscriber's bandwidth away by a token bucket, and gives it back, as TestBandwidthDrops does.
func testWireBandwidth(t *testing.T) {
	line := newWire(t)
	w := newWiredWorld(t, line)
	limit := func(bits int) { line.limit(bits, 300*time.Millisecond) }
	limit(3_000_000)
	alice, bob := w.joinLayers("room", "alice"), w.joinWired("room", "bob", false)
	alice.publishLayers("camera", map[string]int{"q": 120_000, "h": 450_000, "f": 1_500_000})
	bob.watch(bob.awaitTrack()).drops(t, limit)
}
