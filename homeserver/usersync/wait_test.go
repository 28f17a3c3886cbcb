package usersync

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// parked is a request that waits.
type parked struct {
	w      *world
	start  time.Time
	result chan Response
	err    chan error
	cancel context.CancelFunc
}

func (w *world) park(req Request) *parked {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	p := &parked{w: w, start: time.Now(), result: make(chan Response, 1), err: make(chan error, 1), cancel: cancel}
	go func() {
		res, err := w.s.Sync(ctx, req)
		if err != nil {
			p.err <- err
			return
		}
		p.result <- res
	}()
	synctest.Wait()
	return p
}

// waiting tells whether the request is still parked.
func (p *parked) waiting() bool {
	synctest.Wait()
	return len(p.result)+len(p.err) == 0
}

func (p *parked) answer() (*answer, time.Duration) {
	p.w.t.Helper()
	select {
	case res := <-p.result:
		return p.w.decode(res), time.Since(p.start)
	case err := <-p.err:
		p.w.t.Fatal(err)
		return nil, 0
	}
}

// bubble runs a test with a clock of its own, which moves only when everyone waits.
func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.New(t)
		test(t, newWorld(t, db))
	})
}

func (w *world) tip(user id.UserID) string {
	w.t.Helper()
	return w.sync(Request{User: user}).NextBatch
}

func TestWakeByEvent(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		other := w.room(bob, "shared")
		s := w.park(Request{User: alice, Since: w.tip(alice), Timeout: time.Minute})
		other.text(bob, "not hers")
		if !s.waiting() {
			t.Fatal("another room's event ended the wait")
		}
		p.text(alice, "hers")
		a, took := s.answer()
		wantList(t, "timeline", brief(a.joined(t, p).Timeline.Events), list("hers"))
		if took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWakeIntoANewRoom(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		w.room(bob, "shared") // or the server would not know bob at all
		since := w.tip(bob)
		// The filter hides the room bob is in, so that coming into it answers nothing, and the bells must follow.
		q := w.room(alice, "shared")
		f, err := ParseFilter([]byte(`{"room": {"timeline": {"types": ["m.room.message"]}, "state": {"types": []}}}`))
		if err != nil {
			t.Fatal(err)
		}
		s := w.park(Request{User: bob, Since: since, Timeout: time.Minute})
		p.member(alice, bob, "invite")
		a, took := s.answer()
		if a.Rooms.Invite[p.id] == nil || took != 0 {
			t.Errorf("took %v, rooms %+v", took, a.Rooms)
		}
		p.member(alice, alice, "leave") // or coming into p would make a change of device lists, which no filter hides
		f.Room.Rooms = &[]id.RoomID{q.id}
		s = w.park(Request{User: bob, Since: a.NextBatch, Timeout: time.Minute, Filter: f})
		p.join(bob)
		q.join(bob)
		a, _ = s.answer()
		a.joined(t, q)
		s = w.park(Request{User: bob, Since: a.NextBatch, Timeout: time.Minute, Filter: f})
		q.set(alice, "m.room.topic", "", obj{"topic": "filtered"})
		if !s.waiting() {
			t.Fatal("an event that the filter leaves out ended the wait")
		}
		q.text(alice, "x")
		a, _ = s.answer()
		wantList(t, "timeline", brief(a.joined(t, q).Timeline.Events), list("x"))
	})
}

// TestBellsFollow joins a room while parked, in a way that answers nothing.
func TestBellsFollow(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		w.room(bob, "shared") // or the server would not know bob at all
		p.member(alice, alice, "leave")
		since := w.tip(bob)
		f, err := ParseFilter([]byte(`{"room": {"rooms": []}, "account_data": {"types": ["yes"]}}`))
		if err != nil {
			t.Fatal(err)
		}
		s := w.park(Request{User: bob, Since: since, Timeout: time.Minute, Filter: f})
		p.join(bob)
		if !s.waiting() {
			t.Fatal("a room that the filter leaves out, and nobody else is in, ended the wait")
		}
		f.Room.Rooms = nil
		p.text(alice, "x")
		a, took := s.answer()
		wantList(t, "timeline", brief(a.joined(t, p).Timeline.Events), list("x"))
		if took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		since := w.tip(alice)
		for _, tt := range []struct{ timeout, want time.Duration }{
			{0, 0}, {-time.Second, 0}, {30 * time.Second, 30 * time.Second}, {24 * time.Hour, maxWait},
		} {
			a, took := w.park(Request{User: alice, Since: since, Timeout: tt.timeout}).answer()
			if took != tt.want || !a.empty() || a.NextBatch != since {
				t.Errorf("timeout %v: took %v, got %+v", tt.timeout, took, a)
			}
		}
		// A first sync and one with the full state do not wait.
		for _, req := range []Request{{User: bob, Timeout: time.Minute}, {User: alice, Since: since, FullState: true, Timeout: time.Minute}} {
			if _, took := w.park(req).answer(); took != 0 {
				t.Errorf("%+v took %v", req, took)
			}
		}
		// A bell that was lost costs the timeout and no more.
		w.s.bus = deaf{w.bus}
		s := w.park(Request{User: alice, Since: since, Timeout: time.Minute})
		p.text(alice, "x")
		a, took := s.answer()
		wantList(t, "timeline", brief(a.joined(t, p).Timeline.Events), list("x"))
		if took != time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

// deaf is a bus whose bells never ring.
type deaf struct{ bus *notify.Local }

func (d deaf) Publish(...notify.Signal)            {}
func (d deaf) Register(...notify.Key) *notify.Bell { return d.bus.Register() }

func TestClosing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.room(alice, "shared")
		since := w.tip(alice)
		closing := make(chan struct{})
		s := w.park(Request{User: alice, Since: since, Timeout: time.Minute, Closing: closing})
		close(closing)
		a, took := s.answer()
		if took != 0 || !a.empty() || a.NextBatch != since {
			t.Errorf("took %v, got %+v", took, a)
		}
		if _, took = w.park(Request{User: alice, Since: since, Timeout: time.Minute, Closing: closing}).answer(); took != 0 {
			t.Errorf("after closing it took %v", took)
		}
	})
}

func TestClientGone(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.room(alice, "shared")
		s := w.park(Request{User: alice, Since: w.tip(alice), Timeout: time.Minute})
		s.cancel()
		if err := <-s.err; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestNothingForMe has the stream run on without the device; its token follows, so that its next request has little to read.
func TestNothingForMe(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.room(alice, "shared")
		other := w.room(bob, "shared")
		s := w.park(Request{User: alice, Since: w.tip(alice), Timeout: time.Minute})
		other.text(bob, "x")
		a, _ := s.answer()
		if want := w.tip(bob); !a.empty() || a.NextBatch != want {
			t.Errorf("got %+v, want next_batch %s", a, want)
		}
	})
}

func TestWakeByAccountData(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.room(alice, "shared")
		s := w.park(Request{User: alice, Since: w.tip(alice), Timeout: time.Minute})
		var key notify.Key
		err := w.db.Write(context.Background(), func(tx *store.Tx) error {
			nid, _, err := tx.SetAccountData(alice, 0, "x", []byte(`{}`))
			key = notify.Key{Kind: notify.User, NID: nid}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.bus.Publish(notify.Signal{Key: key})
		if a, took := s.answer(); took != 0 || len(a.AccountData.Events) != 1 {
			t.Errorf("took %v, got %+v", took, a)
		}
	})
}
