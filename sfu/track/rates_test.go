package track

import (
	"testing"

	"causeway/sfu/buffer"
	"causeway/sfu/codec"
)

// TestRates counts a stream of scalable video: 60 pictures in a second, of which every second one is of the lower temporal layer, each in two spatial
// layers, of which the upper one takes two packets, in 10 slots of which the last is not full.
func TestRates(t *testing.T) {
	var r rates
	const begin = 5_000_000
	add := func(n int, f codec.Frame, size int) {
		r.add(&buffer.Packet{At: begin + int64(n)*16_000, TS: 4_294_930_000 + uint32(n)*1440, Frame: f}, size) // the timestamps overflow
	}
	for n := range 60 {
		temporal := uint8(n % 2)
		add(n, codec.Frame{Start: true, Temporal: temporal}, 100)
		add(n, codec.Frame{Start: true, Spatial: 1, Temporal: temporal}, 200)
		add(n, codec.Frame{Start: true, Spatial: 1, Temporal: temporal}, 200) // a slice of a picture begins as a picture does
	}
	add(0, codec.Frame{Start: true, Spatial: codec.MaxSpatial}, 100) // which there cannot be
	const end = begin + 59*16_000
	frames, bits := r.frames(end), r.sums(end)
	// In 900 ms, which are full, 29 and 28 have come.
	if want := [codec.MaxTemporal]int{32, 63, 63, 63}; frames[0] != want || frames[1] != want || frames[2][3] != 0 {
		t.Errorf("got %v frames per second; want %v", frames, want)
	}
	if want := [codec.MaxTemporal]int{24_000, 48_000, 48_000, 48_000}; bits[0] != want {
		t.Errorf("got %v bits per second; want %v", bits[0], want)
	}
	if want := [codec.MaxTemporal]int{5 * 24_000, 5 * 48_000, 5 * 48_000, 5 * 48_000}; bits[1] != want {
		t.Errorf("got %v bits per second with the layer above; want %v", bits[1], want)
	}
	for n := range 57 { // once more, as when all was lost and sent again
		r.add(&buffer.Packet{At: end, TS: 4_294_930_000 + uint32(n)*1440}, 0)
	}
	if again := r.frames(end + rateWindow/rateSlots); again[0] != [codec.MaxTemporal]int{28, 58, 58, 58} {
		t.Errorf("got %v frames per second with those that came late", again)
	}
	if frames = r.frames(end + 2*rateWindow); frames != [codec.MaxSpatial][codec.MaxTemporal]int{} {
		t.Errorf("got %v frames per second when nothing comes any more", frames)
	}
}
