package store

import (
	"context"
	"errors"
	"testing"

	"maunium.net/go/mautrix/id"
)

// TestThreadSubscriptionsBound has a user follow as many threads as they may: they can change and end that, and only what is ended is
// forgotten.
func TestThreadSubscriptionsBound(t *testing.T) {
	db, err := Open(context.Background(), t.TempDir()+"/test.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const user, room = 7, 8
	follow := func(root string, subscribed bool) error {
		return db.Write(context.Background(), func(tx *Tx) error {
			_, err := tx.SetThreadSubscription(user, ThreadSubscription{RoomNID: room, Root: id.EventID("$" + root), Subscribed: subscribed})
			return err
		})
	}
	err = db.Write(context.Background(), func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO thread_subscriptions (user_nid, room_nid, root, subscribed, automatic, pos)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT 7, 8, '$r' || i, 1, 1, -i FROM n`, maxThreadSubscriptions)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := follow("new", true); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if err := follow("r1", true); err != nil {
		t.Errorf("by hand: %v", err)
	}
	for _, root := range []string{"r2", "r3"} {
		if err := follow(root, false); err != nil {
			t.Errorf("ending %s: %v", root, err)
		}
	}
	if err := follow("r4", false); err != nil {
		t.Error(err)
	}
	if err := follow("new", true); err != nil {
		t.Errorf("in the place of one that is ended: %v", err)
	}
	err = db.View(context.Background(), func(tx *Tx) error {
		for root, there := range map[string]bool{"r2": false, "r3": true, "r4": true, "new": true} {
			_, err := tx.ThreadSubscription(user, room, id.EventID("$"+root))
			if got := !errors.Is(err, ErrNotFound); got != there {
				t.Errorf("%s: known %v, want %v (%v)", root, got, there, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
