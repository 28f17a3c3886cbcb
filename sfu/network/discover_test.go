package network

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
	"github.com/rs/zerolog"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// stunServer answers each request with an address, or with bytes that a test makes.
type stunServer struct {
	address string

	mu     sync.Mutex // guards what follows
	answer func(request *stun.Message) []byte
}

func startSTUN(t *testing.T, says string) *stunServer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &stunServer{address: conn.LocalAddr().String()}
	s.say(says)
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			m := new(stun.Message)
			if m.UnmarshalBinary(b[:n]) != nil {
				continue
			}
			s.mu.Lock()
			answer := s.answer(m)
			s.mu.Unlock()
			_, _ = conn.WriteToUDPAddrPort(answer, from)
		}
	}()
	return s
}

func (s *stunServer) set(answer func(*stun.Message) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// say has it answer as it ought to.
func (s *stunServer) say(address string) {
	s.set(func(m *stun.Message) []byte {
		return stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
			&stun.XORMappedAddress{IP: net.ParseIP(address), Port: 4711}, stun.Fingerprint).Raw
	})
}

// names answer look-ups by the network and name.
type names map[string][]netip.Addr

var errNoName = errors.New("no such host")

func (n names) resolve(_ context.Context, network, host string) ([]netip.Addr, error) {
	all, ok := n[network+" "+host]
	if !ok {
		return nil, errNoName
	}
	return all, nil
}

func TestDiscover(t *testing.T) {
	const host = "matrix.example.org"
	private := addrs("10.0.0.5", "fd00::5")
	server := startSTUN(t, "198.51.100.7")
	inside := startSTUN(t, "10.0.0.5")
	carrier := startSTUN(t, "100.64.3.4")
	for _, test := range []struct {
		name  string
		local []netip.Addr
		given []netip.Addr
		stun  string
		host  string
		names names
		want  []netip.Addr
		fails bool // somebody does not answer
	}{
		{name: "STUN", local: addrs("10.0.0.5"), stun: server.address, want: addrs("198.51.100.7")},
		{name: "STUN before the name", local: addrs("10.0.0.5"), stun: server.address, host: host,
			names: names{"ip4 " + host: addrs("198.51.100.8")}, want: addrs("198.51.100.7")},
		{name: "STUN of the same network", local: addrs("10.0.0.5"), stun: inside.address},
		{name: "behind a carrier's NAT", local: addrs("10.0.0.5"), stun: carrier.address},
		{name: "STUN of the same network, and a name", local: addrs("10.0.0.5"), stun: inside.address, host: host,
			names: names{"ip4 " + host: addrs("198.51.100.8")}, want: addrs("198.51.100.8")},
		{name: "no STUN, and a name", local: addrs("10.0.0.5"), stun: "127.0.0.1:9", host: host,
			names: names{"ip4 " + host: addrs("198.51.100.8")}, want: addrs("198.51.100.8"), fails: true},
		{name: "a name of both families", local: private, host: host,
			names: names{"ip4 " + host: addrs("::ffff:198.51.100.8"), "ip6 " + host: addrs("2001:db8::8")}, want: addrs("198.51.100.8", "2001:db8::8")},
		{name: "a name of one family", local: private, host: host, names: names{"ip4 " + host: addrs("198.51.100.8")},
			want: addrs("198.51.100.8"), fails: true},
		{name: "IPv6 is public", local: addrs("10.0.0.5", "2001:db8::5"), host: host,
			names: names{"ip4 " + host: addrs("198.51.100.8")}, want: addrs("198.51.100.8")},
		{name: "all is public", local: addrs("198.51.100.5", "2001:db8::5", "10.0.0.5"), stun: server.address, host: host},
		{name: "no IPv6", local: addrs("10.0.0.5", "::1"), host: host,
			names: names{"ip4 " + host: addrs("198.51.100.8"), "ip6 " + host: addrs("2001:db8::8")}, want: addrs("198.51.100.8")},
		{name: "a private name", local: addrs("10.0.0.5"), host: host, names: names{"ip4 " + host: addrs("192.168.1.2")}},
		{name: "loopback by name", local: addrs("10.0.0.5"), host: host, names: names{"ip4 " + host: addrs("127.0.1.1")}},
		{name: "a service of many addresses", local: addrs("10.0.0.5"), host: host, names: names{"ip4 " + host: addrs("198.51.100.8", "198.51.100.9")}},
		{name: "no such name", local: addrs("10.0.0.5"), host: host, fails: true},
		{name: "an address in the place of a name", local: private, host: "198.51.100.8", want: addrs("198.51.100.8")},
		{name: "given", local: private, given: addrs("203.0.113.1"), stun: "127.0.0.1:9", host: "2001:db8::8",
			want: addrs("203.0.113.1", "2001:db8::8"), fails: true},
		{name: "on this machine alone", local: addrs("127.0.0.1"), host: host, names: names{"ip4 " + host: addrs("198.51.100.8")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := Discover(DiscoveryConfig{
				Given: test.given, STUN: test.stun, Host: test.host, Resolve: test.names.resolve,
				Local: func() ([]netip.Addr, error) { return test.local, nil },
			})
			if answered := d.look(t.Context()); answered == test.fails {
				t.Errorf("all have answered: %v", answered)
			}
			if got := d.Addresses(); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestDiscoverAgain follows an address that changes, and keeps what it knows while nobody answers.
func TestDiscoverAgain(t *testing.T) {
	server := startSTUN(t, "198.51.100.7")
	var log bytes.Buffer
	changes := 0
	address, resolves := server.address, names{"ip4 h": addrs("198.51.100.9")}
	d := Discover(DiscoveryConfig{
		STUN: "stun", Host: "h", Changed: func() { changes++ }, Log: zerolog.New(&log),
		Local: func() ([]netip.Addr, error) { return addrs("10.0.0.5"), nil },
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			if network != "udp4" {
				t.Errorf("it is asked by %s", network)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		Resolve: func(ctx context.Context, network, host string) ([]netip.Addr, error) {
			return resolves.resolve(ctx, network, host)
		},
	})
	step := func(what, want string, wantChanges int, words string) {
		t.Helper()
		log.Reset()
		d.look(t.Context())
		if got, _ := d.Public(false); got != netip.MustParseAddr(want) || changes != wantChanges {
			t.Errorf("%s: got %v after %d changes, want %s after %d", what, got, changes, want, wantChanges)
		}
		if got := log.String(); !strings.Contains(got, words) || words == "" && got != "" {
			t.Errorf("%s: the log has %q, want %q", what, got, words)
		}
	}
	step("first", "198.51.100.7", 1, `"address":"198.51.100.7","stun":"stun"`)
	step("the same again", "198.51.100.7", 1, "")
	server.say("198.51.100.8")
	step("another address", "198.51.100.8", 2, "198.51.100.8")
	address = "127.0.0.1:9"
	step("the STUN server is gone", "198.51.100.8", 2, "no answer")
	step("still gone", "198.51.100.8", 2, "")
	address = server.address
	server.set(func(m *stun.Message) []byte { // an answer to nothing that was asked
		return stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(198, 51, 100, 66), Port: 1}).Raw
	})
	step("somebody else answers", "198.51.100.8", 2, "")
	server.say("198.51.100.7")
	step("it is back", "198.51.100.7", 3, "198.51.100.7")
	if _, ok := d.Public(true); ok {
		t.Error("there is an IPv6 address")
	}
}

// TestDiscoverByNameEnds has a name lose its public address.
func TestDiscoverByNameEnds(t *testing.T) {
	resolves := names{"ip4 h": addrs("198.51.100.9")}
	var log bytes.Buffer
	d := Discover(DiscoveryConfig{
		Host: "h", Resolve: resolves.resolve, Local: func() ([]netip.Addr, error) { return addrs("10.0.0.5"), nil }, Log: zerolog.New(&log),
	})
	d.look(t.Context())
	delete(resolves, "ip4 h")
	log.Reset()
	if d.look(t.Context()); len(d.Addresses()) != 1 {
		t.Errorf("a look-up that fails leaves %v", d.Addresses())
	}
	if got := log.String(); !strings.Contains(got, "The public address of this machine was not found") || !strings.Contains(got, "look up h: ") {
		t.Errorf("the log says %q of it", got)
	}
	resolves["ip4 h"] = addrs("10.0.0.5")
	if d.look(t.Context()); len(d.Addresses()) != 0 {
		t.Errorf("a name that has a private address leaves %v", d.Addresses())
	}
}

// TestDiscoverRuns asks soon where nobody answers, less and less, and every five minutes where somebody does; and ends when it is told.
func TestDiscoverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, works := time.Now(), atomic.Bool{}
		var asked []time.Duration
		d := Discover(DiscoveryConfig{
			Host: "h", Local: func() ([]netip.Addr, error) { return addrs("10.0.0.5"), nil },
			Resolve: func(context.Context, string, string) ([]netip.Addr, error) {
				if asked = append(asked, time.Since(begin)); !works.Load() {
					return nil, errNoName
				}
				return addrs("198.51.100.9"), nil
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Run(ctx) }()
		time.Sleep(100 * time.Second) // of a clock that does not wait
		works.Store(true)
		time.Sleep(10 * time.Minute)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []time.Duration{0, 15 * time.Second, 45 * time.Second, 105 * time.Second, 405 * time.Second}
		if !slices.Equal(asked, append(want, 705*time.Second)) && !slices.Equal(asked, want) {
			t.Errorf("it is asked after %v, want %v", asked, want)
		}
		none, over := context.WithCancel(t.Context())
		over()
		if err := Discover(DiscoveryConfig{}).Run(none); err != nil {
			t.Error(err)
		}
	})
}

func FuzzReadMapped(f *testing.F) {
	id := stun.NewTransactionID()
	f.Add(stun.MustBuild(stun.NewTransactionIDSetter(id), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(1, 2, 3, 4), Port: 5}).Raw)
	f.Add(stun.MustBuild(stun.NewTransactionIDSetter(id), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.ParseIP("2001:db8::1"), Port: 5}).Raw)
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := readMapped(b, id); ok && !a.IsValid() {
			t.Errorf("%x is %v", b, a)
		}
	})
}
