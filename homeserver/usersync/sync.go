package usersync

import (
	"context"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxWait bounds how long a request may be parked.
const maxWait = 5 * time.Minute

// The names under which the state at the end of the timeline is known: since Matrix 1.16, and before (MSC4222).
const (
	StateAfter         = "state_after"
	StateAfterUnstable = "org.matrix.msc4222.state_after"
)

// Request is what a device asks of /sync.
type Request struct {
	User      id.UserID
	Device    id.DeviceID
	Since     string        // the next_batch of an earlier answer, "" for the first time
	Timeout   time.Duration // how long to wait when there is nothing new
	FullState bool
	Filter    *Filter // nil for none
	// StateAfter is the name of the field for the state at the end of the timeline, or "" for a client that wants it at the
	// start, as "state".
	StateAfter string
	Closing    <-chan struct{} // closed when the server stops: answer at once; may be nil
}

// Response is the answer of /sync, as JSON.
type Response struct {
	NextBatch string
	body      []byte
}

// AppendJSON appends the answer.
func (r Response) AppendJSON(dst []byte) []byte { return append(dst, r.body...) }

// Sync returns what is new to a device (Client-Server API, "Syncing"), and waits for it if there is nothing, until the
// timeout, or the server, or ctx ends. Errors: M_INVALID_PARAM for a token that is none; ctx's when the client is gone.
//
// A parked request holds nothing but its bell.
func (s *Service) Sync(ctx context.Context, req Request) (Response, error) {
	l := look{s: s, req: &req, filter: req.Filter}
	if l.filter == nil {
		l.filter = defaultFilter
	}
	if req.Since != "" {
		var err error
		if l.since, err = parseToken("since", req.Since); err != nil {
			return Response{}, err
		}
	}
	l.sinceToken = l.since
	if l.filter.Room.State.lazy() && !l.filter.Room.State.RedundantMembers {
		s.sent.come(chainKey{req.User, req.Device}, l.filter.sum, l.sinceToken)
	}
	// Read first: a client that lags finds something, and needs no bell.
	if err := l.read(ctx); err != nil || l.done() {
		return l.response(err)
	}
	timer := time.NewTimer(min(req.Timeout, maxWait))
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
		if bell == nil || !sameKeys(keys, l.keys) {
			if bell != nil {
				bell.Close()
			}
			keys = l.keys
			bell = s.bus.Register(keys...)
			if err := l.read(ctx); err != nil || l.done() {
				return l.response(err)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return Response{}, ctx.Err()
		case <-req.Closing:
			return l.response(nil)
		case <-timer.C:
			last = true // a bell may have been lost, so look once more
		case <-bell.C:
		}
		if err := s.woken.view(ctx, s.db, l.look); err != nil || l.done() {
			return l.response(err)
		}
	}
	return l.response(nil)
}

// sameKeys tells whether two lists of keys are the same list: ears never changes one.
func sameKeys(a, b []notify.Key) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
}

// look is one request, and what its readings of the database have found so far.
type look struct {
	s      *Service
	req    *Request
	filter *Filter

	sinceToken int64 // of the request, 0 for none
	since      int64 // all before is known to the device, or of no interest to it
	keys       []notify.Key
	found      *pass // the last reading
}

// read looks for what is new, in one snapshot of the database.
func (l *look) read(ctx context.Context) error { return l.s.db.View(ctx, l.look) }

func (l *look) look(tx *store.Tx) error {
	p, err := newPass(l, tx)
	if err != nil {
		return err
	}
	l.found = p
	if err := p.run(); err != nil {
		return err
	}
	if l.done() {
		return nil
	}
	l.keys, err = l.s.ears.keys(tx, p.userNID, l.since, p.upto, p.seats)
	// There is nothing for this device up to here: the next reading need not look again.
	l.since = p.upto
	return err
}

// done tells whether to answer now.
func (l *look) done() bool {
	return l.found.news || l.found.initial || l.req.FullState || l.req.Timeout <= 0
}

func (l *look) response(err error) (Response, error) {
	if err != nil {
		return Response{}, err
	}
	if l.found.remembers() {
		l.found.lazy.upto = l.found.upto
		l.s.sent.sent(l.found.chainKey(), l.filter.sum, l.sinceToken, l.found.lazy)
	}
	return Response{NextBatch: token(l.found.upto), body: l.found.appendResponse(nil)}, nil
}
