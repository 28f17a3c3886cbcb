package bridges

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// EventTapper is implemented by a network that carries what is said in a room to further chats than that of its portal.
type EventTapper interface {
	// Taps reports whether a room has further chats. It must not wait.
	Taps(room id.RoomID) bool
	// TapEvent is called for what people and ghosts say in such a room, in the room's order and before bridgev2 sees it,
	// which looks at what people say only. An event may come again after a new start; Copy knows what was done. It can be held
	// by Host.Defer.
	TapEvent(ctx context.Context, evt *event.Event)
}

// tapped are the kinds of events that are shown to an EventTapper.
var tapped = []event.Type{event.EventMessage, event.EventSticker, event.EventReaction, event.EventRedaction}

// watchEvents puts the network's EventTapper before bridgev2's own handler.
func (b *Bridge) watchEvents() {
	tapper, ok := b.opts.Network.(EventTapper)
	if !ok {
		return
	}
	for _, eventType := range tapped {
		b.conn.EventProcessor.PrependHandler(eventType, func(ctx context.Context, evt *event.Event) {
			if tapper.Taps(evt.RoomID) {
				tapper.TapEvent(ctx, evt)
			}
		})
	}
}

// isTapped reports whether an event of a ghost, or the bot's removal of one, goes on to further chats.
func (b *Bridge) isTapped(evt *event.Event) bool {
	tapper, ok := b.opts.Network.(EventTapper)
	if !ok || evt.StateKey != nil || evt.Sender == b.conn.Bot.UserID && evt.Type.Type != event.EventRedaction.Type {
		return false
	}
	return tapper.Taps(evt.RoomID)
}

// copiesKept is how long it is known what has become of an event in further chats. Who refers to it does so soon, and a homeserver
// repeats a transaction sooner.
const copiesKept = linesKept

// Copy returns what an event is called in a further chat, and false when it has not been carried there. The identity is
// empty where the network has none.
func (h *Host) Copy(ctx context.Context, evt id.EventID, portal networkid.PortalID) (remote networkid.MessageID, done bool, err error) {
	err = h.b.raw.QueryRow(ctx, `SELECT remote_id FROM host_copy WHERE event_id=$1 AND portal_id=$2`, evt, portal).Scan(&remote)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return remote, err == nil, err
}

// AddCopy records that an event has been carried to a further chat.
func (h *Host) AddCopy(ctx context.Context, evt id.EventID, portal networkid.PortalID, remote networkid.MessageID) error {
	now := time.Now()
	_, err := h.b.raw.Exec(ctx, `INSERT INTO host_copy (event_id, portal_id, remote_id, done_ts) VALUES ($1, $2, $3, $4)
		ON CONFLICT (event_id, portal_id) DO NOTHING`, evt, portal, remote, now.UnixMilli())
	if err == nil {
		_, err = h.b.raw.Exec(ctx, `DELETE FROM host_copy WHERE done_ts<$1`, now.Add(-copiesKept).UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("record a copy of %s: %w", evt, err)
	}
	return nil
}

// CopyOf returns the event that is known by an identity in a further chat, or "".
func (h *Host) CopyOf(ctx context.Context, remote networkid.MessageID) (evt id.EventID, err error) {
	err = h.b.raw.QueryRow(ctx, `SELECT event_id FROM host_copy WHERE remote_id=$1`, remote).Scan(&evt)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return evt, err
}
