package network

import (
	"bytes"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutChecksums has the kernel make no checksums of what a socket sends by IPv4. Then it takes no message of several packets by IPv4, but for EINVAL: it is
// the device that would make the packets of it, and their checksums.
func withoutChecksums(t *testing.T, conn *net.UDPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) }); err != nil || set != nil {
		t.Fatal(err, set)
	}
}

// burst sends packets of one size to each receiver, and looks that all come, in order, and none twice.
func burst(t *testing.T, c *Conn, packets int, to ...*net.UDPConn) {
	t.Helper()
	for n := range packets {
		for _, r := range to {
			if _, err := c.WriteTo(packetOf(n, 1000), r.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Flush()
	for i, r := range to {
		for n := range packets {
			if got := read(t, r); !bytes.Equal(got, packetOf(n, 1000)) {
				t.Fatalf("receiver %d: packet %d is %d bytes, %x", i, n, len(got), got[:5])
			}
		}
	}
}

// TestSegmentsRefused has the kernel refuse messages of several packets: what was in them is sent all the same, each packet by itself, and after some of
// them no more such messages are made for a time.
func TestSegmentsRefused(t *testing.T) {
	conn := listen(t, "127.0.0.1:0")
	c := NewConn(conn)
	if !c.batch.segments {
		t.Skip("this kernel has no UDP segmentation offload")
	}
	withoutChecksums(t, conn)
	var to []*net.UDPConn
	for range 5 {
		to = append(to, listen(t, "127.0.0.1:0"))
	}
	bursts := 0
	for ; c.batch.segmented() && bursts < 100; bursts++ {
		burst(t, c, 20, to...)
	}
	if refused := bursts * len(to); refused < maxRefused || refused > maxRefused+len(to) {
		t.Errorf("after %d messages that were refused there are none, want %d", refused, maxRefused)
	}
	burst(t, c, 20, to...)
	if s := c.Stats(); s.Errors != 0 || s.Packets != uint64((bursts+1)*20*len(to)) || s.Calls != uint64(20*len(to)) {
		t.Errorf("got %+v after %d bursts of %d packets", s, bursts+1, 20*len(to))
	}
	c.batch.resume = c.batch.resume.Add(-refusedFor)
	if !c.batch.segmented() {
		t.Error("they are not tried again")
	}
}

// TestSegmentsRefusedByOne has one destination refuse messages of several packets, which others take: it gets all, and the others go on to get several in one.
func TestSegmentsRefusedByOne(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6unspecified})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := NewConn(conn)
	if !c.batch.segments {
		t.Skip("this kernel has no UDP segmentation offload")
	}
	withoutChecksums(t, conn) // of IPv4 alone
	refuses, takes := listen(t, "127.0.0.1:0"), listen(t, "[::1]:0")
	const bursts = 3 * maxRefused
	for range bursts {
		burst(t, c, 20, refuses, takes)
	}
	if s := c.Stats(); !c.batch.segmented() || s.Errors != 0 || s.Calls != bursts {
		t.Errorf("got %+v, and messages of several packets: %t; want one for each of %d bursts", s, c.batch.segmented(), bursts)
	}
}

// TestCannotBeSent has packets to where nothing can be sent not hold up the others, and be counted.
func TestCannotBeSent(t *testing.T) {
	c, r := NewConn(listen(t, "127.0.0.1:0")), listen(t, "127.0.0.1:0")
	nowhere := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}            // there is no port 0
	other := &net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 9} // of another family
	const packets = 10
	for n := range packets {
		for _, to := range []net.Addr{nowhere, r.LocalAddr(), other} {
			if _, err := c.WriteTo(packetOf(n, 1000), to); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Flush()
	for n := range packets {
		if got := read(t, r); !bytes.Equal(got, packetOf(n, 1000)) {
			t.Fatalf("packet %d is %x", n, got[:5])
		}
	}
	if s := c.Stats(); s.Packets != 3*packets || s.Errors != 2*packets {
		t.Errorf("got %+v, want %d errors", s, 2*packets)
	}
	if !c.batch.segmented() {
		t.Error("several packets in one message are given up for that")
	}
}
