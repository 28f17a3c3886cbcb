package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
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

// TestFeedbackWaits has feedback wait for other feedback, and nothing else: what comes after it overtakes it.
func TestFeedbackWaits(t *testing.T) {
	c, client := NewConn(listen(t, "127.0.0.1:0")), listen(t, "127.0.0.1:0")
	send := func(b []byte) {
		t.Helper()
		if _, err := client.WriteTo(b, c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	read := func() []byte {
		t.Helper()
		b := make([]byte, 2000)
		n, from, err := c.ReadFromAddrPort(b)
		if err != nil || from.Port() != client.LocalAddr().(*net.UDPAddr).AddrPort().Port() {
			t.Fatalf("from %s: %v", from, err)
		}
		return b[:n]
	}
	nack := packetOf(3, 40)
	nack[0], nack[1] = 0x81, 205
	for _, b := range [][]byte{feedbackPacket(1), packetOf(1, 100), feedbackPacket(2), nack} {
		send(b)
	}
	for i, want := range [][]byte{packetOf(1, 100), nack, feedbackPacket(1), feedbackPacket(2)} {
		if got := read(); !bytes.Equal(got, want) {
			t.Errorf("%d: got %x, want %x", i, got, want)
		}
	}
}

// TestHeldIsBounded keeps so much feedback, and gives it in order.
func TestHeldIsBounded(t *testing.T) {
	var in inbound
	from := netip.MustParseAddrPort("192.0.2.1:1")
	n := 0
	for !in.full() {
		in.keep(feedbackPacket(n), from)
		n++
	}
	if n != maxHeld {
		t.Errorf("%d packets were kept, want %d", n, maxHeld)
	}
	b := make([]byte, 100)
	for i := range n {
		size, _, ok := in.next(b)
		if !ok || !bytes.Equal(b[:size], feedbackPacket(i)) {
			t.Fatalf("%d: got %x, %t", i, b[:size], ok)
		}
	}
	if _, _, ok := in.next(b); ok || in.full() || len(in.bytes) != 0 {
		t.Error("something is kept still")
	}
	for !in.full() {
		in.keep(make([]byte, 1500), from)
	}
	if len(in.bytes) > maxHeldBytes+1500 {
		t.Errorf("%d bytes were kept, want at most %d", len(in.bytes), maxHeldBytes)
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
