package sender

import (
	"context"
	"sort"
	"time"

	"causeway/homeserver/store"
)

const (
	// lagAlarm is how long something has waited for a service when that is worth a warning, and lagOver how long at the most when it
	// is over.
	lagAlarm = 10 * time.Minute
	lagOver  = time.Minute
	// maxBehind bounds the events that are counted.
	maxBehind = 100_000
	// maxMarks bounds the marks of a clock.
	maxMarks = 2048
)

// streamClock knows roughly when the stream was where: what an event says of its time is its sender's word.
type streamClock struct {
	marks []mark // oldest first
}

// mark says that the stream had come to pos at a time, in milliseconds.
type mark struct{ pos, ts int64 }

// note takes down where the stream is. When there are too many marks, every other goes: what is long ago is known less well.
func (c *streamClock) note(pos, ts int64) {
	if n := len(c.marks); n > 0 && c.marks[n-1].pos >= pos {
		return
	}
	if len(c.marks) >= maxMarks {
		kept := c.marks[:0]
		for i := 0; i < len(c.marks); i += 2 {
			kept = append(kept, c.marks[i])
		}
		c.marks = kept
	}
	c.marks = append(c.marks, mark{pos, ts})
}

// passed returns when the stream was first seen to be past a position, or now when it has not been.
func (c *streamClock) passed(pos, now int64) int64 {
	i := sort.Search(len(c.marks), func(i int) bool { return c.marks[i].pos > pos })
	if i == len(c.marks) {
		return now
	}
	return c.marks[i].ts
}

// waiting returns since when the oldest of what waits for the service has been waiting, 0 when nothing waits. The stream is at end. The
// number of a transaction is the time when it was made, unless another was made in the same millisecond.
func (s *Sender) waiting(status Status, txn, end, now int64) int64 {
	var since int64
	if status.Pos < end {
		since = s.clock.passed(status.Pos, now)
	}
	if status.Pending {
		if made := min(txn, now); since == 0 || made < since {
			since = made
		}
	}
	return since
}

// Status tells how the services with a URL are doing, in no order. It is empty while Run is not running.
func (s *Sender) Status() []Status {
	end, now := s.feed.position(), time.Now().UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.running))
	for appServiceID, r := range s.running {
		all = append(all, s.statusOf(appServiceID, r, end, now))
	}
	return all
}

// statusOf returns how a service is doing. The caller holds mu.
func (s *Sender) statusOf(appServiceID string, r *run, end, now int64) Status {
	status, txn := r.health.get()
	status.ID = appServiceID
	status.OldestTS = s.waiting(status, txn, end, now)
	if status.Pos >= end {
		status.Behind = 0
	}
	return status
}

// watch measures how far each service is behind, and says so in the log when that is long, once, and once more when it is over.
func (s *Sender) watch(ctx context.Context) {
	end, now := s.feed.position(), time.Now().UnixMilli()
	s.mu.Lock()
	s.clock.note(end, now)
	behind := make(map[*run]int64)
	for _, r := range s.running {
		if status, _ := r.health.get(); status.Pos < end {
			behind[r] = status.Pos
		}
	}
	s.mu.Unlock()
	if len(behind) > 0 {
		err := s.opt.DB.View(ctx, func(tx *store.Tx) error {
			for r, pos := range behind {
				n, err := tx.EventsAfter(pos, maxBehind)
				if err != nil {
					return err
				}
				r.health.counted(n)
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			s.opt.Log.Err(err).Msg("Cannot count what waits for application services")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for appServiceID, r := range s.running {
		r.judge(s.statusOf(appServiceID, r, end, now), now)
	}
}

// judge raises the alarm, or ends it.
func (r *run) judge(status Status, now int64) {
	waited := time.Duration(0)
	if status.OldestTS != 0 {
		waited = time.Duration(now-status.OldestTS) * time.Millisecond
	}
	switch {
	case !r.alarmed && waited > lagAlarm:
		r.alarmed = true
		r.log.Warn().Stringer("waiting", waited.Round(time.Second)).Int64("events", status.Behind).Str("last_error", status.LastError).
			Msg("Application service is behind: what is meant for it waits")
	case r.alarmed && waited < lagOver:
		r.alarmed = false
		r.log.Warn().Msg("Application service has caught up")
	}
}
