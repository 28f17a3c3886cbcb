package room

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of one batch. A chunk is stored in one transaction.
const (
	maxBatch      = 1000 // events
	batchChunk    = 100  // events
	maxBatchTries = 5    // to store a chunk, some of whose events another request brings as well
	maxBatchTS    = 1<<53 - 1
)

// typesOfMessages are what a room has when it has messages.
var typesOfMessages = []string{"m.room.message", "m.room.encrypted", "m.sticker"}

// BatchRequest is the body of POST …/com.beeper.backfill/rooms/{roomId}/batch_send, by which an application service brings what was said elsewhere
// (com.beeper.batch_sending).
type BatchRequest struct {
	// Forward adds the events after those of the room, and ForwardIfNoMessages does when the room has no messages yet. Without either they would
	// belong before the room's own, where no event can be added: what a room's events come after is part of their hashes, and the proposal that
	// linked history in by other means (MSC2716) was given up. Such a request is refused, rather than that old messages show up as the newest.
	Forward             bool `json:"forward"`
	ForwardIfNoMessages bool `json:"forward_if_no_messages"`
	// SendNotification has people notified as of any event.
	SendNotification bool `json:"send_notification"`
	// MarkReadBy is who has read the events.
	MarkReadBy id.UserID    `json:"mark_read_by"`
	Events     []BatchEvent `json:"events"`
}

// BatchEvent is an event of a batch.
type BatchEvent struct {
	Type           string          `json:"type"`
	StateKey       *string         `json:"state_key"`
	Sender         id.UserID       `json:"sender"`
	RoomID         id.RoomID       `json:"room_id"`
	OriginServerTS *int64          `json:"origin_server_ts"`
	Content        json.RawMessage `json:"content"`
	// EventID is what the service calls the event: others of the batch may relate to it by that name, and what is sent again is known by it. The
	// event gets another id, its hash.
	EventID id.EventID `json:"event_id"`
	// Unsigned may have a transaction id. What was sent by that one, as a single event or in a batch, is this event: it is not added again.
	Unsigned struct {
		TransactionID string `json:"transaction_id"`
	} `json:"unsigned"`
}

// batch is a batch on its way into a room.
type batch struct {
	s      *Service
	by     By
	roomID id.RoomID
	in     BatchRequest
	txnIDs []string
	ids    []id.EventID             // of the events that are in the room, "" for the others
	named  map[id.EventID]int       // the events by what the service calls them
	joined map[id.UserID]struct{}   // who is known to be in the room
	chunk  map[id.EventID]chunkSlot // of the events that are being stored
}

// chunkSlot is the place of an event among the drafts of a chunk.
type chunkSlot int

// SendBatch adds events of users whom an application service may act for, in their order, with the times that they were said at; users who are
// not in the room join it first, invited by by.User if need be. It returns the ids of the events. A batch that is sent again, after an answer was
// lost or as its end had failed, adds what is not there yet. Every hundred events are added together or not at all.
//
// Errors: 403 M_FORBIDDEN when by.User is not in the room, or a sender may not send; 400 M_INVALID_PARAM, M_BAD_JSON.
func (s *Service) SendBatch(ctx context.Context, by By, roomID id.RoomID, in BatchRequest) ([]id.EventID, error) {
	now, err := s.membership(ctx, roomID, by.User)
	if err != nil {
		return nil, err
	}
	switch {
	case now != event.MembershipJoin:
		return nil, notIn(roomID)
	case by.Suspended:
		return nil, errSuspended
	}
	b := &batch{s: s, by: by, roomID: roomID, in: in, ids: make([]id.EventID, len(in.Events)), named: make(map[id.EventID]int), joined: make(map[id.UserID]struct{})}
	if err := b.check(ctx); err != nil {
		return nil, err
	}
	if err := b.mayAdd(ctx); err != nil {
		return nil, err
	}
	for from := 0; from < len(in.Events); from += batchChunk {
		to := min(from+batchChunk, len(in.Events))
		if err := b.join(ctx, from, to); err != nil {
			return nil, err
		}
		if err := b.add(ctx, from, to); err != nil {
			return nil, err
		}
	}
	return b.ids, nil
}

// check refuses what cannot be added, before anything is.
func (b *batch) check(ctx context.Context) error {
	if len(b.in.Events) == 0 || len(b.in.Events) > maxBatch {
		return matrixError(400, "M_INVALID_PARAM", "A batch has from 1 to %d events", maxBatch)
	}
	senders := make(map[id.UserID]bool)
	txns := make(map[string]bool) // by sender and transaction id
	again := make(map[string]int)
	for i, e := range b.in.Events {
		if err := e.check(b.roomID); err != nil {
			return err
		}
		if !senders[e.Sender] {
			if err := b.by.ActFor(ctx, e.Sender); err != nil {
				return err
			}
			senders[e.Sender] = true
		}
		name, err := e.name()
		if err != nil {
			return err
		}
		if e.EventID != "" {
			if _, twice := b.named[e.EventID]; twice {
				return matrixError(400, "M_INVALID_PARAM", "events[%d] has an event_id that one before has", i)
			}
			b.named[e.EventID] = i
		}
		again[name]++
		txnID := e.Unsigned.TransactionID
		switch used := string(e.Sender) + " " + txnID; {
		case len(txnID) > maxTxnIDBytes:
			return matrixError(400, "M_INVALID_PARAM", "The transaction id of events[%d] is longer than %d bytes", i, maxTxnIDBytes)
		case txnID != "" && txns[used]:
			return matrixError(400, "M_INVALID_PARAM", "events[%d] has a transaction id that one before has", i)
		case txnID != "":
			txns[used] = true
		default:
			txnID = "batch:" + name + ":" + strconv.Itoa(again[name])
		}
		b.txnIDs = append(b.txnIDs, txnID)
	}
	return nil
}

func (e *BatchEvent) check(roomID id.RoomID) error {
	switch {
	case e.Type == "" || e.Sender == "" || len(e.Content) == 0:
		return matrixError(400, "M_BAD_JSON", "An event of a batch has a type, a sender and content")
	case e.StateKey != nil || e.Type == event.TypeRedaction:
		return matrixError(400, "M_INVALID_PARAM", "A batch has neither state events nor redactions")
	case e.RoomID != "" && e.RoomID != roomID:
		return matrixError(400, "M_INVALID_PARAM", "An event of the batch is of another room")
	case e.OriginServerTS == nil || *e.OriginServerTS < 0 || *e.OriginServerTS > maxBatchTS:
		return matrixError(400, "M_INVALID_PARAM", "An event of a batch has origin_server_ts, a time in milliseconds")
	case !event.ValidUserID(string(e.Sender)):
		return matrixError(400, "M_INVALID_PARAM", "%q is not a user id", e.Sender)
	}
	return nil
}

// name is what an event is known by when it is sent again.
func (e *BatchEvent) name() (string, error) {
	said := string(e.EventID)
	if said == "" {
		raw, err := json.Marshal([]any{e.Type, e.Sender, e.OriginServerTS, e.Content})
		if err != nil {
			return "", matrixError(400, "M_BAD_JSON", "The content of an event is not JSON")
		}
		said = string(raw)
	}
	sum := sha256.Sum256([]byte(said))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// mayAdd refuses a batch that belongs before the events of the room. One of which a part is there goes on.
func (b *batch) mayAdd(ctx context.Context) error {
	if b.in.Forward {
		return nil
	}
	empty := false
	err := b.s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(b.roomID)
		if err != nil {
			return err
		}
		has, err := tx.HasEventOf(nid, typesOfMessages...)
		empty = b.in.ForwardIfNoMessages && !has
		return err
	})
	if err != nil {
		return fmt.Errorf("look for messages in %s: %w", b.roomID, err)
	}
	if empty {
		return nil
	}
	if err := b.findSent(ctx, 0, len(b.in.Events)); err != nil {
		return err
	}
	for _, sent := range b.ids {
		if sent != "" && b.in.ForwardIfNoMessages {
			return nil
		}
	}
	return matrixError(400, "M_INVALID_PARAM", "Events can be added after those of a room only, with forward")
}

// findSent finds those of some events that are in the room.
func (b *batch) findSent(ctx context.Context, from, to int) error {
	return b.s.DB.View(ctx, func(tx *store.Tx) error {
		for i := from; i < to; i++ {
			if b.ids[i] != "" {
				continue
			}
			sent, err := tx.EventIDByTxn(b.txn(i))
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			b.ids[i] = sent
		}
		return nil
	})
}

func (b *batch) txn(i int) store.Txn {
	e := &b.in.Events[i]
	return store.Txn{Sender: e.Sender, Device: b.device(), ID: b.txnIDs[i], RoomID: b.roomID, Type: e.Type}
}

// device is the scope of the events' transaction ids: the service, whichever of its devices asks.
func (b *batch) device() string { return "as:" + b.by.AppService }

// join has the senders of some events be in the room.
func (b *batch) join(ctx context.Context, from, to int) error {
	for i := from; i < to; i++ {
		e := &b.in.Events[i]
		if _, is := b.joined[e.Sender]; is {
			continue
		}
		now, err := b.s.membership(ctx, b.roomID, e.Sender)
		if err != nil {
			return err
		}
		if now != event.MembershipJoin {
			content, err := b.s.memberContent(ctx, e.Sender, event.MembershipJoin, nil)
			if err != nil {
				return err
			}
			stateKey := string(e.Sender)
			d := draft{Type: event.TypeMember, StateKey: &stateKey, Sender: e.Sender, Content: content, TS: *e.OriginServerTS}
			if _, err := b.s.joinFor(ctx, b.by, b.roomID, d); err != nil {
				return err
			}
		}
		b.joined[e.Sender] = struct{}{}
	}
	return nil
}

// add adds those of some events that are not in the room yet.
func (b *batch) add(ctx context.Context, from, to int) error {
	for range maxBatchTries {
		if err := b.findSent(ctx, from, to); err != nil {
			return err
		}
		var drafts []draft
		var places []int
		b.chunk = make(map[id.EventID]chunkSlot)
		for i := from; i < to; i++ {
			if b.ids[i] != "" {
				continue
			}
			if name := b.in.Events[i].EventID; name != "" {
				b.chunk[name] = chunkSlot(len(drafts))
			}
			drafts, places = append(drafts, b.draft(i)), append(places, i)
		}
		if len(drafts) == 0 {
			return nil
		}
		ids, err := b.s.appendAll(ctx, b.roomID, drafts)
		if errors.Is(err, store.ErrExists) { // another request brings them as well
			continue
		}
		if err != nil {
			return err
		}
		if len(ids) != len(drafts) { // one that was there already was the answer for all
			continue
		}
		for k, i := range places {
			b.ids[i] = ids[k]
		}
		return nil
	}
	return fmt.Errorf("add a batch to %s: %w", b.roomID, store.ErrExists)
}

func (b *batch) draft(i int) draft {
	e := &b.in.Events[i]
	chunk := b.chunk
	return draft{
		Type: e.Type, Sender: e.Sender, Content: e.Content, TS: *e.OriginServerTS, Silent: !b.in.SendNotification,
		TxnDevice: b.device(), TxnID: b.txnIDs[i],
		rewrite: func(before []id.EventID) (json.RawMessage, error) {
			return renameRelations(e.Content, func(name id.EventID) id.EventID {
				if slot, ok := chunk[name]; ok && int(slot) < len(before) {
					return before[slot]
				}
				if earlier, ok := b.named[name]; ok && b.ids[earlier] != "" {
					return b.ids[earlier]
				}
				return name
			})
		},
	}
}
