package room

import (
	"context"
	"slices"

	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// receiveTip is the short way for what comes after all that is here, as most events do: the state before it is the current state, so
// that one check answers for both, and it is appended as an event of this server is.
func (s *Service) receiveTip(ctx context.Context, a *arrival) error {
	if a.status != 0 || a.gap || a.stored != nil {
		return nil
	}
	h := s.head(a.roomID)
	defer s.release(h)
	r, ok, err := s.enqueueTip(ctx, h, a)
	if err != nil || !ok {
		return err
	}
	<-r.done
	if r.err != nil {
		return r.err
	}
	a.appended = true
	return errDone
}

func (s *Service) enqueueTip(ctx context.Context, h *head, a *arrival) (*outcome, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stale(s.DB) {
		return nil, false, errStale
	}
	if err := h.load(ctx, s.DB); err != nil {
		return nil, false, err
	}
	if !h.isTip(a.pdu.PrevEvents) {
		return nil, false, nil
	}
	h.trim()
	keys := append(eventauth.NeededBy(a.pdu), createKey)
	if a.pdu.StateKey != nil {
		keys = append(keys, eventauth.StateKey{Type: a.pdu.Type, Key: *a.pdu.StateKey})
	}
	if err := h.need(ctx, s.DB, keys); err != nil {
		return nil, false, err
	}
	if eventauth.Check(a.pdu, h) != nil {
		return nil, false, nil // the long way says how it is kept
	}
	e := &entry{pdu: a.pdu, after: h.last, prevs: h.tips, received: true, outcome: &outcome{done: make(chan struct{})}}
	for _, auth := range a.auth {
		e.authNIDs = append(e.authNIDs, auth.NID)
	}
	var err error
	if e.redacts, err = s.receivedRedaction(ctx, h, a); err != nil {
		return nil, false, err
	}
	h.apply(e)
	return e.outcome, true, s.hand(ctx, h, []*entry{e}, nil, e.outcome)
}

// isTip tells whether events are just the room's tips. The caller holds h.mu.
func (h *head) isTip(ids []id.EventID) bool {
	if len(ids) != len(h.tips) {
		return false
	}
	for _, tip := range h.tips {
		if !slices.Contains(ids, tip.pdu.EventID) {
			return false
		}
	}
	return true
}

// receivedRedaction finds what an accepted redaction does to an event that is here. What its target is, and whether it may be redacted,
// may be found out only later: see store.Tx.AwaitRedaction. The caller holds h.mu.
func (s *Service) receivedRedaction(ctx context.Context, h *head, a *arrival) (*redaction, error) {
	if a.pdu.Redacts == "" {
		return nil, nil
	}
	var found *redaction
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		found, err = redactionOf(tx, h, h.nid, a.pdu)
		return err
	})
	return found, err
}
