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

// What may wait to be read of one stream, in bytes; more is dropped. Feedback is read at once where somebody is there to read it.
const (
	maxUnreadRTP  = 1_000_000
	maxUnreadRTCP = 16_000
)

// How many streams there may be at a time, and how many that feedback is about. pion makes one for each that a client names in a packet, whatever
// was negotiated, and keeps it until the connection ends. Browsers send six for a video with simulcast, and have one or two for each track that they
// get.
const (
	maxStreams  = 1024
	maxFeedback = 4096
)

// unread knows what pion keeps packets in until they are read, by stream.
type unread struct {
	tooMany           func() // is called when there are more streams than a client has
	streams, feedback atomic.Int32

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

// open makes a buffer of some bytes, one of at most so many.
func (u *unread) open(count *atomic.Int32, most int32, bytes int) *counted {
	c := &counted{Buffer: packetio.NewBuffer(), open: count}
	c.SetLimitSize(bytes)
	if count.Add(1) > most {
		u.tooMany()
	}
	return c
}

// add makes the buffer of a stream.
func (u *unread) add(stream uint32) *media {
	m := &media{counted: u.open(&u.streams, maxStreams, maxUnreadRTP)}
	m.forget = func() {
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

// media is a buffer of RTP, which knows how many packets wait in it.
type media struct {
	*counted
	waiting atomic.Int32
	forget  func()
}

// Write keeps a packet.
func (m *media) Write(b []byte) (int, error) {
	m.waiting.Add(1)
	n, err := m.counted.Write(b)
	if err != nil {
		m.waiting.Add(-1)
	}
	return n, err
}

// Read takes one out.
func (m *media) Read(b []byte) (int, error) {
	n, err := m.counted.Read(b)
	if err == nil || errors.Is(err, io.ErrShortBuffer) {
		m.waiting.Add(-1)
	}
	return n, err
}

// Close implements io.Closer.
func (m *media) Close() error {
	m.forget()
	return m.counted.Close()
}

// buffers gives pion what it keeps packets in until they are read, by stream. Feedback on when packets have come is taken on its way there: it
// is about a connection and not a stream, and what stream it names is up to the client, also one of packets that were sent again, which nobody
// reads.
func buffers(out *transport, in *unread) func(packetio.BufferPacketType, uint32) io.ReadWriteCloser {
	return func(kind packetio.BufferPacketType, stream uint32) io.ReadWriteCloser {
		if kind == packetio.RTPBufferPacket {
			return in.add(stream)
		}
		return &tap{counted: in.open(&in.feedback, maxFeedback, maxUnreadRTCP), out: out}
	}
}

// counted is a buffer that counts as long as it is open.
type counted struct {
	*packetio.Buffer
	open   *atomic.Int32
	closed atomic.Bool
}

// Close implements io.Closer.
func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Buffer.Close()
}

// tap is a buffer of RTCP.
type tap struct {
	*counted
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
