package turn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"
)

// datagrams is a UDP socket of which pion reads what is worth it.
type datagrams struct {
	net.PacketConn
	front  *front
	last   netip.AddrPort // whom the message is from that pion handles
	family familyAnswer
}

// ReadFrom returns the next message.
func (d *datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	d.front.settle(d.last)
	for {
		n, from, err := d.PacketConn.ReadFrom(p)
		if errors.Is(err, net.ErrClosed) {
			return 0, nil, err
		}
		if err != nil {
			time.Sleep(acceptPause) // pion gives the socket up at any error, and this one passes
			continue
		}
		if size, ok := messageSize(p[:n]); !ok || size == 0 || size > n {
			d.front.server.counters.refuse(Malformed)
		} else if client := addrPort(from); d.front.admits(p, client, d.front.server.now()) {
			d.last = client
			d.family.note(d.front.server.relays, p[:n])
			return n, from, nil
		}
	}
}

// WriteTo sends a message to a client.
func (d *datagrams) WriteTo(p []byte, to net.Addr) (int, error) {
	sent := p
	if isResponse(p) {
		d.front.settle(addrPort(to))
		sent = d.family.correct(p)
	}
	if _, err := d.PacketConn.WriteTo(sent, to); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sizes of the beginnings of messages (RFC 8489, section 5; RFC 8656, section 12.4).
const (
	stunHeader    = 20
	channelHeader = 4
	magicCookie   = 0x2112a442
)

// messageSize reads from the beginning of a message how long it is. ok is false where none begins so. size is 0 as long as there is
// too little of it to tell.
func messageSize(b []byte) (size int, ok bool) {
	if len(b) < channelHeader {
		return 0, len(b) == 0 || b[0] < 0x80
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0] >= 0x40 && b[0] < 0x80: // channel numbers, as RFC 5766 has them
		return channelHeader + length, true
	case b[0] >= 0x40 || length%4 != 0:
		return 0, false
	case len(b) < 8:
		return 0, true
	}
	return stunHeader + length, binary.BigEndian.Uint32(b[4:]) == magicCookie
}
