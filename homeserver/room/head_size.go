package room

import (
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"
)

// What is kept of a room takes about so many bytes of memory beyond the text that it holds, as measured.
const (
	headBytes       = 1000
	placeBytes      = 150  // of state
	eventBytes      = 1400 // with its entry, and what became of its write
	receiptBytes    = 500  // of a transaction id
	annotationBytes = 400
)

// maxPlaces and maxPlacesBytes bound the places of a room's state that are kept in memory, but for those whose events are on their way.
const (
	maxPlaces      = 1000
	maxPlacesBytes = 4 << 20
)

// trim forgets the state when there is much of it, but for what is not stored yet. The caller holds h.mu.
func (h *head) trim() {
	if len(h.state) < maxPlaces && h.places < maxPlacesBytes {
		return
	}
	for k, e := range h.state {
		if e == nil || e.outcome == nil || e.outcome.known() {
			delete(h.state, k)
			h.places -= weight(k, e)
		}
	}
}

// keep puts an event in its place of the current state, nil when there is known to be none. The caller holds h.mu.
func (h *head) keep(k eventauth.StateKey, e *entry) {
	if before, ok := h.state[k]; ok {
		h.places -= weight(k, before)
	}
	h.state[k] = e
	h.places += weight(k, e)
}

// weight is about how many bytes a place of the state takes.
func weight(k eventauth.StateKey, e *entry) int {
	w := placeBytes + len(k.Type) + len(k.Key)
	if e != nil {
		w += e.weight()
	}
	return w
}

func (e *entry) weight() int { return eventBytes + len(e.pdu.JSON()) }

func txnWeight(t store.Txn) int { return receiptBytes + len(t.Device) + len(t.ID) + len(t.Target) }

// weigh notes how much memory the head takes. The caller holds h.mu.
func (h *head) weigh() {
	n := headBytes + h.places + h.recentBytes + len(h.annotations)*annotationBytes
	for _, tip := range h.tips {
		n += tip.weight()
	}
	h.bytes.Store(int64(n))
}
