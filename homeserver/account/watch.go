package account

import (
	"context"
	"errors"
	"sync"

	"maunium.net/go/mautrix/id"
)

// ErrSessionsChanged is the cause that a context of [Service.Watch] ends with.
var ErrSessionsChanged = errors.New("sessions of the user have changed")

// watches are the requests that wait on behalf of a user.
type watches struct {
	mu   sync.Mutex // guards rows
	rows map[id.UserID]map[*watch]struct{}
}

type watch struct{ end context.CancelCauseFunc }

func newWatches() *watches { return &watches{rows: make(map[id.UserID]map[*watch]struct{})} }

// Watch returns a context for a request that may wait for long. It ends when sessions of the user have: the request has to look whether its
// own is among them. stop is to be called in the end.
func (s *Service) Watch(ctx context.Context, user id.UserID) (_ context.Context, stop func()) {
	ctx, end := context.WithCancelCause(ctx)
	w := &watch{end}
	k := s.watches
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rows[user] == nil {
		k.rows[user] = make(map[*watch]struct{})
	}
	k.rows[user][w] = struct{}{}
	return ctx, func() {
		end(nil)
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.rows[user], w)
		if len(k.rows[user]) == 0 {
			delete(k.rows, user)
		}
	}
}

// end ends the waiting of all requests of a user.
func (k *watches) end(user id.UserID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for w := range k.rows[user] {
		w.end(ErrSessionsChanged)
	}
}

// endIf ends the waiting of all requests of the users that which is true for.
func (k *watches) endIf(which func(id.UserID) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for user, rows := range k.rows {
		if which(user) {
			for w := range rows {
				w.end(ErrSessionsChanged)
			}
		}
	}
}

// forget has everybody look again at the sessions of a user, some of which have ended or changed.
func (s *Service) forget(user id.UserID) {
	s.sessions.forget(user)
	s.fit.remove(user)
	s.watches.end(user)
	if changed := s.cfg.SessionsChanged; changed != nil {
		changed(user)
	}
}
