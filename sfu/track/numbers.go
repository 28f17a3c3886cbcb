package track

import "causeway/sfu/buffer"

// numbers gives the packets of a subscriber numbers without gaps, whatever was left out and from which stream they are.
type numbers struct {
	started bool
	source  *layer
	newest  uint16 // of the stream
	last    numbered
	lastAt  int64
	changes [maxChanges]shift // the newest last
	n       int
}

const maxChanges = 16

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

// moved is whether VP8's numbers have to be rewritten.
func (n *numbers) moved() bool {
	s := n.current()
	return s.picture != 0 || s.tl0 != 0 || s.keyIdx != 0
}

func (n *numbers) current() *shift {
	if n.n == 0 {
		return &shift{}
	}
	return &n.changes[n.n-1]
}

func (n *numbers) push(s shift) {
	if n.n == maxChanges {
		copy(n.changes[:], n.changes[1:])
		n.n--
	}
	n.changes[n.n] = s
	n.n++
}

// change goes over to another stream with the packet p, whose numbers go on where those of the stream before have ended.
func (n *numbers) change(l *layer, p *buffer.Packet) {
	s := shift{from: p.Seq}
	if n.started {
		v := &p.Frame.VP8
		s.seq = p.Seq - (n.last.seq + 1)
		s.ts = p.TS - n.timestampOf(l, p)
		s.picture = v.PictureID - (n.last.picture + 1)
		s.tl0 = v.TL0 - (n.last.tl0 + 1)
		s.keyIdx = v.KeyIdx - (n.last.keyIdx + 1)
	}
	n.source, n.newest, n.n = l, p.Seq-1, 0
	n.push(s)
}

// timestampOf gives the timestamp that p has for the subscriber: by the publisher's clock where both streams tell it, else by
// when it came.
func (n *numbers) timestampOf(l *layer, p *buffer.Packet) uint32 {
	rate := int64(l.up.ClockRate)
	since := (p.At - n.lastAt) * rate / 1_000_000
	ts := n.last.ts + uint32(since)
	if n.source != nil {
		if a, b := n.source.report.Load(), l.report.Load(); a != nil && b != nil {
			// What p's timestamp would be in the stream before, and from there for the subscriber.
			between := int64(b.ntp-a.ntp) * rate >> 32
			before := a.rtp + uint32(between) + (p.TS - b.rtp)
			if by := before - n.current().ts; within(int32(by-ts), rate) {
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

// skip leaves a packet out: those after it close up.
func (n *numbers) skip(p *buffer.Packet) {
	if !n.started && n.n == 0 {
		return
	}
	ahead := int16(p.Seq - n.newest)
	if ahead <= 0 {
		return // it had a number already, which is not used
	}
	s := *n.current()
	from := s.from
	s.from = p.Seq + 1
	s.seq++
	// A frame that is left out takes its picture with it, once.
	if p.Frame.Start && p.Frame.VP8.HasPictureID {
		s.picture++
		if p.Frame.Temporal == 0 {
			s.tl0++
		}
	}
	if n.n > 0 && from == p.Seq && n.newest+1 == p.Seq {
		n.changes[n.n-1] = s // nothing had the one before
	} else {
		n.push(s)
	}
	n.newest = p.Seq
}

// next gives a packet its numbers, and whether it can have some: what is older than everything that is remembered cannot.
func (n *numbers) next(l *layer, p *buffer.Packet) (numbered, bool) {
	if n.n == 0 {
		n.change(l, p)
	}
	s := n.at(p.Seq)
	if s == nil {
		return numbered{}, false
	}
	v := &p.Frame.VP8
	out := numbered{seq: p.Seq - s.seq, ts: p.TS - s.ts, picture: v.PictureID - s.picture, tl0: v.TL0 - s.tl0, keyIdx: v.KeyIdx - s.keyIdx}
	if !v.Long {
		out.picture &= 0x7f
	} else {
		out.picture &= 0x7fff
	}
	out.keyIdx &= 0x1f
	if int16(p.Seq-n.newest) > 0 || !n.started {
		n.newest, n.last, n.lastAt, n.started = p.Seq, out, p.At, true
	}
	return out, true
}

// at gives what holds for a packet.
func (n *numbers) at(seq uint16) *shift {
	for i := n.n - 1; i >= 0; i-- {
		if int16(seq-n.changes[i].from) >= 0 {
			return &n.changes[i]
		}
	}
	return nil
}
