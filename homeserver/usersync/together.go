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
	// maxShared bounds what a snapshot remembers of each kind.
	maxShared = 256
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
	fn   func(*store.Tx) error
	done chan error
	lead chan struct{} // it is its turn to lead
}

// view runs fn in a snapshot that others may share, and returns when it has run. Some request leads: it runs the readings of those
// that wait, its own among them, and hands over to the next.
func (t *together) view(ctx context.Context, db *store.DB, fn func(*store.Tx) error) error {
	j := &joint{ctx: ctx, fn: fn, done: make(chan error, 1), lead: make(chan struct{}, 1)}
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
			share(tx)
			for len(joints) > 0 {
				j := joints[0]
				err := j.ctx.Err()
				if err == nil {
					err = j.fn(tx)
				}
				if err != nil && j.ctx.Err() == nil {
					return err
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

// shared is what a snapshot has told so far. Only what many ask for is in it.
type shared struct {
	upto      int64 // 0 when not known
	states    map[[2]int64]int64
	timelines map[span][]*store.Event
}

// span is what TimelineBefore is asked.
type span struct {
	room, from, upto int64
	limit            int
}

type sharedKey struct{}

// share has what is read in a transaction remembered until its end.
func share(tx *store.Tx) {
	tx.SetValue(sharedKey{}, &shared{states: make(map[[2]int64]int64), timelines: make(map[span][]*store.Event)})
}

func sharedOf(tx *store.Tx) *shared {
	s, _ := tx.Value(sharedKey{}).(*shared)
	return s
}

// streamPos is tx.StreamPos.
func streamPos(tx *store.Tx) (pos int64, err error) {
	s := sharedOf(tx)
	if s != nil && s.upto != 0 {
		return s.upto, nil
	}
	pos, err = tx.StreamPos()
	if s != nil {
		s.upto = pos
	}
	return pos, err
}

// stateIDAt is tx.StateIDAt.
func stateIDAt(tx *store.Tx, roomNID, upto int64) (setID int64, err error) {
	s, key := sharedOf(tx), [2]int64{roomNID, upto}
	if s != nil {
		if setID, ok := s.states[key]; ok {
			return setID, nil
		}
	}
	setID, err = tx.StateIDAt(roomNID, upto)
	if s != nil && err == nil && len(s.states) < maxShared {
		s.states[key] = setID
	}
	return setID, err
}

// timelineBefore is tx.TimelineBefore. The caller does not change what it gets.
func timelineBefore(tx *store.Tx, roomNID, from, upto int64, limit int) (events []*store.Event, err error) {
	s, key := sharedOf(tx), span{roomNID, from, upto, limit}
	if s != nil {
		if events, ok := s.timelines[key]; ok {
			return events, nil
		}
	}
	events, err = tx.TimelineBefore(roomNID, from, upto, limit)
	if s != nil && err == nil && len(s.timelines) < maxShared {
		s.timelines[key] = events
	}
	return events, err
}
