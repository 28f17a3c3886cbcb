package buffer

import "unsafe"

const (
	leastStore = 4 << 10
	// mostPerPacket is how large a store may grow, for each packet that the ring may have.
	mostPerPacket = 1500

	slotBytes  = int(unsafe.Sizeof(slot{}))
	pieceBytes = int(unsafe.Sizeof(piece{}))
)

// store holds the bytes of a ring's packets one after the other, and begins again at its end: so that a packet takes as many bytes as it
// has, and no packet is allocated by itself.
type store struct {
	data   []byte
	head   int     // where the next piece goes
	pieces []piece // a ring, in the order in which they were stored
	first  int
	n      int
}

// piece is where the bytes of a packet are.
type piece struct {
	seq      uint16
	at, size uint32
}

func (s *store) bytes() int { return len(s.data) + len(s.pieces)*pieceBytes }

// rooms makes room for a number of pieces.
func (s *store) rooms(n int) {
	pieces := make([]piece, n)
	for i := range s.n {
		pieces[i] = s.pieces[(s.first+i)%len(s.pieces)]
	}
	s.pieces, s.first = pieces, 0
}

// place finds room for bytes, or gives false when there is none.
func (s *store) place(size int) (at int, ok bool) {
	if s.n == 0 {
		return 0, size <= len(s.data)
	}
	tail := int(s.pieces[s.first].at)
	switch {
	case s.head > tail && len(s.data)-s.head >= size:
		return s.head, true
	case s.head > tail && tail > size:
		return 0, true
	case s.head <= tail && tail-s.head > size:
		return s.head, true
	}
	return 0, false
}

// reserve gives bytes for a packet of the ring. What is old goes for it, and when nothing is, the store grows; when it may not, what is oldest
// goes.
func (r *Ring) reserve(seq uint16, size int, at int64) (b []byte, start uint32) {
	s := &r.store
	size = max(size, 1)
	for {
		if s.n < len(s.pieces) {
			if start, ok := s.place(size); ok {
				s.pieces[(s.first+s.n)%len(s.pieces)] = piece{seq: seq, at: uint32(start), size: uint32(size)}
				s.n++
				s.head = start + size
				return s.data[start : start+size], uint32(start)
			}
		}
		switch {
		case s.n == len(s.pieces), s.n > 0 && r.stale(at):
			r.drop()
		case s.n == 0 || len(s.data) < r.most*mostPerPacket:
			r.grow(size)
		default:
			r.drop()
		}
	}
}

// stale is whether the oldest piece is of no use any more.
func (r *Ring) stale(at int64) bool {
	s := r.holder(&r.store.pieces[r.store.first])
	return s == nil || at-s.packet.At >= keepFor
}

// holder gives the slot whose bytes a piece is, or nil when the slot has been given to another packet.
func (r *Ring) holder(p *piece) *slot {
	s := &r.slots[p.seq&r.mask]
	if !s.filled || s.packet.Seq != p.seq || s.at != p.at {
		return nil
	}
	return s
}

// drop forgets the oldest piece, and its packet.
func (r *Ring) drop() {
	if s := r.holder(&r.store.pieces[r.store.first]); s != nil {
		r.forget(s)
	}
	r.store.first = (r.store.first + 1) % len(r.store.pieces)
	r.store.n--
}

// grow makes the store larger by half, and so that size bytes have room.
func (r *Ring) grow(size int) {
	s := &r.store
	data := make([]byte, max(leastStore, len(s.data)*3/2, len(s.data)+2*size))
	at := 0
	for i := range s.n {
		p := &s.pieces[(s.first+i)%len(s.pieces)]
		n := copy(data[at:], s.data[p.at:p.at+p.size])
		if slot := r.holder(p); slot != nil {
			payload := len(slot.packet.Payload)
			slot.packet.Payload = data[at : at+payload : at+payload]
			if d := len(slot.packet.Descriptor); d > 0 {
				slot.packet.Descriptor = data[at+payload : at+payload+d : at+payload+d]
			}
			slot.at = uint32(at)
		}
		p.at = uint32(at)
		at += n
	}
	s.data, s.head = data, at
}
