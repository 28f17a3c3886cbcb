package bridges

import (
	"context"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A lane has so many events in memory and no more: those of a network that is away, or of somebody who says more than it takes, wait in the
// inbox alone, and hold up nobody in other rooms. Once one of a room has to wait there, so do all that come after it, until they have been
// taken out again.

// loadRetry is the pause after an error of the database.
const loadRetry = time.Second

// lane returns the lane of a room, which is made if need be. The caller holds mu.
func (l *lanes) lane(room id.RoomID) *lane {
	ln, running := l.rooms[room]
	if !running {
		ln = &lane{room: room, unfinished: map[id.UserID]int{}, going: map[id.EventID]id.UserID{}, wake: make(chan struct{}, 1)}
		l.rooms[room] = ln
		l.wg.Add(1)
		go l.work(ln)
	}
	return ln
}

// room says how many events more of a lane there may be in memory. The caller holds mu.
func (l *lanes) room(ln *lane) int {
	n := min(l.mostInLane-len(ln.queue), l.most-len(l.tickets))
	if len(ln.queue) == 0 {
		n = max(n, 1)
	}
	return n
}

// add makes the ticket of an event. The caller holds mu.
func (l *lanes) add(ln *lane, evt *event.Event, seq int64) *ticket {
	t := &ticket{evt: evt, about: concerns(evt), lane: ln, queued: time.Now(), left: 1, done: make(chan struct{})}
	l.tickets[evt.ID] = t
	ln.queue = append(ln.queue, t)
	ln.last = max(ln.last, seq)
	ln.ring()
	return t
}

// resume has a room's events of before the last stop be handled, before any other of that room.
func (l *lanes) resume(room id.RoomID, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lane(room).stored = count
}

// find returns the ticket of an event, nil when it has none, and whether it waits in the inbox until its turn comes.
func (l *lanes) find(evt *event.Event, seq int64) (t *ticket, stored bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.rooms[evt.RoomID]
	return l.tickets[evt.ID], ln != nil && ln.stored > 0 && seq > ln.last
}

// load queues the next events of a lane that wait in the inbox. No transaction is stored meanwhile.
func (l *lanes) load(ln *lane) error {
	l.b.txnMu.Lock()
	defer l.b.txnMu.Unlock()
	l.mu.Lock()
	after, limit := ln.last, max(l.room(ln), 0)
	l.mu.Unlock()
	letters, err := l.b.inbox.ofRoom(l.ctx, ln.room, after, limit+1)
	if err != nil {
		return err
	}
	more := len(letters) > limit
	letters = letters[:min(limit, len(letters))]
	events := make([]*event.Event, len(letters))
	for n, one := range letters {
		if events[n], err = parseEvent(one.Raw); err == nil {
			continue
		}
		// It was one when it came: this version reads it in another way.
		l.b.log.Warn().Err(err).Stringer("event_id", one.ID).Msg("drop an event of the inbox")
		if err := l.b.inbox.done(context.WithoutCancel(l.ctx), one.ID); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, one := range letters {
		ln.last = max(ln.last, one.seq)
		if events[n] != nil && l.tickets[one.ID] == nil {
			l.add(ln, events[n], one.seq)
		}
	}
	if more {
		ln.stored = max(ln.stored-len(letters), 1)
	} else {
		ln.stored = 0
	}
	return nil
}

// waiting counts the events on their way, and those that wait in the inbox.
func (l *lanes) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := len(l.tickets)
	for _, ln := range l.rooms {
		count += ln.stored
	}
	return count
}
