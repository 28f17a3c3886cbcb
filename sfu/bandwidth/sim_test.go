package bandwidth

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pion/rtcp"
)

// link is a bottleneck: a queue that empties at a rate. Times are in microseconds.
type link struct {
	rate   func(at int64) float64 // bits per second
	queue  int64                  // how long a packet may wait
	delay  int64                  // how long it travels besides
	jitter int64                  // and up to how much longer
	loss   float64                // what is lost at random
	order  bool                   // jitter does not change the order
	random *rand.Rand
	busy   int64
	last   int64

	packets, dropped int
}

// send gives when a packet arrives, or false when it is lost.
func (l *link) send(at int64, size int) (int64, bool) {
	l.packets++
	if l.busy-at > l.queue {
		l.dropped++
		return 0, false
	}
	l.busy = max(l.busy, at) + int64(float64(size)*8e6/l.rate(at))
	if l.random.Float64() < l.loss {
		return 0, false
	}
	came := l.busy + l.delay
	if l.jitter > 0 {
		came += l.random.Int64N(l.jitter)
	}
	if l.order {
		came = max(came, l.last+1)
	}
	l.last = max(l.last, came)
	return came, true
}

// waiting is how long a packet would wait now.
func (l *link) waiting(at int64) int64 { return max(l.busy-at, 0) }

type event struct {
	at   int64
	seq  uint16
	wire []byte // of feedback
}

// flow is a sender with its estimator, and the receiver that answers it.
type flow struct {
	e        *Estimator
	l        *link
	demand   func(at int64) float64 // bits per second that there are to send at most
	want     func(at int64) float64 // that there would be to send; demand where nil
	every    int64                  // between feedback messages
	lostFeed float64                // feedback messages that are lost at random
	backwait int64                  // up to how much longer one takes than others, so that they come in another order
	deaf     func(at int64) bool    // whether no feedback comes through
	clock    int64                  // the receiver's, ahead of the sender's
	padding  bool                   // the caller can send probes

	seq      uint16
	frames   int64
	incoming []event
	back     []event
	came     map[uint16]int64
	newest   uint16
	fresh    []uint16
	count    uint8
	sent     int // bytes
	probes   int
}

func newFlow(l *link, limits Limits, demand func(int64) float64) *flow {
	return &flow{
		e: NewEstimator(limits), l: l, demand: demand, every: 60_000, clock: 123_456_789, padding: true,
		seq: 65_000, came: map[uint16]int64{},
	}
}

const step = 1000

// tick does what happens in a millisecond.
func (f *flow) tick(at int64) {
	if f.want != nil {
		f.e.Want(int(f.want(at)))
	}
	f.media(at)
	if at%5000 == 0 {
		_, bytes := f.e.ProbeDue(at)
		for ; f.padding && bytes > 0; bytes -= 1000 {
			f.send(at, min(1000, max(bytes, 200)))
			f.probes++
		}
	}
	f.receive(at)
	f.answer(at)
}

// media sends audio, and frames 30 times a second, each all at once.
func (f *flow) media(at int64) {
	if at%20_000 == 0 && f.demand(at) > 0 {
		f.send(at, 120)
	}
	if at/33_333 == f.frames {
		return
	}
	f.frames = at / 33_333
	rate := min(f.demand(at), float64(f.e.Estimate())) - 48_000
	if rate <= 0 {
		return
	}
	size := int(rate / 8 / 30 * (0.7 + 0.6*f.l.random.Float64()))
	if f.frames%300 == 0 {
		size *= 4 // a key frame
	}
	for ; size > 0; size -= 1150 {
		f.send(at, min(1150, max(size, 60)))
	}
}

func (f *flow) send(at int64, size int) {
	f.seq++
	f.sent += size
	f.e.Sent(f.seq, size, at)
	if came, ok := f.l.send(at, size); ok {
		f.incoming = append(f.incoming, event{at: came, seq: f.seq})
	}
}

func (f *flow) receive(at int64) {
	kept := f.incoming[:0]
	for _, e := range f.incoming {
		if e.at > at {
			kept = append(kept, e)
			continue
		}
		if len(f.came) == 0 || int16(e.seq-f.newest) > 0 {
			f.newest = e.seq
		}
		f.came[e.seq] = e.at + f.clock
		delete(f.came, e.seq-10_000)
		f.fresh = append(f.fresh, e.seq)
	}
	f.incoming = kept
}

// answer sends feedback, and hands on that which has come.
func (f *flow) answer(at int64) {
	if at%f.every == 0 && len(f.fresh) > 0 {
		f.count++
		wire := f.feedback()
		if f.l.random.Float64() >= f.lostFeed && (f.deaf == nil || !f.deaf(at)) {
			wait := f.l.delay
			if f.backwait > 0 {
				wait += f.l.random.Int64N(f.backwait)
			}
			f.back = append(f.back, event{at: at + wait, wire: wire})
		}
		f.fresh = f.fresh[:0]
	}
	kept := f.back[:0]
	for _, e := range f.back {
		if e.at > at {
			kept = append(kept, e)
			continue
		}
		var cc rtcp.TransportLayerCC
		if err := cc.Unmarshal(e.wire); err != nil {
			panic(err)
		}
		f.e.Feedback(&cc, at)
	}
	f.back = kept
}

// feedback makes a message of all packets from the first to the newest that are new.
func (f *flow) feedback() []byte {
	base := slices.MinFunc(f.fresh, func(a, b uint16) int { return int(int16(a - b)) })
	return message(base, f.newest, f.came, f.count)
}

func message(base, newest uint16, came map[uint16]int64, count uint8) []byte {
	first := int64(-1)
	for n := base; n != newest+1; n++ {
		if c, ok := came[n]; ok {
			first = c
			break
		}
	}
	cc := &rtcp.TransportLayerCC{
		Header:     rtcp.Header{Type: rtcp.TypeTransportSpecificFeedback, Count: rtcp.FormatTCC},
		SenderSSRC: 1, MediaSSRC: 2, BaseSequenceNumber: base, FbPktCount: count,
		ReferenceTime: uint32(first/64_000) & 0xffffff,
	}
	last := first / 64_000 * 64_000
	var symbols []uint16
	for n := base; n != newest+1; n++ {
		c, ok := came[n]
		if !ok {
			symbols = append(symbols, rtcp.TypeTCCPacketNotReceived)
			continue
		}
		delta := (c - last) / 250 * 250
		last += delta
		symbol := uint16(rtcp.TypeTCCPacketReceivedSmallDelta)
		if delta < 0 || delta > 63_750 {
			symbol = rtcp.TypeTCCPacketReceivedLargeDelta
		}
		symbols = append(symbols, symbol)
		cc.RecvDeltas = append(cc.RecvDeltas, &rtcp.RecvDelta{Type: symbol, Delta: delta})
	}
	cc.PacketStatusCount = uint16(len(symbols))
	for len(symbols) > 0 {
		n := min(7, len(symbols))
		list := append(slices.Clone(symbols[:n]), make([]uint16, 7-n)...)
		cc.PacketChunks = append(cc.PacketChunks, &rtcp.StatusVectorChunk{
			Type: rtcp.TypeTCCStatusVectorChunk, SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit, SymbolList: list,
		})
		symbols = symbols[n:]
	}
	cc.Header.Length = cc.Len()/4 - 1
	cc.Header.Padding = cc.Len()%4 != 0 || cc.MarshalSize() != headerAnd(cc)
	wire, err := cc.Marshal()
	if err != nil {
		panic(err)
	}
	return wire
}

// headerAnd is how long a message is without padding.
func headerAnd(cc *rtcp.TransportLayerCC) int {
	n := 20 + 2*len(cc.PacketChunks)
	for _, d := range cc.RecvDeltas {
		n++
		if d.Type == rtcp.TypeTCCPacketReceivedLargeDelta {
			n++
		}
	}
	return n
}

// run lets flows send from a time to another, and calls watch every 10 ms.
func run(from, to int64, watch func(at int64), flows ...*flow) {
	for at := from; at < to; at += step {
		for _, f := range flows {
			f.tick(at)
		}
		if watch != nil && at%10_000 == 0 {
			watch(at)
		}
	}
}

const second = 1_000_000

func constant(v float64) func(int64) float64 { return func(int64) float64 { return v } }

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

func TestDropAndReturn(t *testing.T) {
	for _, queue := range []int64{100_000, 300_000, 1_000_000} {
		for seed := range uint64(4) {
			rate := func(at int64) float64 {
				if at >= 20*second && at < 40*second {
					return 300_000
				}
				return 3_000_000
			}
			l := &link{rate: rate, queue: queue, delay: 25_000, random: seeded(seed)}
			f := newFlow(l, DefaultLimits, constant(5e6))
			f.want = constant(5e6)
			var below, back int64
			var over, overLate int
			run(0, 60*second, func(at int64) {
				est := float64(f.e.Estimate())
				if at > 20*second && below == 0 && est < 300_000 {
					below = at - 20*second
				}
				if at > 40*second && back == 0 && est > 0.8*3e6 {
					back = at - 40*second
				}
				if at > 5*second && l.waiting(at) > 300_000 {
					over++
					if at > 24*second && at < 40*second || at > 44*second {
						overLate++
					}
				}
				if testing.Verbose() && at%second == 0 && queue == 1_000_000 && seed == 0 {
					t.Logf("%2d s: estimate %7.0f, queue %4d ms, signal %d, standing %d", at/second, est, l.waiting(at)/1000, f.e.delay.signal(), f.e.delay.standing())
				}
			}, f)
			t.Logf("queue %d ms, seed %d: below 300 kbit/s after %d ms, over 80 %% after %d ms, over 300 ms for %d ms (%d), probes %d", queue/1000, seed, below/1000, back/1000, over*10, overLate*10, f.probes)
			if below == 0 || below > 2*second {
				t.Errorf("queue %d: below the new limit after %d µs, want within 2 s", queue, below)
			}
			if back == 0 || back > 10*second {
				t.Errorf("queue %d: back after %d µs, want within 10 s", queue, back)
			}
			if over > 450 || overLate > 50 {
				t.Errorf("queue %d: over 300 ms for %d ms", queue, over*10)
			}
		}
	}
}
