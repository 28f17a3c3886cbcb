package bridges

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// What the network says may reach Matrix twice: the process can die after the homeserver has taken an event, and before
// bridgev2 has recorded it. So each kind of event has something by which it is known when it comes again:
//
//   - A message, by a transaction ID made of bridge, portal, message and part.
//   - An edit, by one that is also made of when it was made and what it says: the same text may be edited in again later.
//   - A redaction, by one made of what it redacts.
//   - A reaction, by being there: nobody can react to an event in the same way twice, and who reacts again after taking a
//     reaction back makes a new one.
//   - State, by being so: what sets state to what it is already changes nothing.

// SendMessage implements bridgev2.MatrixAPI.
func (i *intent) SendMessage(ctx context.Context, room id.RoomID, eventType event.Type, content *event.Content,
	extra *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	if eventType == event.EventReaction {
		return i.react(ctx, room, content, extra)
	}
	if redaction, ok := content.Parsed.(*event.RedactionEventContent); ok && eventType == event.EventRedaction {
		return i.redact(ctx, room, redaction, content, extra)
	}
	if extra == nil || extra.MessageMeta == nil || extra.MessageMeta.ID == "" {
		return i.ASIntent.SendMessage(ctx, room, eventType, content, extra)
	}
	txnID, err := i.c.messageTxn(extra.MessageMeta), error(nil)
	message, ok := content.Parsed.(*event.MessageEventContent)
	if ok && message.RelatesTo.GetReplaceID() != "" {
		if txnID, err = i.c.editTxn(extra, content); err != nil {
			return nil, err
		}
	}
	if ok && eventType == event.EventMessage {
		message.AddPerMessageProfileFallback()
	}
	if eventType, err = i.encrypt(ctx, room, eventType, content, extra); err != nil {
		return nil, err
	}
	return i.Matrix.SendMessageEvent(ctx, room, eventType, content, mautrix.ReqSendEvent{
		Timestamp: extra.Timestamp.UnixMilli(), TransactionID: txnID,
	})
}

// encrypt encrypts a message for a room in which all are, and returns the type that it then has.
func (i *intent) encrypt(ctx context.Context, room id.RoomID, eventType event.Type, content *event.Content,
	extra *bridgev2.MatrixSendExtra) (event.Type, error) {
	encrypted, err := i.c.isEncrypted(ctx, room)
	if err != nil || !encrypted {
		return eventType, err
	}
	if i.Matrix.IsCustomPuppet && extra != nil {
		i.Matrix.AddDoublePuppetValueWithTS(content, extra.Timestamp.UnixMilli())
	}
	return event.EventEncrypted, i.c.Crypto.Encrypt(ctx, room, eventType, content)
}

// isEncrypted says whether messages to a room are to be encrypted, and fails where they cannot be.
func (c *matrixConnector) isEncrypted(ctx context.Context, room id.RoomID) (bool, error) {
	encrypted, err := c.StateStore.IsEncrypted(ctx, room)
	if err != nil {
		return false, fmt.Errorf("ask whether %s is encrypted: %w", room, err)
	}
	encrypted = encrypted || c.Config.Encryption.Require
	if encrypted && c.Crypto == nil {
		return false, errNoEncryption
	}
	return encrypted, nil
}

// redact sends a redaction, which says the same however often it is sent.
func (i *intent) redact(ctx context.Context, room id.RoomID, redaction *event.RedactionEventContent, content *event.Content,
	extra *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	var err error
	if redaction.Redacts, err = i.c.trueID(ctx, room, redaction.Redacts); err != nil {
		return nil, err
	}
	txnID := i.c.txn("redaction", string(redaction.Redacts))
	if !i.c.SpecVersions.Supports(mautrix.FeatureRedactSendAsEvent) {
		return i.Matrix.RedactEvent(ctx, room, redaction.Redacts, mautrix.ReqRedact{
			Reason: redaction.Reason, TxnID: txnID, Extra: content.Raw,
		})
	}
	req := mautrix.ReqSendEvent{TransactionID: txnID}
	if extra != nil {
		req.Timestamp = extra.Timestamp.UnixMilli()
	}
	return i.Matrix.SendMessageEvent(ctx, room, event.EventRedaction, content, req)
}

var errDuplicateAnnotation = mautrix.RespError{ErrCode: "M_DUPLICATE_ANNOTATION"}

// react sends a reaction, or finds the one that is there already.
func (i *intent) react(ctx context.Context, room id.RoomID, content *event.Content, extra *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	resp, err := i.ASIntent.SendMessage(ctx, room, event.EventReaction, content, extra)
	reaction, ok := content.Parsed.(*event.ReactionEventContent)
	if !ok || !errors.Is(err, errDuplicateAnnotation) {
		return resp, err
	}
	found, findErr := i.findReaction(ctx, room, &reaction.RelatesTo)
	if findErr != nil {
		return nil, fmt.Errorf("find the reaction that is there already: %w", findErr)
	}
	if found == "" {
		return nil, err
	}
	return &mautrix.RespSendEvent{EventID: found}, nil
}

const (
	// reactionsPage is how many reactions to an event are asked for at once, and maxReactionPages how often.
	reactionsPage    = 100
	maxReactionPages = 20
)

// findReaction returns the user's reaction to an event with a key, "" when there is none among the newest.
func (i *intent) findReaction(ctx context.Context, room id.RoomID, like *event.RelatesTo) (id.EventID, error) {
	req := &mautrix.ReqGetRelations{RelationType: event.RelAnnotation, EventType: event.EventReaction, Limit: reactionsPage}
	for range maxReactionPages {
		// The bot's view: a ghost that has come later does not see the event.
		page, err := i.c.Bot.GetRelations(ctx, room, like.EventID, req)
		if err != nil {
			return "", err
		}
		for _, evt := range page.Chunk {
			relation, _ := evt.Content.Raw["m.relates_to"].(map[string]any)
			if evt.Sender == i.GetMXID() && relation["key"] == like.Key {
				return evt.ID, nil
			}
		}
		if req.From = page.NextBatch; req.From == "" {
			break
		}
	}
	return "", nil
}

// messageTxn is the transaction ID of a part of a message.
func (c *matrixConnector) messageTxn(meta *database.Message) string {
	return c.txn(string(meta.Room.ID), string(meta.Room.Receiver), string(meta.ID), string(meta.PartID))
}

// editTxn is the transaction ID of an edit, of which there may be many.
func (c *matrixConnector) editTxn(extra *bridgev2.MatrixSendExtra, content *event.Content) (string, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encode an edit: %w", err)
	}
	said := sha256.Sum256(text)
	meta := extra.MessageMeta
	return c.txn(string(meta.Room.ID), string(meta.Room.Receiver), string(meta.ID), string(meta.PartID), "edit",
		strconv.FormatInt(extra.Timestamp.UnixMilli(), 10), string(said[:])), nil
}

// txn is a hash of the bridge and what is given.
func (c *matrixConnector) txn(parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{c.id}, parts...) {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return c.id + "-" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}
