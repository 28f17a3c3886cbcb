package codec

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// byHand is a descriptor with one layer, written out: start, template 0, frame 0x012f; a structure and nothing else (10000); offset 0 (000000), one
// target (00000); a second template of the same layer (00), no more (11); both are Switch (10 10); the first depends on nothing (0), the second on the
// frame before (1 0000 0); one chain (1), 0 and 1 frames ago (0000 0001); with sizes (1), 640 by 360.
var byHand = []byte{
	0b10_000000, 0x01, 0x2f, 0b10000_000, 0b000_00000, 0b00_11_10_10, 0b0_1_0000_0_1, 0b0000_0001, 0b1_0000001, 0b00111111, 0b1_0000000, 0b10110011, 0b1_0000000,
}

func TestDescriptorByHand(t *testing.T) {
	s := NewStream("video/AV1")
	var f Frame
	if !s.Parse([]byte{0x18, 1, 2}, false, byHand, &f) {
		t.Fatal("it makes no sense")
	}
	if f.Descriptor.Structure == nil || !f.Key || !f.Start || f.End || f.Spatial != 0 || f.Temporal != 0 || !f.Up || !f.Sync || f.Discardable {
		t.Errorf("got %+v", f)
	}
	if d := f.Descriptor; d.Number != 0x12f || d.Active != 1 || !d.Attached || d.Structure.Chains != 1 || d.Indication(0) != Switch {
		t.Errorf("got %+v", d)
	}
	// Template 1, frame 0x0130, nothing else.
	f = Frame{}
	if !s.Parse([]byte{0x10, 1, 2}, true, []byte{0b11_000001, 0x01, 0x30}, &f) {
		t.Fatal("it makes no sense")
	}
	if f.Descriptor.Structure == nil || f.Key || !f.Start || !f.End || f.Up || !f.Sync {
		t.Errorf("got %+v", f)
	}
	if d := f.Descriptor; !d.Decodable(func(n uint16) bool { return n == 0x12f }) || d.Decodable(func(uint16) bool { return false }) {
		t.Errorf("it does not depend on the frame before: %+v", d)
	}
}

func TestStructures(t *testing.T) {
	tests := []struct {
		name      string
		rows      []row
		protected []uint32
		want      []Target
	}{
		{"L1T3", l1t3, []uint32{0, 0, 0}, []Target{{0, 2, 0}, {0, 1, 0}, {0, 0, 0}}},
		{"L3T3", l3t3, []uint32{2, 2, 2, 1, 1, 1, 0, 0, 0}, []Target{
			{2, 2, 2}, {2, 1, 2}, {2, 0, 2}, {1, 2, 1}, {1, 1, 1}, {1, 0, 1}, {0, 2, 0}, {0, 1, 0}, {0, 0, 0},
		}},
		{"L2T1_KEY", l2t1key, []uint32{1, 0}, []Target{{1, 0, 1}, {0, 0, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packet{start: true, id: 61, number: 65_535, structure: tt.rows, offset: 61, protected: tt.protected, mask: -1}
			s := NewStream("video/AV1")
			var f Frame
			if !s.Parse([]byte{0x18, 1}, false, p.bytes(), &f) || f.Descriptor.Structure == nil {
				t.Fatalf("it makes no sense: %+v", f)
			}
			if got := f.Descriptor.Structure.Targets; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("targets %v, want %v", got, tt.want)
			}
			for i, r := range tt.rows {
				// Every template, by its ID, which begins again after 63.
				var f Frame
				p := packet{start: true, end: true, id: uint32(61+i) % 64, number: uint16(i), mask: -1}
				if !s.Parse([]byte{0x10, 1}, false, p.bytes(), &f) || f.Descriptor.Structure == nil {
					t.Fatalf("template %d makes no sense", i)
				}
				if int(f.Spatial) != r.spatial || int(f.Temporal) != r.temporal {
					t.Errorf("template %d: layers %d and %d, want %d and %d", i, f.Spatial, f.Temporal, r.spatial, r.temporal)
				}
				for target, want := range r.dti {
					if got := "-DSR"[f.Descriptor.Indication(target)]; rune(got) != want {
						t.Errorf("template %d, target %d: %c, want %c", i, target, got, want)
					}
				}
			}
		})
	}
}

// TestSwitching follows streams, and says where layers can begin.
func TestSwitching(t *testing.T) {
	type frame struct {
		template int
		want     string // "u" where the spatial layer can begin, "s" where the temporal layer can, "k" for a key frame, "d" where nothing depends on it
	}
	tests := []struct {
		name      string
		rows      []row
		protected []uint32
		frames    []frame
	}{
		{"L1T3", l1t3, []uint32{0, 0, 0}, []frame{
			{0, "kus"}, {3, "sd"}, {2, "s"}, {4, "d"}, {1, "s"}, {3, "sd"}, {2, "s"}, {4, "d"}, {1, "s"},
		}},
		{"L2T1_KEY", l2t1key, []uint32{1, 0}, []frame{{0, "kus"}, {2, "us"}, {1, "s"}, {3, "s"}, {1, "s"}, {3, "s"}, {0, "kus"}, {2, "us"}}},
		{"L3T3", l3t3, []uint32{2, 2, 2, 1, 1, 1, 0, 0, 0}, []frame{
			{0, "kus"}, {5, "us"}, {10, "us"}, // S0, S1, S2
			{3, "sd?"}, {8, "s"}, {13, "sd"},
			{2, "s"}, {7, "s"}, {12, "s"},
			{4, ""}, {9, ""}, {14, "d"},
			{1, "s"}, {6, "s"}, {11, "s"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewStream("video/AV1")
			number := uint16(65_530)
			for i, fr := range tt.frames {
				p := packet{start: true, end: true, id: uint32(fr.template), number: number, mask: -1}
				if tt.rows[fr.template].fdiffs == nil {
					p.structure, p.protected = tt.rows, tt.protected
				}
				var f Frame
				if !s.Parse([]byte{0x10, 1}, false, p.bytes(), &f) || f.Descriptor.Structure == nil {
					t.Fatalf("frame %d makes no sense", i)
				}
				number++
				for _, c := range []struct {
					letter byte
					got    bool
				}{{'k', f.Key}, {'u', f.Up}, {'s', f.Sync}} {
					if want := bytes.IndexByte([]byte(fr.want), c.letter) >= 0; c.got != want {
						t.Errorf("frame %d, template %d: %c is %v, want %v", i, fr.template, c.letter, c.got, want)
					}
				}
			}
		})
	}
}

// TestSpatialUpswitch is section A.10.1.2: a layer that is refreshed, so that one can begin with it without a key frame.
func TestSpatialUpswitch(t *testing.T) {
	rows := []row{
		{0, 0, nil, []int{0, 0}, "SS"},
		{0, 0, []int{2}, []int{2, 1}, "SR"},
		{1, 0, []int{1}, []int{1, 1}, "-S"},
		{1, 0, []int{1, 2}, []int{1, 1}, "-R"},
	}
	for _, tt := range []struct{ s0, s1 string }{{"SS", "-R"}, {"SR", "-S"}, {"SR", "-R"}} {
		s := NewStream("video/AV1")
		number := uint16(101)
		next := func(p packet) Frame {
			p.start, p.end, p.number, p.targets = true, true, number, 2
			number++
			var f Frame
			if !s.Parse([]byte{0x10, 1}, false, p.bytes(), &f) || f.Descriptor.Structure == nil {
				t.Fatalf("frame %d makes no sense", p.number)
			}
			return f
		}
		next(packet{id: 0, structure: rows, protected: []uint32{0, 1}, mask: -1})
		next(packet{id: 2, mask: -1})
		next(packet{id: 1, mask: -1})
		if f := next(packet{id: 3, mask: -1}); f.Up {
			t.Error("one can begin with frame 104")
		}
		next(packet{id: 1, mask: -1, dti: tt.s0})
		if f, want := next(packet{id: 3, mask: -1, dti: tt.s1, fdiffs: []int{1}}), tt.s0 == "SS" || tt.s1 == "-S"; f.Up != want {
			t.Errorf("%v: one can begin with frame 106: %v, want %v", tt, f.Up, want)
		}
	}
}

// TestBegins asks which targets a receiver can begin with that has had some frames.
func TestBegins(t *testing.T) {
	s := NewStream("video/AV1")
	var f Frame
	s.Parse([]byte{0x18, 1}, false, packet{start: true, structure: l3t3, protected: []uint32{2, 2, 2, 1, 1, 1, 0, 0, 0}, mask: -1, number: 0}.bytes(), &f)
	for target := range 9 {
		if !f.Descriptor.Begins(target, func(uint16) bool { return false }) {
			t.Errorf("one cannot begin target %d at the key frame", target)
		}
	}
	// S1 of the next picture at full rate, 13 frames on: it depends on S1 before, and S0 of its picture.
	f = Frame{}
	s.Parse([]byte{0x10, 1}, false, packet{start: true, id: 6, number: 13, mask: -1}.bytes(), &f)
	for _, tt := range []struct {
		name  string
		there []uint16
		want  []int
	}{
		{"had S0 only", []uint16{0, 12}, nil},
		{"had S1", []uint16{0, 1, 12}, []int{3, 4, 5}},
	} {
		var got []int
		for target := range 9 {
			if f.Descriptor.Begins(target, func(n uint16) bool { return slices.Contains(tt.there, n) }) {
				got = append(got, target)
			}
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: targets %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestStructureChanges has packets come late, about the border between two structures.
func TestStructureChanges(t *testing.T) {
	s := NewStream("video/AV1")
	parse := func(p packet) (Frame, bool) {
		var f Frame
		ok := s.Parse([]byte{0x10, 1}, false, p.bytes(), &f)
		return f, ok && f.Descriptor.Structure != nil
	}
	if f, ok := parse(packet{start: true, id: 3, number: 5, mask: -1}); ok || !f.Start || f.Key {
		t.Errorf("without a structure: %+v", f)
	}
	parse(packet{start: true, id: 0, number: 10, structure: l1t3, protected: []uint32{0, 0, 0}, mask: -1})
	parse(packet{start: true, id: 20, offset: 20, number: 20, structure: l2t1key, protected: []uint32{1, 0}, mask: -1})
	if f, ok := parse(packet{start: true, id: 2, number: 19, mask: -1}); !ok || f.Temporal != 1 {
		t.Errorf("a late frame of the first structure: %+v", f)
	}
	if f, ok := parse(packet{start: true, id: 22, number: 21, mask: -1}); !ok || f.Spatial != 1 {
		t.Errorf("a frame of the second structure: %+v", f)
	}
	if _, ok := parse(packet{start: true, id: 2, number: 22, mask: -1}); ok {
		t.Error("a template that the structure does not have was understood")
	}
	// The first key frame once more, late: what holds stays.
	parse(packet{start: true, id: 0, number: 10, structure: l1t3, protected: []uint32{0, 0, 0}, mask: -1})
	if f, ok := parse(packet{start: true, id: 22, number: 23, mask: -1}); !ok || f.Spatial != 1 {
		t.Errorf("after a late key frame: %+v", f)
	}
	// The stream begins again, with other numbers.
	parse(packet{start: true, id: 0, number: 40_000, structure: l1t3, protected: []uint32{0, 0, 0}, mask: -1})
	if f, ok := parse(packet{start: true, id: 2, number: 40_001, mask: -1}); !ok || f.Temporal != 1 {
		t.Errorf("after the stream has begun again: %+v", f)
	}
}

func TestActive(t *testing.T) {
	s := NewStream("video/AV1")
	parse := func(b []byte) Frame {
		var f Frame
		s.Parse([]byte{0x10, 1}, false, b, &f)
		return f
	}
	protected := []uint32{2, 2, 2, 1, 1, 1, 0, 0, 0}
	key := packet{start: true, structure: l3t3, protected: protected, mask: -1, number: 7}
	for _, tt := range []struct {
		name string
		p    packet
		want uint32
	}{
		{"all at first", key, 0x1ff},
		{"all", packet{id: 1, number: 8, mask: -1}, 0x1ff},
		{"the encoder leaves out the highest", packet{id: 1, number: 9, mask: 0x1f8, targets: 9}, 0x1f8},
		{"so it stays", packet{id: 1, number: 10, mask: -1}, 0x1f8},
		{"a late one does not change it", packet{id: 1, number: 8, mask: 0x1ff, targets: 9}, 0x1ff},
		{"it has not", packet{id: 1, number: 11, mask: -1}, 0x1f8},
	} {
		b := tt.p.bytes()
		f := parse(b)
		if f.Descriptor.Active != tt.want {
			t.Errorf("%s: %b, want %b", tt.name, f.Descriptor.Active, tt.want)
		}
	}
}

// TestAppendActive writes the mask into descriptors of all kinds: what is read from them afterwards is the same but for the mask.
func TestAppendActive(t *testing.T) {
	protected := []uint32{2, 2, 2, 1, 1, 1, 0, 0, 0}
	tests := []packet{
		{start: true, structure: l3t3, protected: protected, mask: -1},
		{start: true, structure: l3t3, protected: protected, mask: 0x1f8, targets: 9},
		{end: true, id: 8, mask: -1},
		{id: 8, mask: 0x0ff, targets: 9},
		{id: 8, mask: -1, dti: "SRD-SRD-S"},
		{id: 8, mask: 0x0ff, targets: 9, dti: "SRD-SRD-S", fdiffs: []int{1, 300, 4000}, chains: []int{1, 2, 255}},
		{id: 8, mask: -1, fdiffs: []int{17}},
	}
	for i, p := range tests {
		p.number = uint16(i + 1)
		s := NewStream("video/AV1")
		parse := func(b []byte) Frame {
			var f Frame
			s.Parse([]byte{0x10, 1}, false, b, &f)
			return f
		}
		parse(packet{start: true, structure: l3t3, protected: protected, mask: -1}.bytes())
		b := p.bytes()
		f := parse(b)
		if f.Descriptor.Structure == nil {
			t.Fatalf("packet %d makes no sense", i)
		}
		mask := f.Descriptor.Structure.Active(1, 1)
		if mask != 0b110110000 {
			t.Fatalf("the mask is %b", mask)
		}
		prefix := []byte{9, 9}
		out := f.Descriptor.AppendActive(prefix, b, mask)
		if !bytes.HasPrefix(out, prefix) {
			t.Fatalf("packet %d: what was there is changed", i)
		}
		again := parse(out[2:])
		got, want := again.Descriptor, f.Descriptor
		if got.Active != mask || !got.hasMask {
			t.Errorf("packet %d: mask %b, want %b", i, got.Active, mask)
		}
		got.Active, got.hasMask, got.maskAt, got.Structure = want.Active, want.hasMask, want.maskAt, want.Structure
		again.Descriptor = got
		if !reflect.DeepEqual(again, f) {
			t.Errorf("packet %d: read again it is %+v, want %+v", i, again, f)
		}
	}
}

func FuzzDescriptor(f *testing.F) {
	protected := []uint32{2, 2, 2, 1, 1, 1, 0, 0, 0}
	f.Add(byHand, []byte{0b11_000001, 0x01, 0x30})
	f.Add(packet{start: true, structure: l3t3, protected: protected, mask: -1}.bytes(), packet{id: 8, number: 1, mask: 0x0ff, targets: 9, dti: "SRD-SRD-S", fdiffs: []int{1, 300, 4000}, chains: []int{1, 2, 255}}.bytes())
	f.Add(packet{start: true, structure: l1t3, protected: []uint32{0, 0, 0}, mask: 3, targets: 3}.bytes(), packet{id: 2, number: 1, mask: 1, targets: 3}.bytes())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) > maxDescriptor || len(b) > maxDescriptor {
			return // no header extension is that long
		}
		s := NewStream("video/AV1")
		var last Frame
		for _, d := range [][]byte{a, b, a, b} {
			last = Frame{}
			if !s.Parse([]byte{0x18, 1}, false, d, &last) {
				t.Fatal("the payload makes no sense")
			}
			if last.Spatial >= MaxSpatial || last.Temporal >= MaxTemporal {
				t.Fatalf("layers %d and %d", last.Spatial, last.Temporal)
			}
			if last.Descriptor.Structure == nil {
				continue
			}
			mask := last.Descriptor.Structure.Active(1, 1)
			out := last.Descriptor.AppendActive(nil, d, mask)
			var again Descriptor
			if !again.parse(out, func(uint16) *Structure { return last.Descriptor.Structure }) {
				t.Fatalf("%x was written as %x, which makes no sense", d, out)
			}
			if again.indications != last.Descriptor.indications || again.references != last.Descriptor.references || len(out) > maxDescriptor ||
				again.Active != mask && len(d) < maxDescriptor-4 {
				t.Fatalf("%x was written as %x: %+v, want %+v", d, out, again, last.Descriptor)
			}
		}
	})
}
