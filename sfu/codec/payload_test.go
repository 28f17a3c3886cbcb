package codec

import (
	"bytes"
	"testing"
)

// told is what a test expects of a frame: the letters of what it is, and its layers.
func told(f *Frame) string {
	s := ""
	for _, c := range []struct {
		is     bool
		letter string
	}{{f.Key, "K"}, {f.Start, "["}, {f.End, "]"}, {f.Sync, "s"}, {f.Up, "u"}, {f.Discardable, "d"}} {
		if c.is {
			s += c.letter
		}
	}
	return s + string('0'+f.Spatial) + string('0'+f.Temporal)
}

func TestVP8(t *testing.T) {
	tests := []struct {
		name    string
		payload []byte
		marker  bool
		want    string // "" where it makes no sense
		d       VP8Descriptor
	}{
		{"a key frame, nothing besides", []byte{0x10, 0x00, 1}, false, "K[su00", VP8Descriptor{Size: 1}},
		{"the end of another", []byte{0x10, 0x01, 1}, true, "[]s00", VP8Descriptor{Size: 1}},
		{"not the first packet", []byte{0x00, 0x00, 1}, false, "s00", VP8Descriptor{Size: 1}},
		{"the start of another partition", []byte{0x11, 0x00, 1}, false, "s00", VP8Descriptor{Size: 1}},
		{"nothing depends on it", []byte{0x30, 0x01, 1}, true, "[]sd00", VP8Descriptor{Size: 1}},
		{"extended by nothing", []byte{0x90, 0x00, 0x01}, false, "[s00", VP8Descriptor{Size: 2}},
		{"a short picture ID", []byte{0x90, 0x80, 0x7f, 0x01}, false, "[s00", VP8Descriptor{Size: 3, HasPictureID: true, PictureID: 127, pictureAt: 2}},
		{"a long one", []byte{0x90, 0x80, 0xff, 0xfe, 0x01}, false, "[s00",
			VP8Descriptor{Size: 4, HasPictureID: true, Long: true, PictureID: 0x7ffe, pictureAt: 2}},
		{"all there is, layer 2 with a switch", []byte{0x90, 0xf0, 0x81, 0x02, 0xfe, 0xbf, 0x01}, false, "[s02",
			VP8Descriptor{Size: 6, HasPictureID: true, Long: true, PictureID: 0x102, pictureAt: 2, HasTL0: true, TL0: 0xfe, tl0At: 4, HasKeyIdx: true, KeyIdx: 31, keyAt: 5}},
		{"layer 1 without one", []byte{0x90, 0xe0, 0x05, 0x06, 0x40, 0x01}, false, "[01",
			VP8Descriptor{Size: 5, HasPictureID: true, PictureID: 5, pictureAt: 2, HasTL0: true, TL0: 6, tl0At: 3, keyAt: 4}},
		{"a key frame in layer 1", []byte{0x90, 0x20, 0x40, 0x00}, false, "K[su01", VP8Descriptor{Size: 3, keyAt: 2}},
		{"the index of a key frame, no layer", []byte{0x90, 0x10, 0xe7, 0x01}, false, "[s00", VP8Descriptor{Size: 3, HasKeyIdx: true, KeyIdx: 7, keyAt: 2}},
		{"reserved bits", []byte{0xd8, 0x0f, 0x01}, false, "[s00", VP8Descriptor{Size: 2}},
		{"nothing", nil, true, "", VP8Descriptor{}},
		{"no frame", []byte{0x10}, true, "", VP8Descriptor{}},
		{"no extension", []byte{0x80}, true, "", VP8Descriptor{}},
		{"no picture ID", []byte{0x80, 0x80}, true, "", VP8Descriptor{}},
		{"half a picture ID", []byte{0x80, 0x80, 0x80}, true, "", VP8Descriptor{}},
		{"no TL0PICIDX", []byte{0x80, 0x40}, true, "", VP8Descriptor{}},
		{"no layer", []byte{0x80, 0x20}, true, "", VP8Descriptor{}},
		{"no frame after all there is", []byte{0x90, 0xf0, 0x81, 0x02, 0xfe, 0xbf}, false, "", VP8Descriptor{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f Frame
			ok := NewStream("video/vp8").Parse(tt.payload, tt.marker, nil, &f)
			switch {
			case ok != (tt.want != ""):
				t.Errorf("it makes sense: %v", ok)
			case ok && (told(&f) != tt.want || f.VP8 != tt.d):
				t.Errorf("got %s %+v, want %s %+v", told(&f), f.VP8, tt.want, tt.d)
			}
		})
	}
}

func FuzzVP8(f *testing.F) {
	f.Add([]byte{0x90, 0xf0, 0x81, 0x02, 0xfe, 0xbf, 0x01}, uint16(0x7fff), uint8(255), uint8(31))
	f.Add([]byte{0x90, 0xe0, 0x05, 0x06, 0x40, 0x01}, uint16(3), uint8(0), uint8(9))
	f.Add([]byte{0x10, 0x00}, uint16(3), uint8(0), uint8(9))
	f.Fuzz(func(t *testing.T, p []byte, picture uint16, tl0, keyIdx uint8) {
		var was Frame
		if !ParseVP8(p, false, &was) {
			return
		}
		out := bytes.Clone(p)
		was.VP8.Rewrite(out, picture, tl0, keyIdx)
		want := was
		if want.VP8.HasPictureID {
			if want.VP8.PictureID = picture & 0x7f; want.VP8.Long {
				want.VP8.PictureID = picture & 0x7fff
			}
		}
		if want.VP8.HasTL0 {
			want.VP8.TL0 = tl0
		}
		if want.VP8.HasKeyIdx {
			want.VP8.KeyIdx = keyIdx & 0x1f
		}
		var got Frame
		if !ParseVP8(out, false, &got) || got != want {
			t.Fatalf("%x was written as %x: %+v, want %+v", p, out, got, want)
		}
		if !bytes.Equal(out[got.VP8.Size:], p[got.VP8.Size:]) {
			t.Fatalf("the frame is changed: %x, was %x", out, p)
		}
	})
}

func TestVP9(t *testing.T) {
	tests := []struct {
		name    string
		payload []byte
		want    string
	}{
		{"a key frame, nothing besides", []byte{0x0c, 1}, "K[]su00"},
		{"in the midst of another", []byte{0x40, 1}, "s00"},
		{"a short picture ID", []byte{0xcc, 0x7f, 1}, "[]s00"},
		{"a long one", []byte{0xcc, 0xff, 0xff, 1}, "[]s00"},
		{"not flexible: layers 1 and 2, a switch, TL0PICIDX", []byte{0xec, 0x85, 0x01, 0b010_1_001_1, 0x20, 1}, "[]s12"},
		{"not flexible: layers 1 and 2, no switch", []byte{0xec, 0x85, 0x01, 0b010_0_001_1, 0x20, 1}, "[]12"},
		{"a key picture: the lowest layer", []byte{0xa8, 0x05, 0b000_0_000_0, 0x20, 1}, "K[su00"},
		{"a key picture: a layer above", []byte{0xac, 0x05, 0b000_0_001_1, 0x20, 1}, "[]su10"},
		{"a layer that depends on none", []byte{0xac, 0x05, 0b000_0_001_0, 0x20, 1}, "K[]su10"},
		{"flexible: one reference", []byte{0xfc, 0x05, 0b001_0_000_0, 0x02, 1}, "[]01"},
		{"flexible: three", []byte{0xfc, 0x05, 0b000_0_010_1, 0x03, 0x05, 0x06, 1}, "[]s20"},
		{"flexible, without layers", []byte{0xdc, 0x05, 0x03, 0x04, 1}, "[]s00"},
		{"not for layers above", []byte{0xed, 0x05, 0b000_0_000_0, 0x20, 1}, "[]s00"},
		{"a scalability structure: three layers with sizes, four pictures", []byte{
			0x8a | 0x20, 0x80, 0x01, 0x00, 0x07,
			0b010_1_1_000, 1, 64, 0, 180, 2, 128, 1, 104, 5, 0, 2, 208,
			4, 0b000_1_00_00, 0b010_1_01_00, 1, 0b001_1_01_00, 2, 0b010_0_10_00, 1, 2, 0xee,
		}, "K[su00"},
		{"nothing", nil, ""},
		{"nothing but flags", []byte{0x0c}, ""},
		{"no picture ID", []byte{0x8c}, ""},
		{"half of one", []byte{0x8c, 0x80}, ""},
		{"no layers", []byte{0x2c}, ""},
		{"no TL0PICIDX", []byte{0x2c, 0x00}, ""},
		{"no reference", []byte{0xfc, 0x05, 0x20}, ""},
		{"four references", []byte{0xfc, 0x05, 0x20, 3, 5, 7, 9, 1}, ""},
		{"no structure", []byte{0x0e}, ""},
		{"half of the sizes", []byte{0x0e, 0b001_1_0_000, 0, 1, 0, 1, 0}, ""},
		{"half of the pictures", []byte{0x0e, 0b000_0_1_000, 3, 0b000_1_01_00, 1}, ""},
		{"layer 3 of 3", []byte{0x2c, 0b000_0_011_1, 0, 1}, ""},
		{"temporal layer 4 of 4", []byte{0x2c, 0b100_0_000_0, 0, 1}, ""},
		{"the lowest layer depends on one below", []byte{0x2c, 0b000_0_000_1, 0, 1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f Frame
			ok := ParseVP9(tt.payload, false, &f)
			if ok != (tt.want != "") || ok && told(&f) != tt.want {
				t.Errorf("%v: got %s, want %s", ok, told(&f), tt.want)
			}
		})
	}
}

// TestVP9Switching follows streams of one spatial layer with temporal ones, and asks of which pictures one can begin with a higher layer.
func TestVP9Switching(t *testing.T) {
	type picture struct {
		temporal, up byte
		references   []byte // how many pictures ago
		want         bool   // nothing known but this
		group        bool   // by the group of pictures
	}
	// The pattern of libvpx: layers 0 2 1 2; all but the last say that one can switch.
	usual := []picture{
		{0, 1, []byte{4}, true, true}, {2, 1, []byte{1}, true, true}, {1, 1, []byte{2}, true, true}, {2, 0, []byte{1}, false, false},
	}
	// By the letter of the RFC: the lowest layer says that one can, and no other.
	letter := []picture{
		{0, 1, []byte{4}, true, true}, {2, 0, []byte{1}, true, true}, {1, 0, []byte{2}, false, true}, {2, 0, []byte{1}, false, false},
	}
	// Layers that go on by themselves: there is no place to begin.
	never := []picture{{0, 0, []byte{2}, true, true}, {1, 0, []byte{2}, false, false}}
	for _, pattern := range [][]picture{usual, letter, never} {
		for _, mode := range []string{"group", "flexible", "neither"} {
			s := NewStream("video/VP9")
			for n := range 300 {
				pic := pattern[n%len(pattern)]
				flags := byte(0xac | 0x40) // I P L B E
				if n == 0 {
					flags = 0xac
				}
				if mode == "flexible" {
					flags |= vp9Flexible
				}
				if n == 0 && mode == "group" {
					flags |= vp9Structure
				}
				p := []byte{flags, 0x80 | byte((n+0x7f00)>>8)&0x7f, byte(n + 0x7f00), pic.temporal<<5 | pic.up<<4}
				switch {
				case mode == "flexible" && n > 0:
					p = append(p, pic.references[0]<<1)
				case mode != "flexible":
					p = append(p, byte(n))
				}
				if n == 0 && mode == "group" {
					p = append(p, 0b000_0_1_000, byte(len(pattern)))
					for _, g := range pattern {
						p = append(p, g.temporal<<5|g.up<<4|1<<2, g.references[0])
					}
				}
				var f Frame
				if !s.Parse(append(p, 1), true, nil, &f) {
					t.Fatalf("%s: picture %d makes no sense: %x", mode, n, p)
				}
				want := pic.group
				if mode == "neither" {
					want = pic.want
				}
				if n > 4 && f.Sync != want {
					t.Errorf("%s, layers of %v: picture %d: one can begin: %v, want %v", mode, pattern, n, f.Sync, want)
				}
			}
		}
	}
}

func TestH264(t *testing.T) {
	tests := []struct {
		name    string
		payload []byte
		marker  bool
		want    string
	}{
		{"parameters", []byte{0x67, 0x42, 0xe0, 0x1f}, false, "K[su00"},
		{"a key frame", []byte{0x65, 0x88}, true, "K[]su00"},
		{"a slice", []byte{0x41, 0x9a}, true, "[]s00"},
		{"a slice that no other refers to", []byte{0x01, 0x9a}, true, "[]sd00"},
		{"a delimiter", []byte{0x09, 0xf0}, false, "[s00"},
		{"parameters and a key frame in one", []byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce, 0, 3, 0x65, 0x88, 0x84}, true, "K[]su00"},
		{"slices in one", []byte{0x58, 0, 2, 0x41, 0x9a, 0, 2, 0x41, 0x9b}, true, "[]s00"},
		{"the second is cut off", []byte{0x58, 0, 2, 0x41, 0x9a, 0, 9, 0x65, 0x9b}, true, "[]s00"},
		{"the first part of a key frame", []byte{0x7c, 0x85, 0x88}, false, "K[su00"},
		{"the second", []byte{0x7c, 0x05, 0x88}, false, "s00"},
		{"the last", []byte{0x7c, 0x45, 0x88}, true, "]s00"},
		{"the first part of a slice", []byte{0x5c, 0x81, 0x88}, false, "[s00"},
		{"a slice of layer 1, after its prefix", []byte{0x18, 0, 4, 0x0e, 0x80, 0x00, 0x20, 0, 2, 0x01, 0x9a}, true, "[]sd01"},
		{"of layer 2", []byte{0x18, 0, 4, 0x0e, 0x80, 0x00, 0x40, 0, 2, 0x01, 0x9a}, true, "[]d02"},
		{"nothing", nil, true, ""},
		{"a type that there is not", []byte{0x00, 0x01}, true, ""},
		{"several, of another mode", []byte{0x79, 0, 1, 0, 2, 0x67, 0x42}, true, ""},
		{"no units", []byte{0x78, 0}, true, ""},
		{"a part of nothing", []byte{0x7c}, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f Frame
			ok := ParseH264(tt.payload, tt.marker, &f)
			if ok != (tt.want != "") || ok && told(&f) != tt.want {
				t.Errorf("%v: got %s, want %s", ok, told(&f), tt.want)
			}
		})
	}
}

// TestH264Parameters has parameters in the stream: who begins begins with them.
func TestH264Parameters(t *testing.T) {
	s := NewStream("video/H264")
	parse := func(p ...byte) Frame {
		var f Frame
		if !s.Parse(p, false, nil, &f) {
			t.Fatalf("%x makes no sense", p)
		}
		return f
	}
	if f := parse(0x65, 0x88); !f.Key {
		t.Error("without parameters, a key frame begins with its picture")
	}
	if f := parse(0x67, 0x42); !f.Key {
		t.Error("with parameters, it begins with these")
	}
	if f := parse(0x65, 0x88); f.Key || f.Up {
		t.Error("and with nothing else")
	}
}

// TestDescriptorOfOthers reads the dependency descriptor with a codec that says nothing of layers itself.
func TestDescriptorOfOthers(t *testing.T) {
	s := NewStream("video/H264")
	key := packet{start: true, structure: l1t3, protected: []uint32{0, 0, 0}, mask: -1, number: 1}.bytes()
	var f Frame
	if !s.Parse([]byte{0x67, 0x42}, false, key, &f) || told(&f) != "K[su00" {
		t.Errorf("a key frame: %s", told(&f))
	}
	for i, tt := range []struct {
		template uint32
		want     string
	}{{3, "[]sd02"}, {2, "[]s01"}, {4, "[]d02"}, {1, "[]s00"}} {
		f = Frame{}
		d := packet{start: true, end: true, id: tt.template, number: uint16(2 + i), mask: -1}.bytes()
		if !s.Parse([]byte{0x41, 0x9a}, true, d, &f) || told(&f) != tt.want {
			t.Errorf("template %d: %s, want %s", tt.template, told(&f), tt.want)
		}
	}
}

func TestAV1(t *testing.T) {
	tests := []struct {
		name    string
		payload []byte
		marker  bool
		want    string
	}{
		{"a new sequence", []byte{0x18, 0x0a}, false, "K[su00"},
		{"a frame", []byte{0x10, 0x32}, true, "[]s00"},
		{"that goes on", []byte{0x90, 0x32}, false, "s00"},
		{"a new sequence cannot go on", []byte{0x98, 0x32}, false, "s00"},
		{"nothing", nil, true, ""},
		{"a header alone", []byte{0x10}, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f Frame
			ok := NewStream("video/AV1").Parse(tt.payload, tt.marker, nil, &f)
			if ok != (tt.want != "") || ok && told(&f) != tt.want {
				t.Errorf("%v: got %s, want %s", ok, told(&f), tt.want)
			}
		})
	}
}

func TestNewStream(t *testing.T) {
	for _, mime := range []string{"audio/opus", "audio/red", "", "video/", "video/rtx"} {
		if NewStream(mime) != nil {
			t.Errorf("there is a reader for %q", mime)
		}
	}
}

// FuzzStreams reads streams of two packets in all codecs.
func FuzzStreams(f *testing.F) {
	key := packet{start: true, structure: l1t3, protected: []uint32{0, 0, 0}, mask: -1, number: 1}.bytes()
	delta := packet{start: true, end: true, id: 3, number: 2, mask: -1}.bytes()
	f.Add([]byte{0x90, 0xf0, 0x81, 0x02, 0xfe, 0xbf, 0x01}, []byte{0x10, 0x01, 1}, key, delta)
	f.Add([]byte{0xaa, 0x80, 0x01, 0x00, 0x07, 0b000_0_1_000, 2, 0b000_1_01_00, 2, 0b001_1_01_00, 1, 0xee}, []byte{0xec, 0x80, 0x02, 0b001_1_000_0, 0x20, 1}, key, delta)
	f.Add([]byte{0xfc, 0x05, 0b000_0_010_1, 0x03, 0x05, 0x06, 1}, []byte{0xfc, 0x05, 0b001_0_000_0, 0x02, 1}, key, delta)
	f.Add([]byte{0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce, 0, 3, 0x65, 0x88, 0x84}, []byte{0x7c, 0x85, 0x88}, key, delta)
	f.Add([]byte{0x18, 0, 4, 0x0e, 0x80, 0x00, 0x20, 0, 2, 0x01, 0x9a}, []byte{0x10, 0x32}, key, []byte{})
	f.Fuzz(func(t *testing.T, a, b, da, db []byte) {
		for _, mime := range []string{"video/vp8", "video/vp9", "video/h264", "video/av1"} {
			s := NewStream(mime)
			for range 2 {
				for i, p := range [][]byte{a, b} {
					before := bytes.Clone(p)
					var f Frame
					if !s.Parse(p, i == 1, [][]byte{da, db}[i], &f) {
						continue
					}
					if f.Spatial >= MaxSpatial || f.Temporal >= MaxTemporal || f.Temporal == 0 && !f.Sync || f.Key && !f.Up {
						t.Fatalf("%s: %x says %+v", mime, p, f)
					}
					if !bytes.Equal(p, before) {
						t.Fatalf("%s: the payload is changed", mime)
					}
				}
			}
		}
	})
}

func TestParseAllocatesNothing(t *testing.T) {
	for mime, p := range map[string][]byte{
		"video/vp8":  {0x90, 0xf0, 0x81, 0x02, 0xfe, 0xbf, 0x01},
		"video/vp9":  {0xfc, 0x05, 0b001_0_000_0, 0x02, 1},
		"video/h264": {0x7c, 0x85, 0x88},
		"video/av1":  {0x10, 0x32},
	} {
		s := NewStream(mime)
		var f Frame
		s.Parse([]byte{0x18, 1}, false, packet{start: true, structure: l3t3, protected: []uint32{2, 2, 2, 1, 1, 1, 0, 0, 0}, mask: -1, number: 0}.bytes(), &f)
		d := packet{id: 8, number: 1, mask: 0x0ff, targets: 9}.bytes()
		if n := testing.AllocsPerRun(1000, func() { f = Frame{}; s.Parse(p, true, d, &f) }); n > 0 {
			t.Errorf("%s: %v allocations for a packet", mime, n)
		}
	}
}
