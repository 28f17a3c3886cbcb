package codec

// VP8Descriptor is the payload descriptor of VP8, as far as its numbers have to be rewritten. RFC 7741, section 4.2.
type VP8Descriptor struct {
	Size         uint8 // of the descriptor, in bytes
	HasPictureID bool
	Long         bool // the picture ID has 15 bits
	HasTL0       bool
	HasKeyIdx    bool
	PictureID    uint16
	TL0          uint8
	KeyIdx       uint8

	pictureAt, tl0At, keyAt uint8
}

// ParseVP8 reads a payload of VP8. RFC 7741, sections 4.2 and 4.3.
func ParseVP8(p []byte, marker bool, f *Frame) bool {
	if len(p) < 1 {
		return false
	}
	d := &f.VP8
	at := 1
	extended, start, partition := p[0]&0x80 != 0, p[0]&0x10 != 0, p[0]&0x07
	f.Discardable = p[0]&0x20 != 0
	if extended {
		var ok bool
		if at, ok = d.parseExtension(p, f); !ok {
			return false
		}
	}
	d.Size = uint8(at)
	f.Start = start && partition == 0
	f.End = marker
	// The first byte of the frame's own header: bit 0 is 0 in key frames. Clients that encrypt leave it in clear.
	if f.Start {
		if len(p) <= at {
			return false
		}
		f.Key = p[at]&0x01 == 0
	}
	if f.Temporal == 0 || f.Key {
		f.Sync = true
	}
	f.Up = f.Key
	return true
}

// parseExtension reads what follows the first byte, and tells where it ends.
func (d *VP8Descriptor) parseExtension(p []byte, f *Frame) (int, bool) {
	if len(p) < 2 {
		return 0, false
	}
	x, at := p[1], 2
	if x&0x80 != 0 {
		if len(p) <= at {
			return 0, false
		}
		d.HasPictureID, d.pictureAt = true, uint8(at)
		d.PictureID = uint16(p[at] & 0x7f)
		if d.Long = p[at]&0x80 != 0; d.Long {
			if len(p) <= at+1 {
				return 0, false
			}
			d.PictureID = d.PictureID<<8 | uint16(p[at+1])
			at++
		}
		at++
	}
	if x&0x40 != 0 {
		if len(p) <= at {
			return 0, false
		}
		d.HasTL0, d.tl0At, d.TL0 = true, uint8(at), p[at]
		at++
	}
	if x&0x30 != 0 {
		if len(p) <= at {
			return 0, false
		}
		if x&0x20 != 0 {
			f.Temporal = p[at] >> 6
			f.Sync = p[at]&0x20 != 0
		}
		d.HasKeyIdx, d.keyAt, d.KeyIdx = x&0x10 != 0, uint8(at), p[at]&0x1f
		at++
	}
	return at, true
}

// Rewrite puts other numbers into a payload that has this descriptor. Numbers that the descriptor does not have are left out.
func (d *VP8Descriptor) Rewrite(p []byte, pictureID uint16, tl0, keyIdx uint8) {
	if d.HasPictureID {
		if d.Long {
			p[d.pictureAt] = 0x80 | byte(pictureID>>8)&0x7f
			p[d.pictureAt+1] = byte(pictureID)
		} else {
			p[d.pictureAt] = byte(pictureID) & 0x7f
		}
	}
	if d.HasTL0 {
		p[d.tl0At] = tl0
	}
	if d.HasKeyIdx {
		p[d.keyAt] = p[d.keyAt]&0xe0 | keyIdx&0x1f
	}
}
