package track

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"github.com/pion/rtp"
)

// frame is one that a publisher sends, as a test knows it. In scalable video each layer of a picture is a frame.
type frame struct {
	id       int
	stream   int
	spatial  int
	temporal int
	key      bool
	packets  int
	deps     []int
	picture  int // of its stream, counted on
	ts       uint32
	sentAt   int64
}

// sentPacket is a packet of a publisher.
type sentPacket struct {
	raw    []byte
	stream int
	seq    uint16
	frame  *frame
	index  int
}

// payloadHead is what begins the frame's part of a payload, by which a test knows it again: VP8's bit of key frames, then the frame and
// the packet.
const payloadHead = 1 + 4 + 2

func identity(payload []byte) (id, index int) {
	return int(binary.BigEndian.Uint32(payload[1:])), int(binary.BigEndian.Uint16(payload[5:]))
}

// source is a stream of a publisher.
type source struct {
	kind    string // vp8, vp9, vp9key, av1 or h264
	stream  int
	random  *rand.Rand
	frames  *[]*frame
	seq     uint16
	ts0     uint32
	number  int // pictures
	pattern int // pictures since the key frame
	wantKey bool
	steps   bool // pictures of layer 1 depend on each other, so that one can begin with few

	last    [3][3]int // the frame that came last, by spatial and temporal layer; -1 for none
	tl0     uint8
	keyIdx  uint8
	ddFrame uint16
}

func newSource(kind string, stream int, random *rand.Rand, frames *[]*frame) *source {
	return &source{
		kind: kind, stream: stream, random: random, frames: frames, wantKey: true,
		seq: uint16(65_300 + random.IntN(1000)), ts0: random.Uint32(), number: 32_700 + random.IntN(100), tl0: uint8(random.IntN(256)),
		keyIdx: uint8(random.IntN(32)), ddFrame: uint16(65_400 + random.IntN(200)), steps: random.IntN(2) == 0,
	}
}

var (
	structureL3T3, _ = hex.DecodeString("80000080081485214eaaaafffabcf24c30430c10aaa03fa80f24030400c1002a000a800240004000100006d549241b82b04a094106e0ac1282503fea0001974ca864330e222222eca8655304224230eca87752")
	patternTemporal  = []int{0, 2, 1, 2}
)

// picture gives the packets of the next picture.
func (s *source) picture(at int64) []sentPacket {
	key := s.wantKey
	s.wantKey = false
	if key {
		s.pattern = 0
		s.keyIdx++
		for i := range s.last {
			s.last[i] = [3]int{-1, -1, -1}
		}
	}
	place := s.pattern % 4
	temporal := patternTemporal[place]
	if s.kind == "h264" {
		temporal = 0
	}
	if temporal == 0 {
		s.tl0++
	}
	ts := s.ts0 + uint32(at*9/100)
	layers := 1
	if s.kind == "vp9" || s.kind == "vp9key" || s.kind == "av1" {
		layers = 3
	}
	var out []sentPacket
	for spatial := range layers {
		f := &frame{
			id: len(*s.frames), stream: s.stream, spatial: spatial, temporal: temporal, key: key && spatial == 0, picture: s.number, ts: ts, sentAt: at,
			packets: 1 + s.random.IntN(3+2*spatial),
		}
		up := s.depend(f, place, key)
		*s.frames = append(*s.frames, f)
		s.last[spatial][temporal] = f.id
		for i := range f.packets {
			s.seq++
			out = append(out, sentPacket{raw: s.packet(f, i, place, key, up, spatial == layers-1), stream: s.stream, seq: s.seq, frame: f, index: i})
		}
		s.ddFrame++
	}
	s.number++
	s.pattern++
	return out
}

// depend says on what a frame depends, and whether one can begin with its temporal layer.
func (s *source) depend(f *frame, place int, key bool) (up bool) {
	last := &s.last[f.spatial]
	up = true
	if !key {
		switch place {
		case 0:
			f.deps = append(f.deps, last[0])
		case 1:
			f.deps = append(f.deps, last[0])
		case 2:
			f.deps = append(f.deps, last[0])
			if s.steps && s.kind == "vp8" && last[1] >= 0 && s.pattern%16 != 2 {
				f.deps = append(f.deps, last[1])
				up = false
			}
		case 3:
			f.deps = append(f.deps, last[1])
			up = false
		}
		if s.kind == "h264" {
			f.deps = []int{last[0]}
		}
	}
	if f.spatial > 0 && (key || s.kind != "vp9key") {
		f.deps = append(f.deps, f.id-1)
	}
	return up
}

func (s *source) packet(f *frame, index, place int, key, up, top bool) []byte {
	first, last := index == 0, index == f.packets-1
	body := make([]byte, payloadHead+s.random.IntN(30))
	if !f.key {
		body[0] = 1
	}
	binary.BigEndian.PutUint32(body[1:], uint32(f.id))
	binary.BigEndian.PutUint16(body[5:], uint16(index))
	p := rtp.Packet{Header: rtp.Header{
		Version: 2, PayloadType: 96, SequenceNumber: s.seq, Timestamp: f.ts, SSRC: uint32(1000 + s.stream), Marker: last && top,
	}}
	switch s.kind {
	case "vp8":
		p.Payload = append(s.vp8(f, first, up), body...)
	case "vp9", "vp9key":
		p.Payload = append(s.vp9(f, first, last, key, up), body...)
	case "av1":
		p.Payload = append([]byte{0x10}, body...)
		p.ExtensionProfile = rtp.ExtensionProfileTwoByte
		if err := p.SetExtension(5, s.descriptor(f, first, last, key, place)); err != nil {
			panic(err)
		}
	case "h264":
		head := []byte{0x41}
		if f.key {
			head[0] = 0x67
		}
		if index > 0 {
			head = []byte{0x5c, 0x05}
		}
		p.Payload = append(head, body...)
	}
	raw, err := p.Marshal()
	if err != nil {
		panic(err)
	}
	return raw
}

func (s *source) vp8(f *frame, first, up bool) []byte {
	head := []byte{0x80, 0xf0, 0x80 | byte(f.picture>>8)&0x7f, byte(f.picture), s.tl0, byte(f.temporal)<<6 | s.keyIdx&0x1f}
	if first {
		head[0] |= 0x10
	}
	if up && f.temporal > 0 {
		head[5] |= 0x20
	}
	return head
}

func (s *source) vp9(f *frame, first, last, key, up bool) []byte {
	flags := byte(0xa0)
	if !key {
		flags |= 0x40
	}
	if first {
		flags |= 0x08
	}
	if last {
		flags |= 0x04
	}
	layer := byte(f.temporal<<5 | f.spatial<<1)
	if up {
		layer |= 0x10
	}
	if f.spatial > 0 && (key || s.kind == "vp9") {
		layer |= 0x01
	}
	return []byte{flags, 0x80 | byte(f.picture>>8)&0x7f, byte(f.picture), layer, s.tl0}
}

// descriptor is a dependency descriptor by the structure for three spatial and three temporal layers: its templates come by spatial layer, the first of
// each for key frames.
func (s *source) descriptor(f *frame, first, last, key bool, place int) []byte {
	template := byte(5 * f.spatial)
	if !key {
		template += []byte{1, 3, 2, 4}[place]
	}
	d := []byte{template, byte(s.ddFrame >> 8), byte(s.ddFrame)}
	if f.key && first {
		d = append(d, structureL3T3[3:]...)
	}
	if first {
		d[0] |= 0x80
	}
	if last {
		d[0] |= 0x40
	}
	return d
}
