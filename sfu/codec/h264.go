package codec

// Types of NAL units. RFC 6184, section 5.2, ITU-T H.264, table 7-1, and RFC 6190, section 1.1.3.
const (
	nalSlice  = 1
	nalIDR    = 5
	nalSPS    = 7
	nalPrefix = 14 // says in which temporal layer the next is
	nalLast   = 23
	nalSTAPA  = 24
	nalFUA    = 28
)

// h264Units is what a packet has of NAL units.
type h264Units struct {
	start     bool
	idr, sps  bool
	temporal  uint8
	slices    bool
	reference bool // one of its slices is one that others refer to
}

// see takes the header of a unit, and what follows of it.
func (u *h264Units) see(nal []byte) {
	switch nal[0] & 0x1f {
	case nalIDR:
		u.idr, u.slices = true, true
	case nalSPS:
		u.sps = true
	case nalPrefix:
		// nal_unit_header_svc_extension: ITU-T H.264, section G.7.3.1.1.
		if len(nal) >= 4 && nal[1]&0x80 != 0 {
			u.temporal = nal[3] >> 5
		}
	case nalSlice:
		u.slices = true
	}
	if t := nal[0] & 0x1f; (t == nalSlice || t == nalIDR) && nal[0]&0x60 != 0 {
		u.reference = true
	}
}

// parse reads a payload: a unit, several in one packet (STAP-A), or a part of one (FU-A). RFC 6184, sections 5.6 to 5.8. Other kinds are those of
// a mode that is never agreed on.
func (u *h264Units) parse(p []byte) bool {
	if len(p) < 1 {
		return false
	}
	switch t := p[0] & 0x1f; {
	case t >= nalSlice && t <= nalLast:
		u.start = true
		u.see(p)
	case t == nalSTAPA:
		u.start = true
		rest := p[1:]
		if len(rest) < 3 {
			return false
		}
		for len(rest) >= 3 {
			size := int(rest[0])<<8 | int(rest[1])
			if size == 0 || len(rest) < 2+size {
				break // what is after the size may be encrypted, or padding
			}
			u.see(rest[2 : 2+size])
			rest = rest[2+size:]
		}
	case t == nalFUA:
		if len(p) < 2 {
			return false
		}
		head := []byte{p[0]&0xe0 | p[1]&0x1f}
		if u.start = p[1]&0x80 != 0; u.start {
			u.see(head)
		} else if head[0]&0x60 != 0 {
			u.reference = true
		}
		u.slices = true
	default:
		return false
	}
	return true
}

// tell fills in what the units say.
func (u *h264Units) tell(marker bool, f *Frame) {
	f.Start, f.End = u.start, marker
	f.Key = u.start && (u.idr || u.sps)
	f.Up = f.Key
	f.Temporal = min(u.temporal, MaxTemporal-1)
	f.Discardable = u.slices && !u.reference
	// Of a higher layer nothing says on what it depends; in the first, it is on the lowest.
	f.Sync = f.Temporal == 0 || f.Temporal == 1 && f.Discardable
}

// ParseH264 reads a payload of H.264. A key frame begins with its parameters.
func ParseH264(p []byte, marker bool, f *Frame) bool {
	var u h264Units
	if !u.parse(p) {
		return false
	}
	u.tell(marker, f)
	return true
}

// h264State is what is known of a stream.
type h264State struct {
	parameters bool // they come in the stream
}

// readH264 reads a payload. Where parameters come in the stream, it is they that begin a key frame: without them it cannot be decoded by who
// begins there.
func (s *Stream) readH264(p []byte, marker bool, f *Frame) bool {
	var u h264Units
	if !u.parse(p) {
		return false
	}
	s.h264.parameters = s.h264.parameters || u.sps
	if s.h264.parameters {
		u.idr = false
	}
	u.tell(marker, f)
	return true
}
