package irc

import (
	"sync/atomic"
	"time"
)

const (
	// markAfter is how long after a line its confirmation begins.
	markAfter = 100 * time.Millisecond
	// markTimeout is how long a mark may be on its way before another is sent: a lane that was full may have lost it, or stand still. For
	// one that does, nothing is kept any longer: the holder would read no further, and with it stood all else that the connection is for.
	markTimeout = putWait
)

// markItem goes through lanes.
type markItem struct {
	stopItem
	left   atomic.Int64
	done   func()
	before uint64          // keeping.marked without it
	lanes  map[*lane]int64 // it was put into, and what they had taken then
}

func (m *markItem) passed() {
	if m.left.Add(-1) == 0 {
		m.done()
	}
}

// markTick has a mark sent when that is due, and the one before has come through, or will not.
func (c *client) markTick(now time.Time) {
	k := &c.keeping
	if !k.held || k.markDue.IsZero() || now.Before(k.markDue) {
		return
	}
	if k.pending != nil && k.pending.left.Load() > 0 {
		if now.Sub(k.sentAt) < markTimeout {
			k.markDue = now.Add(markAfter)
			return
		}
		k.passBy()
	}
	k.markDue = time.Time{}
	c.mark(now)
}

// passBy notes which lanes have not gone on since the last mark, so that the next one does without them.
func (k *keeping) passBy() {
	k.marked = k.pending.before
	for l, taken := range k.pending.lanes {
		if l.taken.Load() == taken {
			if k.still == nil {
				k.still = map[*lane]int64{}
			}
			k.still[l] = taken
		}
	}
}

// mark sends a mark through all lanes that what was heard may be in.
func (c *client) mark(now time.Time) {
	k := &c.keeping
	safe, leads := c.standings()
	if safe <= k.marked {
		if k.handled > k.marked {
			k.markDue = now.Add(time.Second)
		}
		return
	}
	conn := k.conn
	item := &markItem{done: func() { _ = conn.Confirm(safe, leads) }, before: k.marked, lanes: map[*lane]int64{}}
	for _, m := range c.channels {
		l := m.ch.lane
		taken := l.taken.Load()
		if at, still := k.still[l]; still && at == taken {
			continue
		}
		delete(k.still, l)
		item.lanes[l] = taken
	}
	k.pending, k.sentAt, k.marked = item, now, safe
	item.left.Store(int64(len(item.lanes)) + 1)
	for l := range item.lanes {
		l.put(item) // also past what waits for the history
	}
	item.passed()
	if item.left.Load() > 0 {
		k.markDue = now.Add(markTimeout) // to look after it
	}
}
