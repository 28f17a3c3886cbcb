package network

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// listen opens a socket on loopback, which is closed at the end.
func listen(t *testing.T, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// packetOf makes a packet of RTP with a number, of a size.
func packetOf(n, size int) []byte {
	b := make([]byte, size)
	b[0] = 0x80
	binary.BigEndian.PutUint32(b[1:], uint32(n))
	return b
}

// read reads a packet.
func read(t *testing.T, conn *net.UDPConn) []byte {
	t.Helper()
	b := make([]byte, 2000)
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// TestBatches sends packets of many sizes to several destinations: all come, in order, and as they are; with segmentation
// and without.
func TestBatches(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		for _, segments := range []bool{true, false} {
			c := NewConn(listen(t, address))
			if !segments {
				c.batch.segments = false
			}
			const receivers, packets = 5, 300
			var to []*net.UDPConn
			for range receivers {
				to = append(to, listen(t, address))
			}
			sizes := []int{1200, 1200, 1200, 1200, 340, 1200, 80, 80, 1500, 5, 1200}
			for n := range packets {
				for _, r := range to {
					b := packetOf(n, sizes[n%len(sizes)])
					if _, err := c.WriteTo(b, r.LocalAddr()); err != nil {
						t.Fatal(err)
					}
				}
			}
			c.Flush()
			for _, r := range to {
				for n := range packets {
					if got, want := read(t, r), packetOf(n, sizes[n%len(sizes)]); !bytes.Equal(got, want) {
						t.Fatalf("%s, segments %t: packet %d is %d bytes, %x, want %d bytes", address, segments, n, len(got), got[:5], len(want))
					}
				}
			}
			s := c.Stats()
			if s.Packets != receivers*packets || s.Errors != 0 {
				t.Errorf("sent %d packets with %d errors, want %d without", s.Packets, s.Errors, receivers*packets)
			}
			if segments && c.batch.segments && s.Calls >= s.Packets {
				t.Errorf("%d messages for %d packets", s.Calls, s.Packets)
			}
		}
	}
}

// TestWaits has a packet go out by itself after a moment.
func TestWaits(t *testing.T) {
	c, r := NewConn(listen(t, "127.0.0.1:0")), listen(t, "127.0.0.1:0")
	if _, err := c.WriteTo(packetOf(7, 100), r.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); !bytes.Equal(got, packetOf(7, 100)) {
		t.Errorf("got %x", got)
	}
}

// TestOvertakes has what is not media sent at once.
func TestOvertakes(t *testing.T) {
	c, r := NewConn(listen(t, "127.0.0.1:0")), listen(t, "127.0.0.1:0")
	c.timer.Stop()
	for _, b := range [][]byte{{0x80, 1}, {0x00, 2}, {22, 3}} {
		if _, err := c.WriteTo(b, r.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		c.timer.Stop()
	}
	if got := read(t, r); got[1] != 2 {
		t.Errorf("first came %x", got)
	}
	if got := read(t, r); got[1] != 3 {
		t.Errorf("then came %x", got)
	}
	c.Flush()
	if got := read(t, r); got[1] != 1 {
		t.Errorf("last came %x", got)
	}
}

// TestManyWriters has several goroutines send at once: each one's packets keep their order.
func TestManyWriters(t *testing.T) {
	c := NewConn(listen(t, "127.0.0.1:0"))
	var writers sync.WaitGroup
	const packets = 2000
	for range 4 {
		r := listen(t, "127.0.0.1:0")
		writers.Go(func() {
			for n := range packets {
				_, _ = c.WriteTo(packetOf(n, 200), r.LocalAddr())
				if n%50 == 49 {
					c.Flush()
					for k := n - 49; k <= n; k++ {
						b := make([]byte, 2000)
						_ = r.SetReadDeadline(time.Now().Add(10 * time.Second))
						size, err := r.Read(b)
						if err != nil || !bytes.Equal(b[:size], packetOf(k, 200)) {
							t.Errorf("packet %d: %x, %v", k, b[:5], err)
							return
						}
					}
				}
			}
		})
	}
	writers.Wait()
}

// BenchmarkSend is what a packet costs, alone, in batches, and as segments of one message.
func BenchmarkSend(b *testing.B) {
	for _, bench := range []struct {
		name           string
		to, segments   int
		withoutBatches bool
	}{{"singly", 1, 1, true}, {"to 32", 32, 1, false}, {"to 32, 5 each", 32, 5, false}, {"to 1, 50", 1, 50, false}} {
		b.Run(bench.name, func(b *testing.B) {
			from, _ := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			defer from.Close()
			c := NewConn(from)
			var addrs []netip.AddrPort
			for range bench.to {
				r, _ := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				defer r.Close()
				addrs = append(addrs, r.LocalAddr().(*net.UDPAddr).AddrPort())
			}
			p := packetOf(1, 1200)
			b.ReportAllocs()
			for n := 0; b.Loop(); {
				if bench.withoutBatches {
					_, _ = from.WriteToUDPAddrPort(p, addrs[0])
					continue
				}
				_, _ = c.WriteToAddrPort(p, addrs[n%bench.to])
				if n++; n%(bench.to*bench.segments) == 0 {
					c.Flush()
				}
			}
		})
	}
}
