package bridges

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// maxEphemera is the number of receipts and the like that wait in one room. The oldest go.
	maxEphemera = 32
	// maxEphemeralRooms is the number of rooms in which some wait. Those of more rooms are dropped.
	maxEphemeralRooms = 10000
)

// ephemera are typing, receipts and presence on their way to the network: those of one room one after the other. A lost
// one does no harm, and none may hold up a message: so they pass beside the lanes, and wait in memory alone.
type ephemera struct {
	b  *Bridge
	wg sync.WaitGroup

	mu    sync.Mutex // guards what follows
	rooms map[id.RoomID][]*event.Event
}

func newEphemera(b *Bridge) *ephemera {
	return &ephemera{b: b, rooms: map[id.RoomID][]*event.Event{}}
}

// take queues what a transaction holds of them. Transactions pass here one at a time, and none after wait.
func (e *ephemera) take(txn *transaction) {
	list := txn.Ephemeral
	if list == nil {
		list = txn.Unstable
	}
	for _, raw := range list {
		if evt := parseEphemeral(raw); evt != nil {
			e.push(evt)
		}
	}
}

// parseEphemeral returns nil for what is malformed or unknown.
func parseEphemeral(raw json.RawMessage) *event.Event {
	evt := &event.Event{}
	if json.Unmarshal(raw, evt) != nil {
		return nil
	}
	evt.Mautrix.ReceivedAt = time.Now()
	evt.Mautrix.EventSource = event.SourceEphemeral
	evt.Type.Class = event.EphemeralEventType
	if evt.Content.ParseRaw(evt.Type) != nil {
		return nil
	}
	return evt
}

// push queues one. Presence is of no room, and has a queue of its own. Of typing only the newest counts.
func (e *ephemera) push(evt *event.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	queue, running := e.rooms[evt.RoomID]
	if !running && len(e.rooms) >= maxEphemeralRooms {
		return
	}
	if evt.Type == event.EphemeralEventTyping {
		queue = slices.DeleteFunc(queue, func(other *event.Event) bool { return other.Type == evt.Type })
	}
	queue = append(queue, evt)
	if len(queue) > maxEphemera {
		queue = slices.Delete(queue, 0, len(queue)-maxEphemera)
	}
	e.rooms[evt.RoomID] = queue
	if !running {
		e.wg.Go(func() { e.work(evt.RoomID) })
	}
}

// work handles those of one room until there are none.
func (e *ephemera) work(room id.RoomID) {
	for {
		evt := e.next(room)
		if evt == nil {
			return
		}
		if !e.b.policies.strip(evt) {
			e.b.conn.EventProcessor.Dispatch(e.b.lanes.ctx, evt)
		}
	}
}

func (e *ephemera) next(room id.RoomID) *event.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	queue := e.rooms[room]
	if len(queue) == 0 || e.b.lanes.ctx.Err() != nil {
		delete(e.rooms, room)
		return nil
	}
	e.rooms[room] = queue[1:]
	return queue[0]
}

// wait waits for those that are being handled, after the lanes were closed.
func (e *ephemera) wait() { e.wg.Wait() }

// watchPresence hands on presence to a network that wants it.
func (b *Bridge) watchPresence() {
	watcher, ok := b.opts.Network.(PresenceWatcher)
	if !ok {
		return
	}
	b.conn.EventProcessor.On(event.EphemeralEventPresence, func(ctx context.Context, evt *event.Event) {
		if evt.Sender != b.conn.Bot.UserID && !b.v2.IsGhostMXID(evt.Sender) {
			watcher.HandlePresence(ctx, evt.Sender, evt.Content.AsPresence())
		}
	})
}
