package network

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxPacket is how long a packet may be that waits. What is longer is sent at once.
	maxPacket = 1500
	// maxWaiting is how many packets wait at most; then they are sent.
	maxWaiting = 512
	// waitFor is how long a packet waits at most for others to be sent with.
	waitFor = 500 * time.Microsecond
)

// Conn is a UDP socket that sends media in batches. It is a net.PacketConn, and an ice.AddrPortReaderWriter. Packets of one
// destination keep their order; packets that are not media overtake those that wait.
type Conn struct {
	*net.UDPConn
	batch batch
	timer *time.Timer

	mu      sync.Mutex // guards what follows
	waiting *queue
	spare   *queue
	stats   Stats

	sending sync.Mutex // held by who sends what has waited, so that order is kept
}

// Stats are what a socket has sent.
type Stats struct {
	Packets  uint64 // media
	Batches  uint64
	Calls    uint64 // to the kernel's messages: a message of several packets of one destination is one
	Errors   uint64
	Overtook uint64 // packets that were not media
}

func (s *Stats) add(o Stats) {
	s.Packets += o.Packets
	s.Batches += o.Batches
	s.Calls += o.Calls
	s.Errors += o.Errors
	s.Overtook += o.Overtook
}

// queue is packets that wait.
type queue struct {
	packets [maxWaiting]waiting
	n       int
}

type waiting struct {
	to   netip.AddrPort
	size int
	data [maxPacket]byte
}

// NewConn sends by a socket, which it closes when it is closed.
func NewConn(conn *net.UDPConn) *Conn {
	c := &Conn{UDPConn: conn, waiting: new(queue), spare: new(queue)}
	c.batch.open(conn)
	c.timer = time.AfterFunc(time.Hour, c.Flush)
	return c
}

// media is whether a packet is RTP or RTCP. RFC 7983, section 7.
func media(b []byte) bool { return len(b) > 0 && b[0] >= 128 && b[0] <= 191 }

// WriteToAddrPort sends a packet: media when Flush is called, or a moment later, or when many wait.
func (c *Conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if !media(b) || len(b) > maxPacket {
		c.mu.Lock()
		c.stats.Overtook++
		c.mu.Unlock()
		return c.UDPConn.WriteToUDPAddrPort(b, to)
	}
	c.mu.Lock()
	for c.waiting.n == maxWaiting {
		c.mu.Unlock()
		c.Flush()
		c.mu.Lock()
	}
	w := &c.waiting.packets[c.waiting.n]
	w.to, w.size = to, copy(w.data[:], b)
	if c.waiting.n++; c.waiting.n == 1 {
		c.timer.Reset(waitFor)
	}
	c.mu.Unlock()
	return len(b), nil
}

// WriteTo is WriteToAddrPort.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	if a, ok := to.(*net.UDPAddr); ok {
		return c.WriteToAddrPort(b, a.AddrPort())
	}
	return c.UDPConn.WriteTo(b, to)
}

// Flush sends what waits.
func (c *Conn) Flush() {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	q := c.waiting
	if q.n == 0 {
		c.mu.Unlock()
		return
	}
	c.waiting, c.spare = c.spare, nil
	c.mu.Unlock()

	calls, failed := c.batch.send(q)

	c.mu.Lock()
	c.stats.Packets += uint64(q.n)
	c.stats.Batches++
	c.stats.Calls += uint64(calls)
	c.stats.Errors += uint64(failed)
	q.n = 0
	c.spare = q
	c.mu.Unlock()
}

// Stats are what has been sent.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Close closes the socket. What waits is not sent.
func (c *Conn) Close() error {
	c.timer.Stop()
	return c.UDPConn.Close()
}
