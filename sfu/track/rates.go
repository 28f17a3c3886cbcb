package track

import (
	"sync"

	"causeway/sfu/buffer"
	"causeway/sfu/codec"
)

const (
	rateWindow = 1_000_000 // over which bitrates are measured, in microseconds
	rateSlots  = 10
)

// rates measures how much comes of each layer of a stream.
type rates struct {
	mu   sync.Mutex // guards what follows
	slot [rateSlots]came
	at   int64 // the number of the newest slot
	last [codec.MaxSpatial]struct {
		ts    uint32 // of the newest frame
		known bool
	}
}

// came is what has come in a slot, by spatial and temporal layer.
type came [codec.MaxSpatial][codec.MaxTemporal]struct{ bytes, frames int32 }

func (r *rates) add(p *buffer.Packet, size int) {
	f := &p.Frame
	if f.Spatial >= codec.MaxSpatial || f.Temporal >= codec.MaxTemporal {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(p.At)
	c := &r.slot[r.at%rateSlots][f.Spatial][f.Temporal]
	c.bytes += int32(size)
	last := &r.last[f.Spatial]
	if ahead := int32(p.TS - last.ts); !last.known || ahead > 0 || ahead < -anew { // not what comes late
		last.ts, last.known = p.TS, true
		c.frames++
	}
}

// anew is how far behind a frame is that begins the clock anew, in ticks of 90 kHz.
const anew = 10 * 90_000

// turn empties the slots that have passed.
func (r *rates) turn(at int64) {
	n := at / (rateWindow / rateSlots)
	if n-r.at >= rateSlots {
		r.slot = [rateSlots]came{}
	} else {
		for i := r.at + 1; i <= n; i++ {
			r.slot[i%rateSlots] = came{}
		}
	}
	r.at = max(r.at, n)
}

// sums gives the bits per second of each layer with all that it depends on.
func (r *rates) sums(at int64) (bits byLayer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(at)
	for i := range r.slot {
		for s := range bits {
			for t := range bits[s] {
				bits[s][t] += int(r.slot[i][s][t].bytes) * 8 * (1_000_000 / rateWindow)
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

// frames gives the frames per second of each layer with the temporal layers below it, of the slots that are full.
func (r *rates) frames(at int64) (frames byLayer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(at)
	for s := range frames {
		for t := range frames[s] {
			if t > 0 {
				frames[s][t] = frames[s][t-1]
			}
			for i := range r.slot {
				if int64(i) != r.at%rateSlots {
					frames[s][t] += int(r.slot[i][s][t].frames)
				}
			}
		}
	}
	for s := range frames {
		for t := range frames[s] {
			frames[s][t] = frames[s][t] * 1_000_000 * rateSlots / rateWindow / (rateSlots - 1)
		}
	}
	return frames
}
