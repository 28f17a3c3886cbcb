package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// draft is what a caller wants to say; append makes an event of it.
type draft struct {
	Type     string
	StateKey *string
	Sender   id.UserID
	Content  json.RawMessage
	Redacts  id.EventID
	TS       int64 // milliseconds

	TxnDevice, TxnID string
}

// errStale means that the event was built on one that could not be stored; it is built again.
var errStale = errors.New("an earlier event of the room was not stored")

// maxAppendTries bounds how often an event is built again.
const maxAppendTries = 5

// append is the one door by which an event enters a room. It makes events of the drafts, one after the other, authorises
// them, and stores them with their edges, state, memberships and stream positions in one transaction, which it may share
// with other rooms' events. It returns once they are committed. also, if not nil, runs in the same transaction; like all
// writes it may run more than once.
func (s *Service) append(ctx context.Context, roomID id.RoomID, drafts []draft, also func(*store.Tx) error) ([]*event.PDU, error) {
	for range maxAppendTries {
		pdus, err := s.appendOnce(ctx, s.head(roomID), drafts, also)
		if !errors.Is(err, errStale) {
			return pdus, err
		}
	}
	return nil, fmt.Errorf("append to %s: %w", roomID, errStale)
}

// outcome is what became of a write.
type outcome struct {
	done chan struct{} // closed when err is set
	err  error
}

// appendOnce takes over the caller's reference to h.
func (s *Service) appendOnce(ctx context.Context, h *head, drafts []draft, also func(*store.Tx) error) ([]*event.PDU, error) {
	defer s.release(h)
	entries, result, err := s.enqueue(ctx, h, drafts, also)
	if err != nil {
		return nil, err
	}
	pdus := make([]*event.PDU, len(entries))
	for i, e := range entries {
		pdus[i] = e.pdu
	}
	if result == nil { // nothing new to store
		return pdus, nil
	}
	// The events are on their way, whatever becomes of the caller.
	<-result.done
	if result.err != nil && result != entries[len(entries)-1].outcome {
		return nil, errStale // another's write that this one relied on
	}
	return pdus, result.err
}

// enqueue builds the events on the room's tip and hands them to the writer before anyone else can build on it. When there is
// more than one draft, nobody else may hold h: if a later draft is refused, the earlier ones have changed it.
func (s *Service) enqueue(ctx context.Context, h *head, drafts []draft, also func(*store.Tx) error) ([]*entry, *outcome, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed.Load() {
		return nil, nil, errStale
	}
	if err := h.load(ctx, s.DB); err != nil {
		return nil, nil, err
	}
	if e := h.repeated(drafts[0]); e != nil {
		return []*entry{e}, e.outcome, nil
	}
	entries := make([]*entry, 0, len(drafts))
	fresh := make([]*entry, 0, len(drafts))
	result := &outcome{done: make(chan struct{})}
	for _, d := range drafts {
		e, isNew, err := s.build(ctx, h, d)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e)
		if isNew {
			e.outcome = result
			h.roomID = e.pdu.RoomID // that of a new room may be its create event's hash
			h.apply(e)
			fresh = append(fresh, e)
		}
	}
	if len(fresh) == 0 && also == nil {
		return entries, entries[len(entries)-1].outcome, nil
	}
	s.retain(h)
	err := s.DB.Enqueue(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if h.failed.Load() {
			return errStale
		}
		return h.write(tx, fresh, also)
	}, func(err error) {
		s.wrote(h, fresh, err)
		result.err = err
		close(result.done)
	})
	if err != nil { // the database is closed: nothing is built on this head any more
		s.release(h)
		return nil, nil, err
	}
	return entries, result, nil
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
			e.after, e.replaces, e.prevs = nil, nil, nil // or every event would keep all before it alive
		}
		s.Bus.Publish(signals...)
	}
	s.release(h)
}

// build makes an event of a draft on the room's tip, signs and authorises it. A state event that changes nothing is not made:
// the one that is there is returned, with isNew false. The caller holds h.mu.
func (s *Service) build(ctx context.Context, h *head, d draft) (e *entry, isNew bool, err error) {
	keys := eventauth.Needed(h.version, d.Sender, d.Type, d.StateKey, d.Content)
	places := append(keys[:len(keys):len(keys)], createKey, memberKey(d.Sender))
	if d.StateKey != nil {
		places = append(places, eventauth.StateKey{Type: d.Type, Key: *d.StateKey})
	}
	if err := h.need(ctx, s.DB, places); err != nil {
		return nil, false, err
	}
	if same := h.unchanged(d); same != nil {
		return same, false, nil
	}
	b := event.Builder{
		RoomID: h.roomID, Sender: d.Sender, Type: d.Type, StateKey: d.StateKey, Content: d.Content,
		Redacts: d.Redacts, OriginServerTS: d.TS, Depth: 1,
	}
	for _, k := range keys {
		if a := h.state[k]; a != nil {
			b.AuthEvents = append(b.AuthEvents, a.pdu.EventID)
		}
	}
	for _, tip := range h.tips {
		b.PrevEvents = append(b.PrevEvents, tip.pdu.EventID)
		b.Depth = max(b.Depth, tip.pdu.Depth+1)
	}
	pdu, err := b.Build(h.version, s.Key)
	if err != nil {
		return nil, false, buildError(err)
	}
	if err := eventauth.Check(pdu, h); err != nil {
		return nil, false, notAllowed(err)
	}
	e = &entry{pdu: pdu, after: h.last, prevs: h.tips, txnDevice: d.TxnDevice, txnID: d.TxnID}
	if d.Redacts != "" {
		if e.redacts, err = s.redaction(ctx, h, d); err != nil {
			return nil, false, err
		}
	}
	return e, true, nil
}

// unchanged returns the current state event when the draft says the same.
func (h *head) unchanged(d draft) *entry {
	if d.StateKey == nil || d.TxnID != "" {
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
	if e.pdu.StateKey != nil {
		k := eventauth.StateKey{Type: e.pdu.Type, Key: *e.pdu.StateKey}
		e.replaces = h.state[k]
		h.state[k] = e
	}
	if e.redacts != nil && e.redacts.pruned.StateKey != nil {
		k := eventauth.StateKey{Type: e.redacts.pruned.Type, Key: *e.redacts.pruned.StateKey}
		if now := h.state[k]; now != nil && now.pdu.EventID == e.redacts.pruned.EventID {
			now.pdu = e.redacts.pruned
		}
	}
}
