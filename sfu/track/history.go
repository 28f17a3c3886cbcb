package track

const (
	videoHistory = 512
	audioHistory = 64
)

// entry is a packet that was sent: which it was, and with which numbers.
type entry struct {
	out, in uint16
	ts      uint32
	picture uint16
	layer   uint8
	tl0     uint8
	keyIdx  uint8
	repeats uint8
	again   uint16 // when it was sent again last, in milliseconds, as far as 16 bits go
	marker  bool
	used    bool
	empty   bool // there was nothing in it
}

// history are the last packets that were sent, by their number.
type history struct {
	entries []entry
}

func newHistory(size int) history { return history{entries: make([]entry, size)} }

func (h *history) add(e entry) {
	e.used = true
	h.entries[int(e.out)%len(h.entries)] = e
}

func (h *history) find(out uint16) *entry {
	e := &h.entries[int(out)%len(h.entries)]
	if !e.used || e.out != out {
		return nil
	}
	return e
}
