package bridges

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// maxTransactionBytes is far above a hundred events of 65536 bytes each.
	maxTransactionBytes = 32 << 20
	// readyWait is how long a transaction waits for the bridge to have started.
	readyWait = 20 * time.Second
	// ackWait is how long a transaction waits for its events to be handled. Those that take longer, because
	// the network is down or slows the sender, are in the inbox and are handled from there; the homeserver
	// need not keep everybody else's events back for them.
	ackWait = 10 * time.Second
)

// transaction is the body of PUT /_matrix/app/v1/transactions/{txnId}, as far as it concerns a bridge.
// Application Service API, Pushing events.
type transaction struct {
	Events    []json.RawMessage `json:"events"`
	Ephemeral []json.RawMessage `json:"ephemeral"`
	// Unstable name of Ephemeral, MSC2409.
	Unstable []json.RawMessage `json:"de.sorunome.msc2409.ephemeral"`

	// MSC4203 and MSC3202, and their unstable names.
	ToDevice            []json.RawMessage    `json:"to_device"`
	UnstableToDevice    []json.RawMessage    `json:"de.sorunome.msc2409.to_device"`
	DeviceLists         *mautrix.DeviceLists `json:"device_lists"`
	UnstableDeviceLists *mautrix.DeviceLists `json:"org.matrix.msc3202.device_lists"`
	KeyCounts           keyCounts            `json:"device_one_time_keys_count"`
	UnstableKeyCounts   keyCounts            `json:"org.matrix.msc3202.device_one_time_keys_count"`
}

type keyCounts = map[id.UserID]map[id.DeviceID]mautrix.OTKCount

// putTransaction acknowledges a transaction when each of its events has been handled, now or by an earlier
// transaction, or lies in the inbox and has waited for ackWait. Events are recognised by their ID, so the
// transaction's own ID does not matter, and a homeserver that begins to count anew loses nothing.
func (b *Bridge) putTransaction(w http.ResponseWriter, r *http.Request) {
	if !b.conn.AS.CheckServerToken(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTransactionBytes))
	if err != nil {
		mautrix.MNotJSON.WithMessage("The transaction could not be read").Write(w)
		return
	}
	var txn transaction
	if err := json.Unmarshal(body, &txn); err != nil {
		mautrix.MBadJSON.WithMessage("The transaction is not valid JSON").Write(w)
		return
	}
	switch err := b.receive(r.Context(), &txn); {
	case errors.Is(err, errNotReady), errors.Is(err, context.Canceled):
		// The homeserver repeats it.
		mautrix.MUnknown.WithMessage("The bridge cannot take the transaction now: %v", err).
			WithStatus(http.StatusServiceUnavailable).Write(w)
	case err != nil:
		b.log.Err(err).Msg("take a transaction")
		mautrix.MUnknown.WithMessage("The transaction could not be stored").Write(w)
	default:
		writeEmpty(w)
	}
}

var errNotReady = errors.New("the bridge has not started")

func (b *Bridge) receive(ctx context.Context, txn *transaction) error {
	if err := b.awaitReady(ctx); err != nil {
		return err
	}
	tickets, err := b.accept(ctx, txn)
	if err != nil {
		return err
	}
	timer := time.NewTimer(b.ackWait)
	defer timer.Stop()
	for _, t := range tickets {
		select {
		case <-t.done:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-b.lanes.ctx.Done():
			return context.Canceled
		}
	}
	return nil
}

func (b *Bridge) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	select {
	case <-b.ready:
		return b.lanes.ctx.Err()
	case <-b.ended:
		return errNotReady
	case <-ctx.Done():
		return errNotReady
	}
}

// accept stores the new events of a transaction and queues them. Transactions pass here one at a time.
func (b *Bridge) accept(ctx context.Context, txn *transaction) ([]*ticket, error) {
	b.txnMu.Lock()
	defer b.txnMu.Unlock()
	if err := b.lanes.ctx.Err(); err != nil {
		return nil, err
	}
	// Keys come before the messages that they are for, also when the process dies in between.
	if err := b.receiveBeside(ctx, txn); err != nil {
		return nil, err
	}
	letters, events := b.open(txn.Events)
	states, err := b.inbox.put(context.WithoutCancel(ctx), letters)
	if err != nil {
		return nil, err
	}
	tickets := make([]*ticket, 0, len(events))
	for n, evt := range events {
		t, err := b.queue(ctx, evt, letters[n].seq, states[n])
		if err != nil {
			return nil, err
		}
		if t != nil {
			tickets = append(tickets, t)
		}
	}
	b.ephemera.take(txn)
	return tickets, nil
}

// queue has an event handled that put has found as state says, and returns its ticket: nil when that has been done, or is
// for later.
func (b *Bridge) queue(ctx context.Context, evt *event.Event, seq int64, state letterState) (*ticket, error) {
	switch state {
	case letterDone:
		return nil, nil
	case letterPending:
		if t, stored := b.lanes.find(evt, seq); t != nil || stored {
			return t, nil
		}
		// It has ended since put looked, or never got into its lane.
		if done, err := b.inbox.isDone(context.WithoutCancel(ctx), evt.ID); err != nil || done {
			return nil, err
		}
	}
	return b.lanes.push(evt, seq)
}

// open parses events, and leaves out the echo of what the bridge itself did. One that is malformed would stay
// malformed, so it is dropped rather than refused.
func (b *Bridge) open(raw []json.RawMessage) ([]letter, []*event.Event) {
	letters := make([]letter, 0, len(raw))
	events := make([]*event.Event, 0, len(raw))
	for _, text := range raw {
		evt, err := parseEvent(text)
		if err != nil {
			b.log.Warn().Err(err).Msg("drop a malformed event")
			continue
		}
		if b.isEcho(evt) {
			continue
		}
		letters = append(letters, letter{ID: evt.ID, Room: evt.RoomID, Raw: text})
		events = append(events, evt)
	}
	return letters, events
}

// isEcho reports whether an event is one of a ghost or the bot that says nothing new: a message, which bridgev2
// would ignore, or a ghost's membership, which is in the cache of room state since it was made, so that what comes
// back here may be older than the next change.
func (b *Bridge) isEcho(evt *event.Event) bool {
	if !b.own(evt.Sender) {
		return false
	}
	if b.isTapped(evt) {
		return false // for further chats it is news
	}
	return evt.StateKey == nil || evt.Type == event.StateMember && b.own(id.UserID(*evt.StateKey))
}

// parseEvent returns a timeline event as bridgev2 expects it.
func parseEvent(raw json.RawMessage) (*event.Event, error) {
	evt := &event.Event{}
	if err := json.Unmarshal(raw, evt); err != nil {
		return nil, err
	}
	if evt.ID == "" || evt.RoomID == "" || evt.Sender == "" {
		return nil, errors.New("event_id, room_id or sender is missing")
	}
	evt.Mautrix.ReceivedAt = time.Now()
	evt.Mautrix.EventSource = event.SourceTimeline
	evt.Type.Class = event.MessageEventType
	if evt.StateKey != nil {
		evt.Type.Class = event.StateEventType
	}
	if err := parseContent(evt); err != nil {
		return nil, err
	}
	return evt, nil
}

func writeEmpty(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}
