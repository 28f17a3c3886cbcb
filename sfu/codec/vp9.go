package codec

// ParseVP9 reads a payload of VP9: its descriptor says everything, and is never encrypted. RFC 9628, section 4.2.
func ParseVP9(p []byte, marker bool, f *Frame) bool {
	if len(p) < 1 {
		return false
	}
	b, at := p[0], 1
	picture, inter, layers := b&0x80 != 0, b&0x40 != 0, b&0x20 != 0
	flexible := b&0x10 != 0
	f.Start, f.End = b&0x08 != 0, b&0x04 != 0
	f.Discardable = b&0x01 != 0
	if picture {
		if len(p) <= at {
			return false
		}
		if p[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if !layers {
		f.Key = !inter
		f.Sync, f.Up = true, f.Key
		return len(p) >= at
	}
	if len(p) <= at {
		return false
	}
	l := p[at]
	f.Temporal, f.Spatial = l>>5, l>>1&0x07
	f.Sync = l&0x10 != 0 || f.Temporal == 0
	onLower := l&0x01 != 0 // inter-layer dependency
	if f.Spatial >= MaxSpatial || f.Temporal >= MaxTemporal {
		return false
	}
	if at++; !flexible {
		at++ // TL0PICIDX
	}
	// A picture that refers to none before it is a key picture, in all of its spatial layers.
	f.Key = !inter && (f.Spatial == 0 || onLower)
	f.Up = !inter
	return len(p) >= at
}
