package track

import (
	"slices"
	"testing"

	"causeway/sfu/codec"
)

// received are what the subscriber got, in the order of the numbers, which go on after 65,535 here.
func (w *path) received(t *testing.T) (order []int, by map[int]gotten) {
	by = map[int]gotten{}
	last := -1
	for _, g := range w.sub.packets {
		n := int(g.header.SequenceNumber)
		if last < 0 {
			n += 1 << 20
		} else {
			n = last + int(int16(g.header.SequenceNumber-uint16(last)))
		}
		last = max(last, n)
		if before, ok := by[n]; ok {
			t.Fatalf("number %d was given to frame %v and to %v", uint16(n), before.frame, g.frame)
		}
		by[n] = g
		order = append(order, n)
	}
	slices.Sort(order)
	return order, by
}

// check holds what came against what has to hold.
func (w *path) check(t *testing.T) {
	for i, f := range w.faults {
		if i < 5 {
			t.Error(f)
		}
	}
	if len(w.sub.again) < 200 {
		t.Errorf("only %d packets were sent again", len(w.sub.again))
	}
	order, by := w.received(t)
	if len(order) < 1000 {
		t.Fatalf("only %d packets came", len(order))
	}
	holes := 0
	for i := 1; i < len(order); i++ {
		if n := order[i] - order[i-1] - 1; n > 0 {
			if holes += n; w.lost == 0 {
				t.Logf("between %d and %d: packet %d of %+v and %d of %+v", order[i-1], order[i], by[order[i-1]].index, by[order[i-1]].frame, by[order[i]].index, by[order[i]].frame)
			}
		}
	}
	// A packet may be so late that the subscriber has gone over to another stream and back meanwhile.
	if much := len(order) / 1000; holes > len(w.never)+much || w.lost == 0 && holes > 0 && !(w.restart && w.lateBy > 100_000 && holes <= much) {
		t.Errorf("%d numbers are missing of %d, though %d packets were lost", holes, len(order), len(w.never))
	}
	var last gotten
	for _, n := range order {
		g := by[n]
		if last.frame != nil {
			if ahead := int32(g.header.Timestamp - last.header.Timestamp); ahead < 0 {
				t.Fatalf("the timestamp goes back by %d, from %+v to %+v", -ahead, last.frame, g.frame)
			} else if g.frame != nil && last.frame.ts != g.frame.ts && ahead == 0 {
				t.Fatalf("two pictures have one timestamp: %+v and %+v", last.frame, g.frame)
			} else if g.frame != nil && last.frame.ts == g.frame.ts && last.frame.stream == g.frame.stream && ahead != 0 && !w.restart {
				t.Fatalf("a picture has two timestamps: %+v and %+v", last.frame, g.frame)
			}
		}
		if g.frame != nil {
			last = g
		}
	}
	runs := w.runs(t, order, by)
	w.checkDecoding(t, runs)
	if w.kind == "vp8" {
		w.checkVP8(t, order, by)
	}
	w.checkMarkers(t, order, by)
}

// instance is a frame as it was got. After a pause a subscriber may get some again.
type instance struct {
	frame   *frame
	packets map[int]bool
}

// runs gives the frames that were got: a run for each time that it began, or went over to another stream, in the order in which they begin.
func (w *path) runs(t *testing.T, order []int, by map[int]gotten) [][]*instance {
	var runs [][]*instance
	of := map[int]*instance{}
	stream := -1
	for _, n := range order {
		g := by[n]
		if g.frame == nil {
			continue
		}
		in := of[g.frame.id]
		again := in != nil && in.packets[g.index]
		if again && (!w.restart || !g.frame.key) {
			t.Fatalf("packet %d of frame %+v came twice", g.index, g.frame)
		}
		begins := w.restart && g.frame.key && in == nil
		if again || begins || g.frame.stream != stream {
			stream, in, of = g.frame.stream, nil, map[int]*instance{}
			runs = append(runs, nil)
		}
		if in == nil {
			in = &instance{frame: g.frame, packets: map[int]bool{}}
			of[g.frame.id] = in
			runs[len(runs)-1] = append(runs[len(runs)-1], in)
		}
		in.packets[g.index] = true
		g.in = in
		by[n] = g
	}
	return runs
}

// checkDecoding has a decoder of which each frame needs those that it depends on. When nothing was lost for good, all can be decoded, but for
// the last of a run, which another stream may have cut off.
func (w *path) checkDecoding(t *testing.T, runs [][]*instance) {
	bad, all := 0, 0
	for _, run := range runs {
		decoded := map[int]bool{}
		for i, in := range run {
			f, ok := in.frame, len(in.packets) == in.frame.packets
			all++
			missing := []int{}
			for _, d := range f.deps {
				if !decoded[d] {
					ok = false
					missing = append(missing, d)
				}
			}
			decoded[f.id] = ok
			if ok || w.lost > 0 || i == len(run)-1 || f.sentAt > w.end-400_000 || f.sentAt > run[len(run)-1].frame.sentAt-w.lateBy {
				continue
			}
			if bad++; bad < 4 {
				t.Errorf("frame %+v cannot be decoded: it has %d packets, and lacks the frames %v", *f, len(in.packets), missing)
				for _, m := range missing {
					t.Logf("which is %+v", *w.frames[m])
				}
			}
		}
	}
	if bad > 0 || all < 200 {
		t.Errorf("%d of %d frames cannot be decoded", bad, all)
	}
}

// checkVP8 follows the numbers in the frames.
func (w *path) checkVP8(t *testing.T, order []int, by map[int]gotten) {
	type numbers struct {
		picture     int
		tl0, keyIdx uint8
	}
	var last numbers
	var before *frame
	gaps := 0
	of := map[*instance]numbers{}
	for _, n := range order {
		g := by[n]
		if g.frame == nil {
			continue
		}
		var f codec.Frame
		if !codec.ParseVP8(g.payload, g.header.Marker, &f) {
			t.Fatalf("%x makes no sense", g.payload)
		}
		this := numbers{int(f.VP8.PictureID), f.VP8.TL0, f.VP8.KeyIdx}
		if had, ok := of[g.in]; ok {
			if had != this {
				t.Fatalf("frame %+v has the numbers %+v, then %+v", g.frame, had, this)
			}
			continue
		}
		of[g.in] = this
		if before != nil {
			want := numbers{(last.picture + 1) & 0x7fff, last.tl0, last.keyIdx}
			if g.frame.temporal == 0 {
				want.tl0++
			}
			if g.frame.key {
				want.keyIdx = (want.keyIdx + 1) & 0x1f
			}
			if this != want {
				if gaps++; w.late == 0 && w.lost == 0 || gaps > len(order)/20 {
					t.Fatalf("frame %+v has the numbers %+v, want %+v after %+v", g.frame, this, want, *before)
				}
				if ahead := (this.picture - last.picture) & 0x7fff; ahead == 0 || ahead > 100 {
					t.Fatalf("picture %d comes after %d", this.picture, last.picture)
				}
			}
		}
		last, before = this, g.frame
	}
}

// checkMarkers looks whether the last packet of each picture, and none besides, says so.
func (w *path) checkMarkers(t *testing.T, order []int, by map[int]gotten) {
	if w.lost > 0 {
		return
	}
	wrong := 0
	for i := 1; i < len(order)-30; i++ {
		a, b := by[order[i-1]], by[order[i]]
		if a.frame == nil || b.frame == nil {
			continue
		}
		ends := a.header.Timestamp != b.header.Timestamp
		if a.header.Marker != ends {
			wrong++
			if wrong < 4 {
				t.Logf("the marker of %+v, packet %d, is %v before %+v", *a.frame, a.index, a.header.Marker, *b.frame)
			}
		}
	}
	if wrong > len(order)/40 && w.late == 0 || wrong > len(order)/10 {
		t.Errorf("%d markers of %d are wrong", wrong, len(order))
	}
}
