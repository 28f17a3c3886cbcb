package e2e

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// run is writers at work.
type run struct {
	*load
	quit   chan struct{}
	done   sync.WaitGroup
	failed atomic.Int64 // errors of the server
}

// begin lets all writers write until end, or until their connection breaks. With
// tolerant they go on after errors of the server; else such an error ends the
// writer. An error of the client (4xx) fails the test: none of the requests has a fault.
func (l *load) begin(t *testing.T, tolerant bool) *run {
	l.acked.Store(0)
	r := &run{load: l, quit: make(chan struct{})}
	for _, w := range l.writers {
		r.done.Go(func() {
			for !r.isOver() {
				o := w.next()
				a, err := w.perform(context.Background(), o)
				switch {
				case err != nil:
					return
				case a.status >= http.StatusInternalServerError:
					r.failed.Add(1)
					if a.ErrCode == "" {
						t.Errorf("%s %s is %d without an errcode: %s", o.method, o.path, a.status, a.raw)
					}
					if !tolerant {
						return
					}
				case a.status != http.StatusOK:
					t.Errorf("%s: %s %s is %d %s", w.name, o.method, o.path, a.status, a.raw)
					return
				}
			}
		})
	}
	return r
}

func (r *run) isOver() bool {
	select {
	case <-r.quit:
		return true
	default:
		return false
	}
}

// await returns when the counter has reached a number, or fails the test when
// that takes too long.
func (r *run) await(t *testing.T, what string, counter *atomic.Int64, number int64) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for counter.Load() < number {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("%d %s, want %d; %d requests were acknowledged, %d failed", counter.Load(), what, number, r.acked.Load(), r.failed.Load())
		}
	}
}

// end returns when all writers have stopped.
func (r *run) end() {
	close(r.quit)
	r.done.Wait()
	for _, w := range r.writers {
		w.client.CloseIdleConnections()
	}
}
