package sender

import (
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// appendEvent appends the client form of an event with its unsigned data: age as of now, what a state event replaced, and the
// redaction of an event that is redacted already. related has the events that e names.
// Client-Server API, "Room event format", UnsignedData.
func appendEvent(dst []byte, e *store.Event, related map[int64]*store.Event, now int64) []byte {
	unsigned := appendAge(nil, e.PDU, now)
	if e.IsState() {
		if before := related[e.Replaces]; before != nil {
			unsigned = append(unsigned, `,"prev_content":`...)
			unsigned = append(unsigned, before.Content...)
			unsigned = append(unsigned, `,"prev_sender":`...)
			unsigned = event.AppendString(unsigned, before.Sender)
			unsigned = append(unsigned, `,"replaces_state":`...)
			unsigned = event.AppendString(unsigned, before.EventID)
		}
	}
	if redaction := related[e.RedactedBy]; redaction != nil {
		unsigned = append(unsigned, `,"redacted_because":`...)
		unsigned = redaction.AppendClient(unsigned, event.ClientForm{Unsigned: append(appendAge(nil, redaction.PDU, now), '}')})
	}
	return e.AppendClient(dst, event.ClientForm{Unsigned: append(unsigned, '}')})
}

// appendAge begins an unsigned object with the event's age in milliseconds; the caller closes it. Another server's clock may be
// ahead of ours: an age is never below zero.
func appendAge(dst []byte, e *event.PDU, now int64) []byte {
	return strconv.AppendInt(append(dst, `{"age":`...), max(0, now-e.OriginServerTS), 10)
}
