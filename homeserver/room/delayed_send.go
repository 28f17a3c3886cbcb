package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// sendDelayed sends a scheduled event, and records that in the transaction that stores the event: it is sent once, whenever the
// process dies. dueTS is the time at which it must be due; errNotScheduled when it is not, or has been cancelled.
func (s *Service) sendDelayed(ctx context.Context, d *DelayedEvent, dueTS int64) error {
	by := By{User: d.User, AppService: d.AppService, Device: d.Device, TS: d.EventTS, StickyMS: d.StickyMS}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		user, err := tx.User(d.User)
		if errors.Is(err, store.ErrNotFound) {
			return nil // a user of no account of ours, to whom no rule of accounts applies
		}
		if err == nil {
			// What was scheduled before an account was locked is not said after it.
			by.Guest, by.Suspended = user.Guest, user.Suspended || user.Locked
		}
		return err
	})
	if err != nil {
		return err
	}
	draft, err := s.delayedDraft(ctx, by, d)
	if err != nil {
		return err
	}
	recorded := false
	draft.TxnDevice, draft.TxnID = store.DelayTxnDevice, d.DelayID
	draft.stored = func(tx *store.Tx, eventID id.EventID) error {
		recorded = true
		return scheduled(tx.FinishDelayed(d.DelayID, eventID, dueTS, s.Now().UnixMilli()))
	}
	eventID, err := s.sendDelayedDraft(ctx, by, d.RoomID, draft)
	if err != nil || recorded {
		return err
	}
	// Somebody else sent it at the same moment, and has recorded it. Should it be there without, as no crash leaves it, it is recorded now.
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.FinishDelayed(d.DelayID, eventID, dueTS, s.Now().UnixMilli())
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Service) delayedDraft(ctx context.Context, by By, d *DelayedEvent) (draft, error) {
	if d.StateKey == nil {
		return s.messageDraft(by, d.Type, d.Content)
	}
	return s.stateDraft(ctx, by, d.RoomID, d.Type, *d.StateKey, d.Content)
}

func (s *Service) sendDelayedDraft(ctx context.Context, by By, roomID id.RoomID, d draft) (id.EventID, error) {
	if d.StateKey == nil {
		return s.send(ctx, roomID, d, nil)
	}
	return s.sendStateDraft(ctx, by, roomID, d)
}

// sendDue sends a scheduled event that is due. When the room does not take it, the error is kept, and it is not tried again; other
// errors, such as those of the database, are returned, and leave it scheduled.
func (s *Service) sendDue(ctx context.Context, d *DelayedEvent, dueTS int64) error {
	err := s.sendDelayed(ctx, d, dueTS)
	var refused mautrix.RespError
	switch {
	case err == nil || errors.Is(err, errNotScheduled):
		return nil
	case !errors.As(err, &refused):
		return fmt.Errorf("send a delayed event to %s: %w", d.RoomID, err)
	}
	zerolog.Ctx(ctx).Info().Stringer("room_id", d.RoomID).Stringer("user_id", d.User).Str("errcode", refused.ErrCode).
		Msg("A delayed event was not allowed when it was due")
	fault, err := json.Marshal(map[string]string{"errcode": refused.ErrCode, "error": refused.Err})
	if err != nil {
		return err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error { return tx.FailDelayed(d.DelayID, fault, dueTS, s.Now().UnixMilli()) })
	if err = scheduled(err); errors.Is(err, errNotScheduled) {
		return nil
	}
	return err
}
