package room

import (
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"
)

// redactionOf returns what a redaction, sent where the room's state is state, does to its target; nil when the target is not here, is
// redacted already, or may not be redacted by it. Room version 3, "Handling redactions".
func redactionOf(tx *store.Tx, state eventauth.State, roomNID int64, pdu *event.PDU) (*redaction, error) {
	target, err := tx.EventByID(pdu.Redacts)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if target.RoomNID != roomNID || target.RedactedBy != 0 || target.IsStateOf(event.TypeCreate, "") || !eventauth.CanRedact(state, pdu, target.PDU) {
		return nil, nil
	}
	pruned, err := target.Redact()
	if err != nil {
		return nil, err
	}
	return &redaction{nid: target.NID, pruned: pruned, original: target}, nil
}

// awaitedRedaction returns the redaction that came before its target did, and applies to it; nil for none.
func awaitedRedaction(tx *store.Tx, roomNID int64, target *event.PDU) (*store.Event, error) {
	redactions, err := tx.AwaitedRedactions(target.EventID)
	if err != nil {
		return nil, err
	}
	for _, r := range redactions {
		if r.RoomNID != roomNID {
			continue
		}
		state, err := loadAuthState(tx, State{Base: r.StateBefore}, r.PDU)
		if err != nil {
			return nil, err
		}
		if eventauth.CanRedact(state, r.PDU, target) {
			return r, nil
		}
	}
	return nil, nil
}
