package usersync

import (
	"context"
	"time"

	"causeway/homeserver/notify"
)

// maxWait bounds how long a request may be parked.
const maxWait = 5 * time.Minute

// parkable is a request that waits until there is something to answer.
type parkable interface {
	// read looks for what is new, in one snapshot of the database.
	read(ctx context.Context) error
	// reread is read once a bell has rung.
	reread(ctx context.Context) error
	// done tells whether to answer now.
	done() bool
	// bells returns what rings when there may be something new, as of the last reading. The list is never changed in place.
	bells() []notify.Key
}

// await reads until there is something to answer, or the timeout, the server or another end that may be nil is there. It
// returns the error of a reading, or ctx's when the client is gone.
//
// A parked request holds nothing but its bell.
func (s *Service) await(ctx context.Context, r parkable, timeout time.Duration, closing, over <-chan struct{}) error {
	// Read first: a client that lags finds something, and needs no bell.
	if err := r.read(ctx); err != nil || r.done() {
		return err
	}
	timer := time.NewTimer(min(timeout, maxWait))
	defer timer.Stop()
	var (
		bell *notify.Bell
		keys []notify.Key
	)
	defer func() {
		if bell != nil {
			bell.Close()
		}
	}()
	for last := false; !last; {
		// Register, then read, then wait; register again when the user has come into a room or left one.
		if bell == nil || !sameKeys(keys, r.bells()) {
			if bell != nil {
				bell.Close()
			}
			keys = r.bells()
			bell = s.bus.Register(keys...)
			if err := r.read(ctx); err != nil || r.done() {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-closing:
			return nil
		case <-over:
			return nil
		case <-timer.C:
			last = true // a bell may have been lost, so look once more
		case <-bell.C:
		}
		if err := r.reread(ctx); err != nil || r.done() {
			return err
		}
	}
	return nil
}

// sameKeys tells whether two lists of keys are the same list: ears never changes one.
func sameKeys(a, b []notify.Key) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
}
