package network

import (
	"bytes"
	"encoding/binary"
)

// What of STUN is needed. RFC 8489, sections 5 and 14.
const (
	stunHeader   = 20
	stunCookie   = 0x2112A442
	stunUsername = 0x0006
)

// ufragOf gives the username fragment of the connection that a STUN message is for: what stands before the colon. RFC 8445, section 7.2.2.
func ufragOf(b []byte) ([]byte, bool) {
	if len(b) < stunHeader || b[0] > 3 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return nil, false
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size > len(b)-stunHeader {
		return nil, false
	}
	for rest := b[stunHeader : stunHeader+size]; len(rest) >= 4; {
		kind, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if rest = rest[4:]; n > len(rest) {
			return nil, false
		}
		if kind == stunUsername {
			ufrag, _, found := bytes.Cut(rest[:n], []byte(":"))
			return ufrag, found
		}
		rest = rest[min((n+3)&^3, len(rest)):]
	}
	return nil, false
}
