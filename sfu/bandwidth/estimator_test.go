package bandwidth

import (
	"math"
	"testing"

	"github.com/pion/rtcp"
)

// mean gives the mean of an estimate over a time, and its least and greatest.
type mean struct {
	sum, n      float64
	least, most float64
}

func (m *mean) add(v float64) {
	if m.n == 0 {
		m.least, m.most = v, v
	}
	m.sum, m.n = m.sum+v, m.n+1
	m.least, m.most = min(m.least, v), max(m.most, v)
}

func (m *mean) value() float64 { return m.sum / m.n }

func TestConditions(t *testing.T) {
	tests := []struct {
		name   string
		rate   float64
		link   link
		change func(*flow)
		limits Limits
		// From 10 s to 60 s, in parts of the rate: between what the mean estimate has to be, and what at least.
		least, most, always float64
		queue               int64 // for how many ms of 50 s a packet may wait over 300 ms
	}{
		{name: "nothing", rate: 3e6, link: link{queue: 300_000}, least: 0.75, most: 1.05, always: 0.6},
		{name: "little", rate: 150e3, link: link{queue: 500_000}, least: 0.6, most: 1.1, always: 0.4, queue: 3000},
		{name: "much", rate: 20e6, link: link{queue: 300_000}, least: 0.7, most: 1.05, always: 0.5},
		{name: "2 % loss", rate: 3e6, link: link{queue: 300_000, loss: 0.02}, least: 0.65, most: 1.05, always: 0.45},
		{name: "5 % loss", rate: 3e6, link: link{queue: 300_000, loss: 0.05}, least: 0.3, most: 1.05, always: 0.2},
		{name: "jitter in order", rate: 3e6, link: link{queue: 300_000, jitter: 30_000, order: true}, least: 0.5, most: 1.1, always: 0.3},
		{name: "jitter and reorder", rate: 3e6, link: link{queue: 300_000, jitter: 20_000}, least: 0.5, most: 1.1, always: 0.3},
		{name: "far away", rate: 3e6, link: link{queue: 300_000, delay: 250_000}, least: 0.6, most: 1.1, always: 0.4, queue: 1000},
		{name: "a short queue", rate: 3e6, link: link{queue: 40_000}, least: 0.5, most: 1.05, always: 0.35},
		{name: "a tenth of the feedback lost", rate: 3e6, link: link{queue: 300_000}, least: 0.6, most: 1.05, always: 0.4,
			change: func(f *flow) { f.lostFeed = 0.1 }},
		{name: "half of the feedback lost", rate: 3e6, link: link{queue: 300_000}, least: 0.4, most: 1.05, always: 0.25, queue: 1000,
			change: func(f *flow) { f.lostFeed = 0.5 }},
		{name: "feedback in another order", rate: 3e6, link: link{queue: 300_000}, least: 0.6, most: 1.05, always: 0.4,
			change: func(f *flow) { f.backwait = 200_000 }},
		{name: "feedback four times a second", rate: 3e6, link: link{queue: 300_000}, least: 0.6, most: 1.05, always: 0.4, queue: 1000,
			change: func(f *flow) { f.every = 250_000 }},
		{name: "no probes", rate: 3e6, link: link{queue: 300_000}, least: 0.5, most: 1.05, always: 0.3,
			change: func(f *flow) { f.padding = false }},
		{name: "a limit", rate: 3e6, link: link{queue: 300_000}, limits: Limits{Least: 50_000, Most: 1e6, Start: 500_000}, least: 0.3, most: 0.34, always: 0.25},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(3) {
				l := tt.link
				l.rate, l.random = constant(tt.rate), seeded(seed)
				if l.delay == 0 {
					l.delay = 20_000
				}
				limits := tt.limits
				if limits == (Limits{}) {
					limits = DefaultLimits
				}
				f := newFlow(&l, limits, constant(25e6))
				if tt.change != nil {
					tt.change(f)
				}
				var m mean
				var waits, waited int64
				run(0, 60*second, func(at int64) {
					if at >= 10*second {
						m.add(float64(f.e.Estimate()) / tt.rate)
						if l.waiting(at) > 300_000 {
							waits += 10
						}
						waited = max(waited, l.waiting(at))
					}
				}, f)
				t.Logf("mean %.2f, from %.2f to %.2f; at most %d ms in the queue, %d ms over 300 ms; %.1f %% dropped",
					m.value(), m.least, m.most, waited/1000, waits, 100*float64(l.dropped)/float64(l.packets))
				if m.value() < tt.least || m.value() > tt.most || m.least < tt.always {
					t.Errorf("seed %d: mean %.2f, from %.2f to %.2f of the rate, want %.2f to %.2f, and never below %.2f",
						seed, m.value(), m.least, m.most, tt.least, tt.most, tt.always)
				}
				if waits > max(tt.queue, 500) {
					t.Errorf("seed %d: a packet would have waited over 300 ms for %d ms", seed, waits)
				}
			}
		})
	}
}

// TestStart has a fresh estimate reach what there is quickly.
func TestStart(t *testing.T) {
	for _, rate := range []float64{300e3, 1e6, 3e6, 10e6} {
		l := &link{rate: constant(rate), queue: 300_000, delay: 30_000, random: seeded(1)}
		f := newFlow(l, Limits{Least: 50_000, Most: 20e6, Start: 500_000}, constant(15e6))
		reached := int64(0)
		run(0, 20*second, func(at int64) {
			if reached == 0 && at > 0 && float64(f.e.Estimate()) > 0.7*rate && float64(f.e.Estimate()) < 1.1*rate {
				reached = at
			}
		}, f)
		t.Logf("%.0f bit/s: within 70 %% after %d ms", rate, reached/1000)
		if reached == 0 || reached > 4*second {
			t.Errorf("%.0f bit/s: within 70 %% after %d ms, want at most 4 s", rate, reached/1000)
		}
	}
}

// TestShare has flows share a bottleneck, one of which begins late.
func TestShare(t *testing.T) {
	for seed := range uint64(3) {
		l := &link{rate: constant(4e6), queue: 300_000, delay: 25_000, random: seeded(seed)}
		all := []*flow{newFlow(l, DefaultLimits, constant(10e6)), newFlow(l, DefaultLimits, constant(10e6))}
		all[1].demand = func(at int64) float64 {
			if at < 20*second {
				return 0
			}
			return 10e6
		}
		all[1].seq = 100
		run(0, 60*second, nil, all...)
		before := []int{all[0].sent, all[1].sent}
		run(60*second, 120*second, nil, all...)
		var sum, squares float64
		for i, f := range all {
			rate := float64(f.sent-before[i]) * 8 / 60
			sum, squares = sum+rate, squares+rate*rate
			t.Logf("seed %d, flow %d: %.0f bit/s", seed, i, rate)
		}
		if jain := sum * sum / (2 * squares); jain < 0.8 || sum < 0.7*4e6 || sum > 1.05*4e6 {
			t.Errorf("seed %d: Jain's index is %.2f, of %.0f bit/s in all", seed, jain, sum)
		}
	}
}

// TestLittleSent sends much less than could be: there is no reason to fall, and none to grow beyond what is wanted.
func TestLittleSent(t *testing.T) {
	l := &link{rate: constant(5e6), queue: 300_000, delay: 25_000, jitter: 15_000, order: true, random: seeded(3)}
	f := newFlow(l, DefaultLimits, func(at int64) float64 {
		if at < 10*second {
			return 10e6
		}
		return 80_000
	})
	f.want = func(at int64) float64 {
		if at < 10*second {
			return 10e6
		}
		return 80_000
	}
	run(0, 10*second, nil, f)
	was := float64(f.e.Estimate())
	probes := f.probes
	var m mean
	run(10*second, 100*second, func(int64) { m.add(float64(f.e.Estimate())) }, f)
	t.Logf("%.0f before, then %.0f to %.0f", was, m.least, m.most)
	if m.least < 0.4*was || m.most > 1.1*was {
		t.Errorf("the estimate went from %.0f to between %.0f and %.0f", was, m.least, m.most)
	}
	if f.probes-probes > 20 {
		t.Errorf("%d packets of probes without need", f.probes-probes)
	}
}

// TestWanted probes when something is wanted that does not fit, though what is sent is little.
func TestWanted(t *testing.T) {
	l := &link{rate: constant(5e6), queue: 300_000, delay: 25_000, random: seeded(3)}
	f := newFlow(l, Limits{Least: 50_000, Most: 30e6, Start: 300_000}, constant(200_000))
	f.want = constant(2e6)
	run(0, 10*second, nil, f)
	if got := f.e.Estimate(); got < 1_900_000 || got > 3_000_000 {
		t.Errorf("estimate %d, want what is wanted, 2,000,000, and not much more", got)
	}
}

func TestSilence(t *testing.T) {
	l := &link{rate: constant(3e6), queue: 300_000, delay: 25_000, random: seeded(3)}
	f := newFlow(l, DefaultLimits, constant(5e6))
	run(0, 15*second, nil, f)
	was := f.e.Estimate()
	f.demand = constant(0)
	run(15*second, 15*second+3_600*second/4, nil, f)
	if got := f.e.Estimate(); math.Abs(float64(got-was)) > 0.2*float64(was) {
		t.Errorf("%d after a quarter of an hour in which nothing was sent, %d before", got, was)
	}
	at := int64(15*second + 900*second)
	f.demand = constant(5e6)
	var m mean
	run(at, at+10*second, func(int64) { m.add(float64(f.e.Estimate())) }, f)
	if m.least < 0.5*3e6 || m.value() > 1.1*3e6 {
		t.Errorf("after silence the estimate is %.0f, from %.0f", m.value(), m.least)
	}
}

// TestDeaf has feedback fail to come altogether, as when the peer is gone or on another network: what is sent falls step by step.
func TestDeaf(t *testing.T) {
	l := &link{rate: constant(3e6), queue: 300_000, delay: 25_000, random: seeded(3)}
	f := newFlow(l, DefaultLimits, constant(5e6))
	f.deaf = func(at int64) bool { return at > 15*second && at < 25*second }
	run(0, 15*second, nil, f)
	was := f.e.Estimate()
	run(15*second, 16*second, nil, f)
	if got := f.e.Estimate(); got < was*3/4 {
		t.Errorf("%d after a second without feedback, %d before", got, was)
	}
	run(16*second, 25*second, nil, f)
	if got := f.e.Estimate(); got > was/8 {
		t.Errorf("%d after ten seconds without feedback, %d before", got, was)
	}
	run(25*second, 35*second, nil, f)
	if got := f.e.Estimate(); float64(got) < 0.7*3e6 {
		t.Errorf("%d ten seconds after feedback came again", got)
	}
}

// TestOtherWay has the way to the peer become longer all at once, which is no congestion.
func TestOtherWay(t *testing.T) {
	l := &link{rate: constant(3e6), queue: 300_000, delay: 25_000, random: seeded(3)}
	f := newFlow(l, DefaultLimits, constant(5e6))
	run(0, 15*second, nil, f)
	l.delay = 400_000
	var m mean
	run(15*second, 45*second, func(at int64) {
		if at > 30*second {
			m.add(float64(f.e.Estimate()))
		}
	}, f)
	if m.value() < 0.6*3e6 {
		t.Errorf("the estimate is %.0f on a way that is longer", m.value())
	}
}

// TestLost goes by receiver reports, where a peer gives nothing else.
func TestLost(t *testing.T) {
	e := NewEstimator(Limits{Least: 50_000, Most: 3_000_000, Start: 500_000})
	at, seq := int64(0), uint16(0)
	send := func(seconds int, fraction float64) {
		for range seconds {
			for range 100 {
				e.Sent(seq, e.Estimate()/8/100, at)
				seq++
				at += 10_000
			}
			e.Lost(fraction, at)
			e.ProbeDue(at)
		}
	}
	send(60, 0)
	if got := e.Estimate(); got != 3_000_000 {
		t.Errorf("estimate %d without loss, want the limit", got)
	}
	send(10, 0.05)
	if got := e.Estimate(); got != 3_000_000 {
		t.Errorf("estimate %d with 5 %% loss, want what it was", got)
	}
	send(10, 0.4)
	if got := e.Estimate(); got > 500_000 {
		t.Errorf("estimate %d after 10 s with 40 %% loss", got)
	}
	e.Lost(math.NaN(), at)
	e.Lost(7, at)
	// Nothing is sent: there is no evidence for more.
	before := e.Estimate()
	for range 60 {
		at += second
		e.Lost(0, at)
	}
	if got := e.Estimate(); got != before {
		t.Errorf("estimate went from %d to %d though nothing was sent", before, got)
	}
}

// TestUnwrap has the reference time begin again.
func TestUnwrap(t *testing.T) {
	var u unwrapper
	last := u.time(1<<24 - 3)
	for _, r := range []uint32{1<<24 - 2, 1<<24 - 1, 0, 1, 5} {
		at := u.time(r)
		if at <= last {
			t.Errorf("reference %d is at %d, not after %d", r, at, last)
		}
		last = at
	}
	if at := u.time(1<<24 - 1); last-at != 6*referenceUnit {
		t.Errorf("an old reference is %d units before", (last-at)/referenceUnit)
	}
}

func TestSentAllocatesNothing(t *testing.T) {
	e := NewEstimator(DefaultLimits)
	seq, at := uint16(0), int64(0)
	one := func() { e.Sent(seq, 1200, at); seq++; at += 200 }
	for range 20_000 {
		one()
	}
	if n := testing.AllocsPerRun(10_000, one); n > 0 {
		t.Errorf("%v allocations for a packet", n)
	}
}

func BenchmarkSent(b *testing.B) {
	e := NewEstimator(DefaultLimits)
	at := int64(0)
	for i := range b.N {
		e.Sent(uint16(i), 1200, at)
		at += 200
	}
}

// FuzzFeedback reads feedback that may be anything: it must not break, and the estimate stay in its limits.
func FuzzFeedback(f *testing.F) {
	came := map[uint16]int64{10: 64_000, 11: 65_000, 13: 200_000, 14: 199_000}
	f.Add(message(9, 15, came, 1), uint16(5))
	f.Add(message(10, 10, came, 255), uint16(65_530))
	f.Fuzz(func(t *testing.T, wire []byte, seq uint16) {
		var cc rtcp.TransportLayerCC
		if cc.Unmarshal(wire) != nil {
			return
		}
		e := NewEstimator(DefaultLimits)
		at := int64(0)
		for range 4 {
			for range 50 {
				e.Sent(seq, 1000, at)
				at += 10_000
				seq++
			}
			e.Feedback(&cc, at)
			cc.BaseSequenceNumber += 50
			cc.ReferenceTime += 8
			if got := e.Estimate(); got < DefaultLimits.Least || got > DefaultLimits.Most {
				t.Fatalf("estimate %d", got)
			}
			e.ProbeDue(at)
		}
	})
}
