package room

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
)

// Bounds of the scheduler of delayed events.
const (
	maxDue          = 100 // events that are read at once
	maxDelayedRooms = 32  // rooms that are sent to at the same time
	// clockCheck is how often the clock is looked at while something is scheduled: timers stand still while the machine sleeps, and
	// know nothing of a clock that is set.
	clockCheck = 500 * time.Millisecond
	// maxSetBack is by how much the clock may fall behind between two looks at it before it counts as set back.
	maxSetBack = 2 * time.Second
	// delayedRetry is how long to wait after the database failed.
	delayedRetry = time.Second
)

// What became of delayed events is remembered for so long, and of so many of each user (MSC4140, "Retention of finalised delayed
// events").
const (
	delayedKeep    = 7 * 24 * time.Hour
	delayedKept    = 1000
	pruneDelayedIn = 10 * time.Minute
)

// lookAgain has the scheduler look at what is scheduled.
func (s *Service) lookAgain() {
	select {
	case s.wakeDelayed <- struct{}{}:
	default: // it will look
	}
}

// delayedRun is the scheduler at work. Its goroutine alone uses it, but for done.
type delayedRun struct {
	*Service
	log     *zerolog.Logger
	rooms   sync.WaitGroup
	busy    map[int64]bool // the rooms that are being sent to
	done    chan int64     // the rooms that are not any more
	nextTS  int64          // when to look again at the latest, 0 for when there is cause
	pruneAt time.Time
}

// runDelayed sends delayed events when they are due, until ctx ends. What is due is asked of the database, in which it is from the moment
// that a client is told of it; the timer is for the first that comes after.
func (s *Service) runDelayed(ctx context.Context) {
	r := &delayedRun{Service: s, log: zerolog.Ctx(ctx), busy: make(map[int64]bool), done: make(chan int64, maxDelayedRooms)}
	defer r.rooms.Wait()
	for ctx.Err() == nil {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			r.log.Error().Err(err).Msg("Delayed events cannot be read, and wait")
			r.nextTS = s.Now().Add(delayedRetry).UnixMilli()
		}
		r.sleep(ctx)
	}
}

// look starts to send what is due, and finds out when the next is.
func (r *delayedRun) look(ctx context.Context) error {
	if now := time.Now(); !now.Before(r.pruneAt) {
		r.pruneAt = now.Add(pruneDelayedIn)
		before := r.Now().Add(-delayedKeep).UnixMilli()
		if err := r.DB.Write(ctx, func(tx *store.Tx) error {
			return errors.Join(tx.PruneDelayed(before, delayedKept), tx.PruneSticky(r.Now().UnixMilli()))
		}); err != nil {
			return err
		}
	}
	now := r.Now().UnixMilli()
	var due []*DelayedEvent
	err := r.DB.View(ctx, func(tx *store.Tx) (err error) {
		if len(r.busy) < maxDelayedRooms {
			if due, err = tx.DelayedDue(now, maxDue, slices.Sorted(maps.Keys(r.busy))); err != nil {
				return err
			}
		}
		r.nextTS, err = tx.NextDelayed(now)
		return err
	})
	if err != nil {
		return err
	}
	byRoom := make(map[int64][]*DelayedEvent)
	for _, d := range due {
		byRoom[d.RoomNID] = append(byRoom[d.RoomNID], d)
	}
	for _, d := range due {
		if events := byRoom[d.RoomNID]; !r.busy[d.RoomNID] && len(r.busy) < maxDelayedRooms {
			r.busy[d.RoomNID] = true
			r.rooms.Go(func() { r.sendAll(ctx, events, now) })
		}
	}
	if len(due) == maxDue && len(r.busy) < maxDelayedRooms {
		r.nextTS = now // there may be more, in other rooms
	}
	return nil
}

// sendAll sends what is due in one room, in order.
func (r *delayedRun) sendAll(ctx context.Context, events []*DelayedEvent, dueTS int64) {
	for _, d := range events {
		err := r.sendDue(ctx, d, dueTS)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			r.log.Error().Err(err).Stringer("room_id", d.RoomID).Msg("A delayed event could not be sent, and is tried again")
			pause(ctx, delayedRetry)
			break
		}
	}
	r.done <- events[0].RoomNID // there is room for every one
}

// sleep waits until the next event is due, there is something new, or a room is done.
func (r *delayedRun) sleep(ctx context.Context) {
	for {
		lap := time.Until(r.pruneAt)
		if r.nextTS != 0 {
			lap = min(lap, clockCheck, time.Duration(r.nextTS-r.Now().UnixMilli())*time.Millisecond)
		}
		if lap <= 0 {
			return
		}
		started, wallTS := time.Now(), r.Now().UnixMilli()
		timer := time.NewTimer(lap)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.wakeDelayed:
			timer.Stop()
			return
		case room := <-r.done:
			timer.Stop()
			delete(r.busy, room)
			return
		case <-timer.C:
		}
		if r.nextTS == 0 {
			return
		}
		back := time.Since(started) - time.Duration(r.Now().UnixMilli()-wallTS)*time.Millisecond
		if back > maxSetBack {
			r.setBack(ctx, back)
			return
		}
	}
}

// setBack moves what is scheduled by as much as the clock was set back, so that it is not late by as much.
func (r *delayedRun) setBack(ctx context.Context, by time.Duration) {
	r.log.Warn().Dur("by", by).Msg("The clock was set back, and what is scheduled with it")
	err := r.DB.Write(ctx, func(tx *store.Tx) error { return tx.ShiftDelayed(-by.Milliseconds()) })
	if err != nil && ctx.Err() == nil {
		r.log.Error().Err(err).Msg("What is scheduled could not be moved")
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
