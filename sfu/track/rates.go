package track

import (
	"sync"

	"causeway/sfu/codec"
)

const (
	rateWindow = 1_000_000 // over which bitrates are measured, in microseconds
	rateSlots  = 10
)

// rates measures how much comes of each layer of a stream.
type rates struct {
	mu   sync.Mutex // guards what follows
	slot [rateSlots][codec.MaxSpatial][codec.MaxTemporal]int
	at   int64 // the number of the newest slot
}

func (r *rates) add(s, t, size int, at int64) {
	if s >= codec.MaxSpatial || t >= codec.MaxTemporal {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(at)
	r.slot[r.at%rateSlots][s][t] += size
}

// turn empties the slots that have passed.
func (r *rates) turn(at int64) {
	n := at / (rateWindow / rateSlots)
	if n-r.at >= rateSlots {
		r.slot = [rateSlots][codec.MaxSpatial][codec.MaxTemporal]int{}
	} else {
		for i := r.at + 1; i <= n; i++ {
			r.slot[i%rateSlots] = [codec.MaxSpatial][codec.MaxTemporal]int{}
		}
	}
	r.at = max(r.at, n)
}

// sums gives the bits per second of each layer with all that it depends on.
func (r *rates) sums(at int64) (bits [codec.MaxSpatial][codec.MaxTemporal]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(at)
	for i := range r.slot {
		for s := range bits {
			for t := range bits[s] {
				bits[s][t] += r.slot[i][s][t] * 8 * (1_000_000 / rateWindow)
			}
		}
	}
	for s := range bits {
		for t := 1; t < codec.MaxTemporal; t++ {
			bits[s][t] += bits[s][t-1]
		}
		if s > 0 {
			for t := range bits[s] {
				if bits[s][t] > 0 {
					bits[s][t] += bits[s-1][t]
				}
			}
		}
	}
	return bits
}
