package track

// How much may come of a stream, in bytes a second, and at once: far more than there is of sound in the best quality, with what is redundant, and of
// the largest screens. What is sound goes to everybody, whatever their networks take.
const (
	mostAudio = 200_000
	mostVideo = 8_000_000
)

// valve bounds how much of a stream is handed on. It belongs to the goroutine that receives.
type valve struct {
	most int64 // bytes in a second, and at once
	left int64 // bytes
	at   int64 // microseconds
}

func newValve(video bool) valve {
	v := valve{most: mostAudio}
	if video {
		v.most = mostVideo
	}
	v.left = v.most
	return v
}

// pass counts bytes that came at a time in microseconds, and tells whether they may be handed on.
func (v *valve) pass(size int, at int64) bool {
	if since := at - v.at; since >= 1000 {
		v.left = min(v.most, v.left+v.most*min(since, 1_000_000)/1_000_000)
		v.at = at
	}
	if v.left < int64(size) {
		return false
	}
	v.left -= int64(size)
	return true
}
