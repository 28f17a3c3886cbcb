package track

import (
	"testing"

	"causeway/sfu/codec"
)

// TestRates counts a stream of scalable video: 60 pictures in a second, of which every second one is of the lower temporal layer, each in two spatial
// layers, of which the upper one takes two packets.
func TestRates(t *testing.T) {
	var r rates
	const begin = 5_000_000
	for n := range 60 {
		at := int64(begin + n*16_000)
		temporal := uint8(n % 2)
		r.add(&codec.Frame{Start: true, Temporal: temporal}, 100, at)
		r.add(&codec.Frame{Start: true, Spatial: 1, Temporal: temporal}, 200, at)
		r.add(&codec.Frame{Spatial: 1, Temporal: temporal}, 200, at)
	}
	r.add(&codec.Frame{Start: true, Spatial: codec.MaxSpatial}, 100, begin) // which there cannot be
	const end = begin + 59*16_000
	frames, bits := r.frames(end), r.sums(end)
	if want := [codec.MaxTemporal]int{30, 60, 60, 60}; frames[0] != want || frames[1] != want || frames[2][3] != 0 {
		t.Errorf("got %v frames per second; want %v", frames, want)
	}
	if want := [codec.MaxTemporal]int{24_000, 48_000, 48_000, 48_000}; bits[0] != want {
		t.Errorf("got %v bits per second; want %v", bits[0], want)
	}
	if want := [codec.MaxTemporal]int{5 * 24_000, 5 * 48_000, 5 * 48_000, 5 * 48_000}; bits[1] != want {
		t.Errorf("got %v bits per second with the layer above; want %v", bits[1], want)
	}
	if frames = r.frames(end + 2*rateWindow); frames != [codec.MaxSpatial][codec.MaxTemporal]int{} {
		t.Errorf("got %v frames per second when nothing comes any more", frames)
	}
}
