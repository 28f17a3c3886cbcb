package room

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// draft is what a caller wants to say; append makes an event of it.
type draft struct {
	Type      string
	StateKey  *string
	Sender    id.UserID
	Content   json.RawMessage
	Redacts   id.EventID
	TS        int64    // milliseconds
	Guest     bool     // the sender is a guest
	Suspended bool     // the sender is suspended
	StickyMS  int64    // for how long the event is sticky, 0 when it is not
	Redeems   bool     // an invitation in return for one by an address, whose sender may have left
	Silent    bool     // nobody is told of it: what is brought in from elsewhere, where it was read already
	From      []string // of a member event: the memberships that it may follow, nil for any

	TxnDevice, TxnID string
	TxnTarget        id.EventID // of /redact

	// rewrite, if not nil, makes the content anew when the ids of the drafts before this one are known, which it is given.
	rewrite func(before []id.EventID) (json.RawMessage, error)

	// stored, if not nil, runs in the transaction that stores the event, and where there is one already that says the same, in one of
	// its own; like all writes it may run more than once.
	stored func(tx *store.Tx, eventID id.EventID) error
}

// txn is the draft's transaction id with its scope.
func (d *draft) txn(roomID id.RoomID) store.Txn {
	return store.Txn{Sender: d.Sender, Device: d.TxnDevice, ID: d.TxnID, RoomID: roomID, Type: d.Type, Target: d.TxnTarget}
}

// maxTxnIDBytes bounds a transaction id, which goes into an index.
const maxTxnIDBytes = 255

// check refuses what cannot be stored, before anything of it is looked for.
func (d *draft) check() error {
	stateKey := ""
	if d.StateKey != nil {
		stateKey = *d.StateKey
	}
	switch {
	case len(d.Type) > event.MaxFieldBytes || len(stateKey) > event.MaxFieldBytes:
		return matrixError(413, "M_TOO_LARGE", "An event's type and state key can have %d bytes each", event.MaxFieldBytes)
	case strings.ContainsRune(d.Type+stateKey, 0):
		return matrixError(400, "M_INVALID_PARAM", "An event's type and state key cannot hold a NUL")
	case d.Redacts != "" && d.Redacts[0] != '$':
		return matrixError(400, "M_INVALID_PARAM", "%q is not an event id", d.Redacts)
	case d.Type == event.TypeMember && d.StateKey != nil && !event.ValidUserID(stateKey):
		return matrixError(400, "M_INVALID_PARAM", "%q is not a user id", stateKey)
	}
	return nil
}

// errStale means that the event was built on one that could not be stored; it is built again.
var errStale = errors.New("an earlier event of the room was not stored")

// maxAppendTries bounds how often an event is built again.
const maxAppendTries = 5

// append is the door by which an event comes to a room's tip; what stands on a branch of its own goes by put. It makes events of the drafts, one after the other, authorises
// them, and stores them with their edges, state, memberships and stream positions in one transaction, which it may share
// with other rooms' events. It returns their ids once they are committed. also, if not nil, runs in the same transaction;
// like all writes it may run more than once.
func (s *Service) append(ctx context.Context, roomID id.RoomID, drafts []draft, also func(*store.Tx) error) ([]id.EventID, error) {
	for range maxAppendTries {
		ids, err := s.appendOnce(ctx, s.head(roomID), drafts, also)
		if !errors.Is(err, errStale) {
			return ids, err
		}
	}
	return nil, fmt.Errorf("append to %s: %w", roomID, errStale)
}

// errManyTips means that a room has more tips than an event can name, and takes events one by one for as long.
var errManyTips = errors.New("the room has more tips than an event can name")

// appendAll appends events together, or in a room that has too many tips one after the other.
func (s *Service) appendAll(ctx context.Context, roomID id.RoomID, drafts []draft) ([]id.EventID, error) {
	ids, err := s.append(ctx, roomID, drafts, nil)
	if !errors.Is(err, errManyTips) {
		return ids, err
	}
	ids = nil
	for _, d := range drafts {
		if d.rewrite != nil {
			if d.Content, err = d.rewrite(ids); err != nil {
				return nil, err
			}
			d.rewrite = nil
		}
		one, err := s.append(ctx, roomID, []draft{d}, nil)
		if err != nil {
			return nil, err
		}
		ids = append(ids, one...)
	}
	return ids, nil
}

// outcome is what became of a write.
type outcome struct {
	done chan struct{} // closed when err is set
	err  error
}

// known tells whether the write has ended.
func (o *outcome) known() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// receipt is for events that are on their way into the database, or in it.
type receipt struct {
	ids     []id.EventID
	outcome *outcome // of the last one's write, nil when it is in the database
	own     bool     // the write is that of the drafts, and not of another caller who said the same before
}

// appendOnce takes over the caller's reference to h.
func (s *Service) appendOnce(ctx context.Context, h *head, drafts []draft, also func(*store.Tx) error) ([]id.EventID, error) {
	defer s.release(h)
	r, err := s.enqueue(ctx, h, drafts, also)
	if err != nil || r.outcome == nil {
		return r.ids, err
	}
	// The events are on their way, whatever becomes of the caller.
	<-r.outcome.done
	if r.outcome.err != nil && !r.own {
		return nil, errStale
	}
	return r.ids, r.outcome.err
}

// enqueue builds the events on the room's tip and hands them to the writer before anyone else can build on it. When there is
// more than one draft, either all of them are stored or, with an error, none.
func (s *Service) enqueue(ctx context.Context, h *head, drafts []draft, also func(*store.Tx) error) (receipt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stale(s.DB) {
		return receipt{}, errStale
	}
	if err := h.load(ctx, s.DB); err != nil {
		return receipt{}, err
	}
	h.trim()
	if r, ok := h.repeated(drafts[0]); ok {
		return r, nil
	}
	switch many := len(h.tips) > event.MaxPrevEvents; {
	case many && len(drafts) == 1:
		return s.appendBeside(ctx, h, drafts[0], also)
	case many:
		return receipt{}, errManyTips
	}
	if len(drafts) > 1 && !h.create {
		// If a later draft is refused, the earlier ones have changed the head, which then has to be read anew: what is under way must be in
		// the database by then.
		if err := s.settle(h); err != nil {
			return receipt{}, err
		}
	}
	r := receipt{ids: make([]id.EventID, 0, len(drafts))}
	fresh := make([]*entry, 0, len(drafts))
	result := &outcome{done: make(chan struct{})}
	h.making = result
	defer func() { h.making = nil }()
	for _, d := range drafts {
		e, isNew, err := s.rewriteAndBuild(ctx, h, d, r.ids)
		if err != nil {
			if len(fresh) > 0 {
				h.failed.Store(true)
			}
			return receipt{}, err
		}
		if isNew {
			e.outcome = result
			if h.create {
				h.roomID = e.pdu.RoomID // it may be the hash of the create event
			}
			h.apply(e)
			fresh = append(fresh, e)
		}
		r.ids, r.outcome = append(r.ids, e.pdu.EventID), e.outcome
	}
	also = alongside(drafts, r.ids, also)
	if len(fresh) == 0 && also == nil {
		return r, nil
	}
	r.outcome, r.own = result, true
	return r, s.hand(ctx, h, fresh, also, result)
}

// rewriteAndBuild is build for a draft whose content may depend on the ids of those before it.
func (s *Service) rewriteAndBuild(ctx context.Context, h *head, d draft, before []id.EventID) (e *entry, isNew bool, err error) {
	if d.rewrite != nil {
		if d.Content, err = d.rewrite(before); err != nil {
			return nil, false, err
		}
	}
	return s.build(ctx, h, d)
}

// alongside returns what runs in the transaction that stores events: what their drafts ask for, and also.
func alongside(drafts []draft, ids []id.EventID, also func(*store.Tx) error) func(*store.Tx) error {
	if !slices.ContainsFunc(drafts, func(d draft) bool { return d.stored != nil }) {
		return also
	}
	return func(tx *store.Tx) error {
		for i, d := range drafts {
			if d.stored == nil {
				continue
			}
			if err := d.stored(tx, ids[i]); err != nil {
				return err
			}
		}
		if also == nil {
			return nil
		}
		return also(tx)
	}
}

// hand hands events that have been applied to the writer. The caller holds h.mu.
func (s *Service) hand(ctx context.Context, h *head, fresh []*entry, also func(*store.Tx) error, result *outcome) error {
	s.retain(h)
	h.newest = result
	err := s.DB.Enqueue(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if h.stale(s.DB) {
			return errStale
		}
		return s.write(tx, h, fresh, also)
	}, func(err error) {
		s.wrote(h, fresh, err)
		result.err = err
		close(result.done)
	})
	if err != nil { // the database is closed: nothing is built on this head any more
		h.failed.Store(true)
		result.err = err
		close(result.done)
		s.release(h)
	}
	return err
}

// wrote runs on the writer's goroutine when the outcome is known.
func (s *Service) wrote(h *head, entries []*entry, err error) {
	if err != nil {
		h.failed.Store(true)
	} else {
		signals := make([]notify.Signal, 0, 4)
		for _, e := range entries {
			signals = append(signals, notify.Signal{Key: notify.Key{Kind: notify.Room, NID: h.nid}, Pos: e.nid},
				notify.Signal{Key: notify.Events, Pos: e.nid})
			if e.memberNID != 0 {
				signals = append(signals, notify.Signal{Key: notify.Key{Kind: notify.User, NID: e.memberNID}, Pos: e.nid})
			}
			e.after, e.replaces, e.prevs, e.auth = nil, nil, nil, nil // or every event would keep all before it alive
		}
		s.checkGuests(entries)
		s.Bus.Publish(signals...)
	}
	s.release(h)
}

// build makes an event of a draft on the room's tip, signs and authorises it. A state event that changes nothing is not made:
// the one that is there is returned, with isNew false. The caller holds h.mu.
func (s *Service) build(ctx context.Context, h *head, d draft) (e *entry, isNew bool, err error) {
	if err := d.check(); err != nil {
		return nil, false, err
	}
	keys := eventauth.Needed(h.version, d.Sender, d.Type, d.StateKey, d.Content)
	places := append(keys[:len(keys):len(keys)], createKey, memberKey(d.Sender))
	if d.StateKey != nil {
		places = append(places, eventauth.StateKey{Type: d.Type, Key: *d.StateKey})
	}
	if d.Guest {
		places = append(places, guestAccessKey)
	}
	if err := h.need(ctx, s.DB, places); err != nil {
		return nil, false, err
	}
	if err := h.admit(d); err != nil {
		return nil, false, err
	}
	if same := h.unchanged(d); same != nil {
		return same, false, nil
	}
	redacts, err := s.redaction(ctx, h, d)
	if err != nil {
		return nil, false, err
	}
	if err := admitSuspended(d, redacts); err != nil {
		return nil, false, err
	}
	b := event.Builder{
		RoomID: h.roomID, Sender: d.Sender, Type: d.Type, StateKey: d.StateKey, Content: d.Content,
		Redacts: d.Redacts, OriginServerTS: d.TS, StickyMS: d.StickyMS, Depth: 1,
	}
	var auth []*entry
	for _, k := range keys {
		if a := h.state[k]; a != nil {
			b.AuthEvents, auth = append(b.AuthEvents, h.refer(&b, a.pdu)), append(auth, a)
		}
	}
	for _, tip := range h.tips {
		b.PrevEvents = append(b.PrevEvents, h.refer(&b, tip.pdu))
		b.Depth = max(b.Depth, h.version.NextDepth(tip.pdu.Depth))
	}
	pdu, err := b.Build(h.version, s.Key)
	if err != nil {
		return nil, false, buildError(err)
	}
	if err := eventauth.Check(pdu, h); err != nil {
		return nil, false, notAllowed(err)
	}
	if isInvite(pdu) {
		if err := s.DB.View(ctx, func(tx *store.Tx) error { return s.reaches(tx, pdu) }); err != nil {
			return nil, false, err
		}
	}
	if err := s.checkRelation(ctx, h, pdu); err != nil {
		return nil, false, err
	}
	e = &entry{pdu: pdu, after: h.last, prevs: h.tips, txn: d.txn(h.roomID), redacts: redacts, silent: d.Silent}
	if d.StateKey != nil {
		e.auth = auth
	}
	return e, true, nil
}

// refer returns the id by which an event refers to another. In versions 1 and 2 its hash goes with it.
func (h *head) refer(b *event.Builder, to *event.PDU) id.EventID {
	if h.version.ReferencePairs {
		if b.ReferenceHashes == nil {
			b.ReferenceHashes = make(map[id.EventID]string)
		}
		b.ReferenceHashes[to.EventID] = to.ReferenceHash()
	}
	return to.EventID
}

// admit refuses a draft for the memberships alone. A room that the sender is not in looks like one that does not exist. The
// caller holds h.mu.
func (h *head) admit(d draft) error {
	ownMember := d.Type == event.TypeMember && d.StateKey != nil && *d.StateKey == string(d.Sender)
	if !h.create && !ownMember && !d.Redeems && eventauth.Membership(h, d.Sender) != event.MembershipJoin {
		return notIn(h.roomID)
	}
	if d.From == nil {
		return h.admitGuest(d)
	}
	now := cmp.Or(eventauth.Membership(h, id.UserID(*d.StateKey)), event.MembershipLeave)
	if !slices.Contains(d.From, now) {
		return matrixError(403, "M_FORBIDDEN", "That cannot be done to %s, whose membership of %s is %s", *d.StateKey, h.roomID, now)
	}
	return nil
}

// unchanged returns the current state event when the draft says the same.
func (h *head) unchanged(d draft) *entry {
	if d.StateKey == nil || d.TxnID != "" || d.StickyMS != 0 {
		return nil
	}
	now := h.state[eventauth.StateKey{Type: d.Type, Key: *d.StateKey}]
	if now == nil || now.pdu.Sender != d.Sender {
		return nil
	}
	canonical, err := event.CanonicalJSON(d.Content)
	if err != nil || string(canonical) != string(now.pdu.Content) {
		return nil
	}
	return now
}

// apply makes an event the room's tip. The caller holds h.mu.
func (h *head) apply(e *entry) {
	h.tips = []*entry{e}
	h.last = e
	h.remember(e)
	h.rememberAnnotation(e)
	if e.pdu.StateKey != nil {
		k := eventauth.StateKey{Type: e.pdu.Type, Key: *e.pdu.StateKey}
		e.replaces = h.state[k]
		h.keep(k, e)
	}
	if e.redacts != nil && e.redacts.pruned.StateKey != nil {
		k := eventauth.StateKey{Type: e.redacts.pruned.Type, Key: *e.redacts.pruned.StateKey}
		if now := h.state[k]; now != nil && now.pdu.EventID == e.redacts.pruned.EventID {
			if now.outcome != nil {
				<-now.outcome.done // the redaction found it stored: its writer has just been done with it, at the latest
			}
			h.places -= weight(k, now)
			now.pdu = e.redacts.pruned
			h.places += weight(k, now)
		}
	}
	h.weigh()
}
