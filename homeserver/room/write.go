package room

import (
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// write stores events and all that goes with them. It runs on the writer's goroutine, perhaps more than once.
func (h *head) write(tx *store.Tx, entries []*entry, also func(*store.Tx) error) error {
	if h.create {
		nid, err := tx.InsertRoom(h.roomID, h.version, h.published)
		if err != nil {
			return err
		}
		h.nid = nid
	}
	for _, e := range entries {
		if err := h.writeEvent(tx, e); err != nil {
			return fmt.Errorf("store event %s: %w", e.pdu.EventID, err)
		}
	}
	if also != nil {
		return also(tx)
	}
	return nil
}

func (h *head) writeEvent(tx *store.Tx, e *entry) error {
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
	if err := tx.InsertEvent(&row); err != nil {
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
	if e.redacts != nil {
		return tx.RedactEvent(e.redacts.nid, e.nid, e.redacts.pruned.JSON())
	}
	return nil
}

func (h *head) writeState(tx *store.Tx, e *entry, before int64) error {
	k, err := tx.StateNID(e.pdu.Type, *e.pdu.StateKey)
	if err != nil {
		return err
	}
	if e.stateAfter, err = tx.InsertStateSet(h.nid, before, store.StateSet{k: e.nid}); err != nil {
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
