package turn

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// works sees to it that the server still serves.
func (r *running) works(transport string) {
	r.t.Helper()
	a := r.asker(transport, r.keys.Mint("@works:example.org"))
	defer a.conn.Close()
	a.allocation()
	if code := a.ask(stun.MethodRefresh, attribute{stun.AttrLifetime, make([]byte, 4)}); code != 0 {
		r.t.Fatalf("Refresh is answered with %d", code)
	}
}

// TestThousandConnections has a thousand connections that say nothing, or a little, from one address and from many.
func TestThousandConnections(t *testing.T) {
	for name, address := range map[string]func(int) string{
		"one address":    func(int) string { return "127.0.0.2" },
		"many addresses": func(i int) string { return fmt.Sprintf("127.0.%d.%d", 3+i/250, 1+i%250) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(c *Config) { c.Limits.Patience = 5 * time.Second; c.Limits.Connections = 300 })
			var all []net.Conn
			for i := range 1000 {
				transport := []string{"tcp4", "tls4"}[i%2]
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address(i))}}
				conn, err := dialer.DialContext(t.Context(), "tcp4", s.addrs[transport])
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, _ = conn.Write([]byte{0, 1, 2}[:i%4]) // some begin a message
				all = append(all, conn)
				if n := s.Metrics().Connections; n > 2*300 {
					t.Fatalf("there are %d connections", n)
				}
			}
			if n := s.Metrics().Refused["too_many_connections"]; n < 300 {
				t.Errorf("only %d are refused", n)
			}
			if name == "one address" {
				s.works("tcp4") // another address comes in meanwhile
				s.works("tls4")
			}
			s.works("udp4")
			for _, conn := range all {
				_ = conn.SetReadDeadline(time.Now().Add(patience))
				if _, err := conn.Read(make([]byte, 10)); err == nil || isTimeout(err) {
					t.Fatalf("a connection is still open: %v", err)
				}
			}
			await(t, "all connections are closed", func() bool { return s.Metrics().Connections == 0 })
			if n := s.Metrics().Refused["too_slow"]; n == 0 {
				t.Error("none was too slow")
			}
			s.works("tls4")
		})
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// TestSlow has connections that are alive, and go nowhere.
func TestSlow(t *testing.T) {
	s := start(t, func(c *Config) { allowLoopback(c); c.Limits.Patience = 300 * time.Millisecond })
	user := s.keys.Mint("@alice:example.org")
	for _, test := range []struct {
		name string
		do   func(*asker)
	}{
		{"asks without end", func(a *asker) {
			for {
				m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
				if _, err := a.conn.Write(m.Raw); err != nil {
					return
				}
				if _, err := a.read(); err != nil {
					return
				}
			}
		}},
		{"stops in a message", func(a *asker) {
			a.allocation()
			_, _ = a.conn.Write([]byte{0x40, 0, 0, 100, 1, 2, 3})
		}},
		{"ends its allocation", func(a *asker) {
			a.allocation()
			a.ask(stun.MethodRefresh, attribute{stun.AttrLifetime, make([]byte, 4)})
		}},
	} {
		for _, transport := range []string{"tcp4", "tls4"} {
			a := s.asker(transport, user)
			test.do(a)
			if _, err := a.read(); err == nil || isTimeout(err) {
				t.Errorf("%s: by %s the connection is still open: %v", test.name, transport, err)
			}
			await(t, "the connection is gone", func() bool { return s.Metrics().Connections == 0 })
		}
	}
	a := s.asker("tcp4", user)
	a.allocation()
	if err := a.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.conn.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("a connection with an allocation is closed for saying nothing: %v", err)
	}
	if code := a.ask(stun.MethodRefresh); code != 0 {
		t.Errorf("Refresh is answered with %d", code)
	}
}

// TestNeverReads has a client whose peer sends more than it takes.
func TestNeverReads(t *testing.T) {
	s := start(t, func(c *Config) {
		allowLoopback(c)
		c.Limits.Patience = 300 * time.Millisecond
		c.Limits.Bandwidth = 1 << 30
	})
	a, friend := s.asker("tcp4", s.keys.Mint("@alice:example.org")), peer(t, "4")
	a.allocation()
	at := addrPort(friend.LocalAddr())
	if code := a.ask(stun.MethodChannelBind, channel, xorPeer(at)); code != 0 {
		t.Fatalf("ChannelBind is answered with %d", code)
	}
	if _, err := a.conn.Write([]byte{0x40, 0, 0, 8, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}); err != nil {
		t.Fatal(err)
	}
	_, relay := receive(t, friend)
	await(t, "the client is given up", func() bool {
		for range 100 {
			send(t, friend, relay, strings.Repeat("x", 1400))
		}
		return s.Metrics().Allocations == 0
	})
	s.works("tcp4")
}

// TestGarbage is what must be the end of a connection, at once.
func TestGarbage(t *testing.T) {
	s := start(t, nil)
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	with := func(at int, b ...byte) []byte {
		c := bytes.Clone(binding)
		copy(c[at:], b)
		return c
	}
	for name, text := range map[string][]byte{
		"HTTP":                      []byte("GET / HTTP/1.1\r\n\r\n"),
		"RTP":                       bytes.Repeat([]byte{0x80}, 40),
		"a length that wraps":       with(2, 0xff, 0xec),
		"a channel that wraps":      append([]byte{0x40, 0, 0xff, 0xfc}, make([]byte, 40)...),
		"a channel that wraps, too": append([]byte{0x7f, 0xff, 0xff, 0xff}, make([]byte, 40)...),
		"an odd length":             with(2, 0, 1),
		"another cookie":            with(4, 0, 0, 0, 0),
		"too long":                  with(2, 0x10, 0),
	} {
		for _, transport := range []string{"tcp4", "tls6"} {
			conn := s.dial(transport)
			if _, err := conn.Write(text); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadAll(conn); isTimeout(err) {
				t.Errorf("%s: by %s the connection is still open", name, transport)
			}
		}
		conn := s.dial("udp4")
		if _, err := conn.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "all are counted", func() bool { return s.Metrics().Refused["malformed"] >= 3*8 })
	s.works("udp4")
}

// TestPlainToTLS says what is no TLS to the port for it.
func TestPlainToTLS(t *testing.T) {
	s := start(t, nil)
	conn, err := net.Dial("tcp4", s.addrs["tls4"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(conn); isTimeout(err) {
		t.Error("the connection is still open")
	}
	await(t, "the connection is gone", func() bool { return s.Metrics().Connections == 0 })
}

// TestManyPeers has an allocation ask for permissions and channels without end.
func TestManyPeers(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.Requests = 10_000 })
	a := s.asker("udp4", s.keys.Mint("@alice:example.org"))
	a.allocation()
	addr := netip.MustParseAddr("8.0.0.1")
	for i := range maxPeers + 10 {
		want := 0
		if i >= maxPeers {
			want = 403
		}
		if code := a.ask(stun.MethodCreatePermission, xorPeer(netip.AddrPortFrom(addr, 9))); code != want {
			t.Fatalf("permission %d is answered with %d, want %d", i, code, want)
		}
		addr = addr.Next()
	}
	if code := a.ask(stun.MethodCreatePermission, xorPeer(netip.MustParseAddrPort("8.0.0.1:9"))); code != 0 {
		t.Fatalf("a permission that there is cannot be refreshed: %d", code)
	}
	for i := range maxChannels {
		number := attribute{stun.AttrChannelNumber, []byte{0x40, byte(i), 0, 0}}
		if code := a.ask(stun.MethodChannelBind, number, xorPeer(netip.AddrPortFrom(netip.MustParseAddr("8.0.0.1"), uint16(1000+i)))); code != 0 {
			t.Fatalf("channel %d is answered with %d", i, code)
		}
	}
	if m := s.Metrics(); m.Allocations != 1 {
		t.Fatalf("metrics are %+v", m)
	}
	a.ask(stun.MethodChannelBind, attribute{stun.AttrChannelNumber, []byte{0x41, 0, 0, 0}}, xorPeer(netip.MustParseAddrPort("8.0.0.1:999")))
	await(t, "an allocation with too many channels ends", func() bool { return s.Metrics().Allocations == 0 })
}

// TestRequestsAreCounted has an address ask faster than it may, and another at its pace.
func TestRequestsAreCounted(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.Requests = 5 })
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 5)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.addrs["udp4"])))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 200 {
		if _, err := conn.Write(binding); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "requests are dropped", func() bool { return s.Metrics().Refused["too_fast"] > 100 })
	s.works("udp4")
	s.clock.advance(time.Minute)
	s.visitors.tidy(s.clock.now())
	if n := len(s.visitors.asking); n != 0 {
		t.Errorf("%d addresses are still known", n)
	}
}

// TestVisitorsAreBounded has requests come from more addresses than are known at a time.
func TestVisitorsAreBounded(t *testing.T) {
	var limits Limits
	limits.fill()
	v, now := newVisitors(limits), time.Now()
	addr := netip.MustParseAddr("1.0.0.0")
	asked := 0
	for range maxVisitors + 5000 {
		if v.mayAsk(addr, now) {
			asked++
		}
		addr = addr.Next()
	}
	if len(v.asking) != maxVisitors || asked != maxVisitors+together*limits.Requests {
		t.Errorf("%d are known, and %d may ask", len(v.asking), asked)
	}
	one, two := netip.MustParseAddr("2a00:1:2:3::1"), netip.MustParseAddr("2a00:1:2:3:4:5:6:7")
	if household(one) != household(two) || household(one) == household(netip.MustParseAddr("2a00:1:2:4::1")) {
		t.Error("addresses of IPv6 do not count by /64")
	}
}

// TestNothingIsLeft has clients come and go, and looks for goroutines that stay.
func TestNothingIsLeft(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.Requests = 10_000 })
	s.works("tls4")
	before := runtime.NumGoroutine()
	for range 50 {
		for _, transport := range transports {
			a := s.asker(transport, s.keys.Mint("@works:example.org"))
			a.allocation()
			a.ask(stun.MethodRefresh, attribute{stun.AttrLifetime, make([]byte, 4)})
			a.conn.Close()
		}
	}
	await(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
	await(t, "connections end", func() bool { return s.Metrics().Connections == 0 })
	for _, f := range s.fronts {
		f.mu.RLock()
		left := len(f.clients)
		f.mu.RUnlock()
		if left != 0 {
			t.Errorf("%d clients are left", left)
		}
	}
	s.visitors.mu.Lock()
	defer s.visitors.mu.Unlock()
	if len(s.visitors.alone) != 0 {
		t.Errorf("connections are still counted: %v", s.visitors.alone)
	}
}

// TestEndWhilePermitting has allocations end, by their time and by a connection's end, while they ask for permissions. The race detector sees
// what else is a crash once in a long while.
func TestEndWhilePermitting(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits.Requests = 100_000 })
	second := attribute{stun.AttrLifetime, []byte{0, 0, 0, 1}}
	var asking sync.WaitGroup
	for i, transport := range append(transports, transports...) {
		a := s.asker(transport, s.keys.Mint("@alice:example.org"))
		if code := a.ask(stun.MethodAllocate, udpTransport, second); code != 0 {
			t.Fatalf("the allocation is refused with %d", code)
		}
		asking.Go(func() {
			addr := netip.MustParseAddr("8.0.0.1")
			if transport[3:] == "6" {
				addr = netip.MustParseAddr("2a00::1")
			}
			for n := range maxPeers {
				peers := []stun.Setter{xorPeer(netip.AddrPortFrom(addr, 9)), xorPeer(netip.AddrPortFrom(addr.Next(), 9))}
				addr = addr.Next().Next()
				if _, err := a.conn.Write(a.build(stun.MethodCreatePermission, peers...).Raw); err != nil {
					return
				}
				if i >= len(transports) && n > 20 {
					a.conn.Close()
					return
				}
			}
		})
	}
	asking.Wait()
	await(t, "all allocations end", func() bool { return s.Metrics().Allocations == 0 })
	s.works("udp4")
}
