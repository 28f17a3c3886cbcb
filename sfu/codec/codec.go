// Package codec reads what the payload of an RTP packet says of its frame without decoding it: whether it can be decoded by
// itself, and in which layer it is. That is in clear also where clients encrypt frames for each other: payload descriptors are
// never encrypted, and clients leave the first bytes of frames as they are.
//
// It is pure, and reads what strangers send: a payload that makes no sense is told as such, never guessed at.
package codec

import "strings"

// MaxSpatial and MaxTemporal are how many layers a video can have.
const (
	MaxSpatial  = 3
	MaxTemporal = 4
)

// Frame is what a packet says of the frame that it is a part of.
type Frame struct {
	Key      bool  // the frame can be decoded by itself
	Start    bool  // the packet is the first of the frame; in scalable video, of the frame's spatial layer
	End      bool  // the packet is the last of the frame's spatial layer
	Spatial  uint8 // the spatial layer of scalable video; 0 in simulcast, where each layer is a stream
	Temporal uint8
	// Sync is whether a receiver that has not had this temporal layer can have it from this frame on.
	Sync bool
	// Up is whether a receiver that has not had this spatial layer can have it from this frame on.
	Up bool
	// Discardable is whether it is known that no other frame depends on this one.
	Discardable bool

	// Descriptor is what the dependency descriptor says, if there is one.
	Descriptor Descriptor
	// VP8 is where in the payload the numbers are that have to go on without a gap.
	VP8 VP8Descriptor
}

// Scalable is whether a MIME type has its spatial layers in one stream.
func Scalable(mimeType string) bool {
	switch strings.ToLower(mimeType) {
	case "video/vp9", "video/av1":
		return true
	}
	return false
}
