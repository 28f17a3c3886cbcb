package turn

import (
	"net/netip"
	"sync"
	"time"
)

// maxVisitors bounds how many addresses are known at a time. Those beyond share one bucket.
const maxVisitors = 1 << 16

// visitors are the addresses from which requests and connections come. Those of IPv6 count by the network that a customer has.
type visitors struct {
	limits Limits

	mu     sync.Mutex // guards what follows
	asking map[netip.Addr]*bucket
	others bucket
	alone  map[netip.Addr]int // connections without an allocation
}

// together is how many requests more than one address all those may make that are not known.
const together = 10

func newVisitors(limits Limits) *visitors {
	rate := float64(limits.Requests * together)
	return &visitors{limits: limits, asking: map[netip.Addr]*bucket{}, alone: map[netip.Addr]int{}, others: newBucket(rate, rate, time.Time{})}
}

// household is by what an address counts.
func household(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// mayAsk counts a request.
func (v *visitors) mayAsk(addr netip.Addr, now time.Time) bool {
	who := household(addr)
	v.mu.Lock()
	b := v.asking[who]
	if b == nil {
		if len(v.asking) >= maxVisitors {
			b = &v.others
		} else {
			made := newBucket(float64(v.limits.Requests), float64(4*v.limits.Requests), now)
			b = &made
			v.asking[who] = b
		}
	}
	v.mu.Unlock()
	return b.take(1, now)
}

// tidy forgets those who have not asked for a while.
func (v *visitors) tidy(now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for who, b := range v.asking {
		if b.isFull(now) {
			delete(v.asking, who)
		}
	}
}

// come counts a connection, if there may be another one.
func (v *visitors) come(addr netip.Addr) bool {
	who := household(addr)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.alone[who] >= v.limits.AddressConnections {
		return false
	}
	v.alone[who]++
	return true
}

// leave uncounts one: it has an allocation now, or is gone.
func (v *visitors) leave(addr netip.Addr) {
	who := household(addr)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.alone[who]--; v.alone[who] <= 0 {
		delete(v.alone, who)
	}
}

// back counts one whose allocation has ended. It is there already, so it is not refused: its time is short.
func (v *visitors) back(addr netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.alone[household(addr)]++
}
