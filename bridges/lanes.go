package bridges

import (
	"context"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// maxUnfinished is the number of one person's events in one room that the network may hold at once
	// (Host.Defer).
	maxUnfinished = 64
	// orderWait is how long an event waits for those that other people sent before it.
	orderWait = 5 * time.Second
	// idleWait is when a lane looks again although nothing has told it to.
	idleWait = time.Hour
	// maxInLane is the number of events of one room that wait in memory, and maxWaiting that of all rooms together, but
	// for one of each. The others wait in the inbox.
	maxInLane  = 500
	maxWaiting = 10000
)

// lanes handle events: those of one room one after the other, different rooms beside each other, so that a
// slow room does not hold up the rest.
type lanes struct {
	b      *Bridge
	ctx    context.Context // ends when the bridge stops; set by start
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	rooms   map[id.RoomID]*lane
	tickets map[id.EventID]*ticket
	stopped bool

	most, mostInLane int // maxWaiting and maxInLane, but in tests
}

// lane is the queue of one room. Its worker lives while there is something in it.
type lane struct {
	room       id.RoomID
	queue      []*ticket
	unfinished map[id.UserID]int        // dispatched, held by the network; by sender
	going      map[id.EventID]id.UserID // the same by event, with their senders
	total      int                      // sum of unfinished
	last       int64                    // place in the inbox of the last event that was queued
	stored     int                      // how many are after that one in the inbox, as far as is known
	wake       chan struct{}            // of size 1: something has changed
}

// ticket is an event on its way through a lane.
type ticket struct {
	evt    *event.Event
	about  id.EventID // the event that it concerns, which it does not overtake
	asked  bool       // the network was asked whether it can still change that
	offer  bool       // it is to be asked now
	lane   *lane
	queued time.Time     // when it entered the lane
	left   int           // 1 for the handler and 1 for each hold; guarded by lanes.mu
	keep   bool          // not to be marked as handled; guarded by lanes.mu
	done   chan struct{} // closed when the event is handled and marked so, or kept for the next start
}

func newLanes(b *Bridge) *lanes {
	return &lanes{b: b, rooms: map[id.RoomID]*lane{}, tickets: map[id.EventID]*ticket{}, most: maxWaiting, mostInLane: maxInLane}
}

// start must come before push. ctx carries the logger.
func (l *lanes) start(ctx context.Context) { l.ctx, l.cancel = context.WithCancel(ctx) }

// close takes no more events and ends the workers, each after the event it is at. Events left over stay in the
// inbox.
func (l *lanes) close() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.cancel()
}

// wait waits for the workers to end after close.
func (l *lanes) wait() { l.wg.Wait() }

// push queues an event that is in the inbox, and returns its ticket: nil when it has to wait there. An event that is on its
// way already is not queued again. The caller holds txnMu.
func (l *lanes) push(evt *event.Event, seq int64) (*ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.tickets[evt.ID]; ok {
		return t, nil
	}
	if l.stopped {
		return nil, context.Canceled
	}
	ln := l.lane(evt.RoomID)
	if seq > ln.last && (ln.stored > 0 || l.room(ln) <= 0) {
		ln.stored++
		return nil, nil
	}
	return l.add(ln, evt, seq), nil
}

// ring wakes the worker; it looks again for itself.
func (ln *lane) ring() {
	select {
	case ln.wake <- struct{}{}:
	default:
	}
}

// work is the worker of one lane.
func (l *lanes) work(ln *lane) {
	defer l.wg.Done()
	for {
		t := l.next(ln)
		switch {
		case t == nil:
			return
		case t.offer:
			if l.b.changePending(l.ctx, t) {
				l.release(t)
			} else {
				l.putBack(t)
			}
			continue
		}
		l.handle(t)
		l.release(t)
	}
}

// next takes the first event of the lane that may be handled, waiting for one, or ends the lane.
func (l *lanes) next(ln *lane) *ticket {
	for {
		l.mu.Lock()
		if l.stopped {
			l.mu.Unlock()
			return nil
		}
		if ln.stored > 0 && len(ln.queue) <= l.mostInLane/2 && l.room(ln) > 0 {
			l.mu.Unlock()
			if err := l.load(ln); err != nil && l.ctx.Err() == nil {
				l.b.log.Err(err).Stringer("room_id", ln.room).Msg("take events out of the inbox")
				l.await(ln, loadRetry)
			}
			continue
		}
		at, wait := ln.choose(time.Now())
		if at >= 0 {
			t := ln.queue[at]
			ln.queue = slices.Delete(ln.queue, at, at+1)
			t.offer = !t.asked && ln.going[t.about] != ""
			t.asked = t.asked || t.offer
			ln.begin(t.evt)
			l.mu.Unlock()
			return t
		}
		// A lane whose events the network still holds stays, because it knows what the next event
		// has to wait for.
		if len(ln.queue) == 0 && ln.total == 0 && ln.stored == 0 {
			delete(l.rooms, ln.room)
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		if !l.await(ln, wait) {
			return nil
		}
	}
}

// choose returns the place in the queue of the event to be handled next, or -1 and after what time to look again.
// The network sends for each person on a connection of their own, so order between people is only kept by letting
// one person's events be finished before another's begin; that is worth orderWait and no more. Who has too much
// unfinished holds up nobody but themselves.
func (ln *lane) choose(now time.Time) (at int, wait time.Duration) {
	full := map[id.UserID]bool{}
	wait = idleWait
	for i, t := range ln.queue {
		sender := t.evt.Sender
		left := t.queued.Add(orderWait).Sub(now)
		if author := ln.going[t.about]; t.asked && author != "" && (author == sender || left > 0) {
			// What is about an unfinished event of one's own waits for it, about another's for a while.
			full[sender] = true
			if author != sender {
				wait = min(wait, left)
			}
			continue
		}
		if full[sender] || ln.unfinished[sender] >= maxUnfinished {
			full[sender] = true
			continue
		}
		ahead := ln.total
		if t.evt.StateKey == nil {
			ahead -= ln.unfinished[sender]
		}
		if ahead > 0 && left > 0 {
			return -1, min(wait, left)
		}
		return i, 0
	}
	return -1, wait
}

// begin and end count an event that is with the network.
func (ln *lane) begin(evt *event.Event) {
	ln.unfinished[evt.Sender]++
	ln.going[evt.ID] = evt.Sender
	ln.total++
}

func (ln *lane) end(evt *event.Event) {
	sender := evt.Sender
	delete(ln.going, evt.ID)
	ln.total--
	if ln.unfinished[sender]--; ln.unfinished[sender] == 0 {
		delete(ln.unfinished, sender)
	}
}

// putBack lets an event wait for the one that it is about.
func (l *lanes) putBack(t *ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.lane.end(t.evt)
	t.lane.queue = slices.Insert(t.lane.queue, 0, t)
}

// await waits until something has changed in the lane or the time is up, and reports false when the bridge stops.
func (l *lanes) await(ln *lane, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ln.wake:
		return true
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// handle gives the event to bridgev2, which returns when it has been handled, but for what is held.
func (l *lanes) handle(t *ticket) {
	if t.evt.Type.IsState() {
		mautrix.UpdateStateStore(l.ctx, l.b.conn.AS.StateStore, t.evt)
	}
	l.b.policies.see(l.ctx, t.evt)
	if l.b.policies.refuse(l.ctx, t.evt) || l.b.ignores(l.ctx, t.evt) {
		return
	}
	// Commands change the logger of their context, and run beside each other.
	log := l.b.log.With().Logger()
	gate := l.b.gates.of(t.evt.Sender)
	if l.b.changesManagementRoom(l.ctx, t.evt) {
		gate.Lock()
		defer gate.Unlock()
	} else {
		gate.RLock()
		defer gate.RUnlock()
	}
	l.b.conn.EventProcessor.Dispatch(log.WithContext(l.ctx), t.evt)
}

// hold implements Host.Defer.
func (l *lanes) hold(event id.EventID) func() {
	l.mu.Lock()
	t, ok := l.tickets[event]
	if ok {
		t.left++
	}
	l.mu.Unlock()
	if !ok {
		return func() {}
	}
	return sync.OnceFunc(func() { l.release(t) })
}

// release gives back one hold; the last one marks the event as handled.
func (l *lanes) release(t *ticket) {
	l.mu.Lock()
	t.left--
	finished, keep := t.left == 0, t.keep
	l.mu.Unlock()
	switch {
	case !finished:
		return
	case !keep:
		l.record(t)
	}
	l.mu.Lock()
	delete(l.tickets, t.evt.ID)
	t.lane.end(t.evt)
	l.mu.Unlock()
	close(t.done)
	t.lane.ring()
}

// keep leaves an event, whose handler has not returned yet, for the next start.
func (l *lanes) keep(event id.EventID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.tickets[event]; ok {
		t.keep = true
	}
}

// record marks an event as handled.
func (l *lanes) record(t *ticket) {
	// Not l.ctx: what has been handled is recorded also while the bridge stops.
	ctx := context.WithoutCancel(l.ctx)
	if err := l.b.inbox.done(ctx, t.evt.ID); err != nil {
		// It is handled again after the next start.
		l.b.log.Err(err).Stringer("event_id", t.evt.ID).Msg("record an event")
	}
}
