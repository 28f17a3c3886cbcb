package sfu

import (
	"encoding/binary"
	"io"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/packetio"
)

// What may wait to be read of one stream, in bytes; more is dropped. It is what pion has.
const (
	maxUnreadRTP  = 1_000_000
	maxUnreadRTCP = 100_000
)

// buffers gives pion what it keeps packets in until they are read, by stream. Feedback on when packets have come is taken on its way there: it
// is about a connection and not a stream, and what stream it names is up to the client, also one of packets that were sent again, which nobody
// reads.
func buffers(out *transport) func(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
	return func(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
		b := packetio.NewBuffer()
		if kind == packetio.RTPBufferPacket {
			b.SetLimitSize(maxUnreadRTP)
			return b
		}
		b.SetLimitSize(maxUnreadRTCP)
		return &tap{Buffer: b, out: out}
	}
}

// tap is a buffer of RTCP.
type tap struct {
	*packetio.Buffer
	out *transport
}

// Write takes a compound packet. RFC 3550, section 6.1.
func (t *tap) Write(b []byte) (int, error) {
	others := false
	for rest := b; len(rest) >= 4; {
		size := 4 * (int(binary.BigEndian.Uint16(rest[2:])) + 1)
		if size > len(rest) {
			break
		}
		if rest[1] == uint8(rtcp.TypeTransportSpecificFeedback) && rest[0]&0x1f == rtcp.FormatTCC {
			f := new(rtcp.TransportLayerCC)
			if f.Unmarshal(rest[:size]) == nil {
				t.out.feedback(f)
			}
		} else {
			others = true
		}
		rest = rest[size:]
	}
	if !others {
		return len(b), nil
	}
	return t.Buffer.Write(b)
}
