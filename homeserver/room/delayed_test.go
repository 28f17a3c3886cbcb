package room

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// clockService is a service by the clock of a synctest bubble, which setBy sets.
func clockService(db *store.DB, setBy *atomic.Int64) *Service {
	return New(Config{
		ServerName: "test", DB: db, Bus: new(notify.Local),
		Key: &event.Key{ServerName: "test", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
		Now: func() time.Time { return time.Now().Add(time.Duration(setBy.Load())) },
	})
}

// delayedWorld is a room with a scheduler that runs in a bubble.
type delayedWorld struct {
	*Service
	t      *testing.T
	setBy  atomic.Int64
	roomID id.RoomID
	stop   context.CancelFunc
	ended  chan error
	began  time.Time
}

func newDelayedWorld(t *testing.T, db *store.DB) *delayedWorld {
	w := &delayedWorld{t: t}
	w.Service = clockService(db, &w.setBy)
	w.roomID = mustCreate(t, w.Service, CreateRequest{Preset: "public_chat"})
	w.start()
	return w
}

func (w *delayedWorld) start() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stop, w.ended, w.began = cancel, make(chan error, 1), time.Now()
	go func() { w.ended <- w.Run(ctx) }()
	synctest.Wait()
}

func (w *delayedWorld) end() {
	w.stop()
	if err := <-w.ended; err != nil {
		w.t.Error(err)
	}
}

func (w *delayedWorld) delay(by By, text string, delay time.Duration) string {
	w.t.Helper()
	delayID, err := w.Delay(w.t.Context(), by, w.roomID, DelayRequest{
		Type: "m.room.message", Content: body(text), DelayMS: delay.Milliseconds(), TxnID: text,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return delayID
}

// at waits until a time after the beginning, and looks which messages there are, in order.
func (w *delayedWorld) at(after time.Duration, want ...string) {
	w.t.Helper()
	<-time.After(time.Until(w.began.Add(after)))
	synctest.Wait()
	if got := w.said(); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("after %s: %q, want %q", after, got, want)
	}
}

func (w *delayedWorld) said() []string {
	w.t.Helper()
	var got []string
	for _, e := range timeline(w.t, w.DB, w.roomID) {
		var c struct{ Body string }
		if e.Type == "m.room.message" && json.Unmarshal(e.Content, &c) == nil {
			got = append(got, c.Body)
		}
	}
	return got
}

func inBubble(t *testing.T, test func(t *testing.T, w *delayedWorld)) {
	synctest.Test(t, func(t *testing.T) {
		w := newDelayedWorld(t, storetest.New(t))
		test(t, w)
		w.end()
	})
}

// Events are sent when they are due, and not a millisecond before.
func TestDelayedTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		w.delay(as(alice), "third", 12*time.Hour)
		w.delay(as(alice), "second", 1500*time.Millisecond)
		w.at(time.Second)
		w.delay(as(alice), "first", 100*time.Millisecond)
		w.at(1099 * time.Millisecond)
		w.at(1101*time.Millisecond, "first")
		w.at(1499*time.Millisecond, "first")
		w.at(1501*time.Millisecond, "first", "second")
		w.at(12*time.Hour-time.Millisecond, "first", "second")
		w.at(12*time.Hour+time.Millisecond, "first", "second", "third")
	})
}

// A restart puts an event off, also one that a client repeats for longer than the delay; a cancelled one is never sent.
func TestDelayedRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		kept, gone := w.delay(as(alice), "kept", 10*time.Second), w.delay(as(alice), "gone", 10*time.Second)
		for i := range 10 {
			w.at(time.Duration(i) * 5 * time.Second)
			if err := w.RestartDelayed(t.Context(), kept, alice); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if err := w.CancelDelayed(t.Context(), gone, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.at(54999 * time.Millisecond)
		w.at(55001*time.Millisecond, "kept")
		w.at(time.Hour, "kept")
	})
}

// What was due while the server did not run is sent when it runs again, in order, and once.
func TestDelayedAfterRestart(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		w.delay(as(alice), "b", 20*time.Second)
		w.delay(as(alice), "a", 10*time.Second)
		w.delay(as(alice), "c", 30*time.Minute)
		w.end()
		<-time.After(time.Minute)
		w.Service = clockService(w.DB, &w.setBy)
		w.start()
		w.at(0, "a", "b")
		w.at(29*time.Minute+time.Second, "a", "b", "c")
	})
}

// A clock that is put forward makes events due, within a second; one that is set back makes none late.
func TestDelayedClock(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		w.delay(as(alice), "forward", time.Hour)
		w.at(10 * time.Second)
		w.setBy.Store(int64(2 * time.Hour))
		w.at(11*time.Second, "forward")
		w.delay(as(alice), "back", time.Minute)
		w.at(20*time.Second, "forward")
		w.setBy.Store(int64(-time.Hour))
		w.at(70*time.Second, "forward")
		w.at(73*time.Second, "forward", "back")
	})
}

// Many events that are due at the same moment are all sent, in all rooms, and by a user who has left none.
func TestDelayedManyAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		rooms := []id.RoomID{w.roomID}
		for range 49 {
			rooms = append(rooms, mustCreate(t, w.Service, CreateRequest{Preset: "public_chat"}))
		}
		w.Delayed.MaxScheduled = 1000
		for i := range 300 {
			_, err := w.Delay(t.Context(), as(alice), rooms[i%len(rooms)], DelayRequest{
				Type: "m.room.message", Content: body(fmt.Sprint(i)), DelayMS: time.Minute.Milliseconds(),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		w.at(59 * time.Second)
		w.at(61*time.Second, "0", "50", "100", "150", "200", "250")
		for _, roomID := range rooms {
			w.roomID = roomID
			if got := w.said(); len(got) != 6 {
				t.Errorf("%s: %q", roomID, got)
			}
		}
	})
}

// Whether an event is allowed is found out when it is due. What the room does not take is kept with the error.
func TestDelayedNotAllowed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		if _, err := w.Join(t.Context(), as(bob), string(w.roomID), nil); err != nil {
			t.Fatal(err)
		}
		left := w.delay(as(bob), "left", time.Minute)
		banned := w.delay(as(bob), "banned", time.Hour)
		if err := w.Leave(t.Context(), as(bob), w.roomID, ""); err != nil {
			t.Fatal(err)
		}
		w.at(2 * time.Minute)
		if err := w.Ban(t.Context(), as(alice), w.roomID, bob, ""); err != nil {
			t.Fatal(err)
		}
		if err := w.SendDelayed(t.Context(), banned, bob); code(err) != "M_FORBIDDEN" {
			t.Errorf("sent by a banned user: %v, want M_FORBIDDEN", err)
		}
		d, err := w.DelayedEvent(t.Context(), bob, left)
		if err != nil {
			t.Fatal(err)
		}
		if d.Outcome != store.DelayedFailed || code(w.SendDelayed(t.Context(), left, bob)) != "M_UNKNOWN" || w.CancelDelayed(t.Context(), left, bob) != nil {
			t.Errorf("outcome %q", d.Outcome)
		}
		var fault struct{ ErrCode, Error string }
		if err := json.Unmarshal(d.Error, &fault); err != nil || fault.ErrCode != "M_FORBIDDEN" || fault.Error == "" {
			t.Errorf("error %s (%v)", d.Error, err)
		}
		_, err = w.Delay(t.Context(), as(bob), w.roomID, DelayRequest{Type: "a.b", Content: body("x"), DelayMS: 1})
		if code(err) != "M_FORBIDDEN" {
			t.Errorf("scheduled by a banned user: %v, want M_FORBIDDEN", err)
		}
	})
}

// A later state event, whoever sends it, does not cancel one that is scheduled (MSC4140, "Alternatives").
func TestDelayedState(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		key := string(alice)
		_, err := w.Delay(t.Context(), as(alice), w.roomID, DelayRequest{
			Type: "m.call.member", StateKey: &key, Content: json.RawMessage(`{}`), DelayMS: 10_000,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.SendState(t.Context(), as(alice), w.roomID, "m.call.member", key, json.RawMessage(`{"in":true}`)); err != nil {
			t.Fatal(err)
		}
		w.at(11 * time.Second)
		all := timeline(t, w.DB, w.roomID)
		if e := all[len(all)-1]; e.Type != "m.call.member" || string(e.Content) != `{}` {
			t.Errorf("the last event is %s %s", e.Type, e.Content)
		}
	})
}

// What became of events is forgotten after a week, and of each user's but the newest.
func TestDelayedPruned(t *testing.T) {
	inBubble(t, func(t *testing.T, w *delayedWorld) {
		old := w.delay(as(alice), "old", time.Second)
		w.at(6*24*time.Hour, "old")
		if _, err := w.DelayedEvent(t.Context(), alice, old); err != nil {
			t.Error(err)
		}
		w.at(7*24*time.Hour+11*time.Minute, "old")
		if _, err := w.DelayedEvent(t.Context(), alice, old); code(err) != "M_NOT_FOUND" {
			t.Errorf("a week later: %v, want M_NOT_FOUND", err)
		}
	})
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{})
		var ids []string
		for i := range 5 {
			delayID, err := s.Delay(t.Context(), as(alice), roomID, DelayRequest{Type: "a.b", Content: body(fmt.Sprint(i)), DelayMS: 1000})
			if err == nil {
				err = s.SendDelayed(t.Context(), delayID, alice)
			}
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, delayID)
		}
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.PruneDelayed(0, 2) }); err != nil {
			t.Fatal(err)
		}
		for i, delayID := range ids {
			if _, err := s.DelayedEvent(t.Context(), alice, delayID); (err == nil) != (i >= 3) {
				t.Errorf("event %d: %v", i, err)
			}
		}
	})
}

// A delayed event is cancelled or restarted at the moment that it is sent: it is one or the other, and the room goes on.
func TestDelayedSentOrCancelled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{})
		sent := 0
		for i := range 40 {
			text := fmt.Sprint(i)
			delayID, err := s.Delay(t.Context(), as(alice), roomID, DelayRequest{Type: "m.room.message", Content: body(text), DelayMS: 60_000})
			if err != nil {
				t.Fatal(err)
			}
			outcomes := make(chan error, 4)
			for range 2 {
				go func() { outcomes <- s.SendDelayed(t.Context(), delayID, alice) }()
			}
			go func() {
				_, err := s.Send(t.Context(), as(alice), roomID, "m.room.message", text, body("between"))
				outcomes <- err
			}()
			go func() { outcomes <- s.CancelDelayed(t.Context(), delayID, alice) }()
			for range 4 {
				if err := <-outcomes; err != nil && code(err) != "M_UNKNOWN" {
					t.Error(err)
				}
			}
			d, err := s.DelayedEvent(t.Context(), alice, delayID)
			if err != nil {
				t.Fatal(err)
			}
			if d.Outcome == store.DelayedSent {
				sent++
			} else if d.Outcome != store.DelayedCancelled {
				t.Errorf("outcome %q", d.Outcome)
			}
		}
		messages := 0
		for _, e := range timeline(t, db, roomID) {
			if e.TxnDevice == store.DelayTxnDevice {
				messages++
			}
		}
		if messages != sent {
			t.Errorf("%d events are in the room, %d were sent", messages, sent)
		}
	})
}

// A write that fails leaves the event scheduled, and the next try sends it once.
func TestDelayedFailedWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{})
		delayID, err := s.Delay(t.Context(), as(alice), roomID, DelayRequest{Type: "m.room.message", Content: body("x"), DelayMS: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.DelayedEvent(t.Context(), alice, delayID)
		if err != nil {
			t.Fatal(err)
		}
		// It was restarted after the scheduler had found it due.
		if err := s.sendDelayed(t.Context(), d, d.SendTS-1); !errors.Is(err, errNotScheduled) {
			t.Errorf("got %v, want %v", err, errNotScheduled)
		}
		if err := s.sendDue(t.Context(), d, d.SendTS); err != nil {
			t.Fatal(err)
		}
		if err := s.sendDue(t.Context(), d, d.SendTS); err != nil {
			t.Fatal(err)
		}
		all := timeline(t, db, roomID)
		if n := len(all); all[n-1].TxnID != delayID || all[n-2].TxnID == delayID {
			t.Error("it is not in the room once")
		}
	})
}

// A room that is purged takes what is scheduled with it.
func TestDelayedPurged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{})
		delayID, err := s.Delay(t.Context(), as(alice), roomID, DelayRequest{Type: "m.room.message", Content: body("x"), DelayMS: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Purge(t.Context(), roomID, true, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.DelayedEvent(t.Context(), alice, delayID); code(err) != "M_NOT_FOUND" {
			t.Errorf("got %v, want M_NOT_FOUND", err)
		}
		if err := s.SendDelayed(t.Context(), delayID, ""); code(err) != "M_NOT_FOUND" {
			t.Errorf("got %v, want M_NOT_FOUND", err)
		}
	})
}
