package network

import (
	"errors"
	"net"
	"net/netip"
	"slices"
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

	order    []int
	messages []ipv4.Message
	first    []int // the place in order of each message's first packet
	buffers  [][]byte
	controls []byte
	addrs    map[netip.AddrPort]*net.UDPAddr
}

// controlSize is the size of a control message with a segment size.
var controlSize = unix.CmsgSpace(2)

func (b *batch) open(conn *net.UDPConn) {
	b.conn, b.plain = ipv4.NewPacketConn(conn), conn
	b.addrs = map[netip.AddrPort]*net.UDPAddr{}
	b.buffers = make([][]byte, 0, maxWaiting)
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
			failed += b.singly(q, at, err)
			at++
		}
	}
	return calls, failed
}

// singly sends the packets of a message that could not be sent one by one, in case that it is for being several.
func (b *batch) singly(q *queue, at int, err error) (failed int) {
	m := &b.messages[at]
	if len(m.Buffers) == 1 {
		return 1
	}
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOPROTOOPT) {
		b.segments.Store(false) // the device cannot do it
	}
	for i := range m.Buffers {
		p := &q.packets[b.order[b.first[at]+i]]
		if _, err := b.plain.WriteToUDPAddrPort(p.data[:p.size], p.to); err != nil {
			failed++
		}
	}
	return failed
}

// arrange makes messages of a queue: packets of one destination that follow each other are one, as long as they have one size, but for the
// last, which may be shorter.
func (b *batch) arrange(q *queue) {
	b.order, b.messages, b.first = b.order[:0], b.messages[:0], b.first[:0]
	b.buffers, b.controls = b.buffers[:0], b.controls[:0]
	for i := range q.n {
		b.order = append(b.order, i)
	}
	segments := b.segments.Load()
	if segments {
		slices.SortStableFunc(b.order, func(x, y int) int { return q.packets[x].to.Compare(q.packets[y].to) })
	}
	for at := 0; at < len(b.order); {
		n := 1
		if segments {
			n = b.run(q, at)
		}
		from := len(b.buffers)
		for _, i := range b.order[at : at+n] {
			p := &q.packets[i]
			b.buffers = append(b.buffers, p.data[:p.size])
		}
		p := &q.packets[b.order[at]]
		m := ipv4.Message{Buffers: b.buffers[from:len(b.buffers):len(b.buffers)], Addr: b.addr(p.to)}
		if n > 1 {
			m.OOB = b.control(p.size)
		}
		b.messages = append(b.messages, m)
		b.first = append(b.first, at)
		at += n
	}
}

// run gives how many packets from a place on can be one message.
func (b *batch) run(q *queue, at int) int {
	head := &q.packets[b.order[at]]
	total, n := head.size, 1
	for at+n < len(b.order) && n < maxSegments {
		p := &q.packets[b.order[at+n]]
		if p.to != head.to || p.size > head.size || total+p.size > maxMessage {
			break
		}
		total += p.size
		n++
		if p.size < head.size {
			break
		}
	}
	return n
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
