package track

import "encoding/binary"

// packet is the header of an RTP packet, as far as it is of use here. RFC 3550, section 5.1.
type packet struct {
	marker     bool
	pt         uint8
	seq        uint16
	ts         uint32
	ssrc       uint32
	profile    uint16
	extensions []byte
	payload    []byte
}

const (
	rtpHeaderSize   = 12
	profileOneByte  = 0xBEDE // RFC 8285, section 4.2
	profileTwoBytes = 0x1000 // RFC 8285, section 4.3; the last four bits are anything
)

// parse reads a packet, and tells whether it is one. What it holds are parts of b.
func (p *packet) parse(b []byte) bool {
	if len(b) < rtpHeaderSize || b[0]>>6 != 2 {
		return false
	}
	p.marker, p.pt = b[1]&0x80 != 0, b[1]&0x7f
	p.seq = binary.BigEndian.Uint16(b[2:])
	p.ts = binary.BigEndian.Uint32(b[4:])
	p.ssrc = binary.BigEndian.Uint32(b[8:])
	at := rtpHeaderSize + int(b[0]&0x0f)*4
	p.profile, p.extensions = 0, nil
	if b[0]&0x10 != 0 {
		if len(b) < at+4 {
			return false
		}
		p.profile = binary.BigEndian.Uint16(b[at:])
		size := int(binary.BigEndian.Uint16(b[at+2:])) * 4
		at += 4
		if len(b) < at+size {
			return false
		}
		p.extensions = b[at : at+size]
		at += size
	}
	end := len(b)
	if b[0]&0x20 != 0 {
		if end -= int(b[end-1]); b[len(b)-1] == 0 {
			return false
		}
	}
	if end < at {
		return false
	}
	p.payload = b[at:end]
	return true
}

// extension gives the header extension with an ID, or nil. RFC 8285, sections 4.2 and 4.3.
func (p *packet) extension(id uint8) []byte {
	if id == 0 {
		return nil
	}
	two := p.profile&0xfff0 == profileTwoBytes
	if !two && p.profile != profileOneByte {
		return nil
	}
	for e := p.extensions; len(e) > 0; {
		if e[0] == 0 { // padding
			e = e[1:]
			continue
		}
		var this uint8
		var size, head int
		if two {
			if len(e) < 2 {
				return nil
			}
			this, size, head = e[0], int(e[1]), 2
		} else {
			this, size, head = e[0]>>4, int(e[0]&0x0f)+1, 1
			if this == 15 {
				return nil
			}
		}
		if len(e) < head+size {
			return nil
		}
		if this == id {
			return e[head : head+size]
		}
		e = e[head+size:]
	}
	return nil
}

// primaryOfRED gives the newest block of a payload of redundant audio, or nil where it makes no sense. RFC 2198, section 3.
func primaryOfRED(p []byte) []byte {
	at, older := 0, 0
	for {
		if len(p) <= at {
			return nil
		}
		if p[at]&0x80 == 0 {
			at++
			break
		}
		if len(p) < at+4 {
			return nil
		}
		older += int(binary.BigEndian.Uint16(p[at+2:]) & 0x3ff)
		at += 4
	}
	if len(p) < at+older {
		return nil
	}
	return p[at+older:]
}
