package irc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix/id"
)

const (
	// laneBuffer is the number of items of a channel that its lane has room for always.
	laneBuffer = 64
	// laneBacklog is the number of items that may wait besides. When there are more, the connection that leads the channel is not
	// read until there is room, or for putWait. It is some megabytes.
	laneBacklog = 4096
	// maxLaneBacklog is what may wait when more comes with one line: what was held while the history was fetched, or the ring of
	// who leads from now on.
	maxLaneBacklog = laneBacklog + 2*maxHeld + maxRing
	// putWait is how long a room that takes nothing may hold up the other channels of its leader, before lines are
	// lost: a homeserver may be slow for a while, and IRC servers wait longer than this for a PONG.
	putWait = 30 * time.Second
	// crowdedPoll is how often a connection that waits for a room looks whether there is room.
	crowdedPoll = 50 * time.Millisecond
)

// laneQueue is what waits for a lane beyond its buffer.
//
// Nobody waits in put, because who puts something in holds the lock of the channel, which all our connections to it take for each
// line: they would stand still with it, and with them what confirms the messages of their users, so that a room that is slow
// to take what is said on IRC would let nothing through to IRC either. Instead the one connection whose lines it is that
// are delivered, the leader, stops reading while there is too much (wires), without any lock; it goes on writing. The other ones read on,
// since what they see of the channel is only compared, as long as they are not so far ahead that they would have to lead. What comes
// in is bounded by that, and the server's own flow control.
type laneQueue struct {
	mu      sync.Mutex // guards items, and the order of what enters the lane
	items   []item
	crowded atomic.Bool  // there are laneBacklog items or more
	moved   atomic.Int64 // when the lane has last taken something, or the first item came, ms
}

// put queues an item. It never waits. When more waits than may, or nothing has been delivered for putWait and there is still no room, an item
// is lost, which deliver makes known; only who has to be removed from the room is kept. After the lane has ended it does nothing.
func (l *lane) put(it item) {
	_, kick := it.(kickItem)
	if !l.enqueue(it, kick) {
		l.lost.Add(1)
	}
}

// insist queues an item however many there are.
func (l *lane) insist(it item) { l.enqueue(it, true) }

func (l *lane) enqueue(it item, always bool) bool {
	select {
	case <-l.done:
		return true
	default:
	}
	q := &l.overflow
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		select {
		case l.items <- it:
			return true
		default:
		}
		q.moved.Store(time.Now().UnixMilli())
	}
	full := len(q.items) >= maxLaneBacklog || l.stuck.Load() && len(q.items) >= laneBacklog
	if full && !always {
		return false
	}
	if kick, ok := it.(kickItem); ok && full && q.removes(kick.user) {
		return true
	}
	q.items = append(q.items, it)
	q.crowded.Store(len(q.items) >= laneBacklog)
	return true
}

// removes reports whether the removal of somebody waits already; the caller holds mu.
func (q *laneQueue) removes(user id.UserID) bool {
	return slices.ContainsFunc(q.items, func(it item) bool {
		kick, ok := it.(kickItem)
		return ok && kick.user == user
	})
}

// refill moves what waits into the buffer, from which something was taken.
func (l *lane) refill() {
	q := &l.overflow
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 {
		select {
		case l.items <- q.items[0]:
		default:
			return
		}
		q.items[0] = nil
		q.items = q.items[1:]
		q.crowded.Store(len(q.items) >= laneBacklog)
		q.moved.Store(time.Now().UnixMilli())
	}
	q.items = nil
}

// holdsUp reports whether who leads the channel should not read on. It does so until nothing has moved for putWait.
func (l *lane) holdsUp(now time.Time) bool {
	if !l.overflow.crowded.Load() || l.stuck.Load() {
		return false
	}
	if now.Sub(time.UnixMilli(l.overflow.moved.Load())) < putWait {
		return true
	}
	if l.stuck.CompareAndSwap(false, true) {
		l.log.Error().Msg("the room takes nothing, lines are lost")
	}
	return false
}

// heldUp reports whether a room is too slow for a channel that we lead, or are so far ahead in that we would have to.
func (c *client) heldUp(now time.Time) bool {
	for _, m := range c.channels {
		if m.ch.lane.overflow.crowded.Load() && m.ch.waitsFor(c) && m.ch.lane.holdsUp(now) {
			return true
		}
	}
	return false
}

// ringReserve is the room that a follower's ring has left when it stops reading: one line may be several sightings.
const ringReserve = 8

// waitsFor reports whether what a client reads next could get into the lane.
func (ch *channel) waitsFor(c *client) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.feed.leads(c) {
		return true
	}
	i := ch.feed.find(c)
	return i >= 0 && len(ch.feed.members[i].ring) > maxRing-ringReserve
}
