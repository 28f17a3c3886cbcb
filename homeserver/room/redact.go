package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// redaction is what an m.room.redaction does to its target.
type redaction struct {
	nid      int64        // the target
	pruned   *event.PDU   // what is left of it
	original *store.Event // what it was
}

// maxRedactedWith bounds the events that are redacted along with one, and maxRelTypes the types of relations that a request can name.
const (
	maxRedactedWith = 500
	maxRelTypes     = 50
)

// Redact takes the content out of an event (Client-Server API, "Redactions"). Users may redact their own events, and those
// with the redact power level anybody's.
func (s *Service) Redact(ctx context.Context, by By, roomID id.RoomID, target id.EventID, txnID, reason string) (id.EventID, error) {
	d, err := redactionDraft(target, reason)
	if err != nil {
		return "", err
	}
	d.Sender, d.TS, d.TxnDevice, d.TxnID, d.TxnTarget = by.User, s.ts(by), by.Device, txnID, target
	d.Suspended = by.Suspended
	return s.send(ctx, roomID, d, nil)
}

// Along is what a redaction takes along.
type Along struct {
	RelTypes []string // of the relations to the target, of which "*" stands for any
	// Charge is told how many events that are, before they are redacted.
	Charge func(events int)
}

// RedactWith is Redact for an event and those that relate to it by certain types (MSC3912).
func (s *Service) RedactWith(ctx context.Context, by By, roomID id.RoomID, target id.EventID, txnID, reason string, along Along) (id.EventID, error) {
	if len(along.RelTypes) > maxRelTypes {
		return "", matrixError(400, "M_INVALID_PARAM", "A redaction can name %d types of relations", maxRelTypes)
	}
	redaction, err := s.Redact(ctx, by, roomID, target, txnID, reason)
	if err != nil || len(along.RelTypes) == 0 {
		return redaction, err
	}
	return redaction, s.redactRelated(context.WithoutCancel(ctx), by, roomID, target, reason, along)
}

func redactionDraft(target id.EventID, reason string) (draft, error) {
	content := map[string]any{"redacts": target}
	if reason != "" {
		content["reason"] = reason
	}
	raw, err := json.Marshal(content)
	return draft{Type: event.TypeRedaction, Content: raw, Redacts: target}, err
}

// redactRelated redacts what relates to the target of a redaction, newest first, and of that what the user may redact. What has been
// redacted relates to nothing any more, so a request that is repeated goes on where it was cut off.
func (s *Service) redactRelated(ctx context.Context, by By, roomID id.RoomID, target id.EventID, reason string, along Along) error {
	relTypes := along.RelTypes
	if slices.Contains(relTypes, "*") {
		relTypes = nil // any
	}
	var children []id.EventID
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		parent, err := tx.EventByID(target)
		if err != nil {
			return err
		}
		children, err = tx.FitChildren(parent, relTypes, maxRedactedWith)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for what relates to %s: %w", target, err)
	}
	along.Charge(len(children))
	for _, child := range children {
		d, err := redactionDraft(child, reason)
		if err != nil {
			return err
		}
		d.Sender, d.TS, d.Suspended = by.User, s.ts(by), by.Suspended
		_, err = s.append(ctx, roomID, []draft{d}, nil)
		var refused mautrix.RespError
		if errors.As(err, &refused) {
			continue
		}
		if err != nil {
			return fmt.Errorf("redact %s along with %s: %w", child, target, err)
		}
	}
	return nil
}

// redaction finds the target of a redaction and prunes it; nil for what redacts nothing. The caller holds h.mu.
func (s *Service) redaction(ctx context.Context, h *head, d draft) (*redaction, error) {
	if d.Redacts == "" {
		return nil, nil
	}
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
