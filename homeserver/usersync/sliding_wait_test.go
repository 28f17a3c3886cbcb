package usersync

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// parkedSliding is a request of sliding sync that waits.
type parkedSliding struct {
	w      *world
	start  time.Time
	result chan SlidingResponse
	err    chan error
	cancel context.CancelFunc
}

func (d *device) park(body obj, change ...func(*SlidingRequest)) *parkedSliding {
	d.w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.w.t.Cleanup(cancel)
	req := d.request(body)
	req.Timeout = time.Minute
	for _, c := range change {
		c(req)
	}
	p := &parkedSliding{w: d.w, start: time.Now(), result: make(chan SlidingResponse, 1), err: make(chan error, 1), cancel: cancel}
	go func() {
		res, err := d.w.s.Sliding(ctx, req)
		if err != nil {
			p.err <- err
			return
		}
		p.result <- res
	}()
	synctest.Wait()
	return p
}

func (p *parkedSliding) waiting() bool {
	synctest.Wait()
	return len(p.result)+len(p.err) == 0
}

func (p *parkedSliding) answer() (*slidingAnswer, time.Duration) {
	p.w.t.Helper()
	select {
	case res := <-p.result:
		a := new(slidingAnswer)
		p.w.unmarshal(res.AppendJSON(nil), a)
		return a, time.Since(p.start)
	case err := <-p.err:
		p.w.t.Fatal(err)
		return nil, 0
	}
}

func TestSlidingWakes(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		other := w.room(bob, "shared")
		d := w.device(alice, true)
		d.sync(all(5))
		s := d.park(all(5))
		other.text(bob, "not hers")
		if !s.waiting() {
			t.Fatal("another room's event ended the wait")
		}
		p.text(alice, "hers")
		a, took := s.answer()
		wantList(t, "timeline", brief(a.room(t, p).Timeline), list("hers"))
		if took != 0 {
			t.Errorf("it took %v", took)
		}
		d.pos = a.Pos
		s = d.park(all(5))
		other.member(bob, alice, "invite")
		a, _ = s.answer()
		if a.room(t, other).Stripped == nil {
			t.Errorf("no invitation, but %s", a.room(t, other).raw)
		}
		d.pos = a.Pos
		other.join(alice)
		d.sync(all(5)).room(t, other)
		s = d.park(all(5))
		other.text(bob, "now hers")
		a, _ = s.answer()
		wantList(t, "timeline", brief(a.room(t, other).Timeline), list("now hers"))
		// Account data ends a wait, too.
		d.pos = a.Pos
		body := all(5)
		body["extensions"] = obj{"account_data": obj{"enabled": true}}
		d.sync(body)
		s = d.park(body)
		w.setData(alice, nil, "x.y", `{"a":1}`)
		a, took = s.answer()
		if took != 0 || a.Extensions.AccountData == nil {
			t.Errorf("it took %v: %+v", took, a)
		}
	})
}

func TestSlidingTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.room(alice, "shared")
		d := w.device(alice, true)
		if _, took := d.park(all(5)).answer(); took != 0 {
			t.Errorf("the first answer took %v", took)
		}
		d.sync(all(5))
		s := d.park(all(5))
		a, took := s.answer()
		if a.none(t); took != time.Minute || a.Lists["all"].Count != 1 {
			t.Errorf("it took %v: %+v", took, a)
		}
		d.pos = a.Pos
		// A parked request whose window grows by another request is given up.
		s = d.park(all(5))
		d.sync(all(6))
		if old, took := s.answer(); took != 0 || len(old.Rooms) != 0 {
			t.Errorf("it took %v: %+v", took, old)
		}
		// The one that was given up takes nothing with it.
		closing := make(chan struct{})
		s = d.park(all(6), func(r *SlidingRequest) { r.Closing = closing })
		close(closing)
		if _, took := s.answer(); took != 0 {
			t.Errorf("it took %v", took)
		}
		s = d.park(all(6))
		s.cancel()
		synctest.Wait()
		if err := <-s.err; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSlidingGivenUp has a client change its mind while something happens that both requests see.
func TestSlidingGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		d := w.device(alice, true)
		d.sync(all(5))
		first := d.park(all(5))
		second := d.park(all(6))
		if first.waiting() || !second.waiting() {
			t.Fatal("the first request is not given up, or the second")
		}
		p.text(alice, "news")
		a, _ := second.answer()
		wantList(t, "timeline", brief(a.room(t, p).Timeline), list("news"))
		d.pos = a.Pos
		d.sync(all(6)).none(t)
	})
}
