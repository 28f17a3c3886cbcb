package network

import (
	"bytes"

	"github.com/pion/stun/v4"
)

// ufragOf gives the username fragment of the connection that a STUN message is for: what stands before the colon. RFC 8445, section 7.2.2. What
// does not begin as STUN does (RFC 7983, section 7) is for none.
func ufragOf(b []byte) ([]byte, bool) {
	if !stun.IsMessage(b) || b[0] > 3 {
		return nil, false
	}
	m := stun.Message{Raw: b}
	var username stun.Username
	if m.Decode() != nil || username.GetFrom(&m) != nil {
		return nil, false
	}
	ufrag, _, found := bytes.Cut(username, []byte(":"))
	return ufrag, found
}
