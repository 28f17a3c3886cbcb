package e2ee

import (
	"context"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// What was found empty is looked at again when another process may have written meanwhile.
func TestAcknowledgeInAnotherGeneration(t *testing.T) {
	each(t, func(b *bench) {
		ctx := context.Background()
		b.send(alice, bob, 1)
		_, upto := b.waiting(bob)
		if err := b.s.Acknowledge(ctx, bob.User, bob.Device, upto); err != nil {
			t.Fatal(err)
		}
		if !storetest.Cut(t, b.db) {
			return
		}
		// The database comes back without its last transactions, and with other messages at their positions.
		b.write(func(tx *store.Tx) error {
			to, err := tx.LookupNID(string(bob.User))
			if err != nil {
				return err
			}
			_, err = tx.Exec(`INSERT INTO to_device (pos, user_nid, device_id, sender_nid, type, content, ts) VALUES ($1, $2, $3, $2, 't', '{"n":2}', 0)`,
				upto, to, string(bob.Device))
			return err
		})
		if err := b.s.Acknowledge(ctx, bob.User, bob.Device, upto); err != nil {
			t.Fatal(err)
		}
		if left, _ := b.waiting(bob); len(left) > 0 {
			t.Errorf("%q are left", left)
		}
	})
}

// A reading that began in an older generation is not remembered in the next, and does not make it forget.
func TestEmptyInboxesHoldForOneGeneration(t *testing.T) {
	e := emptyInboxes{upto: make(map[inboxKey]int64)}
	key := inboxKey{alice.User, alice.Device}
	for _, step := range []struct {
		name       string
		generation int64
		put        int64 // 0 to get
		want       int64
	}{
		{"remembered", 1, 5, 5},
		{"older", 1, 4, 5},
		{"the next generation", 2, 0, 0},
		{"of its own", 2, 3, 3},
		{"late from the one before", 1, 9, 0},
		{"still of its own", 2, 0, 3},
	} {
		if step.put > 0 {
			e.put(key, step.put, step.generation)
		}
		if got := e.get(key, step.generation); got != step.want {
			t.Errorf("%s: got %d, want %d", step.name, got, step.want)
		}
	}
}
