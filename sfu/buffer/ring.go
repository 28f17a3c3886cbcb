// Package buffer keeps the packets of an incoming RTP stream, once for all who get them: a ring of the last ones, from which
// those that a subscriber has lost are sent again, and the last key frame, with which a new subscriber begins. It knows which packets
// have not come, and tells which to ask for again. It is pure: it knows no sockets and no clock.
package buffer

import (
	"sync"

	"causeway/sfu/codec"
)

// Packet is one that has come. Payload is valid as long as Ring says.
type Packet struct {
	Seq     uint16
	TS      uint32
	Marker  bool
	PT      uint8
	At      int64 // when it came, in microseconds
	Payload []byte
	Frame   codec.Frame
	// Descriptor is the dependency descriptor, which is a header extension, or nil.
	Descriptor []byte
}

const (
	// leastSlots is for how many packets a ring has room at first.
	leastSlots = 32
	// Fresh is how many packets can be added to a ring, whose bytes are all still there.
	Fresh = 16
	// keepFor is how long packets are kept at least, if there is room, in microseconds: then it is too late for what a subscriber has lost.
	keepFor = 1_000_000
)

// Ring keeps the last packets of one stream. One goroutine adds packets; others copy them. It grows until it keeps what has come in the last second,
// or as many packets as it may: so it is small for a stream of which little comes.
type Ring struct {
	mu    sync.RWMutex // guards everything, against the one who adds
	slots []slot
	most  int // slots
	mask  uint16
	store store
	// newest is the sequence number of the newest packet, once there is one.
	newest  uint16
	started bool
	// floor is the highest sequence number of which it has been forgotten whether the packet has come: none is taken up to there.
	floor uint16
	// key is the sequence number of the first packet of the last key frame, as long as it is kept.
	key    uint16
	keyTS  uint32
	hasKey bool
}

type slot struct {
	packet Packet
	filled bool
	at     uint32 // where its bytes are in the store
}

// NewRing makes a ring for up to a number of packets, which is a power of two up to 32768.
func NewRing(size int) *Ring {
	r := &Ring{most: size}
	r.resize(min(size, leastSlots))
	return r
}

// Add keeps a packet, whose payload and descriptor are copied, and gives the copy. It is nil when the packet is there already, or is older than
// what is kept. What it gives is valid for the one who adds until the next packet is added; its payload and descriptor until Fresh more are.
func (r *Ring) Add(p *Packet) *Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		r.started, r.newest, r.floor = true, p.Seq-1, p.Seq-1-uint16(r.most)
	}
	if int16(p.Seq-r.floor) <= 0 {
		return nil
	}
	ahead := int(int16(p.Seq - r.newest))
	for -ahead >= len(r.slots) {
		r.resize(2 * len(r.slots)) // it is late, and not too late
	}
	if s := &r.slots[p.Seq&r.mask]; s.filled && s.packet.Seq == p.Seq {
		return nil
	}
	if ahead > 0 {
		r.advance(p.Seq, ahead, p.At)
	}
	size := len(p.Payload) + len(p.Descriptor)
	b, start := r.reserve(p.Seq, size, p.At)
	s := &r.slots[p.Seq&r.mask]
	s.packet, s.filled, s.at = *p, true, start
	n := copy(b, p.Payload)
	s.packet.Payload, s.packet.Descriptor = b[:n:n], nil
	if len(p.Descriptor) > 0 {
		copy(b[n:], p.Descriptor)
		s.packet.Descriptor = b[n:size:size]
	}
	r.markKey(p)
	return &s.packet
}

// markKey remembers where the last key frame begins: with the first of its packets that can be a beginning.
func (r *Ring) markKey(p *Packet) {
	if !p.Frame.Key || !p.Frame.Start || p.Frame.Spatial != 0 {
		return
	}
	later := int16(p.Seq-r.key) > 0
	if r.hasKey && (p.TS == r.keyTS) == later {
		return // a later packet of the same frame, or one of a frame before
	}
	r.key, r.keyTS, r.hasKey = p.Seq, p.TS, true
}

// advance moves the newest packet on, and forgets what the ring has come round to.
func (r *Ring) advance(seq uint16, ahead int, at int64) {
	if ahead >= r.most {
		for i := range r.slots {
			r.slots[i].filled = false
		}
	} else {
		for n := r.newest + 1; n != seq+1; n++ {
			s := &r.slots[n&r.mask]
			for s.filled && len(r.slots) < r.most && at-s.packet.At < keepFor {
				r.resize(2 * len(r.slots))
				s = &r.slots[n&r.mask]
			}
			r.forget(s)
		}
	}
	r.newest = seq
	if oldest := seq - uint16(r.most); int16(oldest-r.floor) > 0 {
		r.floor = oldest
	}
	if r.hasKey && int(r.newest-r.key) >= len(r.slots) {
		r.hasKey = false
	}
}

// forget takes a packet out.
func (r *Ring) forget(s *slot) {
	if s.filled && int16(s.packet.Seq-r.floor) > 0 {
		r.floor = s.packet.Seq
	}
	s.filled = false
}

// resize gives the ring another number of slots, not fewer than there are.
func (r *Ring) resize(n int) {
	old := r.slots
	r.slots, r.mask = make([]slot, n), uint16(n-1)
	for i := range old {
		if old[i].filled {
			r.slots[old[i].packet.Seq&r.mask] = old[i]
		}
	}
	r.store.rooms(2 * n) // with those whose packets have been forgotten
}

// Copy gives a packet that is kept, its payload and descriptor copied into buf, and whether there is one.
func (r *Ring) Copy(seq uint16, buf []byte) (Packet, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := &r.slots[seq&r.mask]
	if !s.filled || s.packet.Seq != seq {
		return Packet{}, false
	}
	p := s.packet
	buf = append(append(buf[:0], p.Payload...), p.Descriptor...)
	n := len(p.Payload)
	p.Payload = buf[:n]
	if len(p.Descriptor) > 0 {
		p.Descriptor = buf[n:]
	}
	return p, true
}

// Newest gives the sequence number of the newest packet.
func (r *Ring) Newest() uint16 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.newest
}

// SinceKey gives the sequence numbers of the first packet of the last key frame and of the newest packet, and whether
// the key frame and everything since is kept.
func (r *Ring) SinceKey() (key, newest uint16, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.hasKey {
		return 0, 0, false
	}
	for n := r.key; ; n++ {
		s := &r.slots[n&r.mask]
		if !s.filled || s.packet.Seq != n {
			return 0, 0, false
		}
		if n == r.newest {
			return r.key, r.newest, true
		}
	}
}

// Bytes is how much memory the ring takes, about.
func (r *Ring) Bytes() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.slots)*slotBytes + r.store.bytes()
}
