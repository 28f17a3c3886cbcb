package track

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pion/rtcp"
)

// asked is a publisher that notes when it is asked for key frames, in microseconds, by stream. It sends none for that.
type asked map[uint32][]int64

func (a asked) WriteRTCP(packets []rtcp.Packet) error {
	for _, p := range packets {
		if pli, ok := p.(*rtcp.PictureLossIndication); ok {
			a[pli.MediaSSRC] = append(a[pli.MediaSSRC], now())
		}
	}
	return nil
}

// TestKeyFramesAreFew has twenty subscribers ask for key frames of each layer all the time: the publisher is asked twice a second, and once for the highest
// layer. What is asked for in between is asked for when the time has come, once.
func TestKeyFramesAreFew(t *testing.T) {
	withClock(t)
	const ms, begin = 1000, 7_000_000
	at := int64(begin)
	now = func() int64 { return at }
	heard := asked{}
	up := NewUp(UpOptions{MIMEType: "video/VP8", ClockRate: 90_000, RTCP: heard})
	var downs []*Down
	for layer := range 3 {
		up.add(StreamOptions{Layer: layer, SSRC: uint32(1000 + layer)})
		for range 20 {
			d := NewDown(up, DownOptions{ID: "d"})
			d.Select(layer, 3)
			downs = append(downs, d)
		}
	}
	lose := func() {
		for _, d := range downs {
			d.HandleRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 7}})
		}
	}
	for ; at < begin+8000*ms; at += 10 * ms {
		if since := at - begin; since < 1000*ms || since == 4000*ms {
			lose()
		}
		if at%(20*ms) == 0 {
			up.Tick()
		}
	}
	for layer, want := range [][]int64{{0, 500, 1000, 4000, 4500}, {0, 500, 1000, 4000, 4500}, {0, 1000, 4000, 5000}} {
		var got []int64
		for _, at := range heard[uint32(1000+layer)] {
			got = append(got, (at-begin)/ms)
		}
		if !slices.Equal(got, want) {
			t.Errorf("a key frame of layer %d is asked for after %v ms, want %v", layer, got, want)
		}
		if counted := up.Counts()[layer].KeyFrames; int(counted) != len(want) {
			t.Errorf("%d key frames of layer %d are counted, want %d", counted, layer, len(want))
		}
	}
}

// starting is a publisher of whom nobody has got anything so far.
type starting struct {
	path
	heard asked
}

func newStarting(kind string) *starting {
	w := &starting{path: path{kind: kind}, heard: asked{}}
	w.build(1)
	w.up.RTCP = w.heard
	w.down.Close()
	return w
}

// send sends pictures in all layers, but for the packets that are lost: numbers from 0 in their stream.
func (w *starting) send(pictures int, at int64, lost ...int) (end int64) {
	for range pictures {
		at += 5000 // so that all is kept that could be
		now = func() int64 { return at }
		for i, s := range w.sources {
			l := w.up.layer(i)
			for _, p := range s.picture(at) {
				if slices.Contains(lost, len(w.onWay)) && i == len(w.sources)-1 {
					w.onWay = append(w.onWay, arrival{})
					continue
				}
				if i == len(w.sources)-1 {
					w.onWay = append(w.onWay, arrival{at, p})
				}
				l.take(p.raw, at)
				l.handOn()
			}
		}
	}
	return at
}

// joins has somebody begin to get the highest layer.
func (w *starting) joins() *Down {
	k := kinds[w.kind]
	w.sub = &subscriber{mime: k.mime, frames: &w.frames, skip: k.head}
	d := NewDown(w.up, DownOptions{ID: "late"})
	d.Ready(true)
	if _, err := d.Bind(w.sub); err != nil {
		panic(err)
	}
	w.up.Subscribe(d)
	d.Select(2, 3) // the order in which the SFU does it
	return d
}

// TestInstantStart has somebody come in the middle of a video: with the next packet they have all of it from the last key frame on, in order, and the
// publisher is not asked for another.
func TestInstantStart(t *testing.T) {
	withClock(t)
	for _, kind := range []string{"vp8", "h264", "vp9", "vp9key", "av1"} {
		t.Run(kind, func(t *testing.T) {
			w := newStarting(kind)
			at := w.send(8, 1_000_000)
			if n := len(w.onWay); n > maxBurst || n < 8 {
				t.Fatalf("there are %d packets since the key frame, which shows nothing", n)
			}
			d := w.joins()
			w.send(1, at)
			d.Tick()
			if len(w.heard) > 0 {
				t.Errorf("key frames were asked for: %v", w.heard)
			}
			if len(w.sub.packets) != len(w.onWay) {
				t.Fatalf("%d packets came, want all %d since the key frame", len(w.sub.packets), len(w.onWay))
			}
			for i, g := range w.sub.packets {
				want := w.onWay[i].p
				if g.frame != want.frame || g.index != want.index || g.header.SequenceNumber != w.sub.packets[0].header.SequenceNumber+uint16(i) {
					t.Fatalf("packet %d is %d of %+v, with the number %d after %d; want %d of %+v", i, g.index, g.frame, g.header.SequenceNumber,
						w.sub.packets[0].header.SequenceNumber, want.index, want.frame)
				}
			}
			if first := w.sub.packets[0].frame; !first.key {
				t.Errorf("the first frame is %+v", first)
			}
		})
	}
}

// TestNoInstantStart has somebody come when too much has been sent since the key frame, and when some of it is missing: then one is asked for, once, and
// they begin with that.
func TestNoInstantStart(t *testing.T) {
	withClock(t)
	for _, kind := range []string{"vp8", "h264", "vp9", "vp9key", "av1"} {
		for name, c := range map[string]struct {
			pictures int
			lost     []int
		}{
			"too much":       {70, nil},
			"something lost": {8, []int{5}},
		} {
			t.Run(fmt.Sprint(kind, " ", name), func(t *testing.T) {
				w := newStarting(kind)
				at := w.send(c.pictures, 1_000_000, c.lost...)
				if n := len(w.onWay); c.lost == nil && n <= 120 {
					t.Fatalf("there are %d packets since the key frame, which is not too much", n)
				}
				d := w.joins()
				at = w.send(2, at)
				if n := len(w.sub.packets); n > 0 {
					t.Errorf("%d packets came of what cannot be decoded", n)
				}
				for range 5 {
					d.Tick()
				}
				top := w.sources[len(w.sources)-1]
				if ssrc := uint32(1000 + top.stream); len(w.heard) != 1 || len(w.heard[ssrc]) != 1 {
					t.Errorf("key frames were asked for: %v, want one of %d", w.heard, ssrc)
				}
				top.wantKey = true
				w.send(2, at)
				if len(w.sub.packets) == 0 || !w.sub.packets[0].frame.key {
					t.Errorf("with the key frame %d packets came", len(w.sub.packets))
				}
			})
		}
	}
}
