package room

import (
	"context"
	"errors"
	"math"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// RestartDelayed has a scheduled event wait for its delay once more. owner is whose it must be, "" for anybody's: the id is enough to act
// on it.
//
// Errors of this and of CancelDelayed and SendDelayed: 404 M_NOT_FOUND, and 409 M_UNKNOWN when something else has become of the event.
// MSC4140, "Managing scheduled delayed events".
func (s *Service) RestartDelayed(ctx context.Context, delayID string, owner id.UserID) error {
	return s.manageDelayed(ctx, delayID, owner, store.Scheduled, func(*DelayedEvent) error {
		return s.changeDelayed(ctx, func(tx *store.Tx) error { return tx.RestartDelayed(delayID, s.delayedSince()) })
	})
}

// CancelDelayed has a scheduled event never be sent. It is no error when it has been cancelled already, or has failed.
func (s *Service) CancelDelayed(ctx context.Context, delayID string, owner id.UserID) error {
	return s.manageDelayed(ctx, delayID, owner, store.DelayedCancelled, func(*DelayedEvent) error {
		return s.changeDelayed(ctx, func(tx *store.Tx) error { return tx.CancelDelayed(delayID, s.Now().UnixMilli()) })
	})
}

// SendDelayed sends a scheduled event now. It is no error when it has been sent already. When the room does not take it, the error says
// why, and the event stays scheduled.
func (s *Service) SendDelayed(ctx context.Context, delayID string, owner id.UserID) error {
	return s.manageDelayed(ctx, delayID, owner, store.DelayedSent, func(d *DelayedEvent) error {
		return s.sendDelayed(ctx, d, math.MaxInt64)
	})
}

// maxDelayedTries bounds how often it is looked what became of an event that was scheduled a moment ago.
const maxDelayedTries = 3

// manageDelayed does something with an event that is scheduled. wanted is the outcome that makes it superfluous.
func (s *Service) manageDelayed(ctx context.Context, delayID string, owner id.UserID, wanted store.DelayedOutcome, act func(*DelayedEvent) error) error {
	for range maxDelayedTries {
		d, err := s.findDelayed(ctx, delayID, owner)
		if err != nil {
			return err
		}
		if d.Outcome != store.Scheduled {
			if d.Outcome == wanted || d.Outcome == store.DelayedFailed && wanted == store.DelayedCancelled {
				return nil
			}
			break
		}
		if err := act(d); !errors.Is(err, errNotScheduled) {
			return err
		}
	}
	return matrixError(409, "M_UNKNOWN", "The delayed event has been sent, or cancelled, already")
}

// errNotScheduled means that a delayed event is not scheduled any more, or not for now.
var errNotScheduled = errors.New("the delayed event is not scheduled any more")

// changeDelayed changes a scheduled event, and has the scheduler look at it again.
func (s *Service) changeDelayed(ctx context.Context, change func(*store.Tx) error) error {
	err := scheduled(s.DB.Write(ctx, change))
	if err == nil {
		s.lookAgain()
	}
	return err
}

// scheduled makes errNotScheduled of store.ErrNotFound.
func scheduled(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return errNotScheduled
	}
	return err
}
