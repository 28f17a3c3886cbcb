package bandwidth

import "math"

const (
	// burst is how much later than the first of a group a packet may be sent to belong to it, in microseconds. The draft, section 5.2.
	burst = 5_000
	// restartAfter is after which silence measuring begins again.
	restartAfter = 2_000_000
	// standingOver is over which time the least delay is looked for that there has been, and standingNow over which that there is.
	standingOver = 20_000_000
	standingNow  = 300_000
	// anotherWay is for how long a queue is thought to stand.
	anotherWay = 4_000_000
)

// arrivals follows how much later than usual packets arrive, group by group.
//
// The draft compares when the last packet of each group arrives, which suits a sender that paces. A frame that is sent at once makes a queue
// of its own, and a large frame a longer one than a small, however little there is to send on average. So of each group that packet
// counts which had the least delay: it tells the queue that was there before.
type arrivals struct {
	trend   trend
	current group
	last    group
	started bool
	hasLast bool

	// What even the fastest packet of the last moments has waited longer than the fastest of the last times stands in a queue.
	base  lowest
	now   lowest
	since int64 // when a queue began to stand; 0 while none does
}

type group struct {
	first int64 // when its first packet was sent
	sent  int64 // when that with the least delay was sent
	came  int64 // and arrived
}

func (g *group) delay() int64 { return g.came - g.sent }

func (a *arrivals) init() {
	*a = arrivals{base: newLowest(standingOver), now: newLowest(standingNow)}
	a.trend.init()
}

// add takes a packet that was sent and has come; the two clocks are different.
func (a *arrivals) add(sent, came int64) {
	if a.started && (sent-a.current.first > restartAfter || abs(came-sent-a.current.delay()) > 10*restartAfter) {
		a.init()
	}
	a.stand(came, came-sent)
	switch {
	case !a.started:
		a.current, a.started = group{first: sent, sent: sent, came: came}, true
	case sent < a.current.first:
		return // it was late
	case sent-a.current.first <= burst:
		if came-sent < a.current.delay() {
			a.current.sent, a.current.came = sent, came
		}
	default:
		if a.hasLast {
			delta := float64(a.current.delay()-a.last.delay()) / 1000
			a.trend.add(delta, float64(a.current.first-a.last.first)/1000, float64(a.current.came)/1000)
		}
		a.last, a.hasLast = a.current, true
		a.current = group{first: sent, sent: sent, came: came}
	}
}

// stand follows the least delay. A delay that stays however little is sent is that of another way.
func (a *arrivals) stand(at, delay int64) {
	a.base.add(at, delay)
	a.now.add(at, delay)
	switch {
	case a.now.least-a.base.least <= mostStanding:
		a.since = 0
	case a.since == 0:
		a.since = at
	case at-a.since > anotherWay:
		a.base, a.since = a.now, 0
		a.base.slot = standingOver / int64(len(a.base.mins))
		a.base.at = at / a.base.slot
	}
}

func (a *arrivals) signal() signal { return a.trend.signal }

// standing is how long even the packet that was fastest lately has waited, in microseconds, as far as it can be told.
func (a *arrivals) standing() int64 {
	if !a.started {
		return 0
	}
	return a.now.least - a.base.least
}

func abs(n int64) int64 { return max(n, -n) }

// lowest is the least of the values of the last time, in eight slots.
type lowest struct {
	slot  int64 // how long a slot is
	at    int64
	least int64
	mins  [8]int64
}

func newLowest(over int64) lowest {
	l := lowest{slot: over / 8, least: math.MaxInt64}
	for i := range l.mins {
		l.mins[i] = math.MaxInt64
	}
	return l
}

func (l *lowest) add(at, value int64) {
	n := at / l.slot
	if n != l.at {
		for i := max(l.at+1, n-7); i <= n; i++ {
			l.mins[i&7] = math.MaxInt64
		}
		l.at = max(n, l.at)
	}
	l.mins[l.at&7] = min(l.mins[l.at&7], value)
	l.least = math.MaxInt64
	for _, m := range l.mins {
		l.least = min(l.least, m)
	}
}

// signal is what delays say of the way to the peer.
type signal int8

const (
	normal signal = iota
	overuse
	underuse
)

const (
	trendGroups    = 20
	trendSmoothing = 0.9
	trendGain      = 4
	// overuseFor is how long, in milliseconds, delays have to rise.
	overuseFor = 10
)

// trend is the slope of the delay over the last groups, and what it says. It is the line through the last delays, smoothed, which has taken the
// place of the draft's Kalman filter in practice; the threshold, which adapts to how much delays vary, is of the draft, section 5.4.
type trend struct {
	n        int // groups
	first    float64
	total    float64 // delay, in milliseconds
	smoothed float64
	x, y     [trendGroups]float64

	threshold float64
	updated   float64
	rising    float64 // for how long, in milliseconds
	times     int
	previous  float64
	signal    signal
}

func (t *trend) init() { *t = trend{threshold: 12.5} }

// add takes by how much a group is later than that before, how much later it was sent, and when it came, in milliseconds.
func (t *trend) add(delta, since, came float64) {
	if t.n == 0 {
		t.first = came
	}
	t.total += delta
	t.smoothed = trendSmoothing*t.smoothed + (1-trendSmoothing)*t.total
	t.x[t.n%trendGroups], t.y[t.n%trendGroups] = came-t.first, t.smoothed
	t.n++
	slope := t.previous
	if t.n >= trendGroups {
		slope = t.slope()
	}
	t.detect(slope, since, came)
}

// slope is that of the line with the least squares.
func (t *trend) slope() float64 {
	var sx, sy float64
	for i := range t.x {
		sx, sy = sx+t.x[i], sy+t.y[i]
	}
	mx, my := sx/trendGroups, sy/trendGroups
	var up, down float64
	for i := range t.x {
		up += (t.x[i] - mx) * (t.y[i] - my)
		down += (t.x[i] - mx) * (t.x[i] - mx)
	}
	if down == 0 {
		return t.previous
	}
	return up / down
}

func (t *trend) detect(slope, since, came float64) {
	if t.n < 2 {
		return
	}
	value := float64(min(t.n, 60)) * slope * trendGain
	switch {
	case value > t.threshold:
		if t.times == 0 {
			t.rising = since / 2
		} else {
			t.rising += since
		}
		t.times++
		if t.rising > overuseFor && t.times > 1 && slope >= t.previous {
			t.rising, t.times, t.signal = 0, 0, overuse
		}
	case value < -t.threshold:
		t.rising, t.times, t.signal = 0, 0, underuse
	default:
		t.rising, t.times, t.signal = 0, 0, normal
	}
	t.previous = slope
	t.adapt(math.Abs(value), came)
}

// adapt moves the threshold towards how much delays vary: quickly up, slowly down. The draft, section 5.4.
func (t *trend) adapt(value, came float64) {
	const up, down, outlier = 0.0087, 0.039, 15
	if t.updated == 0 {
		t.updated = came
	}
	if value <= t.threshold+outlier {
		k := up
		if value < t.threshold {
			k = down
		}
		t.threshold += k * (value - t.threshold) * min(max(came-t.updated, 0), 100)
		t.threshold = min(max(t.threshold, 6), 600)
	}
	t.updated = came
}
