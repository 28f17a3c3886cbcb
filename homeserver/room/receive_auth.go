package room

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// receiveAuth rejects an event that its own auth events do not allow. Those that are not here are fetched.
func (s *Service) receiveAuth(ctx context.Context, a *arrival) error {
	if err := s.fetchAuth(ctx, a); err != nil {
		return err
	}
	return s.DB.View(ctx, func(tx *store.Tx) error {
		found, err := tx.EventsByID(a.pdu.AuthEvents)
		if err != nil {
			return err
		}
		known := make(map[id.EventID]*store.Event, len(found))
		for _, e := range found {
			known[e.EventID] = e
		}
		for _, eventID := range a.pdu.AuthEvents {
			if known[eventID] == nil {
				return fmt.Errorf("%w: %s", errMissing, eventID)
			}
		}
		create, err := tx.CurrentStateEvent(a.nid, event.TypeCreate, "")
		if err != nil {
			return fmt.Errorf("create event of %s: %w", a.roomID, err)
		}
		a.auth = found
		if reason := refusedByAuth(a.pdu, known, create); reason != "" {
			a.reject(reason)
		}
		return nil
	})
}

// refusedByAuth returns why the auth events of an event do not allow it, "" when they do. Server-Server API, "Checks performed on
// receipt of a PDU", step 4.
// auth has all of them, by id.
func refusedByAuth(pdu *event.PDU, auth map[id.EventID]*store.Event, create *store.Event) string {
	pdus := make([]*event.PDU, 0, len(pdu.AuthEvents)+1)
	rejected := make(map[id.EventID]bool)
	for _, eventID := range pdu.AuthEvents { // as often as it is named
		e := auth[eventID]
		if e.RoomNID != create.RoomNID {
			return "By its auth events: one of them is of another room"
		}
		pdus = append(pdus, e.PDU)
		rejected[e.EventID] = e.Status&store.Rejected != 0
	}
	if err := eventauth.CheckAuthEvents(pdu, pdus, func(eventID id.EventID) bool { return rejected[eventID] }); err != nil {
		return "By its auth events: " + err.Error()
	}
	if pdu.Version.RoomIDIsCreateHash { // the create event is implied
		pdus = append(pdus, create.PDU)
	}
	if err := eventauth.Check(pdu, eventauth.NewStateMap(pdus...)); err != nil {
		return "By its auth events: " + err.Error()
	}
	return ""
}

// fetchAuth brings the auth events of an event here, with all that those build on, as outliers.
func (s *Service) fetchAuth(ctx context.Context, a *arrival) error {
	batch := make(map[id.EventID]*event.PDU)
	wanted := authOf([]*event.PDU{a.pdu})
	for len(wanted) > 0 {
		missing, err := s.absent(ctx, wanted)
		if err != nil {
			return err
		}
		missing = slices.DeleteFunc(missing, func(eventID id.EventID) bool { return batch[eventID] != nil })
		if len(missing) == 0 {
			break
		}
		if s.Fetch == nil {
			return fmt.Errorf("%w: %d auth events", errMissing, len(missing))
		}
		if err := spend(&a.budget.auth, len(missing)); err != nil {
			return err
		}
		raws, err := s.Fetch.Events(ctx, a.origin, a.roomID, missing)
		if err != nil {
			return fmt.Errorf("fetch auth events from %s: %w", a.origin, err)
		}
		if err := a.budget.spendBytes(raws); err != nil {
			return err
		}
		fetched := s.readOutliers(ctx, a.roomID, a.version, raws, missing)
		for _, pdu := range fetched {
			batch[pdu.EventID] = pdu
		}
		wanted = authOf(fetched) // of nothing, when nothing came: the caller sees what is missing
	}
	return s.storeOutliers(ctx, a.nid, batch)
}

func authOf(pdus []*event.PDU) []id.EventID {
	var ids []id.EventID
	for _, pdu := range pdus {
		ids = append(ids, pdu.AuthEvents...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// absent returns which of some events are not stored.
func (s *Service) absent(ctx context.Context, ids []id.EventID) ([]id.EventID, error) {
	var missing []id.EventID
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		have, err := tx.NIDsOf(ids)
		for _, eventID := range ids {
			if have[eventID] == 0 {
				missing = append(missing, eventID)
			}
		}
		return err
	})
	return missing, err
}

// readOutliers reads events that were asked for by their ids. What was not asked for, is malformed, of another room or not properly
// signed is left out.
func (s *Service) readOutliers(ctx context.Context, roomID id.RoomID, version *event.RoomVersion, raws []json.RawMessage, asked []id.EventID) []*event.PDU {
	left := make(map[id.EventID]bool, len(asked))
	for _, eventID := range asked {
		left[eventID] = true
	}
	var pdus []*event.PDU
	for _, raw := range raws {
		pdu, err := event.Parse(version, raw)
		if err != nil || pdu.RoomID != roomID || !left[pdu.EventID] || !pdu.IsState() || pdu.Type == event.TypeCreate {
			continue // the room's create event came with the room, and there is no other
		}
		if s.checkSignatures(ctx, pdu) != nil {
			continue
		}
		if pdu, err = hashed(pdu); err != nil {
			continue
		}
		delete(left, pdu.EventID)
		pdus = append(pdus, pdu)
	}
	return pdus
}

// maxOutlierWrite bounds the outliers of one transaction.
const maxOutlierWrite = 200

// storeOutliers stores events that are not here for themselves, in an order in which auth events come first; those whose auth events
// cannot be had are left out.
func (s *Service) storeOutliers(ctx context.Context, nid int64, batch map[id.EventID]*event.PDU) error {
	ordered := byAuth(batch)
	for len(ordered) > 0 {
		some := ordered[:min(len(ordered), maxOutlierWrite)]
		ordered = ordered[len(some):]
		err := s.DB.Write(ctx, func(tx *store.Tx) error {
			for _, pdu := range some {
				if err := writeOutlier(tx, nid, pdu); err != nil {
					return fmt.Errorf("store event %s: %w", pdu.EventID, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func writeOutlier(tx *store.Tx, roomNID int64, pdu *event.PDU) error {
	if _, err := tx.EventByID(pdu.EventID); err == nil {
		return nil
	}
	found, err := tx.EventsByID(pdu.AuthEvents)
	if err != nil || len(found) != countDistinct(pdu.AuthEvents) {
		return err
	}
	auth := make(map[id.EventID]*store.Event, len(found))
	for _, e := range found {
		auth[e.EventID] = e
	}
	row := store.Event{PDU: pdu, RoomNID: roomNID, Status: store.Outlier}
	create, err := tx.CurrentStateEvent(roomNID, event.TypeCreate, "")
	if err != nil {
		return err
	}
	if reason := refusedByAuth(pdu, auth, create); reason != "" {
		row.Status, row.Reason = row.Status|store.Rejected, reason
	}
	if row.NID, err = tx.NextPos(); err != nil {
		return err
	}
	for _, e := range found {
		row.Auth = append(row.Auth, e.NID)
	}
	if err := tx.InsertEvent(&row); err != nil {
		return err
	}
	return tx.AdoptChildren(&row)
}

// byAuth sorts events so that each comes after those of its auth events that are among them. What refers to itself in a circle, which
// no event whose id is a hash can, is left out.
func byAuth(batch map[id.EventID]*event.PDU) []*event.PDU {
	return topological(batch, func(pdu *event.PDU) []id.EventID { return pdu.AuthEvents })
}

// topological sorts events so that each comes after those of before(event) that are among them; circles are left out.
func topological(batch map[id.EventID]*event.PDU, before func(*event.PDU) []id.EventID) []*event.PDU {
	waits := make(map[id.EventID]int, len(batch))
	blocks := make(map[id.EventID][]id.EventID)
	var ready []id.EventID
	for eventID, pdu := range batch {
		refs := slices.Clone(before(pdu))
		slices.Sort(refs)
		for _, ref := range slices.Compact(refs) {
			if batch[ref] != nil {
				waits[eventID]++
				blocks[ref] = append(blocks[ref], eventID)
			}
		}
		if waits[eventID] == 0 {
			ready = append(ready, eventID)
		}
	}
	slices.Sort(ready)
	var ordered []*event.PDU
	for len(ready) > 0 {
		next := ready[0]
		ready = ready[1:]
		ordered = append(ordered, batch[next])
		for _, eventID := range blocks[next] {
			if waits[eventID]--; waits[eventID] == 0 {
				ready = append(ready, eventID)
			}
		}
	}
	return ordered
}
