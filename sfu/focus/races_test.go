package focus

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// slowLedger is a ledger that waits, the first time that something is written, until it is let go on.
type slowLedger struct {
	*world
	waits chan struct{} // closed when it waits
	goOn  chan struct{}
	first bool
}

func (l *slowLedger) SaveSeat(ctx context.Context, seat Seat) error {
	l.mu.Lock()
	first := l.first
	l.first = false
	l.mu.Unlock()
	if first {
		close(l.waits)
		<-l.goOn
	}
	return l.world.SaveSeat(ctx, seat)
}

// TestTokenAndDelegationAtOnce has a token be written down so slowly that meanwhile the end of the membership is delegated: it is known after a
// restart.
func TestTokenAndDelegationAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.let(alice, "DEV", everything)
		w.delay(alice, "d1", Delay{RoomID: room, After: time.Hour})
		l := &slowLedger{world: w, waits: make(chan struct{}), goOn: make(chan struct{}), first: true}
		s := w.service(func(c *Config) { c.Ledger = l })
		who, m := Who{UserID: alice}, Member{RoomID: room, SlotID: DefaultSlot, DeviceID: "DEV", MemberID: "m"}
		done := make(chan error, 2)
		go func() {
			_, err := s.Token(t.Context(), who, m)
			done <- err
		}()
		<-l.waits
		go func() { done <- s.Delegate(t.Context(), who, m, "d1") }()
		synctest.Wait()
		close(l.goOn)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if row, ok := w.row(m.key(alice)); !ok || row.DelayID != "d1" {
			t.Errorf("what is written down is %+v, %t", row, ok)
		}
	})
}

// TestComesWhileAnotherIsTold has somebody come in once more, by the right that they had, in the moment in which it is taken away from who was there.
func TestComesWhileAnotherIsTold(t *testing.T) {
	w := newWorld()
	w.let(alice, "DEV", everything)
	var s *Service
	m := Member{RoomID: room, SlotID: DefaultSlot, DeviceID: "DEV", MemberID: "m"}
	k := m.key(alice)
	in := &entering{world: w, enter: func() { s.Joined(k.alias, k.identity, true) }}
	s = w.service(func(c *Config) { c.SFU = in })
	if _, err := s.Token(t.Context(), Who{UserID: alice}, m); err != nil {
		t.Fatal(err)
	}
	s.Joined(k.alias, k.identity, true)
	w.let(alice, "DEV", Access{Joined: true})
	for range 2 {
		if err := s.lookAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.told(), k.identity+" publishes false; "+k.identity+" publishes false"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// entering is an SFU into which somebody comes when a right has been taken away for the first time.
type entering struct {
	*world
	enter func()
}

func (e *entering) SetPublish(ctx context.Context, room, identity string, publish bool) error {
	err := e.world.SetPublish(ctx, room, identity, publish)
	if enter := e.enter; enter != nil {
		e.enter = nil
		enter()
	}
	return err
}
