package network

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxPacket is how long a packet may be that waits. What is longer is sent at once.
	maxPacket = 1500
	// maxWaiting is how many packets wait at most, and maxWaitingBytes how many bytes; then they are sent.
	maxWaiting      = 2048
	maxWaitingBytes = 1 << 20
	// waitFor is how long a packet waits at most for others to be sent with. Who sends media says when a frame is at its end: that is sooner, but
	// where a frame comes slowly.
	waitFor = 2 * time.Millisecond
)

// Conn is a UDP socket that sends media in batches. It is a net.PacketConn. Packets of one destination keep their order; packets that are not media
// overtake those that wait.
type Conn struct {
	*net.UDPConn
	batch batch
	timer *time.Timer
	aside *aside // nil where feedback comes with everything else

	mu      sync.Mutex // guards what follows
	waiting *queue
	spare   *queue
	stats   Stats

	sending sync.Mutex  // held by who sends what has waited, so that order is kept
	again   atomic.Bool // who sends is to look once more whether something waits
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

// queue is packets that wait, by destination.
type queue struct {
	bytes   []byte
	packets []waiting
	ways    []way
	found   map[netip.AddrPort]int32 // the place of a destination in ways
}

// waiting is a packet.
type waiting struct {
	from, size int32 // in bytes
	next       int32 // the packet after it to the same destination, or -1
}

// way is a destination.
type way struct {
	to          netip.AddrPort
	first, last int32 // of its packets
}

func newQueue() *queue {
	return &queue{bytes: make([]byte, 0, maxWaitingBytes), found: map[netip.AddrPort]int32{}}
}

// takes is whether a packet has a place.
func (q *queue) takes(size int) bool {
	return len(q.packets) < maxWaiting && len(q.bytes)+size <= cap(q.bytes)
}

func (q *queue) add(b []byte, to netip.AddrPort) {
	n := int32(len(q.packets))
	q.packets = append(q.packets, waiting{from: int32(len(q.bytes)), size: int32(len(b)), next: -1})
	q.bytes = append(q.bytes, b...)
	i, ok := q.found[to]
	if !ok {
		q.found[to] = int32(len(q.ways))
		q.ways = append(q.ways, way{to: to, first: n, last: n})
		return
	}
	w := &q.ways[i]
	q.packets[w.last].next, w.last = n, n
}

// packet gives a packet's bytes.
func (q *queue) packet(i int32) []byte {
	p := &q.packets[i]
	return q.bytes[p.from : p.from+p.size]
}

func (q *queue) clear() {
	q.bytes, q.packets, q.ways = q.bytes[:0], q.packets[:0], q.ways[:0]
	clear(q.found)
}

// NewConn sends by a socket, which it closes when it is closed.
func NewConn(conn *net.UDPConn) *Conn {
	c := &Conn{UDPConn: conn, waiting: newQueue(), spare: newQueue()}
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
	for !c.waiting.takes(len(b)) {
		c.mu.Unlock()
		c.sending.Lock()
		c.send()
		c.sending.Unlock()
		if c.again.Load() {
			c.Flush()
		}
		c.mu.Lock()
	}
	c.waiting.add(b, to)
	if len(c.waiting.packets) == 1 {
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

// Flush sends what waits. Where another goroutine sends at the moment, that does it, and this one does not wait.
func (c *Conn) Flush() {
	c.again.Store(true)
	for n := 0; c.again.Load() && c.sending.TryLock(); n++ {
		if n == maxForOthers {
			c.sending.Unlock()
			c.mu.Lock()
			c.timer.Reset(0) // somebody else is to go on
			c.mu.Unlock()
			return
		}
		c.again.Store(false)
		c.send()
		c.sending.Unlock()
	}
}

// maxForOthers is how often one goroutine sends what others have asked to be sent meanwhile.
const maxForOthers = 4

// send sends what waits. c.sending is held.
func (c *Conn) send() {
	c.mu.Lock()
	q := c.waiting
	if len(q.packets) == 0 {
		c.mu.Unlock()
		return
	}
	c.waiting, c.spare = c.spare, nil
	c.timer.Stop()
	c.mu.Unlock()

	calls, failed := c.batch.send(q)

	c.mu.Lock()
	c.stats.Packets += uint64(len(q.packets))
	c.stats.Batches++
	c.stats.Calls += uint64(calls)
	c.stats.Errors += uint64(failed)
	q.clear()
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
	if c.aside != nil {
		_ = c.aside.Close()
	}
	return c.UDPConn.Close()
}
