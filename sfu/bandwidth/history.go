package bandwidth

const (
	leastHistory = 256
	mostHistory  = 8192
	// historyFor is how long what was sent is kept, if there is room.
	historyFor = 2_000_000
)

// What is known of a packet that was sent.
const (
	unused = iota
	pending
	assumed // there was no feedback
	missing // feedback said that it had not come
	arrived
)

// outgoing is a packet that was sent.
type outgoing struct {
	at    int64
	seq   uint16
	size  uint16
	probe uint8 // the probe that it belongs to; 0 for none
	state uint8
}

// history are the packets that were sent last, by number. It grows as far as is needed to keep them until feedback comes.
type history struct {
	packets []outgoing
}

func (h *history) init() { h.packets = make([]outgoing, leastHistory) }

func (h *history) put(p outgoing) {
	p.state = pending
	at := &h.packets[int(p.seq)&(len(h.packets)-1)]
	if at.state != unused && at.state != arrived && p.at-at.at < historyFor && len(h.packets) < mostHistory {
		h.grow()
		at = &h.packets[int(p.seq)&(len(h.packets)-1)]
	}
	*at = p
}

func (h *history) grow() {
	old := h.packets
	h.packets = make([]outgoing, 2*len(old))
	for _, p := range old {
		if p.state != unused {
			h.packets[int(p.seq)&(len(h.packets)-1)] = p
		}
	}
}

// find gives a packet, or nil when it is not kept.
func (h *history) find(seq uint16) *outgoing {
	p := &h.packets[int(seq)&(len(h.packets)-1)]
	if p.state == unused || p.seq != seq {
		return nil
	}
	return p
}

const (
	meterSlot  = 25_000 // microseconds
	meterSlots = 64
)

// meter measures how much goes by.
type meter struct {
	bytes  [meterSlots]int32
	newest int64 // the number of the newest slot
	first  int64 // when it began, or began again after a silence
	any    bool
}

func (m *meter) add(at int64, size int) {
	n := at / meterSlot
	switch {
	case !m.any || n-m.newest >= meterSlots || m.newest-n >= meterSlots:
		*m = meter{newest: n, first: at, any: true} // after a silence, or with another clock
	case n > m.newest:
		for i := m.newest + 1; i <= n; i++ {
			m.bytes[i%meterSlots] = 0
		}
		m.newest = n
	}
	m.bytes[n%meterSlots] += int32(size)
}

// rate gives the bits per second over a time that ends at end, and whether it has been measured for at least a time.
func (m *meter) rate(end, over, least int64) (float64, bool) {
	if !m.any {
		return 0, false
	}
	from := max(end-over, m.first)
	last := end / meterSlot
	first := from / meterSlot
	if end-from < least || last-m.newest >= meterSlots || first < m.newest-meterSlots+1 {
		return 0, false
	}
	sum := 0
	for i := first; i <= min(last, m.newest); i++ {
		sum += int(m.bytes[i%meterSlots])
	}
	start := max(first*meterSlot, m.first)
	return float64(sum) * 8 * 1e6 / float64(end-start), true
}
