package event

import "strconv"

// stickyKey is where an event says for how long it is sticky. MSC4354; it is to become "sticky".
const stickyKey = "msc4354_sticky"

// MaxStickyMS is how long an event can be sticky at most, in milliseconds. MSC4354.
const MaxStickyMS = 3_600_000

// stickyDuration reads the value of stickyKey. What is not understood is not sticky: the event is one like others.
func stickyDuration(value []byte) int64 {
	n, ok := integer(Field(value, "duration_ms"))
	if !ok || n <= 0 {
		return 0
	}
	return min(n, MaxStickyMS)
}

// appendSticky appends the member of an event's object by which it is sticky, if it is, with a comma before it.
func appendSticky(dst []byte, durationMS int64) []byte {
	if durationMS <= 0 {
		return dst
	}
	dst = append(dst, `,"`+stickyKey+`":{"duration_ms":`...)
	return append(strconv.AppendInt(dst, durationMS, 10), '}')
}

// StickyUntil returns until when an event that came at receivedTS is sticky, in milliseconds; 0 when it is not. A sender cannot put the
// beginning off by a clock that is ahead. MSC4354.
func (p *PDU) StickyUntil(receivedTS int64) int64 {
	if p.StickyMS == 0 {
		return 0
	}
	return min(receivedTS, p.OriginServerTS) + p.StickyMS
}
