package room_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/doctor"
	"causeway/homeserver/notify"
	"causeway/homeserver/retention"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// stepping is a context that runs do when it is asked for the nth time whether it has ended: between two uses of the database by whom
// it was given to.
type stepping struct {
	context.Context
	mu   sync.Mutex // guards left
	left int
	do   func()
}

func (s *stepping) Done() <-chan struct{} {
	s.mu.Lock()
	s.left--
	now := s.left == 0
	s.mu.Unlock()
	if now {
		s.do()
	}
	return s.Context.Done()
}

// A room that somebody joins while it is about to be purged is either not purged, or not joined: who was told that they are in it stays.
func TestPurgeRefusesWhoJoinedMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		for step := 1; step <= 3; step++ {
			roomID := x.create("")
			x.leave(roomID, ann, true)
			x.leave(roomID, ben, true)
			joined := errors.New("not tried")
			ctx := &stepping{Context: t.Context(), left: step, do: func() {
				_, joined = x.s.Join(t.Context(), room.By{User: ann}, string(roomID), nil)
			}}
			var occupied *room.Occupied
			_, err := x.s.Purge(ctx, roomID, false, 0)
			if err != nil && !errors.As(err, &occupied) {
				t.Fatal(err)
			}
			if joined == nil && err == nil {
				t.Errorf("step %d: a room was purged that a user had joined", step)
			}
		}
	})
}

// A purge of a room's history that is interrupted, wherever that is, leaves nothing behind that the next maintenance does not find.
func TestPurgeHistoryInterrupted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		interrupted, stride, enough := 0, 1, 5
		if testing.Short() {
			stride, enough = 7, 1
		}
		for step := 1; step < 30 && !t.Failed(); step += stride {
			roomID := x.create("")
			for i := range 20 {
				x.name(roomID, fmt.Sprint(i))
			}
			last := x.say(roomID, "stays")
			inner, cancel := context.WithCancel(t.Context())
			_, err := x.s.PurgeHistory(&stepping{Context: inner, left: step, do: cancel}, roomID, room.Before{EventID: last})
			cancel()
			if err == nil {
				break // it takes fewer steps
			}
			interrupted++
			// What the server does by itself, when it starts and by the clock.
			_, err = x.s.ResumePurges(t.Context())
			x.ok(err)
			_, err = x.s.ApplyRetention(t.Context(), retention.Policy{Enabled: true, Default: 1000 * time.Hour})
			x.ok(err)
			checkSound(t, db)
		}
		if interrupted < enough {
			t.Errorf("interrupted %d times", interrupted)
		}
	})
}

// Purges leave a database in which nothing is wrong.
func TestPurgesLeaveADatabaseSound(t *testing.T) {
	tests := []struct {
		name  string
		purge func(x *server, roomID id.RoomID, last id.EventID) error
	}{
		{"retention", func(x *server, _ id.RoomID, _ id.EventID) error {
			_, err := x.s.ApplyRetention(x.Context(), retention.Policy{Enabled: true, Default: 30 * time.Minute})
			return err
		}},
		{"history", func(x *server, roomID id.RoomID, last id.EventID) error {
			_, err := x.s.PurgeHistory(x.Context(), roomID, room.Before{EventID: last})
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				x := newServer(t, db)
				roomID := x.create("")
				x.say(roomID, "one")
				x.leave(roomID, ben, false)
				x.say(roomID, "two")
				x.say(roomID, "three")
				x.name(roomID, "N")
				x.pass(time.Hour)
				x.ok(test.purge(x, roomID, x.say(roomID, "young")))
				checkSound(t, db)
			})
		})
	}
}

func checkSound(t *testing.T, db *store.DB) {
	t.Helper()
	report, err := doctor.Run(t.Context(), db, doctor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range report.Faults {
		for _, f := range kind.Examples {
			t.Errorf("%s: %s %s: %s", kind.Kind, f.Table, f.EventID, f.Text)
		}
	}
}

// A room that is being purged is gone for who repeats a request, too.
func TestRepeatsIntoARoomThatIsBeingPurged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID := x.create("")
		by := room.By{User: ann, Device: "D"}
		_, err := x.s.Send(t.Context(), by, roomID, "m.room.message", "1", []byte(`{}`))
		x.ok(err)
		x.ok(db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.BeginPurge(roomID); return err }))
		restarted := room.New(room.Config{ServerName: "test", DB: db, Bus: new(notify.Local)}) // whose memory does not know the event
		if eventID, err := restarted.Send(t.Context(), by, roomID, "m.room.message", "1", []byte(`{}`)); err == nil {
			t.Errorf("got %s, an event of a room that is gone", eventID)
		}
	})
}

// Who leaves a room at a time that is yet to come does not have it deleted at once.
func TestPurgeForgottenWaitsWhateverTheClock(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		roomID := x.create("")
		x.leave(roomID, ben, true)
		x.ok(x.s.Leave(t.Context(), room.By{User: ann, TS: 1_900_000_000_000_000}, roomID, "")) // microseconds, by mistake
		x.ok(x.s.Forget(t.Context(), room.By{User: ann}, roomID))
		done, err := x.s.PurgeForgotten(t.Context(), 30*24*time.Hour)
		x.ok(err)
		if done.Rooms != 0 {
			t.Errorf("%d rooms are gone that were forgotten just now", done.Rooms)
		}
	})
}

// The users of application services do not forget rooms: that they have left is enough, when everybody else has forgotten it.
func TestPurgeForgottenAsksNoGhosts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newServer(t, db)
		ghost := id.UserID("@irc_nick:test")
		x.ok(db.Write(t.Context(), func(tx *store.Tx) error { return tx.InsertUser(&store.User{UserID: ghost, AppService: "irc"}) }))
		left, stays := x.create(""), x.create("")
		for _, roomID := range []id.RoomID{left, stays} {
			_, err := x.s.Join(t.Context(), room.By{User: ghost}, string(roomID), nil)
			x.ok(err)
			x.leave(roomID, ann, true)
			x.leave(roomID, ben, true)
		}
		x.ok(x.s.Leave(t.Context(), room.By{User: ghost}, left, ""))
		x.pass(48 * time.Hour)
		_, err := x.s.PurgeForgotten(t.Context(), time.Hour)
		x.ok(err)
		for _, test := range []struct {
			roomID id.RoomID
			gone   bool
		}{{left, true}, {stays, false}} {
			x.ok(db.View(t.Context(), func(tx *store.Tx) error {
				nid, err := tx.RoomNID(test.roomID)
				if gone := nid == 0; gone != test.gone {
					t.Errorf("gone: got %v, want %v", gone, test.gone)
				}
				return err
			}))
		}
	})
}
