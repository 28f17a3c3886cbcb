//go:build !linux

package network

import (
	"errors"
	"net"
)

// intake reads from a socket, packet by packet.
type intake struct{ packets [1]*packet }

func newIntake() *intake {
	return &intake{packets: [1]*packet{packets.Get().(*packet)}}
}

// each gives each packet that comes by a socket to hand, which gives one to read the next into. It returns when the socket is closed. failed is told what
// else goes wrong.
func (in *intake) each(conn *net.UDPConn, _ <-chan struct{}, hand func(*packet) *packet, failed func(error)) error {
	for {
		p := in.packets[0]
		var err error
		switch p.n, p.from, err = conn.ReadFromUDPAddrPort(p.data[:]); {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			failed(err)
		default:
			in.packets[0] = hand(p)
		}
	}
}
