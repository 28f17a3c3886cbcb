package ephemeral

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Threads records which threads users follow. MSC4306.
type Threads struct {
	db   *store.DB
	bus  notify.Bus
	eyes Eyes
}

// NewThreads returns a Threads.
func NewThreads(db *store.DB, bus notify.Bus, eyes Eyes) *Threads { return &Threads{db, bus, eyes} }

// Subscription returns whether a user follows a thread by what a client did on its own. The error is 404 M_NOT_FOUND for a user who does
// not follow it, and for a thread that they may not see.
func (t *Threads) Subscription(ctx context.Context, user id.UserID, roomID id.RoomID, root id.EventID) (automatic bool, err error) {
	err = t.db.View(ctx, func(tx *store.Tx) error {
		old, _, err := t.subscription(tx, user, roomID, root)
		if err == nil && !old.Subscribed {
			err = matrixError(404, "M_NOT_FOUND", "You do not follow this thread")
		}
		automatic = old.Automatic
		return err
	})
	return automatic, err
}

// Subscribe has a user follow a thread. cause is the event for which a client does so on its own, "" for a user who wants it so: what they
// want stays. Errors: 404 M_NOT_FOUND for a thread that the user may not see; 400 M_NOT_IN_THREAD for a cause that is not in the
// thread, and 409 M_CONFLICTING_UNSUBSCRIPTION for one that was there when the user ended an earlier subscription.
func (t *Threads) Subscribe(ctx context.Context, user id.UserID, roomID id.RoomID, root, cause id.EventID) error {
	return t.set(ctx, user, roomID, root, func(tx *store.Tx, old store.ThreadSubscription) (store.ThreadSubscription, error) {
		next := old
		next.Subscribed, next.Automatic = true, false
		if cause == "" {
			return next, nil
		}
		pos, err := t.inThread(tx, user, roomID, root, cause)
		if err != nil || old.Subscribed {
			return old, err
		}
		if pos <= old.Pos {
			return old, matrixError(409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION", "You have ended a subscription to this thread since %s was sent", cause)
		}
		next.Automatic = true
		return next, nil
	})
}

// inThread returns the position of an event of a thread.
func (t *Threads) inThread(tx *store.Tx, user id.UserID, roomID id.RoomID, root, eventID id.EventID) (pos int64, err error) {
	e, err := t.eyes.Visible(tx, user, roomID, eventID)
	if err != nil {
		return 0, err
	}
	thread, err := tx.ThreadOf(e)
	if err == nil && thread.ID != string(root) {
		err = matrixError(400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD", "%s is not in the thread of %s", eventID, root)
	}
	return e.Pos, err
}

// Unsubscribe has a user follow a thread no longer. The error is 404 M_NOT_FOUND for a thread that the user may not see.
func (t *Threads) Unsubscribe(ctx context.Context, user id.UserID, roomID id.RoomID, root id.EventID) error {
	return t.set(ctx, user, roomID, root, func(_ *store.Tx, old store.ThreadSubscription) (store.ThreadSubscription, error) {
		next := old
		next.Subscribed, next.Automatic = false, false
		return next, nil
	})
}

// subscription returns what is known of a user and a thread; nothing is that they do not follow it.
func (t *Threads) subscription(tx *store.Tx, user id.UserID, roomID id.RoomID, root id.EventID) (old store.ThreadSubscription, userNID int64, err error) {
	e, err := t.eyes.Visible(tx, user, roomID, root)
	if err != nil {
		return old, 0, err
	}
	if userNID, err = tx.LookupNID(string(user)); err != nil {
		return old, 0, err
	}
	old, err = tx.ThreadSubscription(userNID, e.RoomNID, root)
	if errors.Is(err, store.ErrNotFound) {
		old, err = store.ThreadSubscription{RoomNID: e.RoomNID, Root: root}, nil
	}
	return old, userNID, err
}

// set changes a subscription as change says, if that makes a difference.
func (t *Threads) set(ctx context.Context, user id.UserID, roomID id.RoomID, root id.EventID, change func(*store.Tx, store.ThreadSubscription) (store.ThreadSubscription, error)) error {
	var signal notify.Signal
	err := t.db.Write(ctx, func(tx *store.Tx) error {
		signal = notify.Signal{}
		old, userNID, err := t.subscription(tx, user, roomID, root)
		if err != nil {
			return err
		}
		next, err := change(tx, old)
		if err != nil || next == old {
			return err
		}
		pos, err := tx.SetThreadSubscription(userNID, next)
		if errors.Is(err, store.ErrTooMany) {
			return matrixError(400, "M_LIMIT_EXCEEDED", "You follow too many threads")
		}
		signal = notify.Signal{Key: notify.Key{Kind: notify.User, NID: userNID}, Pos: pos}
		return err
	})
	if err != nil {
		return fmt.Errorf("change whether %s follows a thread: %w", user, err)
	}
	if signal.Pos > 0 {
		t.bus.Publish(signal)
	}
	return nil
}
