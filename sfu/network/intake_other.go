//go:build !linux

package network

import "net"

// intake reads from a socket, packet by packet.
type intake struct {
	packets [1]*packet
	conn    *net.UDPConn
}

func newIntake() *intake {
	return &intake{packets: [1]*packet{packets.Get().(*packet)}}
}

func (in *intake) open(conn *net.UDPConn) error {
	in.conn = conn
	return nil
}

func (in *intake) read(came func(n int)) error {
	for {
		p := in.packets[0]
		var err error
		if p.n, p.from, err = in.conn.ReadFromUDPAddrPort(p.data[:]); err != nil {
			return err
		}
		came(1)
	}
}
