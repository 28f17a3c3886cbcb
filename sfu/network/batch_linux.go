package network

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// What one message with several packets may be. The kernel takes up to 64 segments, and 64 kB.
const (
	maxSegments = 64
	maxMessage  = 60 << 10
)

// batch sends what has waited, in as few calls as can be. It is used by one goroutine at a time.
type batch struct {
	conn     *ipv4.PacketConn // of either family: only its batches are used
	plain    *net.UDPConn
	segments atomic.Bool // whether the kernel takes several packets in one message

	messages []ipv4.Message
	ways     []netip.AddrPort // of each message
	buffers  [][]byte
	controls []byte
	addrs    map[netip.AddrPort]*net.UDPAddr
}

// controlSize is the size of a control message with a segment size.
var controlSize = unix.CmsgSpace(2)

func (b *batch) open(conn *net.UDPConn) {
	b.conn, b.plain = ipv4.NewPacketConn(conn), conn
	b.addrs = map[netip.AddrPort]*net.UDPAddr{}
	b.buffers = make([][]byte, 0, maxWaiting) // these two are not to move, as messages point into them
	b.controls = make([]byte, 0, maxWaiting*controlSize)
	b.segments.Store(segmentation(conn))
}

// segmentation is whether a socket knows UDP_SEGMENT.
func segmentation(conn *net.UDPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	known := false
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		known = err == nil
	})
	return known
}

// send sends a queue, and tells how many messages it took, and how many packets could not be sent.
func (b *batch) send(q *queue) (calls, failed int) {
	b.arrange(q)
	for at := 0; at < len(b.messages); {
		n, err := b.conn.WriteBatch(b.messages[at:], 0)
		calls += max(n, 0)
		at += max(n, 0)
		if err == nil && n > 0 {
			continue
		}
		if at < len(b.messages) {
			failed += b.singly(at, err)
			at++
		}
	}
	return calls, failed
}

// singly sends the packets of a message that could not be sent one by one, in case that it is for being several.
func (b *batch) singly(at int, err error) (failed int) {
	m := &b.messages[at]
	if len(m.Buffers) == 1 {
		return 1
	}
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOPROTOOPT) {
		b.segments.Store(false) // the device cannot do it
	}
	for _, packet := range m.Buffers {
		if _, err := b.plain.WriteToUDPAddrPort(packet, b.ways[at]); err != nil {
			failed++
		}
	}
	return failed
}

// arrange makes messages of a queue: packets of one destination that follow each other are one, as long as they have one size, but for the
// last, which may be shorter.
func (b *batch) arrange(q *queue) {
	b.messages, b.ways, b.buffers, b.controls = b.messages[:0], b.ways[:0], b.buffers[:0], b.controls[:0]
	segments := b.segments.Load()
	for k := range q.ways {
		w := &q.ways[k]
		addr := b.addr(w.to)
		for at := w.first; at >= 0; {
			from := len(b.buffers)
			next := b.run(q, at, segments)
			m := ipv4.Message{Buffers: b.buffers[from:len(b.buffers):len(b.buffers)], Addr: addr}
			if len(m.Buffers) > 1 {
				m.OOB = b.control(int(q.packets[at].size))
			}
			b.messages = append(b.messages, m)
			b.ways = append(b.ways, w.to)
			at = next
		}
	}
}

// run adds the buffers of the packets that can be one message, from one on, and gives the one after them, or -1.
func (b *batch) run(q *queue, first int32, segments bool) (next int32) {
	head := q.packets[first].size
	b.buffers = append(b.buffers, q.packet(first))
	total, n := head, 1
	for next = q.packets[first].next; next >= 0 && segments && n < maxSegments; n++ {
		p := &q.packets[next]
		if total += p.size; p.size > head || total > maxMessage {
			break
		}
		b.buffers = append(b.buffers, q.packet(next))
		next = p.next
		if p.size < head {
			break
		}
	}
	return next
}

// control makes the control message that says how long the packets of a message are.
func (b *batch) control(size int) []byte {
	from := len(b.controls)
	b.controls = b.controls[:from+controlSize]
	c := b.controls[from : from+controlSize]
	clear(c)
	h := (*unix.Cmsghdr)(ptr(c))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(ptr(c[unix.CmsgLen(0):])) = uint16(size)
	return c
}

// maxAddrs is how many addresses are remembered.
const maxAddrs = 4096

func (b *batch) addr(to netip.AddrPort) *net.UDPAddr {
	if a := b.addrs[to]; a != nil {
		return a
	}
	if len(b.addrs) >= maxAddrs {
		clear(b.addrs)
	}
	a := net.UDPAddrFromAddrPort(to)
	b.addrs[to] = a
	return a
}
