package network

import "net/netip"

// reading is where packets are read.
type reading struct{}

// ReadFromAddrPort reads a packet.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	return c.UDPConn.ReadFromUDPAddrPort(b)
}
