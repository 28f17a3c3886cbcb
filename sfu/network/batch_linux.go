package network

import (
	"net"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// What one message with several packets may be. The kernel takes up to 64 segments, and 64 kB.
	maxSegments = 64
	maxMessage  = 60 << 10
	// maxMessages is how many messages are sent in one call, during which the thread does nothing else: some hundred microseconds.
	maxMessages = 64
	// maxRefused is how many messages with several packets may be refused one after the other until there are none for a time. Where a device cannot do
	// it all are; a single destination may refuse them because packets to it have to be smaller, which is no reason to leave it for all.
	maxRefused = 32
	refusedFor = time.Minute
)

// batch sends what has waited, in as few calls as can be. It is used by one goroutine at a time.
type batch struct {
	raw      syscall.RawConn
	plain    *net.UDPConn
	family   int
	segments bool      // whether the kernel takes several packets in one message
	refused  int       // messages of several packets in a row that it did not take
	resume   time.Time // until when there are none, for that

	// Messages point into what follows, which is not to move while they are used.
	messages []message
	firsts   []int32 // the first packet of each message
	ways     []int32 // where each goes, as a place in the queue
	vectors  []unix.Iovec
	names    []sockaddr // of each destination
	controls []byte

	// What one call is about: it is made by a function that is made once.
	call       func(fd uintptr) bool
	from, sent int
	errno      unix.Errno
}

// controlSize is the size of a control message with a segment size.
var controlSize = unix.CmsgSpace(2)

func (b *batch) open(conn *net.UDPConn) {
	b.plain, b.call = conn, b.try
	raw, err := conn.SyscallConn()
	if err != nil {
		return // it is closed; what is sent fails
	}
	b.raw = raw
	_ = raw.Control(func(fd uintptr) {
		b.family, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		b.segments = err == nil
	})
}

// try sends messages, once it can.
func (b *batch) try(fd uintptr) bool {
	to := min(len(b.messages), b.from+maxMessages)
	b.sent, b.errno = mmsg(unix.SYS_SENDMMSG, fd, b.messages[b.from:to])
	return b.errno != unix.EAGAIN
}

// send sends a queue, and tells how many messages it took, and how many packets could not be sent.
func (b *batch) send(q *queue) (calls, failed int) {
	b.arrange(q)
	for b.from = 0; b.from < len(b.messages); {
		b.sent, b.errno = 0, unix.EBADF
		if b.raw != nil {
			_ = b.raw.Write(b.call)
		}
		if b.errno == 0 && b.sent > 0 {
			calls += b.sent
			b.taken()
			continue
		}
		failed += b.singly(q)
		b.from++
	}
	return calls, failed
}

// taken goes on behind the messages that were sent.
func (b *batch) taken() {
	for _, m := range b.messages[b.from : b.from+b.sent] {
		if m.Iovlen > 1 {
			b.refused = 0
		}
	}
	b.from += b.sent
}

// singly sends the packets of a message that could not be sent one by one, in case that it is for being several, or for its address.
func (b *batch) singly(q *queue) (failed int) {
	m := &b.messages[b.from]
	if m.Iovlen > 1 && (b.errno == unix.EIO || b.errno == unix.EINVAL || b.errno == unix.ENOPROTOOPT || b.errno == unix.EMSGSIZE) {
		if b.refused++; b.refused >= maxRefused {
			b.refused, b.resume = 0, time.Now().Add(refusedFor)
		}
	}
	at := b.firsts[b.from]
	for range m.Iovlen {
		if _, err := b.plain.WriteToUDPAddrPort(q.packet(at), q.ways[b.ways[b.from]].to); err != nil {
			failed++
		}
		at = q.packets[at].next
	}
	return failed
}

// arrange makes messages of a queue: packets of one destination that follow each other are one, as long as they have one size, but for the
// last, which may be shorter.
func (b *batch) arrange(q *queue) {
	b.messages, b.firsts, b.ways = b.messages[:0], b.firsts[:0], b.ways[:0]
	b.vectors = slices.Grow(b.vectors[:0], len(q.packets))
	b.names = slices.Grow(b.names[:0], len(q.ways))[:len(q.ways)]
	b.controls = slices.Grow(b.controls[:0], len(q.packets)*controlSize)
	segments := b.segmented()
	for k := range q.ways {
		w, name := &q.ways[k], &b.names[k]
		fits := name.set(b.family, w.to)
		for at := w.first; at >= 0; {
			var m message
			if fits {
				m.Name, m.Namelen = name.first(), name.size()
			} else {
				m.Namelen = 1 // refused, and then sent singly
			}
			from := len(b.vectors)
			next := b.run(q, at, segments)
			m.Iov = &b.vectors[from]
			m.SetIovlen(len(b.vectors) - from)
			if len(b.vectors)-from > 1 {
				m.Control = b.control(int(q.packets[at].size))
				m.SetControllen(controlSize)
			}
			b.messages = append(b.messages, m)
			b.firsts, b.ways = append(b.firsts, at), append(b.ways, int32(k))
			at = next
		}
	}
}

// segmented is whether messages have several packets now.
func (b *batch) segmented() bool {
	return b.segments && (b.resume.IsZero() || time.Now().After(b.resume))
}

// run adds the packets that can be one message, from one on, and gives the one after them, or -1.
func (b *batch) run(q *queue, first int32, segments bool) (next int32) {
	head := q.packets[first].size
	b.add(q, first)
	total, n := head, 1
	for next = q.packets[first].next; next >= 0 && segments && n < maxSegments; n++ {
		p := &q.packets[next]
		if total += p.size; p.size > head || total > maxMessage {
			break
		}
		b.add(q, next)
		next = p.next
		if p.size < head {
			break
		}
	}
	return next
}

func (b *batch) add(q *queue, i int32) {
	p := q.packet(i)
	v := unix.Iovec{}
	if len(p) > 0 {
		v.Base = &p[0]
	}
	v.SetLen(len(p))
	b.vectors = append(b.vectors, v)
}

// control makes the control message of a message.
func (b *batch) control(size int) *byte {
	from := len(b.controls)
	b.controls = b.controls[:from+controlSize]
	segmentSize(b.controls[from:], size)
	return &b.controls[from]
}
