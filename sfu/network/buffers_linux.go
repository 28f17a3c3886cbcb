package network

import (
	"net"

	"golang.org/x/sys/unix"
)

// buffersOf asks how large the buffers of a socket are, in bytes that the kernel counts for packets: it doubles what it is asked for, for what it keeps
// beside them. socket(7), SO_RCVBUF.
func buffersOf(conn *net.UDPConn) (b Buffers) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return b
	}
	_ = raw.Control(func(fd uintptr) {
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
			b.Receive = n / 2
		}
		if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil {
			b.Send = n / 2
		}
	})
	return b
}
