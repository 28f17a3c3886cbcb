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

// Ring keeps the last packets of one stream. One goroutine adds packets; others copy them.
type Ring struct {
	mu    sync.RWMutex // guards everything, against the one who adds
	slots []slot
	mask  uint16
	// newest is the sequence number of the newest packet, once there is one.
	newest  uint16
	started bool
	// key is the sequence number of the first packet of the last key frame, as long as it is kept.
	key    uint16
	hasKey bool
}

type slot struct {
	packet Packet
	filled bool
}

// NewRing makes a ring for the number of packets, which is a power of two up to 32768.
func NewRing(size int) *Ring {
	return &Ring{slots: make([]slot, size), mask: uint16(size - 1)}
}

// Add keeps a packet, whose payload and descriptor are copied, and gives the copy. It is nil when the packet is there already, or is older than
// what is kept. What it gives is valid for the one who adds until the ring has come round.
func (r *Ring) Add(p *Packet) *Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		r.started, r.newest = true, p.Seq-1
	}
	ahead := int16(p.Seq - r.newest)
	if ahead <= 0 && int(-ahead) >= len(r.slots) {
		return nil
	}
	s := &r.slots[p.Seq&r.mask]
	if s.filled && s.packet.Seq == p.Seq {
		return nil
	}
	if ahead > 0 {
		r.advance(p.Seq, ahead)
	}
	payload, descriptor := s.packet.Payload, s.packet.Descriptor
	s.packet = *p
	s.packet.Payload = append(payload[:0], p.Payload...)
	s.packet.Descriptor = nil
	if len(p.Descriptor) > 0 {
		s.packet.Descriptor = append(descriptor[:0], p.Descriptor...)
	}
	s.filled = true
	if p.Frame.Key && p.Frame.Start && p.Frame.Spatial == 0 && (!r.hasKey || int16(p.Seq-r.key) > 0) {
		r.key, r.hasKey = p.Seq, true
	}
	return &s.packet
}

// advance moves the newest packet on, and forgets what the ring has come round to.
func (r *Ring) advance(seq uint16, ahead int16) {
	if int(ahead) >= len(r.slots) {
		for i := range r.slots {
			r.slots[i].filled = false
		}
		r.hasKey = false
	} else {
		for n := r.newest + 1; n != seq; n++ {
			r.slots[n&r.mask].filled = false
		}
	}
	r.newest = seq
	if r.hasKey && int(r.newest-r.key) >= len(r.slots) {
		r.hasKey = false
	}
}

// Copy gives a packet that is kept, its payload copied into buf, and whether there is one.
func (r *Ring) Copy(seq uint16, buf []byte) (Packet, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := &r.slots[seq&r.mask]
	if !s.filled || s.packet.Seq != seq {
		return Packet{}, false
	}
	p := s.packet
	p.Payload = append(buf[:0], p.Payload...)
	p.Descriptor = append([]byte(nil), p.Descriptor...)
	return p, true
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
