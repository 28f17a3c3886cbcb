package network

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// maxTaken is how many packets are read in one call.
const maxTaken = 16

// intake reads from a socket, as many packets at once as have come. It is used by one goroutine.
type intake struct {
	packets [maxTaken]*packet // those that have come first; who uses one puts another in its place

	messages [maxTaken]message
	vectors  [maxTaken]unix.Iovec
	names    [maxTaken]sockaddr
	n        int
	errno    unix.Errno
}

func newIntake() *intake {
	in := &intake{}
	for i := range in.packets {
		in.packets[i] = packets.Get().(*packet)
	}
	return in
}

// each gives each packet that comes by a socket of Go's to hand, which gives one to read the next into. It returns when the socket is closed, or nil when
// ended is and packets come and come. failed is told what else goes wrong: the next packet may be fine.
//
// All of it is one call of Read, with a function that is never done. What comes after fewer were read than can be wakes who waits, and need not be asked for;
// but when Read begins, it forgets what has come by then, and waits for more.
func (in *intake) each(conn *net.UDPConn, ended <-chan struct{}, hand func(*packet) *packet, failed func(error)) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("read from the socket: %w", err)
	}
	return raw.Read(func(fd uintptr) bool {
		for {
			select {
			case <-ended:
				return true
			default:
			}
			in.take(fd)
			switch {
			case in.errno == unix.EAGAIN:
				return false
			case in.errno != 0:
				failed(in.errno)
				select {
				case <-ended:
				case <-time.After(errorPause):
				}
				continue
			}
			for i := range in.n {
				in.packets[i] = hand(in.packets[i])
			}
			if in.n < maxTaken {
				return false
			}
		}
	})
}

// errorPause is how long nothing is read after an error, which may last.
const errorPause = 10 * time.Millisecond

// take takes what has come.
func (in *intake) take(fd uintptr) {
	for i, p := range in.packets {
		m := &in.messages[i]
		in.vectors[i].Base = &p.data[0]
		in.vectors[i].SetLen(len(p.data))
		*m = message{}
		m.Name, m.Namelen = in.names[i].first(), unix.SizeofSockaddrInet6
		m.Iov = &in.vectors[i]
		m.SetIovlen(1)
	}
	if in.n, in.errno = mmsg(unix.SYS_RECVMMSG, fd, in.messages[:]); in.errno != 0 {
		in.n = 0
	}
	for i := range in.n {
		p := in.packets[i]
		p.n, p.from = int(in.messages[i].size), in.names[i].get()
	}
}
