// Package track is the path of media packets: an Up takes those of a publisher's track, in all its layers, keeps them once, and
// hands each to the Downs, of which every subscriber has one. A Down chooses the layer that its subscriber gets, and gives the packets
// numbers without gaps. Signalling adds and removes subscribers and sets what they want; it never waits for a packet, and no packet for it.
//
// Payloads are never changed but for the picture numbers of VP8, so that what clients encrypt for each other passes untouched.
package track

import (
	"time"

	"github.com/pion/rtcp"
)

// RTCPWriter sends RTCP to the peer that a track comes from.
type RTCPWriter interface {
	WriteRTCP([]rtcp.Packet) error
}

// Flusher sends at once what has been written to a socket and waits for more.
type Flusher interface {
	Flush()
}

// Transport numbers the packets that go to one peer, for its feedback on when each has come (transport-wide congestion
// control).
type Transport interface {
	// Next gives the number of the next packet, which has a size in bytes, and whether it is to have one.
	Next(size int, video bool) (uint16, bool)
	// Repeat is whether a packet may be sent again now, which has a size in bytes.
	Repeat(size int) bool
	// Lost takes how much of what was sent is lost, from 0 to 1, as a receiver report says.
	Lost(fraction float64)
}

// Level hears how loud audio is, in dB below the loudest, from 0 to 127. RFC 6464.
type Level func(level uint8)

// begun is when the process began; times of packets are in microseconds since.
var begun = time.Now()

// now gives the time in microseconds since the process began. Tests set another clock.
var now = func() int64 { return time.Since(begun).Microseconds() }

// ntpEpoch is the Unix epoch in seconds since 1900. RFC 3550, section 4.
const ntpEpoch = 2208988800

// ntp gives a time, in microseconds since the process began, as an NTP timestamp.
func ntp(at int64) uint64 {
	t := begun.Add(time.Duration(at) * time.Microsecond)
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}
