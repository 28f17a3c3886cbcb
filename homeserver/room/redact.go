package room

import (
	"context"
	"encoding/json"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// redaction is what an m.room.redaction does to its target.
type redaction struct {
	nid      int64        // the target
	pruned   *event.PDU   // what is left of it
	original *store.Event // what it was
}

// Redact takes the content out of an event (Client-Server API, "Redactions"). Users may redact their own events, and those
// with the redact power level anybody's.
func (s *Service) Redact(ctx context.Context, by By, roomID id.RoomID, target id.EventID, txnID, reason string) (id.EventID, error) {
	content := map[string]any{"redacts": target}
	if reason != "" {
		content["reason"] = reason
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	return s.send(ctx, roomID, draft{
		Type: event.TypeRedaction, Sender: by.User, Content: raw, Redacts: target, TS: s.ts(by), TxnDevice: by.Device, TxnID: txnID,
		TxnTarget: target,
	}, nil)
}

// redaction finds the target of a redaction and prunes it. The caller holds h.mu.
func (s *Service) redaction(ctx context.Context, h *head, d draft) (*redaction, error) {
	var target *store.Event
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		target, err = tx.EventByID(d.Redacts)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && target.RoomNID != h.nid {
		return nil, matrixError(404, "M_NOT_FOUND", "There is no event %s in %s", d.Redacts, h.roomID)
	}
	if err != nil {
		return nil, err
	}
	if target.IsStateOf(event.TypeCreate, "") {
		return nil, matrixError(403, "M_FORBIDDEN", "The create event of a room cannot be redacted")
	}
	if err := h.need(ctx, s.DB, []eventauth.StateKey{powerKey, createKey}); err != nil {
		return nil, err
	}
	if target.Sender != d.Sender && eventauth.UserLevel(h, d.Sender) < eventauth.RedactLevel(h) {
		return nil, matrixError(403, "M_FORBIDDEN", "You may not redact events of others in %s", h.roomID)
	}
	pruned, err := target.Redact()
	if err != nil {
		return nil, err
	}
	return &redaction{nid: target.NID, pruned: pruned, original: target}, nil
}
