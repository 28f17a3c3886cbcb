package sfu

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/vnet"
)

// TestVirtualNetwork has those of a call on pion's virtual network, which takes 20 to 30 ms for each packet and loses 2 % of them both ways: next to all of
// a video come all the same.
func TestVirtualNetwork(t *testing.T) {
	router, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: "10.0.0.0/24", QueueSize: 10_000, MinDelay: 20 * time.Millisecond, MaxJitter: 10 * time.Millisecond,
		LoggerFactory: logging.NewDefaultLoggerFactory(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var lossy atomic.Bool
	var lost atomic.Int32
	var mu sync.Mutex // guards random
	random := rand.New(rand.NewPCG(1, 2))
	router.AddChunkFilter(func(vnet.Chunk) bool {
		if !lossy.Load() {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(50) == 0 {
			lost.Add(1)
			return false
		}
		return true
	})
	machine := func(address string) *vnet.Net {
		n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{address}})
		if err == nil {
			err = router.AddNet(n)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	server := machine("10.0.0.1")
	machines := map[string]*vnet.Net{"alice": machine("10.0.0.2"), "bob": machine("10.0.0.3")}
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = router.Stop() }()
	conn, err := server.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7882})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *Config) {
		c.UDP, c.Addresses = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Net: server}), nil
	})
	come := func(identity string, layers bool) *client {
		c := w.client(token(t, "room", identity, everything), identity, true)
		c.layers, c.net, c.local = layers, machines[identity], func(net.IP) bool { return true }
		c.connect(nil)
		return c
	}
	alice, bob := come("alice", true), come("bob", false)
	alice.publishLayers("camera", map[string]int{"f": 2_000_000})
	track := bob.awaitTrack()
	bob.awaitPackets(track, 50)
	lossy.Store(true)
	const packets = 2000
	missing, of := bob.missing(packets, func() *rtp.Packet { return bob.awaitPackets(track, 1)[0] })
	t.Logf("%d of %d packets did not come; the network lost %d of all", missing, of, lost.Load())
	if lost.Load() < packets/100 {
		t.Fatal("the network lost next to nothing")
	}
	if missing*1000 > of {
		t.Errorf("%d of %d packets did not come: more than 0.1 %%", missing, of)
	}
}
