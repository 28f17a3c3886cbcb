//go:build !linux

package irc

import (
	"errors"
	"syscall"
)

func freeBind(string, string, syscall.RawConn) error {
	return errors.New("dial.freebind works on Linux only")
}
