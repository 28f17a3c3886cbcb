package network

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is here calls the kernel without telling Go's scheduler, as nothing of it waits. Where the scheduler is told, it watches from then on whether the
// call takes long, from a thread that wakes up every 70 microseconds: of what a call costs a server that was a sixth.

// message is the kernel's struct mmsghdr.
type message struct {
	unix.Msghdr
	size uint32 // of what was sent or has come
}

// mmsg calls sendmmsg or recvmmsg with messages, and gives how many were sent or have come.
func mmsg(call, fd uintptr, messages []message) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// sockaddr is an address of either family.
type sockaddr struct{ unix.RawSockaddrInet6 }

// first gives where it begins.
func (s *sockaddr) first() *byte { return (*byte)(unsafe.Pointer(s)) }

func (s *sockaddr) v4() *unix.RawSockaddrInet4 {
	return (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
}

// set makes it a destination for sockets of a family, and tells whether it can be one.
func (s *sockaddr) set(family int, to netip.AddrPort) bool {
	*s = sockaddr{}
	ip := to.Addr()
	if family == unix.AF_INET {
		ip = ip.Unmap()
		if !ip.Is4() {
			return false
		}
		a := s.v4()
		a.Family, a.Addr = unix.AF_INET, ip.As4()
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&a.Port))[:], to.Port())
		return true
	}
	s.Family, s.Addr = unix.AF_INET6, ip.As16()
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&s.Port))[:], to.Port())
	return ip.Zone() == ""
}

// size is how long it is for the kernel.
func (s *sockaddr) size() uint32 {
	if s.Family == unix.AF_INET {
		return unix.SizeofSockaddrInet4
	}
	return unix.SizeofSockaddrInet6
}

// get gives it as it came.
func (s *sockaddr) get() netip.AddrPort {
	if s.Family == unix.AF_INET {
		a := s.v4()
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&a.Port))[:]))
	}
	ip := netip.AddrFrom16(s.Addr).Unmap()
	if s.Scope_id != 0 {
		if i, err := net.InterfaceByIndex(int(s.Scope_id)); err == nil {
			ip = ip.WithZone(i.Name)
		}
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&s.Port))[:]))
}

// segmentSize makes a control message of UDP_SEGMENT, which says how long the packets of a message are.
func segmentSize(control []byte, size int) {
	clear(control)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Pointer(&control[unix.CmsgLen(0)])) = uint16(size)
}
