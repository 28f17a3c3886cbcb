package track

import (
	"runtime"
	"sync"
	"sync/atomic"

	"causeway/sfu/buffer"
	"causeway/sfu/codec"

	"github.com/pion/rtcp"
)

// How often a publisher is asked for a key frame at most, in microseconds.
const (
	keyFrameEvery     = 500_000
	keyFrameEveryHigh = 1_000_000 // of the highest layer, which is the dearest
)

// senderReport says which timestamp a stream had at which time of the publisher's clock. RFC 3550, section 6.4.1.
type senderReport struct {
	ntp uint64
	rtp uint32
	at  int64 // when it came, in microseconds
}

// layer is an incoming stream.
type layer struct {
	up      *Up
	options StreamOptions
	ring    *buffer.Ring
	report  atomic.Pointer[senderReport]
	rates   rates

	// What follows belongs to the goroutine that receives.
	in     packet
	valve  valve
	read   buffer.Packet
	stream *codec.Stream // nil for audio
	batch  []fresh       // not handed on yet

	mu       sync.Mutex // guards what follows
	missing  buffer.Missing
	ask      []uint16
	lastKey  int64
	wantsKey bool
	counts   Counts
}

// Counts are what has come of a stream, or gone to a subscriber.
type Counts struct {
	Packets, Bytes uint64
	Lost           uint64 // given up
	Asked          uint64 // asked for again
	KeyFrames      uint64 // asked for
}

// Add adds others.
func (c *Counts) Add(o Counts) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	c.Lost += o.Lost
	c.Asked += o.Asked
	c.KeyFrames += o.KeyFrames
}

// fresh is a packet that is to be handed on, and which was the newest when it came.
type fresh struct {
	buffer.Packet
	newest uint16
}

// take takes a packet that came at a time in microseconds. It has to be handed on.
func (l *layer) take(b []byte, at int64) {
	if !l.in.parse(b) {
		return
	}
	l.count(len(b), at)
	p := &l.read
	*p = buffer.Packet{Seq: l.in.seq, TS: l.in.ts, Marker: l.in.marker, PT: l.in.pt, At: at, Payload: l.in.payload}
	if !l.valve.pass(len(b), at) {
		p.Payload = nil // as with what makes no sense
	}
	p.Descriptor = l.in.extension(l.options.DescriptorID)
	if l.stream != nil && len(p.Payload) > 0 && !l.stream.Parse(p.Payload, p.Marker, p.Descriptor, &p.Frame) {
		p.Payload = nil // it is passed over, so that numbers stay without a gap
	}
	if level := l.in.extension(l.options.LevelID); len(level) == 1 && l.up.Level != nil {
		l.up.Level(level[0] & 0x7f)
	}
	kept := l.ring.Add(p)
	if kept == nil {
		return
	}
	l.rates.add(p, len(b))
	l.batch = append(l.batch, fresh{*kept, l.ring.Newest()})
}

// full is whether what was taken has to be handed on before more is.
func (l *layer) full() bool { return len(l.batch) >= buffer.Fresh }

// handOn hands on what was taken: all of it to one subscriber, and then to the next, since what belongs to a subscriber has to come from far in memory.
func (l *layer) handOn() {
	if len(l.batch) == 0 {
		return
	}
	ends := l.stream == nil
	for i := range l.batch {
		ends = ends || l.batch[i].Marker
	}
	downs := *l.up.downs.Load()
	if len(downs) >= 2*shardSize { // asking for the processors takes the scheduler's lock
		l.share(downs, min(runtime.GOMAXPROCS(0), len(downs)/shardSize), ends)
	} else {
		l.fanOut(downs, ends)
	}
	clear(l.batch)
	l.batch = l.batch[:0]
}

const (
	// flushAfter is after how many subscribers is sent what they get: those do not wait for the others, and it is still near in memory.
	flushAfter = 32
	// shardSize is for how many subscribers another processor is worth being woken.
	shardSize = 64
)

// share hands the packets on by several goroutines, each to as many subscribers.
func (l *layer) share(downs []*Down, shards int, ends bool) {
	var others sync.WaitGroup
	var fault atomic.Pointer[any]
	size := (len(downs) + shards - 1) / shards
	for from := size; from < len(downs); from += size {
		part := downs[from:min(len(downs), from+size)]
		others.Go(func() {
			defer func() {
				if f := recover(); f != nil {
					fault.Store(&f)
				}
			}()
			l.fanOut(part, ends)
		})
	}
	l.fanOut(downs[:size], ends)
	others.Wait()
	if f := fault.Load(); f != nil {
		panic(*f)
	}
}

// fanOut hands the packets on to subscribers; ends is whether a frame is whole with them.
func (l *layer) fanOut(downs []*Down, ends bool) {
	f := l.up.Flusher
	for i, d := range downs {
		d.forward(l, l.batch)
		if last := i == len(downs)-1; f != nil && ends && (last || i%flushAfter == flushAfter-1) {
			f.Flush()
		}
	}
}

func (l *layer) count(size int, at int64) {
	l.mu.Lock()
	l.counts.Packets++
	l.counts.Bytes += uint64(size)
	overflow := l.missing.Came(l.in.seq, at)
	l.mu.Unlock()
	if overflow && l.up.Video() {
		l.askKeyFrame(at)
	}
}

// tick asks for what is missing.
func (l *layer) tick(at int64) {
	l.mu.Lock()
	var lost int
	l.ask = l.ask[:0]
	if !l.missing.Empty() {
		l.ask, lost = l.missing.Ask(l.ask, at, defaultRTT)
		l.counts.Lost += uint64(lost)
		l.counts.Asked += uint64(len(l.ask))
	}
	again := l.wantsKey
	var nack *rtcp.TransportLayerNack
	if len(l.ask) > 0 {
		nack = &rtcp.TransportLayerNack{MediaSSRC: l.options.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers(l.ask)}
	}
	l.mu.Unlock()
	if nack != nil {
		_ = l.up.RTCP.WriteRTCP([]rtcp.Packet{nack})
	}
	if again || lost > 0 && l.up.Video() {
		l.askKeyFrame(at)
	}
}

// defaultRTT is how long an answer of the publisher takes as long as nothing is known of it, in microseconds.
const defaultRTT = 70_000

// askKeyFrame asks for a key frame, unless it was asked for just now: then it is asked for when the time has come.
func (l *layer) askKeyFrame(at int64) {
	every := int64(keyFrameEvery)
	if l.options.Layer == codec.MaxSpatial-1 {
		every = keyFrameEveryHigh
	}
	l.mu.Lock()
	if l.lastKey != 0 && at-l.lastKey < every {
		l.wantsKey = true
		l.mu.Unlock()
		return
	}
	l.lastKey, l.wantsKey = at, false
	l.counts.KeyFrames++
	l.mu.Unlock()
	_ = l.up.RTCP.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: l.options.SSRC}})
}
