package room

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// receiveGap finds the events that the event comes after. Those that are not here are fetched, within bounds, and received in their
// turn; where some are still missing, the other server says what the state was.
func (s *Service) receiveGap(ctx context.Context, a *arrival) error {
	missing, err := s.findPrevs(ctx, a)
	if err != nil {
		return err
	}
	if missing && !a.inGap && s.Fetch != nil {
		if err := s.fillGap(ctx, a); err != nil {
			return err
		}
		if missing, err = s.findPrevs(ctx, a); err != nil {
			return err
		}
	}
	if !missing {
		return nil
	}
	if s.Fetch == nil {
		return fmt.Errorf("%w: events before it", errMissing)
	}
	a.gap = true
	return s.fetchState(ctx, a)
}

// findPrevs looks for the prev_events whose states are known, and tells whether there are others.
func (s *Service) findPrevs(ctx context.Context, a *arrival) (missing bool, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		found, err := tx.EventsByID(a.pdu.PrevEvents)
		if err != nil {
			return err
		}
		a.prevs = a.prevs[:0]
		for _, e := range found {
			if e.RoomNID == a.nid && e.Status&store.Outlier == 0 {
				a.prevs = append(a.prevs, e)
			}
		}
		return nil
	})
	return len(a.prevs) < countDistinct(a.pdu.PrevEvents), err
}

func countDistinct(ids []id.EventID) int {
	seen := make(map[id.EventID]bool, len(ids))
	for _, eventID := range ids {
		seen[eventID] = true
	}
	return len(seen)
}

// fillGap fetches events between this room's tips and the event, and receives them.
func (s *Service) fillGap(ctx context.Context, a *arrival) error {
	var earliest []id.EventID
	minDepth := int64(0)
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		tips, err := tx.Extremities(a.nid)
		for i, e := range tips {
			earliest = append(earliest, e.EventID)
			if i == 0 || e.Depth < minDepth {
				minDepth = e.Depth
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	raws, err := s.Fetch.MissingEvents(ctx, a.origin, a.roomID, earliest, []id.EventID{a.pdu.EventID}, maxGapEvents, minDepth)
	if err != nil {
		return fmt.Errorf("fetch missing events from %s: %w", a.origin, err)
	}
	rawOf := make(map[id.EventID]json.RawMessage)
	batch := make(map[id.EventID]*event.PDU)
	for _, raw := range raws[:min(len(raws), maxGapEvents)] {
		if pdu, err := event.Parse(a.version, raw); err == nil {
			batch[pdu.EventID], rawOf[pdu.EventID] = pdu, raw
		}
	}
	for _, pdu := range topological(batch, func(pdu *event.PDU) []id.EventID { return pdu.PrevEvents }) {
		if pdu.EventID == a.pdu.EventID {
			continue
		}
		// What cannot be had of it shows when its successors are looked at.
		s.receive(ctx, &arrival{origin: a.origin, roomID: a.roomID, raw: rawOf[pdu.EventID], inGap: true, budget: a.budget})
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// fetchState takes the other server's word for the state before the event. Each event of it is checked for itself, as auth events are.
func (s *Service) fetchState(ctx context.Context, a *arrival) error {
	state, auth, err := s.Fetch.StateIDs(ctx, a.origin, a.roomID, a.pdu.EventID)
	if err != nil {
		return fmt.Errorf("fetch the state before the event from %s: %w", a.origin, err)
	}
	if len(state)+len(auth) > maxStateIDs {
		return fmt.Errorf("%w: %s tells of a state of %d events", errMissing, a.origin, len(state)+len(auth))
	}
	all := append(append([]id.EventID(nil), auth...), state...)
	slices.Sort(all)
	missing, err := s.absent(ctx, slices.Compact(all))
	if err != nil {
		return err
	}
	if err := spend(&a.budget.state, len(missing)); err != nil {
		return err
	}
	batch := make(map[id.EventID]*event.PDU, len(missing))
	for len(missing) > 0 {
		some := missing[:min(len(missing), maxOutlierWrite)]
		missing = missing[len(some):]
		raws, err := s.Fetch.Events(ctx, a.origin, a.roomID, some)
		if err != nil {
			return fmt.Errorf("fetch the state from %s: %w", a.origin, err)
		}
		if err := a.budget.spendBytes(raws); err != nil {
			return err
		}
		for _, pdu := range s.readOutliers(ctx, a.roomID, a.version, raws, some) {
			batch[pdu.EventID] = pdu
		}
	}
	if err := s.storeOutliers(ctx, a.nid, batch); err != nil {
		return err
	}
	return s.DB.View(ctx, func(tx *store.Tx) error { return a.takeState(tx, state) })
}

// takeState makes a state of the given events, as far as they are here and not rejected.
func (a *arrival) takeState(tx *store.Tx, ids []id.EventID) error {
	events, err := tx.EventsByID(ids)
	if err != nil {
		return err
	}
	create, err := tx.LookupStateNID(event.TypeCreate, "")
	if err != nil {
		return err
	}
	a.remote = new(State)
	taken := make(map[store.StateNID]bool, len(events))
	for _, e := range events {
		if e.RoomNID != a.nid || e.StateKey == nil || e.Status&store.Rejected != 0 {
			continue
		}
		k, err := tx.LookupStateNID(e.Type, *e.StateKey)
		if err != nil {
			return err
		}
		if taken[k] {
			return &Unacceptable{fmt.Errorf("%s says that %s had two events at one place", a.origin, a.roomID)}
		}
		taken[k] = true
		a.remote.Changes = append(a.remote.Changes, store.StateChange{Place: k, New: e.NID})
	}
	if !taken[create] { // and there is but one create event of a room here
		return fmt.Errorf("%w: by word of %s, the state has no create event", errMissing, a.origin)
	}
	return nil
}
