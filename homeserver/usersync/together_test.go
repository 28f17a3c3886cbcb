package usersync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// TestTogether has many read at once, some of whom fail in ways that end a transaction.
func TestTogether(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		broken := errors.New("broken")
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		kinds := []struct {
			name string
			ctx  context.Context
			fn   func(*store.Tx) error
			want func(error) bool
		}{
			{"fine", t.Context(), func(tx *store.Tx) error { _, err := streamPos(tx); return err }, func(err error) bool { return err == nil }},
			{"an error", t.Context(), func(*store.Tx) error { return broken }, func(err error) bool { return errors.Is(err, broken) }},
			{"bad SQL", t.Context(), func(tx *store.Tx) error {
				_, err := tx.Row(`SELECT nothing FROM nowhere`, nil)
				return err
			}, func(err error) bool { return err != nil }},
			{"a panic", t.Context(), func(*store.Tx) error { panic("on purpose") }, func(err error) bool { return err != nil }},
			{"gone", gone, func(*store.Tx) error { return broken }, func(err error) bool { return errors.Is(err, context.Canceled) }},
			{"bad SQL as the client goes", nil, nil, func(err error) bool { return err != nil }},
		}
		var (
			all      together
			finished sync.WaitGroup
		)
		for i := range 500 {
			k := kinds[0]
			if i%7 == 0 {
				k = kinds[i/7%len(kinds)]
			}
			if k.ctx == nil {
				ctx, leave := context.WithCancel(t.Context())
				k.ctx, k.fn = ctx, func(tx *store.Tx) error {
					leave()
					_, err := tx.Row(`SELECT nothing FROM nowhere`, nil)
					return err
				}
			}
			finished.Go(func() {
				if err := all.view(k.ctx, w.db, asking{}, k.fn); !k.want(err) {
					t.Errorf("%s: got %v", k.name, err)
				}
			})
		}
		finished.Wait()
		if all.leaders != 0 || len(all.waiting) != 0 {
			t.Errorf("%d lead, %d wait", all.leaders, len(all.waiting))
		}
		if err := all.view(t.Context(), w.db, asking{}, kinds[0].fn); err != nil {
			t.Error(err)
		}
	})
}

// TestWokenTogether parks members of a room, of whom some ignore the sender and some have left: a shared snapshot is no shared view.
func TestWokenTogether(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const members = 40
		p, users := w.crowd(members)
		for i := range users {
			if i%4 == 1 {
				w.ignore(users[i], `{"ignored_users":{"@alice:test":{}}}`)
			}
		}
		bus := &parkedBus{Local: w.bus}
		w.s.bus = bus
		var since string
		w.view(func(tx *store.Tx) error {
			pos, err := tx.StreamPos()
			since = token(pos)
			return err
		})
		bus.parked.Add(members)
		var (
			heard    [members]atomic.Bool
			finished sync.WaitGroup
		)
		closing := make(chan struct{})
		for i, u := range users {
			finished.Go(func() {
				a := w.sync(Request{User: u, Device: id.DeviceID(fmt.Sprint(i)), Since: since, Timeout: time.Minute, Closing: closing})
				for _, r := range a.Rooms.Join {
					for _, e := range r.Timeline.Events {
						if e.Content["body"] == "news" {
							heard[i].Store(true)
						}
					}
				}
			})
		}
		bus.parked.Wait()
		p.text(alice, "news")
		p.text(bob, "not of the room's, and an end to the wait of those who ignore alice")
		finished.Wait()
		close(closing)
		for i := range heard {
			if got, want := heard[i].Load(), i%4 != 1; got != want {
				t.Errorf("%s: hears %v, want %v", users[i], got, want)
			}
		}
	})
}
