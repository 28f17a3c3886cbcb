package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
)

// newTestMux makes a mux on a socket of loopback.
func newTestMux(t *testing.T) *Mux {
	t.Helper()
	m := newMux([]*Conn{NewConn(listen(t, "127.0.0.1:0"))}, logging.NewDefaultLoggerFactory().NewLogger("test"))
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func (m *Mux) mustConn(t *testing.T, ufrag string) *share {
	t.Helper()
	c, err := m.GetConn(ufrag, m.GetListenAddresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	return c.(*share)
}

// binding is a STUN request to a connection.
func binding(t *testing.T, username string) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewSoftware("x"), stun.NewUsername(username))
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func (c *share) mustRead(t *testing.T) ([]byte, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 2000)
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], from
}

// TestMux gives each connection what is for it: by the username fragment of STUN at first, then by the address; and nobody what is for nobody.
func TestMux(t *testing.T) {
	m := newTestMux(t)
	one, two := m.mustConn(t, "one"), m.mustConn(t, "two")
	to := m.GetListenAddresses()[0]
	client, stranger := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	send := func(from *net.UDPConn, b []byte) {
		t.Helper()
		if _, err := from.WriteTo(b, to); err != nil {
			t.Fatal(err)
		}
	}
	send(stranger, packetOf(1, 50))              // no connection is known by this address
	send(stranger, binding(t, "three:x"))        // nor by this name
	send(stranger, binding(t, "one"))            // nor this
	send(client, []byte{0, 1, 0, 8, 0x21, 0x12}) // this is cut off
	send(client, binding(t, "one:x"))            // but by this
	b, from := one.mustRead(t)
	if want := binding(t, "one:x"); len(b) != len(want) || from.Port() != client.LocalAddr().(*net.UDPAddr).AddrPort().Port() {
		t.Fatalf("got %x from %s", b, from)
	}
	send(client, packetOf(2, 50)) // not proved yet
	send(client, binding(t, "two:x"))
	if b, _ := two.mustRead(t); !stun.IsMessage(b) {
		t.Fatalf("got %x", b)
	}
	if _, err := one.WriteToAddrPort([]byte{0, 1}, from); err != nil {
		t.Fatal(err)
	}
	send(client, packetOf(3, 50))
	if b, _ := one.mustRead(t); !bytes.Equal(b, packetOf(3, 50)) {
		t.Errorf("got %x", b)
	}
	if len(one.in) != 0 || len(two.in) != 0 {
		t.Error("something else has come")
	}
	m.RemoveConnByUfrag("one")
	if _, _, err := one.ReadFromAddrPort(make([]byte, 10)); !errors.Is(err, io.EOF) {
		t.Errorf("read of a connection that was removed: %v", err)
	}
	if _, err := one.WriteToAddrPort([]byte{0, 1}, netip.AddrPortFrom(from.Addr(), from.Port()+1)); err == nil {
		t.Error("a connection that was removed takes another address")
	}
	if s := m.sockets[0]; len(s.ways) != 0 || len(s.lines) != 1 {
		t.Errorf("%d addresses and %d connections are left, want none and one", len(s.ways), len(s.lines))
	}
}

// TestSharesEnd has a connection last as long as its last share, and reading end by a deadline.
func TestSharesEnd(t *testing.T) {
	m := newTestMux(t)
	first, second := m.mustConn(t, "a"), m.mustConn(t, "a")
	if err := first.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.ReadFromAddrPort(make([]byte, 10)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if len(m.sockets[0].lines) != 1 {
		t.Error("the connection ended with its first share")
	}
	_ = second.Close()
	_ = second.Close()
	if len(m.sockets[0].lines) != 0 {
		t.Error("the connection goes on without a share")
	}
	if _, err := m.GetConn("a", &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}); err == nil {
		t.Error("there is a socket on an address that is not ours")
	}
	third := m.mustConn(t, "b")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := third.ReadFromAddrPort(make([]byte, 10)); !errors.Is(err, io.EOF) {
		t.Errorf("after the end got %v", err)
	}
	if _, err := m.GetConn("c", m.GetListenAddresses()[0]); err == nil {
		t.Error("a mux that is closed has connections")
	}
}

// TestNoPacketWaits has each packet be handed out at once, whatever the reader does at the moment when it comes, and not with the next.
func TestNoPacketWaits(t *testing.T) {
	m := newTestMux(t)
	line, client := m.mustConn(t, "one"), listen(t, "127.0.0.1:0")
	to := m.GetListenAddresses()[0]
	stuck := time.AfterFunc(10*time.Second, func() { _ = m.Close() })
	defer stuck.Stop()
	b := binding(t, "one:x")
	for n := range 20_000 {
		if _, err := client.WriteTo(b, to); err != nil {
			t.Fatal(err)
		}
		if _, _, err := line.ReadFromAddrPort(make([]byte, 2000)); err != nil {
			t.Fatalf("packet %d waits: %v", n, err)
		}
		stuck.Reset(10 * time.Second)
	}
}

// TestMuxBounds keeps so many packets for who does not read, without others waiting for that, and takes so many addresses.
func TestMuxBounds(t *testing.T) {
	m := newTestMux(t)
	lazy, keen := m.mustConn(t, "lazy"), m.mustConn(t, "keen")
	client, other := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	to := m.GetListenAddresses()[0]
	for n := range maxUnread + 50 {
		if _, err := client.WriteTo(binding(t, "lazy:x"), to); err != nil {
			t.Fatal(err)
		}
		if n%20 == 0 { // so that the kernel drops nothing
			if _, err := other.WriteTo(binding(t, "keen:x"), to); err != nil {
				t.Fatal(err)
			}
			keen.mustRead(t)
		}
	}
	if _, err := other.WriteTo(binding(t, "keen:x"), to); err != nil {
		t.Fatal(err)
	}
	keen.mustRead(t)
	if got := len(lazy.in); got != maxUnread {
		t.Errorf("%d packets wait, want %d", got, maxUnread)
	}
	for n := range maxWays {
		if err := lazy.reach(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(n+1))); err != nil {
			t.Fatal(err)
		}
	}
	if err := lazy.reach(netip.MustParseAddrPort("192.0.2.2:1")); !errors.Is(err, errManyWays) {
		t.Errorf("got %v, want %v", err, errManyWays)
	}
	p := &packet{from: netip.MustParseAddrPort("192.0.2.2:1")}
	p.n = copy(p.data[:], binding(t, "lazy:x"))
	if l := m.sockets[0].lineOf(p); l != nil {
		t.Error("one more address is tried")
	}
	if err := keen.reach(netip.MustParseAddrPort("192.0.2.1:1")); err != nil || m.sockets[0].ways[netip.MustParseAddrPort("192.0.2.1:1")] != keen.line {
		t.Errorf("an address is not its latest connection's: %v", err)
	}
}

// feedbackPacket is one with feedback on when packets came, as it looks encrypted.
func feedbackPacket(n int) []byte {
	b := packetOf(n, 40)
	b[0], b[1] = 0x8f, 205
	binary.BigEndian.PutUint32(b[8:], uint32(n))
	return b
}

// withAside opens a socket that has one aside, or skips where the system has none.
func withAside(t *testing.T, address string) *Conn {
	t.Helper()
	conn := listen(t, address)
	c := NewConn(conn)
	var err error
	if c.aside, err = openAside(conn, 1<<20); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("feedback is put aside on Linux alone")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestFeedbackAside has feedback on when packets came put aside, and nothing else, on either family.
func TestFeedbackAside(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		c, client := withAside(t, address), listen(t, address)
		nack, padded := packetOf(3, 40), feedbackPacket(2)
		nack[0], nack[1] = 0x81, 205
		padded[0] |= 0x20
		for _, b := range [][]byte{feedbackPacket(1), packetOf(1, 100), {0x8f}, padded, nack, {}} {
			if _, err := client.WriteTo(b, c.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		check := func(p *packet, want []byte) {
			t.Helper()
			if got := p.data[:p.n]; !bytes.Equal(got, want) || p.from != client.LocalAddr().(*net.UDPAddr).AddrPort() {
				t.Errorf("got %x from %s, want %x from %s", got, p.from, want, client.LocalAddr())
			}
		}
		others := [][]byte{packetOf(1, 100), {0x8f}, nack, {}}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		err := newIntake().each(c.UDPConn, nil, func(p *packet) *packet {
			if len(others) > 0 {
				check(p, others[0])
				others = others[1:]
			}
			if len(others) == 0 {
				_ = c.SetReadDeadline(time.Unix(1, 0))
			}
			return p
		}, func(err error) { t.Error(err) })
		if !errors.Is(err, os.ErrDeadlineExceeded) || len(others) > 0 {
			t.Fatalf("%s: %d packets did not come: %v", address, len(others), err)
		}
		in := newIntake()
		if n := c.aside.take(in); n != 2 {
			t.Fatalf("%s: %d packets were put aside, want 2", address, n)
		}
		check(in.packets[0], feedbackPacket(1))
		check(in.packets[1], padded)
		if n := c.aside.take(in); n != 0 {
			t.Errorf("%d more packets were put aside", n)
		}
	}
}

// TestGather has a connection get feedback that was put aside, as often as there is some, also after nobody was there.
func TestGather(t *testing.T) {
	c := withAside(t, "127.0.0.1:0")
	m := newMux([]*Conn{c}, logging.NewDefaultLoggerFactory().NewLogger("test"))
	t.Cleanup(func() { _ = m.Close() })
	for round := range 2 {
		line, client := m.mustConn(t, "one"), listen(t, "127.0.0.1:0")
		if _, err := line.WriteToAddrPort([]byte{0, 1}, client.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			t.Fatal(err)
		}
		for n := range 40 {
			if _, err := client.WriteTo(feedbackPacket(n), c.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 40 {
			if b, _ := line.mustRead(t); !bytes.Equal(b, feedbackPacket(n)) {
				t.Fatalf("round %d: got %x, want number %d", round, b, n)
			}
		}
		if err := line.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPortIsTaken refuses a port that another server has, although that shares it with itself.
func TestPortIsTaken(t *testing.T) {
	port := listen(t, "127.0.0.1:0").LocalAddr().(*net.UDPAddr).Port
	cfg := Config{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.2")}, UDPPort: port}
	n, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if again, err := Listen(cfg); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v, %v, want %v", again, err, syscall.EADDRINUSE)
	}
}

// FuzzUfrag looks for a username fragment in anything: what is found is there, before a colon.
func FuzzUfrag(f *testing.F) {
	for _, username := range []string{"a:b", "a", "", "aaaaaaaaaaaaaaaa:bbbbbbbbbbbbbbb"} {
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(username), stun.NewSoftware("x"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Raw)
	}
	f.Add([]byte{0x80, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if ufrag, ok := ufragOf(b); ok && !bytes.Contains(b, append(bytes.Clone(ufrag), ':')) {
			t.Errorf("got %q of %x", ufrag, b)
		}
		if !bytes.Equal(b, before) {
			t.Error("the packet was changed")
		}
	})
}
