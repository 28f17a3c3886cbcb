//go:build !linux

package network

import (
	"errors"
	"net"
)

// aside is there on Linux alone: elsewhere feedback comes with everything else.
type aside struct{}

func openAside(*net.UDPConn, int) (*aside, error) { return nil, errors.ErrUnsupported }

func (*aside) take(*intake) int { return 0 }

// Close implements io.Closer.
func (*aside) Close() error { return nil }
