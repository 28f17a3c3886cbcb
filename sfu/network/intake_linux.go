package network

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxTaken is how many packets are read in one call.
const maxTaken = 16

// intake reads from a socket, as many packets at once as have come. It is used by one goroutine.
type intake struct {
	packets [maxTaken]*packet // those that have come first; who uses one puts another in its place

	raw      syscall.RawConn
	messages [maxTaken]message
	vectors  [maxTaken]unix.Iovec
	names    [maxTaken]sockaddr
	call     func(fd uintptr) bool
	n        int
	errno    unix.Errno
	empty    bool // nothing had come any more when the last were read
}

func newIntake() *intake {
	in := &intake{}
	for i := range in.packets {
		in.packets[i] = packets.Get().(*packet)
	}
	in.call = in.try
	return in
}

// open has it read from a socket of Go's.
func (in *intake) open(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("read from the socket: %w", err)
	}
	in.raw = raw
	return nil
}

// read waits until something has come, and gives how many packets.
func (in *intake) read() (int, error) {
	in.n, in.errno = 0, 0
	if err := in.raw.Read(in.call); err != nil {
		return 0, err
	}
	if in.errno != 0 {
		return 0, in.errno
	}
	return in.n, nil
}

// try takes what has come, and is false when that is nothing. What comes after fewer were read than can be wakes who waits: it need not be asked for.
func (in *intake) try(fd uintptr) bool {
	if in.empty {
		in.empty = false
		return false
	}
	in.take(fd)
	in.empty = in.errno == 0 && in.n < maxTaken
	return in.errno != unix.EAGAIN
}

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
