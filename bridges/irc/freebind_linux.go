package irc

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// freeBind lets a socket have an address that no interface of this machine has.
func freeBind(network, _ string, raw syscall.RawConn) error {
	var err error
	control := raw.Control(func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	})
	return errors.Join(control, err)
}
