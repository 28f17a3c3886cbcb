package turn

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pion/stun/v4"
)

// sessions are those that have ended.
type sessions struct {
	mu    sync.Mutex // guards ended
	ended map[[2]string]bool
}

func (s *sessions) end(user, session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[[2]string{user, session}] = true
}

func (s *sessions) active(user, session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended[[2]string{user, session}]
}

// TestSessionEnds has one session of a user end, with its relays: its credentials are of no use then, and those of others go on to be.
func TestSessionEnds(t *testing.T) {
	known := &sessions{ended: map[[2]string]bool{}}
	s := start(t, func(c *Config) { c.Active, c.Limits.UserAllocations = known.active, 4 })
	phone, laptop := s.keys.MintSession("@alice:example.org", "PHONE"), s.keys.MintSession("@alice:example.org", "LAPTOP: 2")
	for _, transport := range []string{"udp4", "tls4"} {
		s.asker(transport, phone).allocation()
	}
	kept := s.asker("tcp4", laptop)
	kept.allocation()
	if m := s.Metrics(); m.Users != 1 || m.Allocations != 3 {
		t.Errorf("metrics are %+v: sessions are of one user", m)
	}

	known.end("@alice:example.org", "PHONE")
	if code := s.asker("udp4", phone).ask(stun.MethodAllocate, udpTransport); code != 486 {
		t.Errorf("an allocation of a session that has ended is answered with %d, want 486", code)
	}
	s.relays.endInactive()
	await(t, "the relays of the session end", func() bool { return s.Metrics().Allocations == 1 })
	if code := kept.ask(stun.MethodRefresh); code != 0 {
		t.Errorf("the other session's allocation is refreshed with %d", code)
	}
	s.asker("udp4", laptop).allocation()
	if got := s.Metrics().Refused["session_over"]; got != 1 {
		t.Errorf("%d were refused for their session, want 1", got)
	}
}

// TestSlowSessions has nobody know whether sessions go on: relays are made all the same, and end when it is known that they are not to be.
func TestSlowSessions(t *testing.T) {
	known := make(chan struct{})
	var slow atomic.Bool
	s := start(t, func(c *Config) {
		c.Active = func(string, string) bool {
			if slow.Load() {
				<-known
			}
			return !slow.Load()
		}
	})
	before := s.asker("udp4", s.keys.MintSession("@alice:example.org", "PHONE"))
	before.allocation()
	slow.Store(true)
	s.asker("udp4", s.keys.MintSession("@bob:example.org", "PHONE")).allocation()
	if code := before.ask(stun.MethodRefresh); code != 0 {
		t.Errorf("an allocation by the same socket is refreshed with %d", code)
	}
	close(known)
	s.relays.endInactive()
	await(t, "the relays end", func() bool { return s.Metrics().Allocations == 0 })
}

func TestSplitSession(t *testing.T) {
	for _, test := range []struct{ name, user, session string }{
		{withSession("@alice:example.org:8448", "DEVICE:1"), "@alice:example.org:8448", "DEVICE:1"},
		{"@alice:example.org", "@alice:example.org", ""},
		{"~", "~", ""},
		{"~!!:x", "~!!:x", ""},
		{"~QQ:", "~QQ:", ""},
		{"~QQ", "~QQ", ""},
	} {
		if user, session := splitSession(test.name); user != test.user || session != test.session {
			t.Errorf("%s is %q with %q", test.name, user, session)
		}
	}
	keys := start(t, nil).keys
	for _, session := range []string{"", strings.Repeat("x", 400)} {
		if c := keys.MintSession("@alice:example.org", session); !strings.HasSuffix(c.Username, ":@alice:example.org") || strings.Contains(c.Username, sessionMark) {
			t.Errorf("the username is %q", c.Username)
		}
	}
	if _, _, ok := parseUsername(keys.MintSession("@alice:example.org", strings.Repeat("x", 340)).Username); !ok {
		t.Error("a long session makes credentials that are not taken")
	}
}

// TestMove has the address change by which relays are known, as behind a NAT that gets another one.
func TestMove(t *testing.T) {
	old, next := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")
	service := peer(t, "4")
	at := addrPort(service.LocalAddr())
	of := func(public netip.Addr) ([]Address, map[netip.AddrPort]netip.AddrPort) {
		return []Address{{Bind: netip.IPv4Unspecified(), Public: public}}, map[netip.AddrPort]netip.AddrPort{netip.AddrPortFrom(public, 7882): at}
	}
	s := start(t, func(c *Config) { c.Relays, c.Services = of(old) })
	user := s.keys.Mint("@alice:example.org")
	before := s.mustAllocate("udp4", user)
	if err := s.Move(of(next)); err != nil {
		t.Fatal(err)
	}
	after := s.mustAllocate("udp4", user)
	if got := addrPort(after.LocalAddr()).Addr(); got != next {
		t.Errorf("a new relay is known as %v, want %v", got, next)
	}
	// Who has met before meets on.
	send(t, after, before.LocalAddr(), "permission")
	send(t, before, after.LocalAddr(), "hello")
	if got, from := receive(t, after); got != "hello" || from.String() != before.LocalAddr().String() {
		t.Errorf("got %q from %v", got, from)
	}
	a := s.asker("udp4", user)
	a.allocation()
	told := netip.AddrPortFrom(next, 7882)
	if code := a.ask(stun.MethodCreatePermission, xorPeer(told)); code != 0 {
		t.Fatalf("permission for the service is answered with %d", code)
	}
	a.sendIndication(told, "for the service")
	if got, _ := receive(t, service); got != "for the service" {
		t.Errorf("the service gets %q", got)
	}
	if err := s.Move([]Address{{Bind: loopback4, Public: next}, {Bind: loopback4, Public: old}}, nil); err == nil {
		t.Error("relays have two addresses of a family")
	}
	_, services := of(next)
	services[at] = at
	if err := s.Move([]Address{{Bind: loopback4, Public: next}}, services); err == nil {
		t.Error("a service has two addresses")
	}
}
