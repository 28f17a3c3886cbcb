package room

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// DelayedConfig bounds events that are sent later (MSC4140).
type DelayedConfig struct {
	Off          bool          // nobody may schedule any
	MaxDelay     time.Duration // how far ahead; 0 for DefaultMaxDelay
	MaxScheduled int           // how many a user may have scheduled; 0 for DefaultMaxScheduled
}

// What holds where the configuration says nothing.
const (
	DefaultMaxDelay     = 24 * time.Hour
	DefaultMaxScheduled = 100
)

func (c *DelayedConfig) setDefaults() {
	if c.MaxDelay <= 0 {
		c.MaxDelay = DefaultMaxDelay
	}
	if c.MaxScheduled <= 0 {
		c.MaxScheduled = DefaultMaxScheduled
	}
}

// DelayedEvent is an event that is to be sent later, or was to be.
type DelayedEvent = store.Delayed

// DelayRequest is what is to be sent, and when.
type DelayRequest struct {
	Type     string
	StateKey *string // nil for a message event
	Content  json.RawMessage
	DelayMS  int64
	TxnID    string // "" for none
}

// delayIDBytes is how much of a delay id is random: who knows one may act on it (MSC4140, "Delegating delayed events").
const delayIDBytes = 24

// CodeDelayTooLarge is the code of the error for a delay beyond the limit, which is in the error's max_delay_ms.
const CodeDelayTooLarge = "M_DELAY_TOO_LARGE"

// Delay schedules an event to be sent after some time, on behalf of who the user is then: whether it is allowed is found out when it is
// sent. A transaction id that the same device has used before answers with the delayed event of that time.
//
// Errors: 403 M_FORBIDDEN, 400 M_INVALID_PARAM, 400 M_DELAY_TOO_LARGE, 413 M_TOO_LARGE, and 429 M_LIMIT_EXCEEDED when the user has too
// many scheduled. MSC4140, "Scheduling a delayed event".
func (s *Service) Delay(ctx context.Context, by By, roomID id.RoomID, in DelayRequest) (delayID string, err error) {
	d, err := s.delayed(by, in)
	if err != nil {
		return "", err
	}
	txn := store.Txn{Sender: by.User, Device: by.Device, ID: in.TxnID, RoomID: roomID, Type: in.Type}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		delayID = d.DelayID
		if in.TxnID != "" {
			before, err := tx.DelayedByTxn(txn)
			if !errors.Is(err, store.ErrNotFound) {
				delayID = before
				return err
			}
		}
		if d.RoomNID, err = s.mayDelay(tx, by.User, roomID); err != nil {
			return err
		}
		return tx.InsertDelayed(d)
	})
	if err != nil {
		return "", err
	}
	s.lookAgain()
	return delayID, nil
}

// delayed checks what is to be sent later.
func (s *Service) delayed(by By, in DelayRequest) (*DelayedEvent, error) {
	if s.Delayed.Off {
		return nil, matrixError(403, "M_FORBIDDEN", "This server sends no delayed events")
	}
	if in.DelayMS <= 0 {
		return nil, matrixError(400, "M_INVALID_PARAM", "The delay must be a positive number of milliseconds")
	}
	if limit := s.Delayed.MaxDelay.Milliseconds(); in.DelayMS > limit {
		return nil, mautrix.RespError{
			StatusCode: 400, ErrCode: CodeDelayTooLarge, Err: fmt.Sprintf("The delay is more than %d ms", limit),
			ExtraData: map[string]any{"max_delay_ms": limit},
		}
	}
	if len(in.TxnID) > maxTxnIDBytes {
		return nil, matrixError(400, "M_INVALID_PARAM", "The transaction id is longer than %d bytes", maxTxnIDBytes)
	}
	check := draft{Type: in.Type, StateKey: in.StateKey}
	if err := check.check(); err != nil {
		return nil, err
	}
	content, err := objectOf(in.Content)
	if err != nil {
		return nil, err
	}
	random := make([]byte, delayIDBytes)
	_, _ = rand.Read(random) // never fails
	now := s.delayedSince()
	return &DelayedEvent{
		DelayID: base64.RawURLEncoding.EncodeToString(random), User: by.User, Type: in.Type, StateKey: in.StateKey, Content: content,
		DelayMS: in.DelayMS, SinceTS: now, SendTS: now + in.DelayMS, EventTS: by.TS, StickyMS: by.StickyMS,
		Device: by.Device, AppService: by.AppService, TxnID: in.TxnID,
	}, nil
}

// delayedSince is the present, in milliseconds, rounded up: a delay that begins then is never over too early.
func (s *Service) delayedSince() int64 {
	return s.Now().Add(time.Millisecond - time.Nanosecond).UnixMilli()
}

// objectOf returns content without blanks, when it is an object that an event could hold.
func objectOf(content json.RawMessage) (json.RawMessage, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil || compact.Len() == 0 || compact.Bytes()[0] != '{' {
		return nil, matrixError(400, "M_BAD_JSON", "The content must be an object")
	}
	if compact.Len() > event.MaxEventBytes {
		return nil, matrixError(413, "M_TOO_LARGE", "This event is too large: it can have %d bytes", event.MaxEventBytes)
	}
	return compact.Bytes(), nil
}

// mayDelay refuses those who have nothing to do with a room, and those who have too much scheduled.
func (s *Service) mayDelay(tx *store.Tx, user id.UserID, roomID id.RoomID) (roomNID int64, err error) {
	r, err := tx.Room(roomID)
	if errors.Is(err, store.ErrNotFound) {
		return 0, notIn(roomID)
	}
	if err != nil {
		return 0, err
	}
	m, err := tx.Membership(r.NID, user)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	switch m.Membership {
	case event.MembershipJoin, event.MembershipInvite, event.MembershipKnock:
	default:
		return 0, notIn(roomID)
	}
	n, firstTS, err := tx.CountDelayed(user)
	if err != nil {
		return 0, err
	}
	if n >= s.Delayed.MaxScheduled {
		return 0, tooManyScheduled(n, firstTS-s.Now().UnixMilli())
	}
	return r.NID, nil
}

// tooManyScheduled tells to come back when the first of the scheduled events has been sent.
func tooManyScheduled(n int, waitMS int64) error {
	waitMS = max(waitMS, 1)
	return mautrix.RespError{
		StatusCode: 429, ErrCode: "M_LIMIT_EXCEEDED", Err: fmt.Sprintf("You have %d delayed events scheduled, and can have no more", n),
		ExtraData:   map[string]any{"retry_after_ms": waitMS},
		ExtraHeader: map[string]string{"Retry-After": strconv.FormatInt(int64(math.Ceil(float64(waitMS)/1000)), 10)},
	}
}

// DelayedByTxn returns the id of the delayed event that a device scheduled under a transaction id, "" for none.
func (s *Service) DelayedByTxn(ctx context.Context, by By, roomID id.RoomID, eventType, txnID string) (delayID string, err error) {
	if txnID == "" {
		return "", nil
	}
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		delayID, err = tx.DelayedByTxn(store.Txn{Sender: by.User, Device: by.Device, ID: txnID, RoomID: roomID, Type: eventType})
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return delayID, err
}

// maxDelayedListed bounds a list of delayed events. It is more than a user has scheduled, unless the configuration says so.
const maxDelayedListed = 1000

// DelayedEvents returns the events that a user has scheduled, those that are due first in front.
func (s *Service) DelayedEvents(ctx context.Context, user id.UserID) (all []*DelayedEvent, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		all, err = tx.DelayedOf(user, maxDelayedListed)
		return err
	})
	return all, err
}

// DelayedEvent returns a delayed event of a user, scheduled or not. Errors: 404 M_NOT_FOUND.
func (s *Service) DelayedEvent(ctx context.Context, user id.UserID, delayID string) (*DelayedEvent, error) {
	return s.findDelayed(ctx, delayID, user)
}

// findDelayed returns a delayed event; owner, if not "", is whose it must be.
func (s *Service) findDelayed(ctx context.Context, delayID string, owner id.UserID) (d *DelayedEvent, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		d, err = tx.Delayed(delayID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && owner != "" && d.User != owner {
		return nil, matrixError(404, "M_NOT_FOUND", "There is no such delayed event")
	}
	return d, err
}
