package room

import (
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// write stores events and all that goes with them. It runs on the writer's goroutine, perhaps more than once.
func (s *Service) write(tx *store.Tx, h *head, entries []*entry, also func(*store.Tx) error) error {
	if h.create {
		nid, err := tx.InsertRoom(h.roomID, h.version, h.published)
		if err != nil {
			return err
		}
		h.nid = nid
	}
	for _, e := range entries {
		if err := s.writeEvent(tx, h, e); err != nil {
			return fmt.Errorf("store event %s: %w", e.pdu.EventID, err)
		}
	}
	if also != nil {
		return also(tx)
	}
	return nil
}

func (s *Service) writeEvent(tx *store.Tx, h *head, e *entry) error {
	var err error
	if e.nid, err = tx.NextPos(); err != nil {
		return err
	}
	before := e.after.stateAfter
	e.stateAfter = before
	if e.pdu.IsState() {
		if err := h.writeState(tx, e, before); err != nil {
			return err
		}
	}
	row := store.Event{
		PDU: e.pdu, NID: e.nid, RoomNID: h.nid, Pos: e.nid, StateBefore: before, StateAfter: e.stateAfter,
		TxnDevice: e.txn.Device, TxnID: e.txn.ID, TxnTarget: e.txn.Target,
	}
	if e.replaces != nil {
		row.Replaces = e.replaces.nid
	}
	row.Auth = e.authNIDs
	for _, a := range e.auth {
		row.Auth = append(row.Auth, a.nid)
	}
	if err := tx.InsertEvent(&row); err != nil {
		return err
	}
	if err := s.writeSticky(tx, &row); err != nil {
		return err
	}
	gone := make([]int64, 0, len(e.prevs))
	for _, prev := range e.prevs {
		gone = append(gone, prev.nid)
		if err := tx.InsertEdge(prev.nid, e.nid); err != nil {
			return err
		}
	}
	if err := tx.ReplaceExtremities(h.nid, gone, e.nid); err != nil {
		return err
	}
	if !e.silent || e.pdu.IsState() {
		if err := s.judge(tx, store.Placed{Event: &row, RoomBefore: before, RoomAfter: e.stateAfter, Was: e.was()}); err != nil {
			return err
		}
	}
	if e.received {
		if err := tx.AdoptChildren(&row); err != nil {
			return err
		}
		if err := s.writeAwaited(tx, &row, e.redacts); err != nil {
			return err
		}
	}
	return s.writeRedaction(tx, e.redacts, e.nid)
}

// judge has decided whom the event concerns.
func (s *Service) judge(tx *store.Tx, in store.Placed) error {
	if s.Judge == nil {
		return nil
	}
	return s.Judge.Judge(tx, in)
}

// was returns the membership that a member event changes.
func (e *entry) was() string {
	if e.replaces == nil || e.pdu.Type != event.TypeMember {
		return ""
	}
	return e.replaces.pdu.Membership()
}

// writeRedaction puts what is left of a redacted event in its place.
func (s *Service) writeRedaction(tx *store.Tx, r *redaction, by int64) error {
	if r == nil {
		return nil
	}
	if s.KeepRedacted > 0 {
		if err := tx.KeepOriginal(r.original, s.Now().UnixMilli()); err != nil {
			return err
		}
	}
	return tx.RedactEvent(r.nid, by, r.pruned.JSON())
}

// writeAwaited remembers an event from elsewhere that redacts what is not here yet, and redacts it when its own redaction came first.
func (s *Service) writeAwaited(tx *store.Tx, e *store.Event, redacts *redaction) error {
	if e.Redacts != "" && redacts == nil {
		switch target, err := tx.EventByID(e.Redacts); {
		case errors.Is(err, store.ErrNotFound):
			if err := tx.AwaitRedaction(e.RoomNID, e.Redacts, e.NID); err != nil {
				return err
			}
		case err != nil:
			return err
		case target.Status&store.Outlier != 0: // it may yet come to stand in the room
			if err := tx.AwaitRedaction(e.RoomNID, e.Redacts, e.NID); err != nil {
				return err
			}
		}
	}
	by, err := awaitedRedaction(tx, e.RoomNID, e.PDU)
	if err != nil || by == nil {
		return err
	}
	pruned, err := e.Redact()
	if err != nil {
		return err
	}
	if err := tx.EndAwait(e.EventID); err != nil {
		return err
	}
	return s.writeRedaction(tx, &redaction{nid: e.NID, pruned: pruned, original: e}, by.NID)
}

func (h *head) writeState(tx *store.Tx, e *entry, before int64) error {
	k, err := tx.StateNID(e.pdu.Type, *e.pdu.StateKey)
	if err != nil {
		return err
	}
	change := store.StateChange{Place: k, New: e.nid}
	if e.replaces != nil {
		change.Old = e.replaces.nid
	}
	if e.stateAfter, err = tx.AddToState(h.nid, before, change); err != nil {
		return err
	}
	if err := tx.SetRoomState(h.nid, e.nid, e.stateAfter); err != nil {
		return err
	}
	if err := tx.SetCurrentState(h.nid, k, e.nid); err != nil {
		return err
	}
	if e.pdu.Type != event.TypeMember {
		return nil
	}
	e.memberNID = k.Key
	return tx.SetMembership(store.Membership{
		RoomNID: h.nid, UserNID: k.Key, Membership: e.pdu.Membership(), EventNID: e.nid, Pos: e.nid,
	})
}
