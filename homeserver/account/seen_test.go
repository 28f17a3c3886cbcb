package account

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// TestSightings notes more devices than are remembered, and User-Agents that no database takes.
func TestSightings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		now := int64(0)
		s.now = func() int64 { now++; return now }
		createUser(t, s, "alice", "secret")
		var devices []id.DeviceID
		for i := range 2*maxSeenBatch + 1 {
			devices = append(devices, id.DeviceID(fmt.Sprint("D", i)))
		}
		if err := db.Write(ctx, func(tx *store.Tx) error {
			user, err := tx.User("@alice:test")
			for _, device := range devices {
				if err == nil {
					err = tx.EnsureDevice(user.NID, device, "", 0)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, device := range devices {
				s.Saw("@alice:test", device, "192.0.2.1", "\xff\x00"+strings.Repeat("ä", 200))
			}
		}
		s.Saw("@alice:test", "", "192.0.2.1", "")
		if got, _ := s.seen.of("@alice:test", ""); got.TS != 0 {
			t.Error("a request of no device was noted")
		}
		s.writeSeen(ctx)
		all, err := s.Devices(ctx, "@alice:test")
		if err != nil || len(all) != len(devices) {
			t.Fatalf("%d devices, %v", len(all), err)
		}
		for _, d := range all {
			if d.LastSeenTS == 0 || d.LastSeenIP != "192.0.2.1" || len(d.UserAgent) > maxSeenBytes || !storable(d.UserAgent) || d.UserAgent == "" {
				t.Fatalf("got %+v", d)
			}
		}
		for i := range maxSeen + 10 {
			s.Saw("@alice:test", id.DeviceID(fmt.Sprint(i)), "", "")
		}
		if len(s.seen.rows) != maxSeen {
			t.Errorf("%d are in memory, want %d", len(s.seen.rows), maxSeen)
		}
	})
}

// TestNonces uses nonces once, in time, and has no more of them than so many.
func TestNonces(t *testing.T) {
	n := newNonces()
	nonce := n.add(0)
	for i, test := range []struct {
		nonce string
		now   int64
		want  bool
	}{{"x", 1, false}, {nonce, nonceMS - 1, true}, {nonce, 2, false}, {n.add(0), nonceMS, false}} {
		if got := n.use(test.nonce, test.now); got != test.want {
			t.Errorf("use %d: got %v", i, got)
		}
	}
	for range maxNonces + 10 {
		n.add(0)
	}
	if len(n.rows) > maxNonces {
		t.Errorf("%d nonces", len(n.rows))
	}
}

// TestWatch ends what waits on behalf of a user, and of nobody else.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{sessions: newSessionCache(1), fit: newKnownUsers(1), watches: newWatches()}
		alice, stopAlice := s.Watch(t.Context(), "@alice:test")
		again, stopAgain := s.Watch(t.Context(), "@alice:test")
		bob, stopBob := s.Watch(t.Context(), "@bob:test")
		s.forget("@alice:test")
		if context.Cause(alice) != ErrSessionsChanged || context.Cause(again) != ErrSessionsChanged || bob.Err() != nil {
			t.Errorf("causes %v, %v, %v", context.Cause(alice), context.Cause(again), context.Cause(bob))
		}
		for _, stop := range []func(){stopAlice, stopAgain, stopBob} {
			stop()
		}
		if len(s.watches.rows) != 0 {
			t.Errorf("%d are left", len(s.watches.rows))
		}
	})
}
