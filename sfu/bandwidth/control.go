package bandwidth

import "math"

// state is what is known when feedback has come.
type state struct {
	at          int64
	signal      signal
	standing    int64
	acked, sent float64 // bits per second; 0 when it is not known
	rtt         float64 // microseconds
	probed      bool    // there was a probe just now, so that acked and sent are no steady rates
}

const (
	decreaseTo = 0.85
	// growth is how much the rate grows in a second, far from what is known to be too much.
	growth = 1.08
	// mostStanding is which queue is not put up with even if it does not grow, in microseconds.
	mostStanding = 200_000
	// emptyWithin is how long it may take until it has gone.
	emptyWithin = 1_500_000
	// reactEvery is how long a decrease is given to show, besides a round trip.
	reactEvery = 150_000
)

// control is the rate by delay: additive or multiplicative increase, multiplicative decrease. The draft, section 5.5.
type control struct {
	rate         float64
	holding      bool
	updated      int64
	lastDecrease int64
	capacity     capacity
}

// update moves the rate. Where another limit is below it, it grows from there only.
func (c *control) update(s state, other float64) {
	since := s.at - c.updated
	c.updated = s.at
	switch {
	case s.signal == overuse, s.standing > mostStanding && (s.signal != underuse || c.rate > s.acked):
		c.decrease(s)
	case s.signal == underuse:
		c.holding = true // the queue empties: wait for that
	case c.holding:
		c.holding = false
	case c.rate < other*1.5:
		c.increase(s, min(since, 1_000_000))
	}
}

// decrease goes below what arrives. Where little is sent, though, what arrives says little of what could.
func (c *control) decrease(s state) {
	c.holding = true
	if s.at-c.lastDecrease < int64(s.rtt)+reactEvery && c.lastDecrease != 0 && c.rate/2 < s.acked {
		return
	}
	c.lastDecrease = s.at
	part := decreaseTo
	if s.standing > mostStanding {
		part = max(1-float64(s.standing)/emptyWithin, 0.5) // what stands in the queue has to go, too
	}
	to := part * c.rate
	if s.acked > 0 {
		arrives := s.sent > 0 && s.acked > 0.9*s.sent
		if by := part * s.acked; !arrives && !s.probed || by > to {
			to = by
		}
		c.capacity.saw(s.acked)
	}
	c.rate = min(c.rate, to)
}

func (c *control) increase(s state, since int64) {
	if s.acked > 0 && c.rate > 1.5*s.acked+10_000 {
		return // there is no evidence that more would arrive
	}
	if s.acked == 0 {
		return
	}
	if c.capacity.below(s.acked) {
		c.capacity = capacity{}
	}
	seconds := float64(since) / 1e6
	if c.capacity.near(c.rate) {
		// A packet in each time that it takes to notice.
		response := (s.rtt + 100_000) / 1e6
		c.rate += max(4000, 1200*8/response) * seconds
	} else {
		c.rate = max(c.rate*math.Pow(growth, seconds), c.rate+1000*seconds)
	}
}

// found takes what a probe has found to arrive.
func (c *control) found(rate float64, at int64) {
	if rate > c.rate {
		c.rate, c.holding, c.updated = rate, false, at
		if c.capacity.below(rate) {
			c.capacity = capacity{}
		}
	}
}

// capacity is how much arrived when it was too much.
type capacity struct {
	mean, deviation float64 // kbit/s
}

func (c *capacity) saw(rate float64) {
	k := rate / 1000
	if c.mean == 0 || math.Abs(k-c.mean) > c.width() {
		*c = capacity{mean: k, deviation: 0.4}
		return
	}
	c.mean += 0.05 * (k - c.mean)
	off := c.mean - k
	c.deviation = min(max(0.95*c.deviation+0.05*off*off/max(c.mean, 1), 0.4), 2.5)
}

func (c *capacity) width() float64 { return 3 * math.Sqrt(c.deviation*c.mean) }

// below is whether a rate shows that the capacity is larger.
func (c *capacity) below(rate float64) bool { return c.mean != 0 && rate/1000 > c.mean+c.width() }

// near is whether a rate is so near that it grows slowly from there.
func (c *capacity) near(rate float64) bool { return c.mean != 0 && rate/1000 > c.mean-c.width() }

const (
	lowLoss  = 0.02
	highLoss = 0.10
	// lossOver is over how many packets and how long loss is measured.
	lossPackets = 20
	lossOver    = 200_000
	lossAtMost  = 1_000_000
)

// losses is the rate by loss. The draft, section 6.
type losses struct {
	most        float64 // infinite where loss is no limit
	lost, total int
	since       int64
	last        float64
}

func (l *losses) init() { l.most = math.Inf(1) }

// calm is whether little enough is lost to try more.
func (l *losses) calm() bool { return l.last <= highLoss }

func (l *losses) found(rate float64) { l.most = max(l.most, rate) }

// add counts what was lost of what was sent, and moves the rate.
func (l *losses) add(lost, total int, current float64, s state) {
	l.lost, l.total = l.lost+lost, l.total+total
	over := s.at - l.since
	if over < max(lossOver, int64(s.rtt)) || l.total < lossPackets && over < lossAtMost {
		return
	}
	if l.total > 0 {
		p := max(float64(l.lost)/float64(l.total), 0)
		l.last = p
		switch {
		case p > highLoss:
			// Where much is lost, what arrives tells at once what does.
			to := current * (1 - p/2)
			if !s.probed {
				to = max(to, min(0.95*s.acked, current))
			}
			l.most = to
		case p >= lowLoss:
			l.most = min(l.most, current)
		default:
			if l.most = l.most*1.05 + 1000; l.most > 2*current {
				l.most = math.Inf(1)
			}
		}
	}
	l.lost, l.total, l.since = 0, 0, s.at
}
