package codec

// Types of NAL units. RFC 6184, section 5.2, and ITU-T H.264, table 7-1.
const (
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
)

// ParseH264 reads a payload of H.264. A key frame begins with its parameters. RFC 6184, sections 5.6 to 5.8.
func ParseH264(p []byte, marker bool, f *Frame) bool {
	if len(p) < 1 {
		return false
	}
	f.End, f.Sync = marker, true
	switch t := p[0] & 0x1f; t {
	case nalSTAPA:
		f.Start = true
		for rest := p[1:]; len(rest) >= 3; {
			size := int(rest[0])<<8 | int(rest[1])
			if nal := rest[2] & 0x1f; nal == nalIDR || nal == nalSPS {
				f.Key = true
			}
			if size == 0 || len(rest) < 2+size {
				break
			}
			rest = rest[2+size:]
		}
	case nalFUA:
		if len(p) < 2 {
			return false
		}
		f.Start = p[1]&0x80 != 0
		f.Key = f.Start && p[1]&0x1f == nalIDR
	default:
		f.Start = true
		f.Key = t == nalIDR || t == nalSPS
	}
	f.Up = f.Key
	return true
}
