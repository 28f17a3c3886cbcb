package sfu

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v4/packetio"
)

// What may wait to be read of one stream, in bytes; more is dropped. It is what pion has.
const (
	maxUnreadRTP  = 1_000_000
	maxUnreadRTCP = 100_000
)

// unread knows what pion keeps packets in until they are read, by stream.
type unread struct {
	mu    sync.Mutex // guards what follows
	media map[uint32]*media
}

// of gives what counts the packets of a stream that can be read at once; nil where that is not known.
func (u *unread) of(stream uint32) func() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m := u.media[stream]; m != nil {
		return func() int { return int(m.waiting.Load()) }
	}
	return nil
}

// media is a buffer of RTP, which knows how many packets wait in it.
type media struct {
	*packetio.Buffer
	waiting atomic.Int32
	closed  func()
}

func (m *media) Write(b []byte) (int, error) {
	m.waiting.Add(1)
	n, err := m.Buffer.Write(b)
	if err != nil {
		m.waiting.Add(-1)
	}
	return n, err
}

func (m *media) Read(b []byte) (int, error) {
	n, err := m.Buffer.Read(b)
	if err == nil || errors.Is(err, io.ErrShortBuffer) {
		m.waiting.Add(-1)
	}
	return n, err
}

func (m *media) Close() error {
	m.closed()
	return m.Buffer.Close()
}

func (u *unread) add(stream uint32) *media {
	m := &media{Buffer: packetio.NewBuffer()}
	m.SetLimitSize(maxUnreadRTP)
	m.closed = func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.media[stream] == m {
			delete(u.media, stream)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.media == nil {
		u.media = map[uint32]*media{}
	}
	u.media[stream] = m
	return m
}

// buffers gives pion what it keeps packets in until they are read, by stream. Feedback on when packets have come is taken on its way there: it
// is about a connection and not a stream, and what stream it names is up to the client, also one of packets that were sent again, which nobody
// reads.
func buffers(out *transport, in *unread) func(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
	return func(kind packetio.BufferPacketType, stream uint32) io.ReadWriteCloser {
		if kind == packetio.RTPBufferPacket {
			return in.add(stream)
		}
		b := packetio.NewBuffer()
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
