package room

import (
	"cmp"
	"context"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// appendBeside appends an event in a room that has more tips than an event can name: it names the deepest of them, so that each event
// from here leaves fewer. As it does not come after all that is here, it goes the way of an event from elsewhere. The caller holds h.mu.
func (s *Service) appendBeside(ctx context.Context, h *head, d draft, also func(*store.Tx) error) (receipt, error) {
	if err := d.check(); err != nil {
		return receipt{}, err
	}
	if err := s.settle(h); err != nil {
		return receipt{}, err
	}
	places := []eventauth.StateKey{createKey, memberKey(d.Sender), guestAccessKey}
	if d.StateKey != nil {
		places = append(places, eventauth.StateKey{Type: d.Type, Key: *d.StateKey})
	}
	if err := h.need(ctx, s.DB, places); err != nil {
		return receipt{}, err
	}
	if err := h.admit(d); err != nil {
		return receipt{}, err
	}
	tips := slices.Clone(h.tips)
	slices.SortFunc(tips, func(a, b *entry) int { return cmp.Compare(b.pdu.Depth, a.pdu.Depth) })
	tips = tips[:event.MaxPrevEvents]
	a := &arrival{roomID: h.roomID, nid: h.nid, version: h.version}
	var sets []int64
	for _, tip := range tips {
		sets = append(sets, tip.stateAfter)
		a.prevs = append(a.prevs, &store.Event{PDU: tip.pdu, NID: tip.nid, StateAfter: tip.stateAfter})
	}
	var err error
	if a.before, err = s.resolver.Resolve(ctx, h.nid, h.version, sets); err != nil {
		return receipt{}, err
	}
	if err := s.DB.View(ctx, func(tx *store.Tx) error { return s.buildBeside(tx, h, d, a) }); err != nil {
		return receipt{}, err
	}
	if err := s.checkRelation(ctx, h, a.pdu); err != nil {
		return receipt{}, err
	}
	p := &placement{arrival: a, txn: d.txn(h.roomID)}
	if stored := d.stored; stored != nil {
		d.stored = func(tx *store.Tx, eventID id.EventID) error {
			if p.status != 0 { // it is kept, and not sent
				return nil
			}
			return stored(tx, eventID)
		}
	}
	also = alongside([]draft{d}, []id.EventID{a.pdu.EventID}, also)
	if err := s.put(ctx, h, p, also); err != nil {
		return receipt{}, err
	}
	if p.status != 0 {
		return receipt{}, matrixError(403, "M_FORBIDDEN", "%s", p.reason)
	}
	return receipt{ids: []id.EventID{a.pdu.EventID}}, nil
}

// buildBeside makes the event on the state before it.
func (s *Service) buildBeside(tx *store.Tx, h *head, d draft, a *arrival) error {
	b := event.Builder{
		RoomID: h.roomID, Sender: d.Sender, Type: d.Type, StateKey: d.StateKey, Content: d.Content,
		Redacts: d.Redacts, OriginServerTS: d.TS, StickyMS: d.StickyMS, Depth: 1,
	}
	keys := eventauth.Needed(h.version, d.Sender, d.Type, d.StateKey, d.Content)
	state, events, err := loadKeys(tx, a.before, append(slices.Clone(keys), createKey))
	if err != nil {
		return err
	}
	for _, k := range keys {
		if e := events[k]; e != nil {
			b.AuthEvents, a.auth = append(b.AuthEvents, h.refer(&b, e.PDU)), append(a.auth, e)
		}
	}
	for _, prev := range a.prevs {
		b.PrevEvents, b.Depth = append(b.PrevEvents, h.refer(&b, prev.PDU)), max(b.Depth, h.version.NextDepth(prev.Depth))
	}
	if a.pdu, err = b.Build(h.version, s.Key); err != nil {
		return buildError(err)
	}
	if err := eventauth.Check(a.pdu, state); err != nil {
		return notAllowed(err)
	}
	return s.reaches(tx, a.pdu)
}
