package bandwidth

const (
	probeFor     = 50_000 // how long a probe is, in microseconds
	probeBytes   = 5000   // how long at least, in bytes
	probePackets = 5      // and in packets
	// probeWithin is how long the bytes of a probe may take to be sent, and the feedback on it to come.
	probeWithin = 1_000_000
	// probeEvery is how long it takes until another probe is sent, doubled each time when there was nothing to find, up to probeRarely.
	probeEvery  = 2_000_000
	probeRarely = 8_000_000
	// probeAfterDecrease is how long the rate has to have been fine.
	probeAfterDecrease = 2_000_000
	// probeAside is for how long after a probe rates are not steady.
	probeAside = 500_000
)

// prober finds out by short bursts whether more arrives than is sent.
type prober struct {
	number  uint8 // of the last probe; never 0
	sending bool
	waiting bool
	any     bool
	next    int64 // when the next may begin
	wait    int64 // between that and the one after it
	goal    float64
	failure float64 // the goal of the last probe that found nothing
	bytes   int     // to be sent
	began   int64
	ended   int64

	out measured // by our clock
	in  measured // by the peer's
}

// measured is a run of packets: the rate is that of all but one of them, over the time between the first and the last.
type measured struct {
	packets, bytes int
	first, last    int64
	firstSize      int
	lastSize       int
}

func (m *measured) add(at int64, size int) {
	if m.packets == 0 || at < m.first {
		m.first, m.firstSize = at, size
	}
	if m.packets == 0 || at >= m.last {
		m.last, m.lastSize = at, size
	}
	m.packets++
	m.bytes += size
}

func (m *measured) rate(without int) float64 {
	return float64(m.bytes-without) * 8 * 1e6 / float64(max(m.last-m.first, 1))
}

func (p *prober) running() bool { return p.sending }

// recently is whether a probe was sent just now.
func (p *prober) recently(at int64) bool {
	return p.any && (p.sending || p.waiting || at-p.ended < probeAside)
}

// begin begins a probe if it is time for one, and there is more to find than the estimate, up to most.
func (p *prober) begin(at int64, estimate, most float64, due bool) {
	if p.waiting && at-p.began > 2*probeWithin {
		p.failed(at)
	}
	if p.wait > probeEvery && estimate < p.failure/4 {
		// Where nothing was to be found, much was sent; now there may be.
		p.wait, p.next = probeEvery, min(p.next, at+probeEvery)
	}
	if p.waiting || !due || at < p.next || estimate*1.05 >= most {
		return
	}
	factor := 2.0
	if !p.any {
		factor = 3
	}
	p.goal = min(factor*estimate, most)
	if p.number++; p.number == 0 {
		p.number = 1
	}
	p.bytes = max(int(p.goal*probeFor/8e6), probeBytes)
	p.any, p.sending, p.began, p.ended = true, true, at, at
	p.out, p.in = measured{}, measured{}
	if p.wait == 0 {
		p.wait = probeEvery
	}
}

// due gives at which rate a probe runs, and how many bytes it lacks now.
func (p *prober) due(at int64) (rate, bytes int) {
	if !p.sending {
		return 0, 0
	}
	if at-p.began > probeWithin {
		p.failed(at)
		return 0, 0
	}
	// What is due until the next time this is asked is sent ahead.
	should := min(int(p.goal*float64(at-p.began+burst)/8e6), p.bytes)
	return int(p.goal), max(should-p.out.bytes, 0)
}

// sent counts a packet, and gives the number of the probe that it is a part of.
func (p *prober) sent(size int, at int64) uint8 {
	if !p.sending {
		return 0
	}
	p.out.add(at, size)
	if p.out.bytes >= p.bytes && p.out.packets >= probePackets {
		p.sending, p.waiting, p.ended = false, true, at
	}
	return p.number
}

// came counts a packet that has arrived.
func (p *prober) came(o *outgoing, arrival int64) {
	if o.probe != 0 && o.probe == p.number && (p.sending || p.waiting) {
		p.in.add(arrival, int(o.size))
	}
}

// result gives the rate that was found once all of it, or nearly, has come; before, and when nothing was found, it is 0.
func (p *prober) result(at int64) float64 {
	if !p.waiting || p.in.packets < probePackets || p.in.bytes*10 < p.out.bytes*8 {
		return 0
	}
	p.waiting = false
	out, in := p.out.rate(p.out.lastSize), p.in.rate(p.in.firstSize)
	found := min(out, in)
	if in < 0.9*out {
		found = 0.9 * in // all that there is
	}
	if found > 0.7*p.goal {
		p.wait, p.next = probeEvery, at
	} else {
		p.failed(at)
	}
	return found
}

func (p *prober) failed(at int64) {
	p.sending, p.waiting = false, false
	p.next, p.failure = at+p.wait, p.goal
	p.wait = min(2*p.wait, probeRarely)
}

// cancel ends a probe, and begins to wait from the shortest time.
func (p *prober) cancel(at int64) {
	p.sending, p.waiting, p.wait = false, false, probeEvery
	p.next = at + probeEvery
}
