package turn

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// corpus are messages as clients send them.
func corpus(s *running) [][]byte {
	a := s.asker("udp4", s.keys.Mint("@alice:example.org"))
	all := [][]byte{a.build(stun.MethodBinding).Raw, a.build(stun.MethodAllocate, udpTransport).Raw}
	a.allocation()
	peer := xorPeer(addrPort(a.conn.LocalAddr()))
	for _, m := range []*stun.Message{
		a.build(stun.MethodAllocate, udpTransport), a.build(stun.MethodRefresh, attribute{stun.AttrLifetime, []byte{0, 0, 2, 88}}),
		a.build(stun.MethodCreatePermission, peer, peer), a.build(stun.MethodChannelBind, channel, peer),
		a.build(stun.MethodConnect, peer), a.build(stun.MethodConnectionBind, attribute{stun.AttrConnectionID, []byte{1, 2, 3, 4}}),
		a.build(stun.MethodAllocate, udpTransport, attribute{stun.AttrReservationToken, make([]byte, 8)}),
		stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer, attribute{stun.AttrData, []byte("data")}),
		stun.MustBuild(stun.TransactionID, stun.BindingSuccess, stun.Fingerprint),
	} {
		all = append(all, m.Raw)
	}
	return append(all, []byte{0x40, 0, 0, 5, 1, 2, 3, 4, 5}, []byte{0x7f, 0xff, 0xff, 0xfc, 0, 0, 0, 0, 0}, nil)
}

// alive sees to it that a running server answers, and that it has not grown.
func (s *running) alive(t *testing.T) {
	conn, err := net.Dial("udp4", s.addrs["udp4"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	b := make([]byte, 1500)
	for range 50 { // loopback may lose a packet when a buffer is full
		if _, err := conn.Write(m.Raw); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience / 50))
		if _, err := conn.Read(b); err == nil {
			if metrics := s.Metrics(); metrics.Allocations > 100 || metrics.Connections > 100 || runtime.NumGoroutine() > 2000 {
				t.Fatalf("it has grown: %+v, %d goroutines", metrics, runtime.NumGoroutine())
			}
			return
		}
	}
	t.Fatal("the server does not answer any more")
}

// FuzzMessages sends what nobody has written to a server that runs, by UDP and TCP, from those who have an allocation and those who have none.
func FuzzMessages(f *testing.F) {
	s := start(f, func(c *Config) {
		allowLoopback(c)
		c.Limits = Limits{Requests: 1 << 20, UserAllocations: 100, Allocations: 100}
	})
	for _, m := range corpus(s) {
		f.Add(m)
	}
	known := s.asker("udp4", s.keys.Mint("@alice:example.org"))
	known.allocation()
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), 4000)]
		stranger, err := net.Dial("udp4", s.addrs["udp4"])
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		stream, err := net.Dial("tcp4", s.addrs["tcp4"])
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		for _, conn := range []net.Conn{stranger, known.conn, stream} {
			_, _ = conn.Write(b) // a connection that is closed already is right, too
		}
		s.alive(t)
	})
}

// FuzzAttributes has somebody who may use the server sign what nobody has written.
func FuzzAttributes(f *testing.F) {
	s := start(f, func(c *Config) {
		allowLoopback(c)
		c.Limits = Limits{Requests: 1 << 20, UserAllocations: 100, Allocations: 100}
	})
	for _, raw := range corpus(s) {
		m := new(stun.Message)
		if m.UnmarshalBinary(raw) != nil {
			continue
		}
		for _, a := range m.Attributes {
			f.Add(uint16(m.Type.Method), uint16(a.Type), a.Value, uint16(stun.AttrXORPeerAddress), []byte{0, 1, 0, 9, 1, 2, 3, 4})
		}
	}
	a := s.asker("udp4", s.keys.Mint("@alice:example.org"))
	a.allocation()
	f.Fuzz(func(t *testing.T, method, kind uint16, value []byte, kind2 uint16, value2 []byte) {
		a.t = t
		if stun.AttrType(kind) == stun.AttrFingerprint || stun.AttrType(kind2) == stun.AttrFingerprint {
			return // nothing is signed after it
		}
		value, value2 = value[:min(len(value), 500)], value2[:min(len(value2), 500)]
		m := a.build(stun.Method(method&0xfff), attribute{stun.AttrType(kind), value}, attribute{stun.AttrType(kind2), value2})
		if _, err := a.conn.Write(m.Raw); err != nil {
			t.Fatal(err)
		}
		s.alive(t)
	})
}

// FuzzMessageSize reads messages from a stream, however it is cut, as it reads them whole.
func FuzzMessageSize(f *testing.F) {
	f.Add([]byte{0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0}, uint8(3))
	f.Add(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		size, ok := messageSize(b)
		if ok && size != 0 && size < channelHeader || size > 1<<16+stunHeader {
			t.Fatalf("a message has %d bytes", size)
		}
		early, earlyOK := messageSize(b[:min(int(cut), len(b))])
		if early != 0 && early != size || !earlyOK && ok {
			t.Fatalf("the beginning says %d, %v, and more of it %d, %v", early, earlyOK, size, ok)
		}
	})
}
