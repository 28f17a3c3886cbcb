package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	// holdFor is how long feedback waits for other feedback. It comes from everybody who gets something ten times a second or more, and each by
	// itself wakes several goroutines: together they cost a fraction.
	holdFor = 25 * time.Millisecond
	// What feedback may wait at most.
	maxHeld      = 1024
	maxHeldBytes = 256 << 10
)

// inbound is what has come and waits. It is used by the one goroutine that reads.
type inbound struct {
	bytes  []byte
	held   []held
	giving int // of held, how many are given already, when they are given
	give   bool
}

type held struct {
	from     netip.AddrPort
	at, size int
}

// mayWait is whether a packet is feedback on when packets came, which nobody waits for. The first eight bytes of RTCP are not encrypted:
// RFC 3711, section 3.4; draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1.
func mayWait(b []byte) bool {
	return len(b) > 8 && b[0]>>6 == 2 && b[0]&0x1f == 15 && b[1] == 205
}

// keep keeps a packet, for which there is a place unless in is full.
func (in *inbound) keep(b []byte, from netip.AddrPort) {
	in.held = append(in.held, held{from: from, at: len(in.bytes), size: len(b)})
	in.bytes = append(in.bytes, b...)
}

func (in *inbound) full() bool { return len(in.held) >= maxHeld || len(in.bytes) >= maxHeldBytes }

// next gives a packet that has waited, once it is time.
func (in *inbound) next(b []byte) (n int, from netip.AddrPort, ok bool) {
	if in.giving == len(in.held) {
		in.held, in.bytes, in.giving, in.give = in.held[:0], in.bytes[:0], 0, false
		return 0, from, false
	}
	h := in.held[in.giving]
	in.giving++
	return copy(b, in.bytes[h.at:h.at+h.size]), h.from, true
}

// ReadFromAddrPort reads a packet. Feedback comes a little later than others. It is called by one goroutine.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	in := &c.in
	for {
		if in.give {
			if n, from, ok := in.next(b); ok {
				return n, from, nil
			}
		}
		n, from, err := c.UDPConn.ReadFromUDPAddrPort(b)
		switch {
		case err != nil && errors.Is(err, os.ErrDeadlineExceeded) && len(in.held) > 0:
			in.give = true
		case err != nil || !mayWait(b[:n]):
			return n, from, err
		default:
			in.keep(b[:n], from)
			if len(in.held) == 1 {
				_ = c.UDPConn.SetReadDeadline(time.Now().Add(holdFor))
			}
			in.give = in.full()
		}
		if in.give {
			_ = c.UDPConn.SetReadDeadline(time.Time{})
		}
	}
}

// ReadFrom is ReadFromAddrPort.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}
