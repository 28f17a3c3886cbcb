package turn

import (
	"encoding/binary"

	"github.com/pion/stun/v4"
)

// familyAnswer has clients that ask for a relay of a family of addresses that there is none of be answered 440, Address Family not Supported
// (RFC 8656, section 7.2, step 9): pion answers 508 whatever the reason is. It belongs to the goroutine in which pion handles a client's requests.
type familyAnswer struct {
	asked bool
	id    [stun.TransactionIDSize]byte // of the last request, if asked
}

// Types of messages (RFC 8656, section 17).
const (
	allocateRequest = 0x0003
	allocateError   = 0x0113
)

// note looks at a whole message before pion does.
func (a *familyAnswer) note(r *relays, p []byte) {
	v6, ok := requestedFamily(p)
	if a.asked = false; !ok {
		return
	}
	if _, there := r.address(v6); !there {
		a.asked = true
		copy(a.id[:], p[8:stunHeader])
	}
}

// correct gives what is to be sent in the place of what pion has written.
func (a *familyAnswer) correct(p []byte) []byte {
	// Others write what is relayed, meanwhile: they see no more than p.
	if len(p) < stunHeader || binary.BigEndian.Uint16(p) != allocateError || !a.asked || [stun.TransactionIDSize]byte(p[8:stunHeader]) != a.id {
		return p
	}
	m, code := new(stun.Message), stun.ErrorCodeAttribute{}
	if m.UnmarshalBinary(p) != nil || code.GetFrom(m) != nil || code.Code != stun.CodeInsufficientCapacity {
		return p
	}
	m, err := stun.Build(stun.NewTransactionIDSetter(a.id), stun.NewType(stun.MethodAllocate, stun.ClassErrorResponse), stun.CodeAddrFamilyNotSupported)
	if err != nil {
		return p
	}
	return m.Raw
}

// requestedFamily reads the REQUESTED-ADDRESS-FAMILY of an Allocate request (RFC 8656, section 18.6).
func requestedFamily(p []byte) (v6, ok bool) {
	if len(p) < stunHeader || binary.BigEndian.Uint16(p) != allocateRequest {
		return false, false
	}
	m := stun.Message{Raw: p}
	if m.Decode() != nil {
		return false, false
	}
	family, err := m.Get(stun.AttrRequestedAddressFamily)
	if err != nil || len(family) != 4 || family[0] != 1 && family[0] != 2 {
		return false, false
	}
	return family[0] == 2, true
}
