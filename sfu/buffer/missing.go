package buffer

// How lost packets are asked for.
const (
	// maxMissing is how many packets are waited for at once. When more are lost, a key frame is cheaper.
	maxMissing = 256
	// maxAsked is how often one packet is asked for.
	maxAsked = 8
	// firstAsk is how long a packet may be late before it is asked for, in microseconds.
	firstAsk = 5_000
	// leastRTT and mostRTT bound the time until a packet is asked for again, in microseconds.
	leastRTT = 20_000
	mostRTT  = 400_000
)

// Missing are the packets of a stream that have not come.
type Missing struct {
	started bool
	newest  uint16
	waiting []gap
	asked   int // how many were asked for, in all
	found   int // how many of them came
}

type gap struct {
	seq   uint16
	since int64 // microseconds
	next  int64 // when it is asked for, in microseconds
	tries int
}

// Came counts a packet that came at a time in microseconds. Overflow is whether so many are lost that the rest will not be asked for: the
// stream needs a key frame.
func (m *Missing) Came(seq uint16, at int64) (overflow bool) {
	if !m.started {
		m.started, m.newest = true, seq
		return false
	}
	ahead := int16(seq - m.newest)
	if ahead <= 0 {
		m.drop(seq)
		return false
	}
	if ahead > maxMissing {
		m.waiting, m.newest = m.waiting[:0], seq
		return true
	}
	for n := m.newest + 1; n != seq; n++ {
		m.waiting = append(m.waiting, gap{seq: n, since: at, next: at + firstAsk})
	}
	m.newest = seq
	if len(m.waiting) > maxMissing {
		m.waiting = m.waiting[:0]
		return true
	}
	return false
}

func (m *Missing) drop(seq uint16) {
	for i := range m.waiting {
		if m.waiting[i].seq == seq {
			if m.waiting[i].tries > 0 {
				m.found++
			}
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			return
		}
	}
}

// Ask appends to dst the sequence numbers to ask for now, by rising number, and counts them as asked for. Times are in microseconds. lost
// are those that have been given up.
func (m *Missing) Ask(dst []uint16, now, rtt int64) (ask []uint16, lost int) {
	rtt = min(max(rtt, leastRTT), mostRTT)
	kept := m.waiting[:0]
	for _, g := range m.waiting {
		if g.next <= now {
			if g.tries >= maxAsked {
				lost++
				continue
			}
			g.tries++
			g.next = now + rtt + rtt/2*int64(g.tries-1)
			dst = append(dst, g.seq)
			m.asked++
		}
		kept = append(kept, g)
	}
	m.waiting = kept
	return dst, lost
}

// Empty is whether nothing is waited for.
func (m *Missing) Empty() bool { return len(m.waiting) == 0 }

// Counts are how many packets were asked for, and how many of those came.
func (m *Missing) Counts() (asked, found int) { return m.asked, m.found }
