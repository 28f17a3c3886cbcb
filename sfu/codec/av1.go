package codec

// Bits of the aggregation header, and the type of OBU that begins a coded video sequence. RTP Payload Format for AV1, section 4.4,
// and the AV1 specification, section 6.2.2.
const (
	av1Continues   = 0x80 // Z
	av1NewSequence = 0x08 // N
)

// ParseAV1 reads a payload of AV1 without its dependency descriptor: it tells key frames, and no layers. Stream reads the descriptor, too.
func ParseAV1(p []byte, marker bool, f *Frame) bool {
	if len(p) < 2 {
		return false
	}
	f.Start = p[0]&av1Continues == 0
	f.End = marker
	f.Key = f.Start && p[0]&av1NewSequence != 0
	f.Sync, f.Up = true, f.Key
	return true
}
