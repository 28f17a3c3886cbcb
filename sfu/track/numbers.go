package track

import "causeway/sfu/buffer"

// numbers gives the packets of a subscriber numbers without gaps, whatever was left out and from which stream they are.
type numbers struct {
	started bool
	now     lane // the stream that the packets are from
	was     lane // that which they were from before: some of its packets may be late
	last    numbered
	lastAt  int64
}

// lane is how the numbers of one stream become those of the subscriber.
type lane struct {
	source *layer
	newest uint16 // of the stream
	// The newest picture that has been seen of the stream, and whether there was one with numbers.
	picture     uint16
	tl0, keyIdx uint8
	hasPicture  bool
	changes     [maxChanges]shift // the newest last
	n           int
}

// maxChanges is how many changes are remembered, for packets that are late: what is left out 20 times a second is known for more than a second.
const maxChanges = 32

// shift is what is taken off the stream's numbers, from a packet on.
type shift struct {
	from    uint16
	seq     uint16
	ts      uint32
	picture uint16
	tl0     uint8
	keyIdx  uint8
}

// numbered are a packet's numbers, as the subscriber gets them.
type numbered struct {
	seq     uint16
	ts      uint32
	picture uint16
	tl0     uint8
	keyIdx  uint8
}

// moved is whether VP8's numbers are others than those that a packet has.
func (n *numbered) moved(p *buffer.Packet) bool {
	v := &p.Frame.VP8
	return n.picture != v.PictureID || n.tl0 != v.TL0 || n.keyIdx != v.KeyIdx
}

func (l *lane) current() *shift {
	if l.n == 0 {
		return &shift{}
	}
	return &l.changes[l.n-1]
}

func (l *lane) push(s shift) {
	if l.n == maxChanges {
		copy(l.changes[:], l.changes[1:])
		l.n--
	}
	l.changes[l.n] = s
	l.n++
}

// at gives what holds for a packet, or nil when that is not remembered.
func (l *lane) at(seq uint16) *shift {
	for i := l.n - 1; i >= 0; i-- {
		if int16(seq-l.changes[i].from) >= 0 {
			return &l.changes[i]
		}
	}
	return nil
}

// give gives a packet's numbers by a shift.
func (s *shift) give(p *buffer.Packet) numbered {
	v := &p.Frame.VP8
	out := numbered{seq: p.Seq - s.seq, ts: p.TS - s.ts, picture: v.PictureID - s.picture, tl0: v.TL0 - s.tl0, keyIdx: (v.KeyIdx - s.keyIdx) & 0x1f}
	if out.picture &= 0x7f; v.Long {
		out.picture = (v.PictureID - s.picture) & 0x7fff
	}
	return out
}

// pictureAhead is by how many pictures a packet's is newer than the newest.
func (l *lane) pictureAhead(p *buffer.Packet) int {
	v := &p.Frame.VP8
	if !v.HasPictureID {
		return 0
	}
	if v.Long {
		return int(int16((v.PictureID-l.picture)<<1) >> 1)
	}
	return int(int8(uint8(v.PictureID-l.picture)<<1) >> 1)
}

func (l *lane) sawPicture(p *buffer.Packet) {
	v := &p.Frame.VP8
	l.picture, l.tl0, l.keyIdx, l.hasPicture = v.PictureID, v.TL0, v.KeyIdx, v.HasPictureID
}

// change goes over to another stream with the packet p, whose numbers go on where those of the stream before have ended: also those of packets
// that have not come yet.
func (n *numbers) change(l *layer, p *buffer.Packet) {
	s := shift{from: p.Seq}
	if n.started {
		v, before := &p.Frame.VP8, n.now.current()
		s.seq = p.Seq - (n.now.newest - before.seq + 1)
		s.ts = p.TS - n.timestampOf(l, p)
		s.picture = v.PictureID - (n.now.picture - before.picture + 1)
		s.tl0 = v.TL0 - (n.now.tl0 - before.tl0 + 1)
		s.keyIdx = v.KeyIdx - (n.now.keyIdx - before.keyIdx + 1)
	}
	n.was = n.now
	n.now = lane{source: l, newest: p.Seq - 1}
	n.now.sawPicture(p)
	n.now.push(s)
}

// timestampOf gives the timestamp that p has for the subscriber: by the publisher's clock where both streams tell it, else by
// when it came.
func (n *numbers) timestampOf(l *layer, p *buffer.Packet) uint32 {
	rate := int64(l.up.ClockRate)
	since := (p.At - n.lastAt) * rate / 1_000_000
	ts := n.last.ts + uint32(since)
	if before := n.now.source; before != nil {
		if a, b := before.report.Load(), l.report.Load(); a != nil && b != nil {
			// What p's timestamp would be in the stream before, and from there for the subscriber.
			between := int64(b.ntp-a.ntp) * rate >> 32
			in := a.rtp + uint32(between) + (p.TS - b.rtp)
			if by := in - n.now.current().ts; within(int32(by-ts), rate) {
				ts = by
			}
		}
	}
	if int32(ts-n.last.ts) <= 0 {
		ts = n.last.ts + 1
	}
	return ts
}

// within is whether two ways to tell a time are less than a second apart.
func within(apart int32, rate int64) bool {
	return int64(apart) < rate && int64(apart) > -rate
}

// lane gives the lane that a packet is of, or nil when it is of none.
func (n *numbers) lane(l *layer, p *buffer.Packet) *lane {
	switch {
	case n.now.source == l && (n.was.source != l || int16(p.Seq-n.now.changes[0].from) >= 0):
		return &n.now
	case n.was.source == l && int16(p.Seq-n.was.newest) <= 0:
		return &n.was
	}
	return nil
}

// late is whether a number was kept for a packet.
func (n *numbers) late(l *layer, p *buffer.Packet) bool {
	lane := n.lane(l, p)
	return lane != nil && int16(p.Seq-lane.newest) <= 0
}

// skip leaves a packet out: those after it close up. A packet that is late had a number kept for it, though; it gives that, to be sent without what
// is left out, so that the subscriber does not wait for it.
func (n *numbers) skip(l *layer, p *buffer.Packet) (kept numbered, late bool) {
	lane := n.lane(l, p)
	if lane == nil {
		return numbered{}, false
	}
	if int16(p.Seq-lane.newest) <= 0 {
		s := lane.at(p.Seq)
		if s == nil {
			return numbered{}, false
		}
		return s.give(p), true
	}
	s := *lane.current()
	from := s.from
	s.from = p.Seq + 1
	s.seq++
	// A frame that is left out takes its picture with it, once.
	if lane.pictureAhead(p) > 0 {
		v := &p.Frame.VP8
		s.picture++
		s.tl0 += v.TL0 - lane.tl0
		s.keyIdx += v.KeyIdx - lane.keyIdx
		lane.sawPicture(p)
	}
	if from == p.Seq && lane.newest+1 == p.Seq {
		lane.changes[lane.n-1] = s // nothing had the one before
	} else {
		lane.push(s)
	}
	lane.newest = p.Seq
	return numbered{}, false
}

// next gives a packet its numbers, and whether it can have some: what is older than everything that is remembered cannot.
func (n *numbers) next(l *layer, p *buffer.Packet) (numbered, bool) {
	if n.now.source == nil {
		n.change(l, p)
	}
	lane := n.lane(l, p)
	if lane == nil {
		return numbered{}, false
	}
	s := lane.at(p.Seq)
	if s == nil {
		return numbered{}, false
	}
	out := s.give(p)
	if int16(p.Seq-lane.newest) > 0 {
		lane.newest = p.Seq
	}
	if lane.pictureAhead(p) > 0 {
		lane.sawPicture(p)
	}
	if !n.started || int16(out.seq-n.last.seq) > 0 {
		n.last, n.lastAt, n.started = out, p.At, true
	}
	return out, true
}
