package ephemeral

import (
	"context"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Run makes users idle and offline by the time that has passed, until ctx ends. It returns nil then. Users whom an earlier process has
// left online become offline unless a device of theirs syncs.
func (s *Presence) Run(ctx context.Context) error {
	defer s.close()
	if s.config.Enabled {
		if err := s.adopt(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		for _, user := range s.takeDue() {
			s.expire(ctx, user)
		}
	}
}

// retryAfter is how long after a write that did not succeed it is tried again.
const retryAfter = 10 * time.Second

// adopt takes into memory who is stored as present.
func (s *Presence) adopt(ctx context.Context) error {
	return s.db.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.PresentUsers()
		if err != nil {
			return err
		}
		for _, row := range rows {
			user, err := tx.Text(row.UserNID)
			if err != nil {
				return err
			}
			s.adoptOne(id.UserID(user), row)
		}
		return nil
	})
}

func (s *Presence) adoptOne(user id.UserID, row store.Presence) {
	s.mu.Lock()
	if s.people[user] != nil {
		s.mu.Unlock()
		return // has been heard of already
	}
	p := newPerson(user)
	p.take(row)
	p.synced = true
	s.people[user] = p
	s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.arm(p)
}

// expire does what the time that has passed does to a user.
func (s *Presence) expire(ctx context.Context, user id.UserID) {
	s.mu.Lock()
	p := s.people[user]
	s.mu.Unlock()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	to, gone := p.passed(time.Now())
	if p.loaded {
		if err := s.change(ctx, p, to); err != nil {
			logError(ctx, user, err)
			s.armAfter(p, retryAfter)
			return
		}
	}
	if !gone {
		s.arm(p)
		return
	}
	p.gone = true
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.people, user)
}

// arm sets the timer of a user. The caller holds p.mu.
func (s *Presence) arm(p *person) {
	at, ever := p.deadline()
	if !ever {
		if p.timer != nil {
			p.timer.Stop()
		}
		return
	}
	s.armAfter(p, max(0, time.Until(at)))
}

func (s *Presence) armAfter(p *person, d time.Duration) {
	if p.gone {
		return
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(d, func() { s.poke(p.user) })
		return
	}
	p.timer.Reset(d)
}

// poke has Run look at a user.
func (s *Presence) poke(user id.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.due = append(s.due, user)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Presence) takeDue() []id.UserID {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.due
	s.due = nil
	return due
}

// close ends the timers' work.
func (s *Presence) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.due = nil
}
