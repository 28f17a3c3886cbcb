package notify

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func rings(b *Bell) bool {
	select {
	case <-b.C:
		return true
	default:
		return false
	}
}

func TestBellRingsForItsKeysOnly(t *testing.T) {
	var bus Local
	room, user := Key{Room, 1}, Key{User, 1}
	bell := bus.Register(room, Events)
	anything := bus.Register(Anything)
	for _, test := range []struct {
		key  Key
		want bool
	}{{room, true}, {user, false}, {Key{Room, 2}, false}, {Events, true}} {
		bus.Publish(Signal{Key: test.key}, Signal{Key: test.key})
		if !rings(anything) || rings(anything) {
			t.Errorf("%v: the bell for anything did not ring once", test.key)
		}
		if got := rings(bell); got != test.want {
			t.Errorf("%v: rings %v, want %v", test.key, got, test.want)
		}
		if rings(bell) {
			t.Errorf("%v: two signals rang twice", test.key)
		}
	}
	bell.Close()
	anything.Close()
	bus.Publish()
	bus.Publish(Signal{Key: room})
	if rings(bell) {
		t.Error("a closed bell rang")
	}
	if len(bus.bells) != 0 {
		t.Errorf("%d keys are left behind", len(bus.bells))
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bus Local
		ctx, cancel := context.WithCancel(t.Context())
		var looks atomic.Int64
		ended := make(chan error, 1)
		go func() {
			ended <- Follow(ctx, &bus, time.Minute, func(context.Context) error { looks.Add(1); return nil }, Events)
		}()
		for _, step := range []struct {
			name string
			do   func()
			want int
		}{
			{"at once", func() {}, 1},
			{"the bell", func() { bus.Publish(Signal{Key: Events}) }, 2},
			{"another's bell", func() { bus.Publish(Signal{Key: Key{Room, 1}}) }, 2},
			{"the ticker", func() { time.Sleep(time.Minute) }, 3},
		} {
			step.do()
			synctest.Wait()
			if got := int(looks.Load()); got != step.want {
				t.Errorf("%s: %d looks, want %d", step.name, got, step.want)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the end: %v, want nil", err)
		}
	})
}

func TestFollowEndsWithTheErrorOfLook(t *testing.T) {
	broken := errors.New("broken")
	var bus Local
	if err := Follow(t.Context(), &bus, time.Minute, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}
