package usersync

import (
	"context"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

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
	StateAfter  string
	SetPresence string          // what the device says of its user: online, unavailable or offline; "" for nothing
	Closing     <-chan struct{} // closed when the server stops: answer at once; may be nil
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
func (s *Service) Sync(ctx context.Context, req Request) (Response, error) {
	l := look{s: s, req: &req, filter: req.Filter}
	if l.filter == nil {
		l.filter = defaultFilter
	}
	if s.inbox != nil {
		if err := s.inbox.Syncs(ctx, req.User, req.Device); err != nil {
			return Response{}, err
		}
	}
	if req.Since != "" {
		var err error
		if l.known, err = parseSyncToken("since", req.Since); err != nil {
			return Response{}, err
		}
		if s.inbox != nil {
			if err := s.inbox.Acknowledge(ctx, req.User, req.Device, l.known.toDevice); err != nil {
				return Response{}, err
			}
		}
	}
	if s.presence != nil && req.SetPresence != "" {
		ended := s.presence.Syncing(ctx, req.User, req.Device, req.SetPresence)
		defer ended()
	}
	l.since = l.known.pos
	if l.filter.Room.State.lazy() && !l.filter.Room.State.RedundantMembers {
		s.sent.come(chainKey{req.User, req.Device}, l.filter.sum, l.since)
	}
	err := s.await(ctx, &l, req.Timeout, req.Closing, nil)
	return l.response(ctx, err)
}

// look is one request, and what its readings of the database have found so far.
type look struct {
	s      *Service
	req    *Request
	filter *Filter

	known syncToken // all before is known to the device, or of no interest to it
	since int64     // the position of the request's token, 0 for none
	keys  []notify.Key
	found *pass // the last reading
}

// read looks for what is new, in one snapshot of the database.
func (l *look) read(ctx context.Context) error {
	if l.upToDate() {
		return nil
	}
	return l.s.db.View(ctx, l.look)
}

// reread is read after a bell, which may have woken others too.
func (l *look) reread(ctx context.Context) error {
	who := asking{userNID: l.found.userNID, device: l.req.Device, after: l.known.pos}
	for nid := range l.s.typingSince(l.known.typing).rooms {
		who.rooms = append(who.rooms, nid)
	}
	return l.s.woken.view(ctx, l.s.db, who, l.look)
}

// upToDate tells, without a glance at the database, that a device which comes back at once has been told everything; found is then as
// of a reading. It is false where that is not known.
func (l *look) upToDate() bool {
	k := l.known
	if l.req.Since == "" || l.req.FullState || !l.s.db.Newest(k.pos) || k.toDevice < k.pos && !l.s.db.Quiet(store.FamilyToDevice, k.toDevice) {
		return false
	}
	typing := l.s.typingSince(k.typing)
	userNID := l.s.db.KnownNID(string(l.req.User))
	if userNID == 0 || len(typing.rooms) > 0 {
		return false
	}
	keys := l.s.ears.known(userNID, k.pos)
	if keys == nil {
		return false
	}
	l.keys, l.known = keys, syncToken{pos: k.pos, typing: typing.upto, toDevice: k.pos}
	l.found = &pass{look: l, userNID: userNID, after: k.pos, upto: k.pos, typing: typing, mail: mail{upto: k.pos}}
	return true
}

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
		p.left.look(tx, p.userNID, l.req.Device)
		if !p.initial {
			l.s.ears.heard(p.userNID, p.after, p.upto, p.seats) // the device is about to come back
		}
		return nil
	}
	l.keys, err = l.s.ears.keys(tx, p.userNID, l.known.pos, p.upto, p.seats)
	// There is nothing for this device up to here: the next reading need not look again.
	l.known = syncToken{pos: p.upto, typing: p.typing.upto, toDevice: p.upto}
	return err
}

// done tells whether to answer now.
func (l *look) done() bool {
	return l.found.news || l.found.initial || l.req.FullState || l.req.Timeout <= 0
}

func (l *look) bells() []notify.Key { return l.keys }

func (l *look) response(ctx context.Context, err error) (Response, error) {
	if err != nil {
		return Response{}, err
	}
	if l.found.remembers() {
		l.found.lazy.upto = l.found.upto
		l.s.sent.sent(l.found.chainKey(), l.filter.sum, l.since, l.found.lazy)
	}
	counts, err := l.s.keyCounts(ctx, l.found.userNID, l.req.Device, l.found.left)
	if err != nil {
		return Response{}, err
	}
	return Response{NextBatch: l.found.token().String(), body: l.found.appendResponse(nil, counts)}, nil
}
