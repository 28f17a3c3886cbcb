package usersync

import (
	"context"
	"sync"

	"causeway/homeserver/store"
)

const (
	// maxTogether bounds the requests that read in one snapshot, and maxLeaders the snapshots that are read from at once: more than
	// there are processors would only take connections from others.
	maxTogether = 64
	maxLeaders  = 2
)

// together has requests that a bell woke at the same moment read from one snapshot of the database. A message in a room of a thousand
// wakes a thousand, and all want to know the same: what a snapshot has told one, it need not be asked again. Nothing is kept
// longer than the snapshot, so that nothing can be out of date.
type together struct {
	mu      sync.Mutex // guards waiting and leaders
	waiting []*joint
	leaders int
}

// joint is the reading of one request.
type joint struct {
	ctx  context.Context // its request's
	who  asking
	fn   func(*store.Tx) error
	done chan error
	lead chan struct{} // it is its turn to lead
}

// view runs fn in a snapshot that others may share, and returns when it has run. Some request leads: it runs the readings of those
// that wait, its own among them, and hands over to the next.
func (t *together) view(ctx context.Context, db *store.DB, who asking, fn func(*store.Tx) error) error {
	j := &joint{ctx: ctx, who: who, fn: fn, done: make(chan error, 1), lead: make(chan struct{}, 1)}
	t.mu.Lock()
	t.waiting = append(t.waiting, j)
	if t.leaders < maxLeaders {
		t.leaders++
		j.lead <- struct{}{}
	}
	t.mu.Unlock()
	for {
		select {
		case err := <-j.done:
			// Chosen to lead just now, by one who did not know that another would run this one.
			select {
			case <-j.lead:
				t.pass()
			default:
			}
			return err
		case <-j.lead:
			run(db, t.take())
			t.pass()
		}
	}
}

// take takes those who have waited longest out of the queue.
func (t *together) take() []*joint {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), maxTogether)
	some := t.waiting[:n:n]
	if t.waiting = t.waiting[n:]; len(t.waiting) == 0 {
		t.waiting = nil // or the array would keep those that are done
	}
	return some
}

// pass has the next one lead, or ends this lead.
func (t *together) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.leaders--
		return
	}
	for _, j := range t.waiting {
		select {
		case j.lead <- struct{}{}:
			return
		default: // leads already
		}
	}
	t.leaders--
}

// run runs readings in one snapshot; after an error, which ends a transaction, the others in another.
func run(db *store.DB, joints []*joint) {
	for len(joints) > 0 {
		err := db.View(context.WithoutCancel(joints[0].ctx), func(tx *store.Tx) error {
			if err := share(tx, joints); err != nil {
				return err
			}
			for len(joints) > 0 {
				j := joints[0]
				err := j.ctx.Err()
				if err == nil {
					if err = j.fn(tx); err != nil {
						return err
					}
				}
				joints = joints[1:]
				j.done <- err
			}
			return nil
		})
		if err != nil && len(joints) > 0 {
			joints[0].done <- err
			joints = joints[1:]
		}
	}
}
