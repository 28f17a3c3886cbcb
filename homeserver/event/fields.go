package event

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"maunium.net/go/mautrix/id"
)

// complete checks that p, which another server sent, has the fields that its version's event format demands, within their limits.
func (found fields) complete(p *PDU) error {
	want := required
	if p.Version.EventIDs == EventIDGiven {
		want |= hasEventID
	}
	// The authorisation rules, not the format, reject a create event that has a room_id where it must have none.
	if !p.impliesRoomID() {
		want |= hasRoomID
	}
	if found&want != want {
		return fmt.Errorf("%w: a required field is missing", ErrBadEvent)
	}
	if err := p.checkFields(p.Version.ByteLimits); err != nil {
		return err
	}
	return p.checkForms()
}

// impliesRoomID reports whether p is a create event whose room ID is its hash.
func (p *PDU) impliesRoomID() bool { return p.Version.RoomIDIsCreateHash && p.Type == TypeCreate }

// checkForms checks the identifiers of an event that another server sent: those that are not of the form that they have in its
// version belong to nothing that could ever be found. What refers to events is left alone in versions 1 and 2, where an event could
// be called anything. Room versions, "Event IDs"; appendices, "Room IDs".
func (p *PDU) checkForms() error {
	if p.Version.EventIDs == EventIDGiven {
		// The server in it must have signed the event.
		if !hasDomain(string(p.EventID), '$') {
			return fieldError(ErrBadEvent, "event_id")
		}
	} else {
		for _, list := range []struct {
			name string
			ids  []id.EventID
		}{{"prev_events", p.PrevEvents}, {"auth_events", p.AuthEvents}} {
			for _, ref := range list.ids {
				if !isHash(string(ref), '$') {
					return fieldError(ErrBadEvent, list.name)
				}
			}
		}
	}
	switch {
	case p.impliesRoomID():
		return nil
	case p.Version.RoomIDIsCreateHash && !isHash(string(p.RoomID), '!'),
		!p.Version.RoomIDIsCreateHash && !hasDomain(string(p.RoomID), '!'):
		return fieldError(ErrBadEvent, "room_id")
	}
	return nil
}

// checkFields checks what Parse and Build both must: lengths, in bytes or else in code points, and sigils.
func (p *PDU) checkFields(inBytes bool) error {
	if err := checkField("sender", string(p.Sender), inBytes); err != nil {
		return err
	}
	if !hasDomain(string(p.Sender), '@') {
		return fieldError(ErrBadEvent, "sender")
	}
	if err := checkField("type", p.Type, inBytes); err != nil {
		return err
	}
	if p.StateKey != nil {
		if err := checkField("state_key", *p.StateKey, inBytes); err != nil {
			return err
		}
	}
	if p.Version.EventIDs == EventIDGiven {
		if err := checkSigil("event_id", string(p.EventID), '$', inBytes); err != nil {
			return err
		}
	}
	if !p.impliesRoomID() {
		if err := checkSigil("room_id", string(p.RoomID), '!', inBytes); err != nil {
			return err
		}
	}
	if err := checkReferences("prev_events", p.PrevEvents, MaxPrevEvents, inBytes); err != nil {
		return err
	}
	if err := checkReferences("auth_events", p.AuthEvents, MaxAuthEvents, inBytes); err != nil {
		return err
	}
	if p.Depth < 0 {
		return fieldError(ErrBadEvent, "depth")
	}
	return nil
}

func checkReferences(name string, ids []id.EventID, most int, inBytes bool) error {
	if len(ids) > most {
		return fmt.Errorf("%w: more than %d %s", ErrBadEvent, most, name)
	}
	for _, ref := range ids {
		if err := checkSigil(name, string(ref), '$', inBytes); err != nil {
			return err
		}
	}
	return nil
}

// checkField returns an error when s is not text, or is over MaxFieldBytes. Text with a NUL is refused although no specification
// says so: none of the databases that servers use can hold it, so that no server has such an event.
func checkField(name, s string, inBytes bool) error {
	if len(s) > MaxFieldBytes && (inBytes || utf8.RuneCountInString(s) > MaxFieldBytes) {
		return fieldError(ErrFieldTooLong, name)
	}
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return fieldError(ErrBadEvent, name)
	}
	return nil
}

// checkSigil checks an event or room ID.
func checkSigil(name, s string, sigil byte, inBytes bool) error {
	if err := checkField(name, s, inBytes); err != nil {
		return err
	}
	if len(s) < 2 || s[0] != sigil {
		return fieldError(ErrBadEvent, name)
	}
	return nil
}

// Oversized reports whether a field of p is over MaxFieldBytes. Parse lets that pass where the version counts code points
// (RoomVersion.ByteLimits); the authorisation rules reject it, as other servers do: their rooms have such events, which later ones
// refer to.
func (p *PDU) Oversized() bool {
	return len(p.Sender) > MaxFieldBytes || len(p.Type) > MaxFieldBytes || p.StateKey != nil && len(*p.StateKey) > MaxFieldBytes ||
		len(p.RoomID) > MaxFieldBytes || len(p.EventID) > MaxFieldBytes
}
