package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/store"
	"causeway/sfu/network"

	"github.com/pion/turn/v5"
	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// TestDiscovery is about who is asked for public addresses.
func TestDiscovery(t *testing.T) {
	const public = "https://matrix.example.org"
	for _, test := range []struct {
		name       string
		change     func(*Config)
		stun, host string
		given      []string
	}{
		{name: "on this machine", change: func(c *Config) { c.Calls.STUN = "stun.example.org" }},
		{name: "as it is", change: func(c *Config) { c.PublicURL = public }, host: "matrix.example.org"},
		{name: "STUN", change: func(c *Config) { c.PublicURL, c.Calls.STUN = public, "stun:stun.example.org" }, stun: "stun.example.org:3478", host: "matrix.example.org"},
		{name: "STUN with a port", change: func(c *Config) { c.PublicURL, c.Calls.STUN = public, "[2001:db8::1]:4000" }, stun: "[2001:db8::1]:4000", host: "matrix.example.org"},
		{name: "STUN by IPv6", change: func(c *Config) { c.PublicURL, c.Calls.STUN = public, "[2001:db8::1]" }, stun: "[2001:db8::1]:3478", host: "matrix.example.org"},
		{name: "a host of its own for TURN", change: func(c *Config) { c.PublicURL, c.TURN.Host = public, "turn.example.org" }, host: "turn.example.org"},
		{name: "that of a TURN elsewhere", change: func(c *Config) {
			c.PublicURL, c.TURN.Host, c.TURN.URIs = public, "turn.example.org", []string{"turn:turn.example.org"}
		}, host: "matrix.example.org"},
		{name: "no media here", change: func(c *Config) { c.PublicURL, c.Calls.Enabled, c.TURN.Enabled = public, false, false }},
		{name: "a LiveKit elsewhere", change: func(c *Config) { c.PublicURL, c.Calls.SFU.LiveKit.URL = public, "wss://livekit.example.org" }, host: "matrix.example.org"},
		{name: "all given", change: func(c *Config) {
			c.Calls.PublicIPs, c.TURN.PublicAddresses = []string{"198.51.100.7", "::ffff:198.51.100.8"}, []string{"198.51.100.9", "2001:db8::9"}
		}, given: []string{"198.51.100.7", "198.51.100.8", "2001:db8::9"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := defaultConfig()
			test.change(cfg)
			got := discovery(cfg)
			var given []string
			for _, a := range got.Given {
				given = append(given, a.String())
			}
			if got.STUN != test.stun || got.Host != test.host || !slices.Equal(given, test.given) {
				t.Errorf("got %q, %q and %v, want %q, %q and %v", got.STUN, got.Host, given, test.stun, test.host, test.given)
			}
		})
	}
}

func TestSTUNConfigProblems(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, "stun.example.org": true, "stun:stun.example.org:3478": true, "192.0.2.1": true, "[2001:db8::1]:3478": true,
		":3478": false, "stun:": false, "stun.example.org:port": false, "stun.example.org/x": false, "a b": false, "http://x y": false, "a b:c": false,
	} {
		var problems []string
		c := defaultCalls()
		c.STUN = text
		c.check(func(key, format string, args ...any) {
			problems = append(problems, key+" "+fmt.Sprintf(format, args...))
		})
		if good != (len(problems) == 0) || !good && (len(problems) > 1 || !strings.Contains(problems[0], fmt.Sprintf("%q is not host or host:port", text))) {
			t.Errorf("%q: %v", text, problems)
		}
	}
}

// behindNAT discovers by look-ups, each of which gets the next address.
func behindNAT(t *testing.T, addresses ...string) (*network.Discovery, func()) {
	t.Helper()
	changed, next := make(chan struct{}, 1), 0
	d := network.Discover(network.DiscoveryConfig{
		Host: "matrix.example.org", Changed: func() { changed <- struct{}{} }, Log: zerolog.Nop(),
		Local: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.5")}, nil },
		Resolve: func(context.Context, string, string) ([]netip.Addr, error) {
			next++
			return []netip.Addr{netip.MustParseAddr(addresses[next-1])}, nil
		},
	})
	return d, func() {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		<-changed
		stop()
		<-ended
	}
}

// allocateAt asks a TURN server for a relay, and gives its address.
func allocateAt(t *testing.T, uri, username, password string) (netip.AddrPort, error) {
	t.Helper()
	_, port, _ := strings.Cut(strings.TrimSuffix(uri, "?transport=udp"), "turn:")
	_, port, err := net.SplitHostPort(port)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := net.JoinHostPort("127.0.0.1", port)
	client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: server, TURNServerAddr: server, Username: username, Password: password, Conn: conn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); _ = conn.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err != nil {
		return netip.AddrPort{}, err
	}
	return relay.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// TestRelaysFollowPublicAddress has relays, and what they reach of this machine, be known by the address that was found.
func TestRelaysFollowPublicAddress(t *testing.T) {
	cfg := turnConfig(func(c *Config) { c.TURN.Listen = []string{"0.0.0.0:0"} })
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "causeway.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	public, look := behindNAT(t, "198.51.100.7", "198.51.100.8")
	media := &calls{public: public}
	if media.net, err = network.Listen(network.Config{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}); err != nil {
		t.Fatal(err)
	}
	defer media.net.Close()
	part, err := openTURN(t.Context(), cfg, turnSecrets{db}, public, media.services, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- part.run(ctx) }()
	defer func() { stop(); <-ended }()
	c := part.Credentials("@alice:localhost", "DEVICE")
	for i, want := range []string{"", "198.51.100.7", "198.51.100.8"} {
		if i > 0 {
			look()
			part.move()
		}
		got, err := allocateAt(t, c.URIs[0], c.Username, c.Password)
		if err != nil || want != "" && got.Addr().String() != want {
			t.Errorf("a relay is known as %v, %v; want %s", got, err, want)
		}
		if services := media.services(); len(services) != 1 || want != "" && services[netip.AddrPortFrom(netip.MustParseAddr(want), 0)].Addr().String() != "127.0.0.1" {
			t.Errorf("services are %v", services)
		}
	}
}

// TestTURNAfterLogout has credentials of a device be of no use when it is signed out.
func TestTURNAfterLogout(t *testing.T) {
	s := startCallServer(t, mediaAt(t), func(c *Config) { c.TURN.Enabled, c.TURN.Listen = true, []string{"127.0.0.1:0"} })
	alice, bob := s.register("alice"), s.register("bob")
	credentials := func(token string) (uri, username, password string) {
		c := s.ok(http.MethodGet, client+"/voip/turnServer", token, "")
		return c["uris"].([]any)[0].(string), c["username"].(string), c["password"].(string)
	}
	uri, username, password := credentials(alice)
	if _, err := allocateAt(t, uri, username, password); err != nil {
		t.Fatalf("Alice gets no relay: %v", err)
	}
	s.ok(http.MethodPost, client+"/logout", alice, `{}`)
	if _, err := allocateAt(t, uri, username, password); err == nil || !strings.Contains(err.Error(), "486") {
		t.Errorf("after Alice's logout she is answered %v, want 486", err)
	}
	uri, username, password = credentials(bob)
	if _, err := allocateAt(t, uri, username, password); err != nil {
		t.Errorf("Bob gets no relay: %v", err)
	}
}

// knownDevices and knownSeats are what sessions are asked about.
type (
	knownDevices map[string]error
	knownSeats   map[string]bool
)

func (k knownDevices) MayCall(_ context.Context, user id.UserID, device id.DeviceID) (bool, error) {
	err, ok := k[string(user)+" "+string(device)]
	return ok && err == nil, err
}

func (k knownSeats) Seated(identity string) bool { return k[identity] }

func TestTURNSessions(t *testing.T) {
	part := &turnPart{log: zerolog.Nop()}
	if !part.isActive("@alice:localhost", deviceSession+"DEVICE") || part.isActive("@alice:localhost", callSession+"@alice:localhost:DEVICE") {
		t.Error("before there are accounts")
	}
	part.sessions = turnSessions{
		devices: knownDevices{"@alice:localhost DEVICE": nil, "@alice:localhost ": nil, "@bob:localhost DEVICE": context.DeadlineExceeded},
		calls:   knownSeats{"@alice:localhost:DEVICE": true},
	}
	for _, test := range []struct {
		user, session string
		want          bool
	}{
		{"@alice:localhost", deviceSession + "DEVICE", true},
		{"@alice:localhost", deviceSession + "OTHER", false},
		{"@alice:localhost", deviceSession, true}, // an application service
		{"@alice:localhost", "", true},            // credentials of before sessions were named
		{"@bob:localhost", deviceSession + "DEVICE", true},
		{"@mallory:localhost", "", false},
		{"@alice:localhost", callSession + "@alice:localhost:DEVICE", true},
		{"@alice:localhost", callSession + "@alice:localhost:OTHER", false},
		{"@alice:localhost:DEVICE", deviceSession, false},
	} {
		if got := part.isActive(test.user, test.session); got != test.want {
			t.Errorf("%q of %q: got %v, want %v", test.session, test.user, got, test.want)
		}
	}
	var none *turnPart
	none.attend(nil, nil)
	none.move()
}
