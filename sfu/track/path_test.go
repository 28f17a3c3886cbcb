package track

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"causeway/sfu/codec"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// gotten is a packet that a subscriber got.
type gotten struct {
	header  rtp.Header
	payload []byte
	frame   *frame // nil for one that is empty
	index   int
	at      int64
	in      *instance
}

// subscriber is what a Down writes to.
type subscriber struct {
	webrtc.TrackLocalContext
	mime    string
	frames  *[]*frame
	skip    func(payload []byte) int // how long the codec's head is
	at      int64
	packets []gotten
	again   []gotten
}

func (s *subscriber) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: s.mime, ClockRate: 90_000}, PayloadType: 100},
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90_000, SDPFmtpLine: "apt=100"}, PayloadType: 101},
	}
}

func (s *subscriber) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter {
	return []webrtc.RTPHeaderExtensionParameter{{URI: uriDescriptor, ID: 9}}
}
func (s *subscriber) SSRC() webrtc.SSRC                    { return 7 }
func (s *subscriber) SSRCRetransmission() webrtc.SSRC      { return 8 }
func (s *subscriber) WriteStream() webrtc.TrackLocalWriter { return s }
func (s *subscriber) Write([]byte) (int, error)            { panic("not used") }

func (s *subscriber) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	g := gotten{header: h.Clone(), payload: bytes.Clone(payload), at: s.at}
	if h.SSRC == 8 {
		s.again = append(s.again, g)
		return len(payload) + 12, nil
	}
	if len(payload) > 0 {
		id, index := identity(payload[s.skip(payload):])
		g.frame, g.index = (*s.frames)[id], index
	}
	s.packets = append(s.packets, g)
	return len(payload) + 12, nil
}

// publisher hears what is asked for.
type publisher struct{ sources []*source }

func (p *publisher) WriteRTCP(packets []rtcp.Packet) error {
	for _, packet := range packets {
		if pli, ok := packet.(*rtcp.PictureLossIndication); ok {
			p.sources[pli.MediaSSRC-1000].wantKey = true
		}
	}
	return nil
}

// path is a way from a publisher to a subscriber, over a network that is not good.
type path struct {
	kind    string
	late    float64 // of the packets, how many come late: reordered, or lost and sent again
	lateBy  int64   // by how much at most
	lost    float64 // how many never come
	twice   float64 // how many come twice
	restart bool    // the subscriber pauses the track now and then
	layers  bool    // it changes layers

	random  *rand.Rand
	frames  []*frame
	sources []*source
	up      *Up
	down    *Down
	sub     *subscriber
	onWay   []arrival
	never   map[[2]int]bool // stream and number of packets that never came
	came    int
	end     int64
	asked   map[uint16]int
	faults  []string
}

type arrival struct {
	at int64
	p  sentPacket
}

var kinds = map[string]struct {
	mime string
	head func(p []byte) int
}{
	"vp8":    {"video/VP8", func([]byte) int { return 6 }},
	"vp9":    {"video/VP9", func([]byte) int { return 5 }},
	"vp9key": {"video/VP9", func([]byte) int { return 5 }},
	"av1":    {"video/AV1", func([]byte) int { return 1 }},
	"h264": {"video/H264", func(p []byte) int {
		if p[0]&0x1f == 28 {
			return 2
		}
		return 1
	}},
}

func (w *path) build(seed uint64) {
	k := kinds[w.kind]
	w.random = rand.New(rand.NewPCG(seed, 17))
	now = func() int64 { return 500_000 }
	w.never, w.asked = map[[2]int]bool{}, map[uint16]int{}
	streams := 3
	if codec.Scalable(k.mime) {
		streams = 1
	}
	pub := &publisher{}
	for i := range streams {
		w.sources = append(w.sources, newSource(w.kind, i, w.random, &w.frames))
	}
	pub.sources = w.sources
	w.up = NewUp(UpOptions{MIMEType: k.mime, ClockRate: 90_000, RTCP: pub})
	for i := range streams {
		w.up.add(StreamOptions{Layer: i, SSRC: uint32(1000 + i), DescriptorID: 5})
	}
	w.sub = &subscriber{mime: k.mime, frames: &w.frames, skip: k.head}
	w.down = NewDown(w.up, DownOptions{ID: "d"})
	if _, err := w.down.Bind(w.sub); err != nil {
		panic(err)
	}
	w.up.Subscribe(w.down)
	w.down.Ready(true)
}

// run sends for a time, in microseconds.
func (w *path) run(from, to int64) {
	w.end = to
	for at := from; at < to; at += 1000 {
		now = func() int64 { return at }
		w.sub.at = at
		if at%33_000 == 0 {
			for _, s := range w.sources {
				if w.random.IntN(200) == 0 {
					s.wantKey = true
				}
				w.publish(s.picture(at), at)
			}
		}
		w.deliver(at)
		if at%20_000 == 0 {
			w.up.Tick()
		}
		if at%200_000 == 0 {
			w.down.Tick()
		}
		if w.random.IntN(400) == 0 {
			w.choose()
		}
		if w.random.IntN(50) == 0 && len(w.sub.packets) > 0 {
			w.ask()
		}
	}
	for at := to; len(w.onWay) > 0; at += 1000 {
		now = func() int64 { return at }
		w.deliver(at)
	}
}

// ask asks for packets again that the subscriber got, or did not: what it gets is what was sent.
func (w *path) ask() {
	var pairs []rtcp.NackPair
	want := map[uint16]gotten{}
	for range 1 + w.random.IntN(4) {
		back := w.random.IntN(min(300, len(w.sub.packets)))
		g := w.sub.packets[len(w.sub.packets)-1-back]
		seq := g.header.SequenceNumber
		if g.at < w.sub.at-700_000 || g.frame != nil && g.frame.sentAt < w.sub.at-900_000 || w.asked[seq] > maxRepeats-2 {
			continue // it may be too old
		}
		pairs = append(pairs, rtcp.NackPair{PacketID: seq})
		w.asked[seq]++
		want[seq] = g
	}
	pairs = append(pairs, rtcp.NackPair{PacketID: uint16(w.random.IntN(65_536))})
	before := len(w.sub.again)
	w.down.HandleRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: pairs}})
	for _, g := range w.sub.again[before:] {
		seq := uint16(g.payload[0])<<8 | uint16(g.payload[1])
		was, ok := want[seq]
		if !ok {
			continue // one that was not looked for
		}
		delete(want, seq)
		if !bytes.Equal(g.payload[2:], was.payload) || g.header.Timestamp != was.header.Timestamp || g.header.Marker != was.header.Marker ||
			!bytes.Equal(g.header.GetExtension(9), was.header.GetExtension(9)) {
			w.faults = append(w.faults, fmt.Sprintf("number %d was %+v, and is %+v", seq, was, g))
		}
	}
	for seq, g := range want {
		w.faults = append(w.faults, fmt.Sprintf("number %d of frame %+v is not sent again after %d ms", seq, g.frame, (w.sub.at-g.at)/1000))
	}
}

func (w *path) choose() {
	spatial, temporal := 2, 3
	if w.layers {
		spatial, temporal = w.random.IntN(3), w.random.IntN(4)
	}
	if w.restart && w.random.IntN(6) == 0 {
		spatial = -1
	}
	w.down.Select(spatial, temporal)
}

func (w *path) publish(packets []sentPacket, at int64) {
	for i, p := range packets {
		when := at + 5000 + int64(i)*100
		if w.random.Float64() < w.lost {
			w.never[[2]int{p.stream, int(p.seq)}] = true
			continue
		}
		if w.random.Float64() < w.late {
			when += w.random.Int64N(w.lateBy)
		}
		w.onWay = append(w.onWay, arrival{when, p})
		if w.random.Float64() < w.twice {
			w.onWay = append(w.onWay, arrival{when + w.random.Int64N(300_000), p})
		}
	}
}

func (w *path) deliver(at int64) {
	slices.SortStableFunc(w.onWay, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	n := 0
	for n < len(w.onWay) && w.onWay[n].at <= at {
		a := w.onWay[n]
		w.up.layer(a.p.stream).receive(bytes.Clone(a.p.raw), at)
		w.came++
		n++
	}
	w.onWay = w.onWay[n:]
}

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

func withClock(t *testing.T) {
	was := now
	t.Cleanup(func() { now = was })
}

// seeds is with how many seeds each case is tried.
const seeds = 3

func TestPath(t *testing.T) {
	withClock(t)
	conditions := []path{
		{},
		{layers: true},
		{layers: true, restart: true},
		{late: 0.05, lateBy: 20_000},
		{late: 0.05, lateBy: 20_000, layers: true},
		{late: 0.02, lateBy: 200_000, layers: true, restart: true, twice: 0.02},
		{late: 0.02, lateBy: 200_000, layers: true, restart: true, twice: 0.02, lost: 0.01},
	}
	for _, kind := range []string{"vp8", "h264", "vp9", "vp9key", "av1"} {
		for i, c := range conditions {
			t.Run(fmt.Sprint(kind, i), func(t *testing.T) {
				for seed := range uint64(seeds) {
					w := c
					w.kind = kind
					w.build(seed)
					w.down.Select(2, 3)
					w.run(1_000_000, 61_000_000)
					w.check(t)
					if t.Failed() {
						t.Fatalf("seed %d", seed)
					}
				}
			})
		}
	}
}
