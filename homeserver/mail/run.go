package mail

import (
	"context"
	"errors"
	"sync"
	"time"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
)

// Bounds of the queue.
const (
	maxDue     = 32 // messages that are read at once
	maxSenders = 4  // conversations at the same time
	firstRetry = time.Minute
	maxRetry   = time.Hour
	giveUp     = 24 * time.Hour
	pruneEvery = 10 * time.Minute
	idleLook   = 5 * time.Minute // how long nothing is looked for without cause
	busyRetry  = time.Second     // after the database failed
)

// Run sends what is queued until ctx ends. It returns nil then.
func (s *Service) Run(ctx context.Context) error {
	var pruneAt time.Time
	for ctx.Err() == nil {
		wait := idleLook
		if now := s.Now(); !now.Before(pruneAt) {
			pruneAt = now.Add(pruneEvery)
			s.prune(ctx, now)
		}
		more, next, err := s.round(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			zerolog.Ctx(ctx).Error().Err(err).Msg("Mail waits: its queue cannot be read")
			wait = busyRetry
		case more:
			continue
		case next != 0:
			wait = min(wait, max(0, time.Duration(next-s.Now().UnixMilli())*time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

func (s *Service) prune(ctx context.Context, now time.Time) {
	err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.PruneOutbox(now.UnixMilli() - dayMS) })
	if err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Error().Err(err).Msg("What was sent could not be forgotten")
	}
}

// round sends what is due. more tells that there may be more, and next when the next message is due, 0 for never.
func (s *Service) round(ctx context.Context) (more bool, next int64, err error) {
	var due []store.OutboxMessage
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if due, err = tx.OutboxDue(s.Now().UnixMilli(), maxDue); err != nil {
			return err
		}
		next, err = tx.NextOutbox()
		return err
	})
	if err != nil || len(due) == 0 {
		return false, next, err
	}
	var (
		senders sync.WaitGroup
		mu      sync.Mutex // guards failed
		failed  []error
		free    = make(chan struct{}, maxSenders)
	)
	for _, m := range due {
		free <- struct{}{}
		senders.Go(func() {
			defer func() { <-free }()
			if err := s.try(ctx, m); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	senders.Wait()
	return len(failed) == 0, 0, errors.Join(failed...)
}

// try tries to send a message, and records what became of it. The next try is recorded first: if the process dies in between, the message
// is sent again after a while, with the same Message-ID, rather than at once and again and again. The error is one of the database.
func (s *Service) try(ctx context.Context, m store.OutboxMessage) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	next := s.Now().Add(backOff(m.Tries)).UnixMilli()
	if err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.PostponeOutbox(m.NID, next) }); err != nil {
		return err
	}
	log := zerolog.Ctx(ctx).With().Int64("message", m.NID).Str("medium", m.Medium).Logger()
	err := s.deliver(ctx, m)
	outcome := store.OutboxSent
	switch {
	case err == nil:
	case errors.Is(err, errRefused):
		outcome = store.OutboxRefused
		log.Warn().Err(err).Msg("A message was refused")
	case s.Now().UnixMilli()-m.CreatedTS >= giveUp.Milliseconds():
		outcome = store.OutboxExpired
		log.Warn().Err(err).Msg("A message could not be sent for a day, and is given up")
	default:
		if ctx.Err() == nil {
			log.Warn().Err(err).Int64("tries", m.Tries+1).Msg("A message could not be sent, and is tried again")
		}
		return nil
	}
	// It is sent whether or not the server stops now.
	ctx = context.WithoutCancel(ctx)
	return s.DB.Write(ctx, func(tx *store.Tx) error { return tx.FinishOutbox(m.NID, s.Now().UnixMilli(), outcome) })
}

// backOff is how long to wait for the next try after so many.
func backOff(tries int64) time.Duration {
	if tries > 6 {
		return maxRetry
	}
	return min(firstRetry<<tries, maxRetry)
}
