package track

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"causeway/sfu/buffer"
	"causeway/sfu/codec"

	"github.com/pion/rtcp"
)

// Sizes of the rings of packets.
const (
	videoRing = 512
	audioRing = 64
)

// UpOptions are what an Up needs.
type UpOptions struct {
	MIMEType  string // such as "video/VP8"
	FMTP      string // the parameters of its format, as in SDP
	ClockRate uint32 // of its timestamps, in 1/s
	RTCP      RTCPWriter
	Flusher   Flusher
	Level     Level // hears how loud it is; nil for video
}

// Up is a track of a publisher in one codec. Its layers come as up to three streams (simulcast), or all in one (SVC); audio
// has one.
type Up struct {
	UpOptions
	video    bool
	scalable bool

	downs atomic.Pointer[[]*Down] // who gets it; replaced, never changed

	bits, frames rated
	closed       atomic.Bool

	mu     sync.Mutex // guards what follows
	layers [codec.MaxSpatial]*layer
	past   Counts // of streams that have ended
}

// NewUp makes a track that has no streams yet.
func NewUp(o UpOptions) *Up {
	u := &Up{UpOptions: o, scalable: codec.Scalable(o.MIMEType), video: strings.HasPrefix(strings.ToLower(o.MIMEType), "video/")}
	u.downs.Store(new([]*Down))
	return u
}

// Video is whether the track is video.
func (u *Up) Video() bool { return u.video }

// Scalable is whether all layers are in one stream.
func (u *Up) Scalable() bool { return u.scalable }

// Reader gives the packets of a stream, as webrtc.TrackRemote does.
type Reader func(b []byte) (int, error)

// StreamOptions are what is known of an incoming stream.
type StreamOptions struct {
	Layer        int // 0 is the lowest; 0 for audio and SVC
	SSRC         uint32
	Read         Reader
	Waiting      func() int // how many packets can be read at once; nil where that is not known
	LevelID      uint8      // of the header extension with the audio level; 0 for none
	DescriptorID uint8      // of the header extension with the dependency descriptor; 0 for none
}

// Receive takes the packets of a stream until it ends, or the track is closed, and hands them on. It is called in a goroutine for each
// stream.
func (u *Up) Receive(o StreamOptions) {
	l := u.add(o)
	if l == nil {
		return
	}
	defer u.remove(l)
	buf := make([]byte, 1600)
	for {
		n, err := o.Read(buf)
		if err != nil || u.closed.Load() {
			return
		}
		l.take(buf[:n], now())
		if o.Waiting == nil || l.full() || o.Waiting() == 0 {
			l.handOn()
		}
	}
}

// add makes a layer of a stream, or gives nil when there is no place for it.
func (u *Up) add(o StreamOptions) *layer {
	size := audioRing
	if u.Video() {
		size = videoRing
	}
	l := &layer{up: u, options: o, ring: buffer.NewRing(size), stream: codec.NewStream(u.MIMEType), valve: newValve(u.Video())}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed.Load() || o.Layer < 0 || o.Layer >= len(u.layers) {
		return nil
	}
	u.end(u.layers[o.Layer])
	u.layers[o.Layer] = l
	return l
}

func (u *Up) remove(l *layer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.layers[l.options.Layer] == l {
		u.end(l)
		u.layers[l.options.Layer] = nil
	}
}

// end keeps what came of a stream that has ended. The caller holds mu.
func (u *Up) end(l *layer) {
	if l != nil {
		l.mu.Lock()
		u.past.Add(l.counts)
		l.mu.Unlock()
	}
}

func (u *Up) layer(i int) *layer {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i < 0 || i >= len(u.layers) {
		return nil
	}
	return u.layers[i]
}

// Close ends the track: no packet is taken any more.
func (u *Up) Close() {
	u.mu.Lock()
	u.closed.Store(true)
	u.mu.Unlock()
	u.downs.Store(new([]*Down))
}

// Subscribe hands the packets on to a subscriber, too.
func (u *Up) Subscribe(d *Down) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed.Load() {
		return
	}
	downs := append(slices.Clone(*u.downs.Load()), d)
	u.downs.Store(&downs)
}

// Unsubscribe hands no packet on to a subscriber any more, once it has returned and the packet that is on its way has been
// written.
func (u *Up) Unsubscribe(d *Down) {
	u.mu.Lock()
	defer u.mu.Unlock()
	downs := slices.DeleteFunc(slices.Clone(*u.downs.Load()), func(other *Down) bool { return other == d })
	u.downs.Store(&downs)
}

// begins is whether a subscriber can begin a layer with the key frame that is kept.
func (u *Up) begins(spatial int) bool {
	if u.scalable {
		spatial = 0
	}
	l := u.layer(spatial)
	if l == nil {
		return false
	}
	key, newest, ok := l.ring.SinceKey()
	return ok && int(newest-key) <= maxBurst
}

// Subscribers is how many get the track.
func (u *Up) Subscribers() int { return len(*u.downs.Load()) }

// KeyFrame asks the publisher for a key frame of a layer, as often as is good for it.
func (u *Up) KeyFrame(i int) {
	if l := u.layer(i); l != nil {
		l.askKeyFrame(now())
	}
}

// Bitrates gives how many bits per second come, by spatial layer and up to which temporal layer: the layer [s][t] with
// all that it depends on.
func (u *Up) Bitrates() [codec.MaxSpatial][codec.MaxTemporal]int { return u.bits.of(u, (*rates).sums) }

// FrameRates gives how many frames come in a second of a spatial layer, up to which temporal layer.
func (u *Up) FrameRates(spatial int) [codec.MaxTemporal]int {
	return u.frames.of(u, (*rates).frames)[spatial]
}

type byLayer = [codec.MaxSpatial][codec.MaxTemporal]int

// ratedFor is how long rates are good, in microseconds.
const ratedFor = 50_000

// rated is rates as they were measured last. All subscribers ask for them, at about the same time: they are measured once for all of them.
type rated struct {
	mu    sync.Mutex // guards what follows
	at    int64
	rates byLayer
}

func (r *rated) of(u *Up, measure func(r *rates, at int64) byLayer) byLayer {
	at := now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == 0 || at < r.at || at-r.at >= ratedFor {
		r.at, r.rates = at, u.measure(at, measure)
	}
	return r.rates
}

func (u *Up) measure(at int64, measure func(r *rates, at int64) byLayer) (all byLayer) {
	if u.scalable {
		if l := u.layer(0); l != nil {
			return measure(&l.rates, at)
		}
		return all
	}
	for i := range all {
		if l := u.layer(i); l != nil {
			all[i] = measure(&l.rates, at)[0]
		}
	}
	return all
}

// Tick asks for what is missing, in all layers. It is called every 20 ms or so.
func (u *Up) Tick() {
	at := now()
	for i := range codec.MaxSpatial {
		if l := u.layer(i); l != nil {
			l.tick(at)
		}
	}
}

// HandleRTCP takes what the publisher tells of a stream: sender reports.
func (u *Up) HandleRTCP(i int, packets []rtcp.Packet) {
	l := u.layer(i)
	if l == nil {
		return
	}
	for _, p := range packets {
		if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == l.options.SSRC {
			l.report.Store(&senderReport{ntp: sr.NTPTime, rtp: sr.RTPTime, at: now()})
		}
	}
}

// Counts gives what has come of each stream.
func (u *Up) Counts() (counts [codec.MaxSpatial]Counts) {
	for i := range counts {
		if l := u.layer(i); l != nil {
			l.mu.Lock()
			counts[i] = l.counts
			l.mu.Unlock()
		}
	}
	return counts
}

// Total is what has come of all streams, also of those that have ended.
func (u *Up) Total() Counts {
	u.mu.Lock()
	defer u.mu.Unlock()
	total := u.past
	for _, l := range u.layers {
		if l != nil {
			l.mu.Lock()
			total.Add(l.counts)
			l.mu.Unlock()
		}
	}
	return total
}
