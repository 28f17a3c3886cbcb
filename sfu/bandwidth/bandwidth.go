// Package bandwidth finds out how much can be sent to a peer, and what to do with it. An Estimator follows the peer's feedback on when each
// packet has come (transport-wide congestion control), and says how many bits per second may be sent; Allocate chooses with that the layers of
// the tracks that the peer gets. Who sends packets calls it; it is pure: it sends nothing, and every time is given to it, in microseconds.
//
// The estimate is made as in draft-ietf-rmcat-gcc-02: it falls when delays rise or much is lost, and grows otherwise, as far as there is
// evidence that what is sent comes. Because a server sends only what publishers send, which is often less than it could, probes find
// out what the way to the peer bears besides. The draft wants packets to be paced; ours go out as they come, a frame at once. The queue
// that a frame itself makes is therefore not counted: see arrivals.
package bandwidth

import "github.com/pion/rtcp"

// Limits bound an estimate, in bits per second.
type Limits struct {
	Least, Most int
	Start       int // as long as nothing is known
}

// DefaultLimits are for a peer of which nothing is known.
var DefaultLimits = Limits{Least: 50_000, Most: 30_000_000, Start: 1_000_000}

const (
	// silentFor is how long feedback may fail to come for what was sent, before it is believed that nothing arrives.
	silentFor = 1_500_000
	// recentFeedback is how long reports of loss alone are not needed after feedback on each packet.
	recentFeedback = 2_000_000
	// ackedOver is over which time it is measured how much arrives.
	ackedOver = 400_000
	// leastOver is how much of that time has to have passed.
	leastOver = 150_000
)

// Estimator estimates how much can be sent to one peer. It is not safe for concurrent use.
type Estimator struct {
	limits Limits
	want   float64 // what could be sent, if there were the bandwidth for it

	sent    history
	sentBy  meter // by the time of sending
	ackedBy meter // by the peer's clock

	unwrap   unwrapper
	highest  uint16 // of the numbers that feedback told of
	told     bool
	lastFeed int64 // when feedback came last; 0 for never
	awaiting int64 // when the first packet was sent that feedback is still due for; 0 for none
	lastSent int64 // of those that have arrived, when the newest was sent
	lastCame int64 // when it arrived, by the peer's clock
	rtt      float64

	delay arrivals
	aimd  control
	loss  losses
	probe prober
}

// NewEstimator makes an estimator that begins at limits.Start. Limits that make no sense are put right.
func NewEstimator(limits Limits) *Estimator {
	limits.Least = max(limits.Least, 10_000)
	limits.Most = max(limits.Most, limits.Least)
	limits.Start = min(max(limits.Start, limits.Least), limits.Most)
	e := &Estimator{limits: limits, want: float64(limits.Most), rtt: 100_000}
	e.sent.init()
	e.aimd.rate = float64(limits.Start)
	e.loss.init()
	e.delay.init()
	return e
}

// Want says how many bits per second would be sent if they could. No more than that is probed for.
func (e *Estimator) Want(bits int) { e.want = float64(bits) }

// Sent counts a packet of a size in bytes that is sent at a time. It is called for each packet, in order of the numbers.
func (e *Estimator) Sent(seq uint16, size int, at int64) {
	size = min(max(size, 0), 0xffff)
	e.sent.put(outgoing{seq: seq, size: uint16(size), at: at, probe: e.probe.sent(size, at)})
	e.sentBy.add(at, size)
	if e.awaiting == 0 {
		e.awaiting = at
	}
}

// Feedback takes what the peer says of when packets have come; at is when it does so.
func (e *Estimator) Feedback(f *rtcp.TransportLayerCC, at int64) {
	var lost, total int
	newest := int64(-1)
	e.assume(f.BaseSequenceNumber)
	forEach(f, &e.unwrap, func(seq uint16, came bool, arrival int64) {
		p := e.sent.find(seq)
		if p == nil || p.state == arrived || at < p.at {
			return
		}
		if !e.told || int16(seq-e.highest) > 0 {
			e.told, e.highest = true, seq
		}
		if !came {
			if p.state != missing && p.probe == 0 {
				total, lost = total+1, lost+1
			}
			p.state = missing
			return
		}
		if p.probe == 0 {
			total++
			if p.state == missing {
				// It was only late.
				total, lost = total-1, lost-1
			}
			e.delay.add(p.at, arrival)
		}
		if p.state != assumed {
			e.ackedBy.add(arrival, int(p.size))
		}
		p.state = arrived
		newest = max(newest, p.at)
		e.probe.came(p, arrival)
		if p.at >= e.lastSent {
			e.lastSent, e.lastCame = p.at, arrival
		}
	})
	e.lastFeed = at
	e.awaiting = 0
	if newest >= 0 {
		e.measureRTT(float64(at - newest))
	}
	e.update(lost, total, at)
}

// assume counts packets of which no feedback tells, because a message was lost or comes later, as arrived in between: else it would look as
// though less had.
func (e *Estimator) assume(until uint16) {
	if !e.told || int16(until-e.highest) <= 1 {
		return
	}
	for n := e.highest + 1; n != until; n++ {
		if p := e.sent.find(n); p != nil && p.state == pending {
			p.state = assumed
			e.ackedBy.add(e.lastCame+max(p.at-e.lastSent, 0), int(p.size))
		}
	}
}

// measureRTT takes how long ago the newest packet was sent that feedback tells of. That holds the peer's delay, too.
func (e *Estimator) measureRTT(sample float64) {
	sample = min(sample, 2_000_000)
	if sample < e.rtt {
		e.rtt += (sample - e.rtt) / 4
	} else {
		e.rtt += (sample - e.rtt) / 16
	}
}

// update moves the estimate after feedback.
func (e *Estimator) update(lost, total int, at int64) {
	acked, ok := e.ackedBy.rate(e.lastCame, ackedOver, leastOver)
	if !ok {
		acked = 0
	}
	sent, _ := e.sentBy.rate(e.lastSent, ackedOver, leastOver)
	s := state{
		at: at, signal: e.delay.signal(), acked: acked, sent: sent, rtt: e.rtt,
		probed: e.probe.recently(at), standing: e.delay.standing(),
	}
	e.loss.add(lost, total, e.current(), s)
	e.aimd.update(s, e.loss.most)
	if found := e.probe.result(at); found > 0 && e.loss.calm() && s.signal != overuse {
		e.aimd.found(found, at)
		e.loss.found(found)
	}
	e.clamp()
}

// Lost takes a receiver report of a peer that gives no other feedback: how much of what was sent is lost, from 0 to 1.
func (e *Estimator) Lost(fraction float64, at int64) {
	if e.lastFeed != 0 && at-e.lastFeed < recentFeedback {
		return
	}
	e.awaiting = 0
	sent, ok := e.sentBy.rate(at, 1_000_000, 500_000)
	if !ok || !(fraction >= 0 && fraction <= 1) {
		return
	}
	switch current := e.aimd.rate; {
	case fraction > highLoss:
		e.aimd.rate = current * (1 - fraction/2)
	case fraction < lowLoss && current < sent*3/2+10_000:
		e.aimd.rate = current*1.08 + 1000
	}
	e.clamp()
}

func (e *Estimator) current() float64 { return min(e.aimd.rate, e.loss.most) }

func (e *Estimator) clamp() {
	e.aimd.rate = min(max(e.aimd.rate, float64(e.limits.Least)), float64(e.limits.Most))
}

// Estimate is how many bits per second can be sent.
func (e *Estimator) Estimate() int {
	return min(max(int(e.current()), e.limits.Least), e.limits.Most)
}

// ProbeDue tells whether something is to be sent now besides what is sent anyway, to find out whether more comes through: how many
// bytes, in any packets that are numbered and told to Sent, and at which rate the probe runs in bits per second. It is to be called every 5 ms
// or so as long as the peer is connected, also to notice that feedback fails to come.
func (e *Estimator) ProbeDue(at int64) (rate, bytes int) {
	e.notice(at)
	if !e.probe.running() {
		due := e.told && e.loss.calm() && e.delay.signal() != overuse && at-e.aimd.lastDecrease > probeAfterDecrease
		e.probe.begin(at, e.current(), min(e.want*5/4, float64(e.limits.Most)), due || e.lastFeed == 0 && e.awaiting != 0)
	}
	return e.probe.due(at)
}

// Probing is whether a probe runs.
func (e *Estimator) Probing() bool { return e.probe.running() }

// notice halves the estimate when feedback was given, and fails to come for what was sent since: nothing arrives.
func (e *Estimator) notice(at int64) {
	if e.lastFeed == 0 || e.awaiting == 0 || at-e.awaiting < silentFor+int64(e.rtt) {
		return
	}
	e.awaiting = at
	e.aimd.rate = e.current() / 2
	e.aimd.lastDecrease = at
	e.probe.cancel(at)
	e.clamp()
}
