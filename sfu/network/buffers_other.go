//go:build !linux

package network

import "net"

// buffersOf does not know how large the buffers of a socket are.
func buffersOf(*net.UDPConn) Buffers { return Buffers{} }
