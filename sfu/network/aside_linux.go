package network

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// aside is a second socket on the port of another. The kernel puts feedback on when packets have come there, where it wakes nobody until it is
// asked for: it comes from everybody who gets something ten times a second or more, and nobody waits for it.
type aside struct {
	mu sync.Mutex // guards fd
	fd int        // -1 when it is closed
}

// feedback is a program that says 1 of such a packet, and 0 of others. The first eight bytes of RTCP are not encrypted:
// RFC 3711, section 3.4; draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1.
var feedback = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 0, Size: 1},
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xdf}, // all but padding
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 2<<6 | 15, SkipTrue: 3},
	bpf.LoadAbsolute{Off: 1, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 205, SkipTrue: 1},
	bpf.RetConstant{Val: 1},
	bpf.RetConstant{Val: 0},
}

// openAside opens it beside a socket, with a buffer of some bytes. The socket is to be one whose port nobody shares so far: who tries later does not
// get it.
func openAside(beside *net.UDPConn, buffer int) (a *aside, err error) {
	raw, err := beside.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("look at the socket: %w", err)
	}
	controlled := raw.Control(func(fd uintptr) { a, err = shared(int(fd), buffer) })
	if err := errors.Join(err, controlled); err != nil {
		return nil, err
	}
	return a, nil
}

func shared(first, buffer int) (*aside, error) {
	domain, err := unix.GetsockoptInt(first, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return nil, fmt.Errorf("ask for the family of the socket: %w", err)
	}
	address, err := unix.Getsockname(first)
	if err != nil {
		return nil, fmt.Errorf("ask for the address of the socket: %w", err)
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, fmt.Errorf("open a socket for feedback: %w", err)
	}
	if err := join(first, fd, domain, address); err != nil {
		_ = unix.SetsockoptInt(first, unix.SOL_SOCKET, unix.SO_REUSEPORT, 0)
		_ = unix.Close(fd)
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	return &aside{fd: fd}, nil
}

// join has a socket share the port of the first, as the second of the two that the program chooses from.
func join(first, fd, domain int, address unix.Sockaddr) error {
	if domain == unix.AF_INET6 {
		only, err := unix.GetsockoptInt(first, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
		}
		if err != nil {
			return fmt.Errorf("open a socket for feedback: %w", err)
		}
	}
	for _, s := range []int{first, fd} {
		if err := unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("share a port: %w", err)
		}
	}
	code, err := bpf.Assemble(feedback)
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	program := make([]unix.SockFilter, len(code))
	for i, c := range code {
		program[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	if err := unix.Bind(fd, address); err != nil {
		return fmt.Errorf("share a port: %w", err)
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}); err != nil {
		return fmt.Errorf("have feedback put aside: %w", err)
	}
	return nil
}

// take gives how many packets have come, at most as many as in has places for.
func (a *aside) take(in *intake) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return 0
	}
	in.take(uintptr(a.fd))
	return in.n
}

// Close closes the socket.
func (a *aside) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return nil
	}
	fd := a.fd
	a.fd = -1
	return unix.Close(fd)
}
