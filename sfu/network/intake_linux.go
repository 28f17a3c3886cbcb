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

// open has it read from a socket of Go's.
func (in *intake) open(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("read from the socket: %w", err)
	}
	in.raw = raw
	return nil
}

// read reads until there is an error, and gives how many packets have come at a time to came.
func (in *intake) read(came func(n int)) error {
	err := in.raw.Read(func(fd uintptr) bool {
		for {
			in.take(fd)
			came(in.n)
			switch {
			case in.errno == unix.EAGAIN:
				return false
			case in.errno != 0:
				return true
			case in.n < maxTaken:
				return false // what comes from here on is told to who waits, and need not be asked for
			}
		}
	})
	if err != nil {
		return err
	}
	return in.errno
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
