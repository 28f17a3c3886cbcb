package bridges

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// batchChunk is how many events of a room's history are sent in one request, which the homeserver takes whole or not at all.
const batchChunk = 100

// batchSend is some history on its way into a room (com.beeper.batch_sending).
type batchSend struct {
	c      *matrixConnector
	room   id.RoomID
	req    *mautrix.ReqBeeperBatchSend
	extras []*bridgev2.MatrixSendExtra
	ids    []id.EventID              // of the events that are there
	named  map[id.EventID]id.EventID // the same, by what bridgev2 calls them
}

// BatchSend implements bridgev2.MatrixConnector. bridgev2 names the events of a batch itself, and takes it that they keep
// these names, which on other servers than its makers' they cannot. The rows that it is about to store are those of extras:
// they get the IDs that the events have. A batch that is sent again, all of it or in part, finds what is there already, also what has
// come there as a single message.
func (c *matrixConnector) BatchSend(ctx context.Context, room id.RoomID, req *mautrix.ReqBeeperBatchSend,
	extras []*bridgev2.MatrixSendExtra) (*mautrix.RespBeeperBatchSend, error) {
	if len(extras) != len(req.Events) {
		return nil, fmt.Errorf("import history: %d events have %d rows", len(req.Events), len(extras))
	}
	if _, err := c.isEncrypted(ctx, room); err != nil {
		return nil, err
	}
	b := &batchSend{c: c, room: room, req: req, extras: extras, named: make(map[id.EventID]id.EventID)}
	b.name()
	for len(b.ids) < len(req.Events) {
		if err := b.sendSome(ctx); err != nil {
			return nil, fmt.Errorf("import history: %d of %d events are there: %w", len(b.ids), len(req.Events), err)
		}
	}
	for i, extra := range extras {
		switch {
		case extra.MessageMeta != nil:
			extra.MessageMeta.MXID = b.ids[i]
		case extra.ReactionMeta != nil:
			extra.ReactionMeta.MXID = b.ids[i]
		}
	}
	return &mautrix.RespBeeperBatchSend{EventIDs: b.ids}, b.markRead(ctx)
}

// name says by what each event is known when it is sent again. bridgev2 names reactions anew each time.
func (b *batchSend) name() {
	again := make(map[string]int)
	for i, extra := range b.extras {
		evt := b.req.Events[i]
		switch {
		case extra.MessageMeta != nil:
			txnID := b.c.messageTxn(extra.MessageMeta)
			if again[txnID]++; again[txnID] == 1 {
				evt.Unsigned.TransactionID = txnID
			}
		case extra.ReactionMeta != nil:
			r := extra.ReactionMeta
			name := b.c.txn("reaction", string(b.room), string(r.Room.ID), string(r.Room.Receiver), string(r.MessageID), string(r.MessagePartID),
				string(r.SenderID), string(r.EmojiID), r.Emoji)
			again[name]++
			evt.ID = id.EventID("$" + name + "-" + strconv.Itoa(again[name]) + b.c.namesEnd())
		}
	}
}

// sendSome sends the next events: those of ghosts together, and that of a person alone, by their double puppet, because
// the bridge may not act for them.
func (b *batchSend) sendSome(ctx context.Context) error {
	from := len(b.ids)
	to := from
	for to < len(b.req.Events) && to < from+batchChunk && b.isOurs(b.req.Events[to]) {
		b.relate(b.req.Events[to])
		to++
	}
	if to == from {
		b.relate(b.req.Events[from])
		return b.sendAs(ctx, from)
	}
	ids, err := b.send(ctx, from, to)
	if errors.Is(err, errDuplicateAnnotation) {
		if to > from+1 { // which of them it is, is not told
			ids, err = b.send(ctx, from, from+1)
		}
		if errors.Is(err, errDuplicateAnnotation) {
			return b.sendAs(ctx, from) // finds it
		}
	}
	if err == nil {
		b.add(ids...)
	}
	return err
}

func (b *batchSend) isOurs(evt *event.Event) bool {
	return evt.Sender == b.c.Bot.UserID || b.c.Bridge.IsGhostMXID(evt.Sender)
}

// send sends some events in one request.
func (b *batchSend) send(ctx context.Context, from, to int) ([]id.EventID, error) {
	req := *b.req
	req.Events = b.req.Events[from:to]
	// What has been sent of a batch for an empty room is in it by now.
	req.Forward = req.Forward || req.ForwardIfNoMessages && from > 0
	if to < len(b.req.Events) {
		req.MarkReadBy = ""
	}
	resp, err := b.c.Connector.BatchSend(ctx, b.room, &req, b.extras[from:to])
	if err != nil {
		return nil, err
	}
	if len(resp.EventIDs) != to-from {
		return nil, fmt.Errorf("the homeserver answers %d events with %d IDs", to-from, len(resp.EventIDs))
	}
	return resp.EventIDs, nil
}

// sendAs sends one event by its sender.
func (b *batchSend) sendAs(ctx context.Context, i int) error {
	evt := b.req.Events[i]
	var sender bridgev2.MatrixAPI
	if b.isOurs(evt) {
		sender = b.c.intentOf(evt.Sender)
	} else {
		user, err := b.c.Bridge.GetUserByMXID(ctx, evt.Sender)
		if err != nil {
			return err
		}
		if sender = user.DoublePuppet(ctx); sender == nil {
			return fmt.Errorf("the bridge cannot send as %s", evt.Sender)
		}
	}
	extra := *b.extras[i]
	extra.Timestamp = time.UnixMilli(evt.Timestamp)
	resp, err := sender.SendMessage(ctx, b.room, evt.Type, &evt.Content, &extra)
	if err == nil {
		b.add(resp.EventID)
	}
	return err
}

// add notes the IDs of the next events.
func (b *batchSend) add(ids ...id.EventID) {
	for _, eventID := range ids {
		b.named[b.req.Events[len(b.ids)].ID] = eventID
		b.ids = append(b.ids, eventID)
	}
}

// relate has an event relate to those of the batch that are in the room by their IDs. The homeserver does so for those that come with it.
func (b *batchSend) relate(evt *event.Event) {
	related, ok := evt.Content.Parsed.(event.Relatable)
	if !ok {
		return
	}
	r := related.OptionalGetRelatesTo()
	if r == nil {
		return
	}
	if eventID, ok := b.named[r.EventID]; ok {
		r.EventID = eventID
	}
	if r.InReplyTo != nil {
		if eventID, ok := b.named[r.InReplyTo.EventID]; ok {
			r.InReplyTo.EventID = eventID
		}
	}
}

// markRead has a person whom the bridge may not act for have read the batch, if they have a double puppet.
func (b *batchSend) markRead(ctx context.Context) error {
	if b.req.MarkReadBy == "" || len(b.ids) == 0 {
		return nil
	}
	user, err := b.c.Bridge.GetUserByMXID(ctx, b.req.MarkReadBy)
	if err != nil || user == nil {
		return err
	}
	if puppet := user.DoublePuppet(ctx); puppet != nil {
		return puppet.MarkRead(ctx, b.room, b.ids[len(b.ids)-1], time.Now())
	}
	return nil
}

// intentOf is that of a ghost or the bot.
func (c *matrixConnector) intentOf(user id.UserID) bridgev2.MatrixAPI {
	if user == c.Bot.UserID {
		return c.BotIntent()
	}
	ghost, _ := c.ParseGhostMXID(user)
	return c.GhostIntent(ghost)
}

// namesEnd is what the names end with that bridgev2 gives the events of a batch. No event ID of a room that it makes does.
func (c *matrixConnector) namesEnd() string {
	name := string(c.GenerateDeterministicEventID("", networkid.PortalKey{}, "", ""))
	return name[strings.IndexByte(name, ':'):]
}

// trueID returns the ID of an event that may be called by a name of a batch: bridgev2 remembers messages that are to
// disappear by those. What is no such name, or of no message that is known, is returned as it is.
func (c *matrixConnector) trueID(ctx context.Context, room id.RoomID, name id.EventID) (id.EventID, error) {
	if !strings.HasSuffix(string(name), c.namesEnd()) {
		return name, nil
	}
	portal, err := c.Bridge.GetPortalByMXID(ctx, room)
	if err != nil || portal == nil {
		return name, err
	}
	rows, err := c.Bridge.DB.Query(ctx, `SELECT id, part_id, mxid FROM message WHERE bridge_id=$1 AND room_id=$2 AND room_receiver=$3`,
		c.Bridge.ID, portal.ID, portal.Receiver)
	if err != nil {
		return "", fmt.Errorf("look for the event %s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var message database.Message
		if err := rows.Scan(&message.ID, &message.PartID, &message.MXID); err != nil {
			return "", fmt.Errorf("look for the event %s: %w", name, err)
		}
		if c.GenerateDeterministicEventID(room, portal.PortalKey, message.ID, message.PartID) == name {
			return message.MXID, nil
		}
	}
	return name, rows.Err()
}
