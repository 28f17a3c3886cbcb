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
	askedAt map[uint16]int64
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
	w.never, w.asked, w.askedAt = map[[2]int]bool{}, map[uint16]int{}, map[uint16]int64{}
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
		if g.at < w.sub.at-700_000 || g.frame != nil && g.frame.sentAt < w.sub.at-900_000 || w.asked[seq] > maxRepeats-2 ||
			w.sub.at-w.askedAt[seq] < (repeatEvery+1)*1000 {
			continue // it may be too old, or was asked for just now
		}
		pairs = append(pairs, rtcp.NackPair{PacketID: seq})
		w.asked[seq]++
		want[seq] = g
	}
	pairs = append(pairs, rtcp.NackPair{PacketID: uint16(w.random.IntN(65_536))})
	for _, pair := range pairs {
		w.askedAt[pair.PacketID] = w.sub.at
	}
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
		l := w.up.layer(a.p.stream)
		l.take(bytes.Clone(a.p.raw), at)
		if l.full() || w.random.IntN(3) > 0 {
			l.handOn()
		}
		w.came++
		n++
	}
	w.onWay = w.onWay[n:]
	for i := range len(w.sources) {
		w.up.layer(i).handOn()
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
