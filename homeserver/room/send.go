package room

import (
	"context"
	"encoding/json"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Send sends a message event. A transaction id that the same device has used in this room before answers with the event of
// that time (Client-Server API, "Transaction identifiers").
func (s *Service) Send(ctx context.Context, by By, roomID id.RoomID, eventType, txnID string, content json.RawMessage) (id.EventID, error) {
	d, err := s.messageDraft(by, eventType, content)
	if err != nil {
		return "", err
	}
	d.TxnDevice, d.TxnID = by.Device, txnID
	return s.send(ctx, roomID, d, nil)
}

// messageDraft is the draft of a message event.
func (s *Service) messageDraft(by By, eventType string, content json.RawMessage) (d draft, err error) {
	d = draft{Type: eventType, Sender: by.User, Content: content, TS: s.ts(by), Guest: by.Guest, Suspended: by.Suspended, StickyMS: s.sticky(by)}
	if eventType == event.TypeRedaction { // Matrix 1.18, MSC4169
		d.Redacts, err = redactionTarget(content)
	}
	return d, err
}

// SendState sends a state event. When the state says the same already, the event that says so is returned.
func (s *Service) SendState(ctx context.Context, by By, roomID id.RoomID, eventType, stateKey string, content json.RawMessage) (id.EventID, error) {
	d, err := s.stateDraft(ctx, by, roomID, eventType, stateKey, content)
	if err == nil && eventType == event.TypeMember && saysMembership(d.Content, event.MembershipInvite) {
		err = s.summon(ctx, by, roomID, id.UserID(stateKey))
	}
	if err != nil {
		return "", err
	}
	return s.sendStateDraft(ctx, by, roomID, d)
}

// sendStateDraft sends what stateDraft made.
func (s *Service) sendStateDraft(ctx context.Context, by By, roomID id.RoomID, d draft) (id.EventID, error) {
	if d.Type == event.TypeMember && joinsOneself(by, *d.StateKey, d.Content) {
		return s.joinBy(ctx, roomID, d)
	}
	if d.Type == event.TypeMember && by.ActFor != nil && *d.StateKey != string(by.User) {
		return s.sendMemberOf(ctx, by, roomID, d)
	}
	if d.Type == typeTombstone {
		s.followAll(&d)
	}
	return s.send(ctx, roomID, d, nil)
}

// stateDraft is the draft of a state event, whose content is such that it may be sent.
func (s *Service) stateDraft(ctx context.Context, by By, roomID id.RoomID, eventType, stateKey string, content json.RawMessage) (d draft, err error) {
	d = draft{Type: eventType, StateKey: &stateKey, Sender: by.User, Content: content, TS: s.ts(by), Guest: by.Guest, Suspended: by.Suspended, StickyMS: s.sticky(by)}
	switch eventType {
	case typeCanonicalAlias:
		err = s.checkCanonicalAlias(ctx, by, roomID, content)
	case event.TypeMember:
		d.Content, err = withoutAuthoriser(content)
	case event.TypeCreate:
		err = matrixError(400, "M_INVALID_PARAM", "A room has one create event, which it begins with")
	case typeTombstone:
		err = checkTombstone(roomID, content)
	case event.TypeRedaction: // of no use, but everybody who sees it takes it for one
		d.Redacts, err = redactionTarget(content)
	}
	return d, err
}

// joinsOneself tells whether a member event is its sender's own join.
func joinsOneself(by By, stateKey string, content json.RawMessage) bool {
	return stateKey == string(by.User) && joins(content)
}

// joins tells whether the content of a member event is that of a join.
func joins(content json.RawMessage) bool { return saysMembership(content, event.MembershipJoin) }

// saysMembership tells whether the content of a member event says a membership.
func saysMembership(content json.RawMessage, membership string) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(content, &fields) != nil {
		return false
	}
	var said string
	return json.Unmarshal(fields["membership"], &said) == nil && said == membership
}

func redactionTarget(content json.RawMessage) (id.EventID, error) {
	var in struct {
		Redacts id.EventID `json:"redacts"`
	}
	if err := json.Unmarshal(content, &in); err != nil || in.Redacts == "" {
		return "", matrixError(400, "M_BAD_JSON", "A redaction needs content.redacts, the id of an event")
	}
	return in.Redacts, nil
}

// withoutAuthoriser takes out of a client's member event who authorised the join. That the conditions of a restricted room are
// met is for this server to say: its signature is what other servers rely on (Client-Server API, "Restricted rooms").
func withoutAuthoriser(content json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, matrixError(400, "M_BAD_JSON", "The content must be an object")
	}
	if _, given := fields[authoriserKey]; !given {
		return content, nil
	}
	delete(fields, authoriserKey)
	return json.Marshal(fields)
}

// send appends one event. also, if not nil, runs in the transaction that stores it: see append.
func (s *Service) send(ctx context.Context, roomID id.RoomID, d draft, also func(*store.Tx) error) (id.EventID, error) {
	if len(d.TxnID) > maxTxnIDBytes {
		return "", matrixError(400, "M_INVALID_PARAM", "The transaction id is longer than %d bytes", maxTxnIDBytes)
	}
	if d.TxnID != "" {
		if sent, err := s.sentBefore(ctx, roomID, d); err != nil || sent != "" {
			return sent, err
		}
	}
	ids, err := s.append(ctx, roomID, []draft{d}, also)
	if errors.Is(err, store.ErrExists) {
		// A repeat overtook its original, or the commit was answered by an error after it had happened.
		if d.TxnID != "" {
			if sent, lookup := s.sentBefore(ctx, roomID, d); lookup == nil && sent != "" {
				return sent, nil
			}
		}
		if len(ids) == 1 && s.stored(ctx, ids[0]) {
			return ids[0], nil
		}
	}
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// sentBefore returns the event that was sent under the draft's transaction id, or "".
func (s *Service) sentBefore(ctx context.Context, roomID id.RoomID, d draft) (id.EventID, error) {
	var sent id.EventID
	err := s.DB.Peek(ctx, func(tx *store.Tx) (err error) {
		sent, err = tx.EventIDByTxn(d.txn(roomID))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return sent, err
}

func (s *Service) stored(ctx context.Context, eventID id.EventID) bool {
	return s.DB.View(ctx, func(tx *store.Tx) error {
		_, err := tx.EventByID(eventID)
		return err
	}) == nil
}
