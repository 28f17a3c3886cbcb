package ephemeral

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// stored returns ann's presence as others see it, with its position in the stream.
func (w *world) stored() (state string, pos int64) {
	w.Helper()
	var row store.Presence
	err := w.db.View(context.Background(), func(tx *store.Tx) (err error) {
		row, err = tx.Presence(ann)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", 0
	}
	if err != nil {
		w.Fatal(err)
	}
	return row.State, row.Pos
}

func (w *world) newPresence() *Presence {
	s := NewPresence(PresenceConfig{Enabled: true, MaxRoomMembers: 200}, w.db, w.bus)
	w.run(s.Run)
	return s
}

// step is something that ann does, or does not do for some time, and what others see of her then.
type presenceStep struct {
	name string
	do   func(s *Presence)
	want string
	// quiet is that nothing is written, and nobody is woken.
	quiet bool
}

func wait(d time.Duration) func(*Presence) {
	return func(*Presence) { time.Sleep(d) } // of the bubble's clock
}

func put(state string) func(*Presence) {
	return func(s *Presence) { _ = s.SetStatus(context.Background(), ann, state, nil) } // a failure shows
}

// syncs is a request that ends at once.
func syncs(device, state string) func(*Presence) {
	return func(s *Presence) { s.Syncing(context.Background(), ann, id.DeviceID(device), state)() }
}

func TestPresenceByTime(t *testing.T) {
	var ended func()
	park := func(state string) func(*Presence) {
		return func(s *Presence) { ended = s.Syncing(context.Background(), ann, "D", state) }
	}
	active := func(s *Presence) { s.Active(ann) }
	for _, test := range []struct {
		name  string
		steps []presenceStep
	}{
		{"offline after the last sync", []presenceStep{
			{"a sync", syncs("D", Online), Online, false},
			{"soon after", wait(offlineAfter - time.Second), Online, true},
			{"another", syncs("D", Online), Online, true},
			{"soon after that", wait(offlineAfter - time.Second), Online, true},
			{"later", wait(2 * time.Second), Offline, false},
			{"much later", wait(time.Hour), Offline, true},
			{"activity without a sync", active, Offline, true},
			{"back", syncs("D", Online), Online, false},
		}},
		{"idle while a sync is parked", []presenceStep{
			{"a sync", park(Online), Online, false},
			{"nearly idle", wait(idleAfter - time.Second), Online, true},
			{"activity", active, Online, true},
			{"not idle for that", wait(idleAfter - time.Second), Online, true},
			{"idle", wait(2 * time.Second), Unavailable, false},
			{"the sync ends", func(*Presence) { ended() }, Unavailable, true},
			{"and the next one begins", park(Online), Unavailable, true},
			{"for long", wait(time.Hour), Unavailable, true},
			{"activity again", active, Online, false},
			{"more of it", active, Online, true},
			{"idle again", wait(idleAfter + time.Second), Unavailable, false},
			{"the sync ends", func(*Presence) { ended() }, Unavailable, true},
			{"gone", wait(offlineAfter + time.Second), Offline, false},
		}},
		{"what the user says", []presenceStep{
			{"a sync", park(Online), Online, false},
			{"unavailable", put(Unavailable), Unavailable, false},
			{"again", put(Unavailable), Unavailable, true},
			{"activity", active, Online, false},
			{"busy", put(Busy), Busy, false},
			{"activity while busy", active, Busy, true},
			{"busy for long", wait(time.Hour), Busy, true},
			{"offline", put(Offline), Offline, false},
			{"hidden activity", active, Offline, true},
			{"hidden for long", wait(time.Hour), Offline, true},
			{"online", put(Online), Online, false},
			{"the sync ends", func(*Presence) { ended() }, Online, true},
			{"gone", wait(offlineAfter + time.Second), Offline, false},
		}},
		{"a user who does not sync", []presenceStep{
			{"online", put(Online), Online, false},
			{"for some time", wait(silentAfter - time.Second), Online, true},
			{"said again", put(Online), Online, true},
			{"for some more time", wait(silentAfter - time.Second), Online, true},
			{"gone", wait(2 * time.Second), Offline, false},
		}},
		{"devices", []presenceStep{
			{"one", park(Online), Online, false},
			{"another, which is idle", syncs("E", Unavailable), Online, true},
			{"the first, too", park(Unavailable), Unavailable, false},
			{"the second comes back", syncs("E", Online), Online, false},
			{"and is idle", syncs("E", Unavailable), Unavailable, false},
		}},
		{"a device that says nothing", []presenceStep{
			{"a sync", syncs("D", Offline), "", true},
			{"later", wait(time.Minute), "", true},
			{"offline, which is what others take it for anyway", put(Offline), "", true},
			{"much later", wait(time.Hour), "", true},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				s := w.newPresence()
				for _, step := range test.steps {
					_, before := w.stored()
					rang := w.rings(func() { step.do(s) })
					got, pos := w.stored()
					if got != step.want || (pos == before) != step.quiet || rang == step.quiet {
						w.Fatalf("%s: got %q, written %v, rang %v; want %q, quiet %v", step.name, got, pos != before, rang, step.want, step.quiet)
					}
				}
			})
		})
	}
}

// Nobody is online for ever because the server was restarted.
func TestPresenceAfterARestart(t *testing.T) {
	bubble(t, func(w *world) {
		s := NewPresence(PresenceConfig{Enabled: true, MaxRoomMembers: 200}, w.db, w.bus)
		stop := w.run(s.Run)
		message := "here"
		if err := s.SetStatus(w.Context(), ann, Online, &message); err != nil {
			w.Fatal(err)
		}
		stop()
		w.sleep(time.Hour)
		_, before := w.stored()
		s = w.newPresence()
		if state, pos := w.stored(); state != Online || pos != before {
			w.Errorf("at first: got %q, written %v", state, pos != before)
		}
		ended := s.Syncing(w.Context(), ann, "D", Online)
		w.sleep(idleAfter - time.Minute)
		if state, _ := w.stored(); state == Offline {
			w.Error("offline, although a device syncs")
		}
		ended()
		w.sleep(offlineAfter + time.Second)
		if state, _ := w.stored(); state != Offline {
			w.Errorf("when the device has gone: got %q", state)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.people) != 0 {
			w.Errorf("%d users who are gone are remembered", len(s.people))
		}
	})
}

// last_active_ago goes on while nothing is written.
func TestLastActive(t *testing.T) {
	bubble(t, func(w *world) {
		s := w.newPresence()
		ended := s.Syncing(w.Context(), ann, "D", Online)
		ago := func() int64 {
			w.Helper()
			status, err := s.Status(w.Context(), ann, ann)
			if err != nil || status.LastActiveAgo == nil {
				w.Fatalf("%+v, %v", status, err)
			}
			return *status.LastActiveAgo
		}
		w.sleep(time.Minute)
		if got := ago(); got != 60_000 {
			w.Errorf("after a minute: %d", got)
		}
		s.Active(ann)
		if got := ago(); got != 0 {
			w.Errorf("after activity: %d", got)
		}
		ended()
		w.sleep(time.Minute)
		if got := ago(); got != 60_000 {
			w.Errorf("when she is gone: %d", got)
		}
	})
}

func TestPresenceBounds(t *testing.T) {
	bubble(t, func(w *world) {
		s := w.newPresence()
		long := strings.Repeat("x", maxStatusBytes+1)
		if err := s.SetStatus(w.Context(), ann, Online, &long); err == nil {
			w.Error("a long message was taken")
		}
		var ends []func()
		for i := range maxDevices + 50 {
			ends = append(ends, s.Syncing(w.Context(), ann, id.DeviceID(strings.Repeat("D", i+1)), Online))
		}
		if n := len(s.people[ann].devices); n > maxDevices {
			w.Errorf("%d devices are remembered", n)
		}
		for _, end := range ends {
			end()
		}
		w.sleep(offlineAfter + time.Second)
		if state, _ := w.stored(); state != Offline {
			w.Errorf("got %q", state)
		}
	})
}
