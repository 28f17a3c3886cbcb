package codec

import "strings"

// Stream reads the packets of one stream, in the order in which they come. It keeps what later packets mean by what earlier ones said.
type Stream struct {
	read func(s *Stream, payload []byte, marker bool, f *Frame) bool
	own  bool // the dependency descriptor is the codec's own, so that it says more than the payload

	// The last two structures, the newer first, and from which frame on each holds; and the mask of targets.
	structures [2]*Structure
	since      [2]uint16
	active     uint32
	activeAt   uint16

	frames [recentFrames]recentFrame // by their numbers
	vp9    vp9State
	h264   h264State
}

// lateFrames is how many frames late a packet may be; what is further back is of a stream that has begun again.
const lateFrames = 512

// recentFrames is how many frames are known that others may depend on.
const recentFrames = 256

type recentFrame struct {
	known             bool
	number            uint16
	spatial, temporal uint8
	sync              bool
	indications       uint64
}

// NewStream makes a reader for a MIME type such as "video/VP8", or gives nil for audio and what is not known.
func NewStream(mimeType string) *Stream {
	switch strings.ToLower(mimeType) {
	case "video/vp8":
		return &Stream{read: func(_ *Stream, p []byte, marker bool, f *Frame) bool { return ParseVP8(p, marker, f) }}
	case "video/vp9":
		return &Stream{read: (*Stream).readVP9}
	case "video/h264":
		return &Stream{read: (*Stream).readH264}
	case "video/av1":
		return &Stream{own: true, read: func(_ *Stream, p []byte, marker bool, f *Frame) bool { return ParseAV1(p, marker, f) }}
	}
	return nil
}

// Parse reads a packet into a frame that is empty, and tells whether it makes sense: its payload, its marker, and its dependency descriptor, which
// may be nil.
func (s *Stream) Parse(payload []byte, marker bool, descriptor []byte, f *Frame) bool {
	if !s.read(s, payload, marker, f) {
		return false
	}
	if len(descriptor) > 0 {
		s.describe(descriptor, f)
	}
	return true
}

// describe takes what a dependency descriptor says. Where it says what cannot be understood, as when the packet with the structure was lost, the
// payload alone counts.
func (s *Stream) describe(b []byte, f *Frame) {
	var d Descriptor
	if !d.parse(b, s.structure) {
		if s.own && len(b) >= descriptorHead {
			f.Start, f.End = d.start, d.end
		}
		return
	}
	s.remember(&d)
	sync, up := s.switches(&d)
	f.Descriptor = d
	switch {
	case s.own:
		f.Start, f.End = d.start, d.end
		f.Key = d.Attached && d.start
		f.Spatial, f.Temporal, f.Sync, f.Up = d.spatial, d.temporal, sync, up || f.Key
		f.Discardable = d.discardable()
	case f.Spatial == 0 && f.Temporal == 0 && d.spatial == 0 && d.temporal > 0:
		// The payload says nothing of layers.
		f.Temporal, f.Sync, f.Discardable = d.temporal, sync, d.discardable()
	}
}

// structure gives the structure that holds for a frame.
func (s *Stream) structure(number uint16) *Structure {
	for i, structure := range s.structures {
		if structure != nil && int16(number-s.since[i]) >= 0 {
			return structure
		}
	}
	return nil
}

// remember keeps what a descriptor says for those that follow. What comes late does not change it.
func (s *Stream) remember(d *Descriptor) {
	switch ahead := int16(d.Number - s.since[0]); {
	case !d.Attached:
	case s.structures[0] != nil && ahead == 0:
		s.structures[0] = d.Structure // the same again
	case s.structures[0] == nil || ahead > 0 || ahead < -lateFrames:
		s.structures[1], s.since[1] = s.structures[0], s.since[0]
		s.structures[0], s.since[0] = d.Structure, d.Number
	}
	if d.Attached || d.hasMask {
		if s.structures[0] == d.Structure && (d.Attached || int16(d.Number-s.activeAt) >= 0) {
			s.active, s.activeAt = d.Active, d.Number
		}
		return
	}
	d.Active = s.active & d.Structure.all()
	if s.structures[0] != d.Structure {
		d.Active = d.Structure.all()
	}
}

// switches tells whether a receiver that has not had the frame's temporal layer, or spatial layer, can have it from this frame on.
func (s *Stream) switches(d *Descriptor) (sync, up bool) {
	target := d.Structure.Target(int(d.spatial), int(d.temporal))
	here := d.Indication(target)
	sync, up = here != Required && d.referenced <= maxReferences, d.referenced <= maxReferences
	switching := here == Switch
	for _, ago := range d.references[:min(d.referenced, maxReferences)] {
		other := s.recent(d.Number - ago)
		if other == nil {
			sync, up = false, false
			continue
		}
		lower := other.spatial < d.spatial
		if other.temporal > 0 && !(lower && other.sync) {
			sync = false
		}
		if !lower {
			up = false
		}
		// The frame of the layer below may say that one can switch, for the whole picture. Section A.10.1.2.
		switching = switching || lower && indication(other.indications, target) == Switch
	}
	sync, up = sync || d.temporal == 0, up && switching
	s.frames[d.Number%recentFrames] = recentFrame{
		known: true, number: d.Number, spatial: d.spatial, temporal: d.temporal, sync: sync, indications: d.indications,
	}
	return sync, up
}

func (s *Stream) recent(number uint16) *recentFrame {
	f := &s.frames[number%recentFrames]
	if !f.known || f.number != number {
		return nil
	}
	return f
}
