package turn

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var transports = []string{"udp4", "tcp4", "tls4", "udp6", "tcp6", "tls6"}

func TestRelay(t *testing.T) {
	s := start(t, allowLoopback)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			relay, other := s.mustAllocate(transport, s.keys.Mint("@alice:example.org")), peer(t, transport[3:])
			for _, text := range []string{"a", "hello", strings.Repeat("x", 1200)} {
				send(t, relay, other.LocalAddr(), text)
				got, from := receive(t, other)
				if got != text || from.String() != relay.LocalAddr().String() {
					t.Fatalf("got %q from %v, want %q from %v", got, from, text, relay.LocalAddr())
				}
				if port := from.(*net.UDPAddr).Port; port < 20000 || port > 29999 {
					t.Errorf("the relay has port %d", port)
				}
				send(t, other, from, "back "+text)
				if got, from := receive(t, relay); got != "back "+text || from.String() != other.LocalAddr().String() {
					t.Fatalf("got %q from %v, want %q from %v", got, from, "back "+text, other.LocalAddr())
				}
			}
		})
	}
	if m := s.Metrics(); m.Allocated != 6 || m.BytesOut < 6*1200 || m.BytesIn < 6*1200 {
		t.Errorf("metrics are %+v", m)
	}
}

// TestRelayToRelay has two clients reach each other that reach nobody else.
func TestRelayToRelay(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"address": nil,
		"behind a NAT": func(c *Config) {
			c.Relays = []Address{
				{Bind: loopback4, Public: netip.MustParseAddr("198.51.100.7")}, {Bind: loopback6, Public: netip.MustParseAddr("2001:db8::7")},
			}
		},
		"all addresses": func(c *Config) {
			c.Relays = []Address{
				{Bind: netip.IPv4Unspecified(), Public: netip.MustParseAddr("198.51.100.7")}, {Bind: netip.IPv6Unspecified(), Public: netip.MustParseAddr("2001:db8::7")},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, change)
			for _, pair := range [][2]string{{"udp4", "udp4"}, {"udp4", "tcp4"}, {"tls4", "tcp4"}, {"udp6", "tls6"}} {
				alice, bob := s.mustAllocate(pair[0], s.keys.Mint("@alice:example.org")), s.mustAllocate(pair[1], s.keys.Mint("@bob:example.org"))
				send(t, bob, alice.LocalAddr(), "lost: there is no permission yet")
				send(t, alice, bob.LocalAddr(), "hello")
				got, from := receive(t, bob)
				if got != "hello" || from.String() != alice.LocalAddr().String() {
					t.Fatalf("%v: got %q from %v, want hello from %v", pair, got, from, alice.LocalAddr())
				}
				send(t, bob, alice.LocalAddr(), "hello, too")
				for got = ""; got != "hello, too"; {
					got, _ = receive(t, alice)
				}
			}
		})
	}
}

// TestCredentials is about who is let in.
func TestCredentials(t *testing.T) {
	s := start(t, nil)
	good, bob := s.keys.Mint("@alice:example.org"), s.keys.Mint("@bob:example.org")
	past := time.Now().Add(-time.Minute)
	expired := Mint(s.keys.secret(time.Now().Unix()), "@alice:example.org", past.Add(-time.Hour), time.Hour)
	later := strconv.FormatInt(time.Now().Add(48*time.Hour).Unix(), 10)
	for _, test := range []struct {
		name string
		give Credentials
		want Reason
	}{
		{"expired", expired, Expired},
		{"another secret", Mint(make([]byte, keyBytes), "@alice:example.org", time.Now(), time.Hour), BadCredentials},
		{"another's name", Credentials{Username: bob.Username, Password: good.Password}, BadCredentials},
		{"a later end", Credentials{Username: later + ":@alice:example.org", Password: good.Password}, BadCredentials},
		{"no end", Credentials{Username: "@alice", Password: good.Password}, BadCredentials},
		{"an end that is no number", Credentials{Username: "never:@alice", Password: good.Password}, BadCredentials},
		{"nobody", Credentials{Username: later + ":", Password: good.Password}, BadCredentials},
		{"before all secrets", Credentials{Username: "-5:@alice", Password: good.Password}, Expired},
		{"too long", s.keys.Mint(strings.Repeat("x", maxUsername-8)), BadCredentials},
	} {
		before := s.Metrics().Refused[test.want.String()]
		a := s.asker("udp4", test.give)
		if code := a.ask(stun.MethodAllocate, udpTransport); code != 400 {
			t.Errorf("%s: the answer is %d, want 400", test.name, code)
		}
		if got := s.Metrics().Refused[test.want.String()]; got != before+1 {
			t.Errorf("%s: it is not counted as %v: %v", test.name, test.want, s.Metrics().Refused)
		}
	}
	if m := s.Metrics(); m.Allocations != 0 {
		t.Errorf("there are %d allocations", m.Allocations)
	}
	s.asker("udp4", good).allocation()
}

// TestOtherUsers has one user meddle with the allocation of another, from the same address.
func TestOtherUsers(t *testing.T) {
	s := start(t, allowLoopback)
	a := s.asker("udp4", s.keys.Mint("@alice:example.org"))
	a.allocation()
	alice := a.user
	a.user = s.keys.Mint("@mallory:example.org")
	refresh := a.build(stun.MethodRefresh, attribute{stun.AttrLifetime, make([]byte, 4)})
	if _, err := a.conn.Write(refresh.Raw); err != nil { // it is not answered
		t.Fatal(err)
	}
	a.user = alice
	if code := a.ask(stun.MethodCreatePermission, xorPeer(netip.MustParseAddrPort("127.0.0.1:9"))); code != 0 {
		t.Errorf("the allocation has gone: %d", code)
	}
	if m := s.Metrics(); m.Allocations != 1 || m.Users != 1 {
		t.Errorf("metrics are %+v", m)
	}
}

// TestLongCall outlasts its credentials, and the secret that they were made with.
func TestLongCall(t *testing.T) {
	s := start(t, allowLoopback)
	a := s.asker("tcp4", s.keys.Mint("@alice:example.org"))
	a.allocation()
	for range 3 {
		s.clock.advance(3 * 24 * time.Hour)
		if err := s.keys.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if code := a.ask(stun.MethodRefresh); code != 0 {
			t.Fatalf("refresh is answered with %d", code)
		}
		if code := a.ask(stun.MethodCreatePermission, xorPeer(netip.MustParseAddrPort("127.0.0.1:9"))); code != 0 {
			t.Fatalf("CreatePermission is answered with %d", code)
		}
		again := s.asker("tcp4", a.user)
		if code := again.ask(stun.MethodAllocate, udpTransport); code != 400 {
			t.Fatalf("another allocation with old credentials is answered with %d", code)
		}
	}
	s.mustAllocate("udp4", s.keys.Mint("@alice:example.org"))
}

func TestQuotas(t *testing.T) {
	s := start(t, func(c *Config) { c.Limits = Limits{UserAllocations: 2, Allocations: 3} })
	alice, bob := s.keys.Mint("@alice:example.org"), s.keys.Mint("@bob:example.org")
	first := s.asker("udp4", alice)
	first.allocation()
	s.asker("tcp4", alice).allocation()
	if code := s.asker("udp4", alice).ask(stun.MethodAllocate, udpTransport); code != 486 {
		t.Errorf("the user's third allocation is answered with %d, want 486", code)
	}
	s.asker("udp4", bob).allocation()
	if code := s.asker("udp4", bob).ask(stun.MethodAllocate, udpTransport); code != 486 {
		t.Errorf("the server's fourth allocation is answered with %d, want 486", code)
	}
	if m := s.Metrics(); m.Refused["user_quota"] != 1 || m.Refused["server_quota"] != 1 || m.Allocations != 3 || m.Users != 2 {
		t.Errorf("metrics are %+v", m)
	}
	if code := first.ask(stun.MethodRefresh, attribute{stun.AttrLifetime, make([]byte, 4)}); code != 0 {
		t.Fatalf("the end of an allocation is answered with %d", code)
	}
	s.asker("udp4", alice).allocation()
}

// TestPorts has relays on all ports that there are, and not on another.
func TestPorts(t *testing.T) {
	s := start(t, func(c *Config) { c.MinPort, c.MaxPort = 29000, 29002 })
	users := []Credentials{s.keys.Mint("@alice:example.org"), s.keys.Mint("@bob:example.org"), s.keys.Mint("@carol:example.org")}
	for _, user := range users {
		s.asker("udp4", user).allocation()
	}
	if code := s.asker("udp4", users[0]).ask(stun.MethodAllocate, udpTransport); code != 508 {
		t.Errorf("an allocation without a port is answered with %d, want 508", code)
	}
	s.asker("udp6", users[0]).allocation() // IPv6 has ports of its own
}

// TestUnsupported is about what calls do not need.
func TestUnsupported(t *testing.T) {
	s := start(t, func(c *Config) { c.Relays = c.Relays[:1] })
	user := s.keys.Mint("@alice:example.org")
	for _, test := range []struct {
		name       string
		attributes []stun.Setter
		want       int
	}{
		{"TCP to peers", []stun.Setter{attribute{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}}, 508},
		{"even ports", []stun.Setter{udpTransport, attribute{stun.AttrEvenPort, []byte{0x80}}}, 508},
		{"a family that is not there", []stun.Setter{udpTransport, attribute{stun.AttrRequestedAddressFamily, []byte{2, 0, 0, 0}}}, 440},
		{"another transport", []stun.Setter{attribute{stun.AttrRequestedTransport, []byte{1, 0, 0, 0}}}, 442},
	} {
		for _, transport := range []string{"udp4", "tcp4", "tls4"} {
			if code := s.asker(transport, user).ask(stun.MethodAllocate, test.attributes...); code != test.want {
				t.Errorf("%s by %s: answered with %d, want %d", test.name, transport, code, test.want)
			}
		}
	}
	if m := s.Metrics(); m.Allocations != 0 {
		t.Errorf("there are %d allocations", m.Allocations)
	}
}

// TestBinding is STUN, for everybody.
func TestBinding(t *testing.T) {
	s := start(t, nil)
	for _, transport := range transports {
		a := s.asker(transport, Credentials{})
		m := a.build(stun.MethodBinding)
		if _, err := a.conn.Write(m.Raw); err != nil {
			t.Fatal(err)
		}
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(a.answer(m.TransactionID)); err != nil {
			t.Fatal(err)
		}
		if got, want := mapped.String(), a.conn.LocalAddr().String(); got != want {
			t.Errorf("%s: the address is %s, want %s", transport, got, want)
		}
	}
}

// TestStop ends a server in use, and finds nothing left of it.
func TestStop(t *testing.T) {
	s := start(t, allowLoopback)
	var all []*asker
	for _, transport := range transports {
		a := s.asker(transport, s.keys.Mint("@alice:example.org"))
		a.allocation()
		all = append(all, a)
	}
	s.stop()
	if m := s.Metrics(); m.Allocations != 0 || m.Connections != 0 {
		t.Errorf("metrics are %+v", m)
	}
	for i, a := range all {
		if transports[i][:3] == "udp" {
			continue
		}
		if b, err := a.read(); err == nil {
			t.Errorf("%s: there is still %x", transports[i], b)
		}
	}
	for _, address := range s.addrs {
		if again, err := net.Listen("tcp", address); err == nil {
			again.Close()
		} else if again, err := net.ListenPacket("udp", address); err == nil {
			again.Close()
		} else {
			t.Errorf("%s is still taken", address)
		}
	}
}
