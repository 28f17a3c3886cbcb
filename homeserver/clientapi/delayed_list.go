package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"

	"maunium.net/go/mautrix/id"
)

// delayedEvent is a delayed event as its owner sees it (MSC4140, "Getting a single delayed event").
type delayedEvent struct {
	DelayID        string          `json:"delay_id"`
	RoomID         id.RoomID       `json:"room_id"`
	Type           string          `json:"type"`
	StateKey       *string         `json:"state_key,omitempty"`
	DelayMS        int64           `json:"delay_ms"`
	DelayedSinceTS int64           `json:"delayed_since_ts"`
	Content        json.RawMessage `json:"content"`
	Finalised      *finalised      `json:"finalised,omitempty"`

	// The names that these had before, for the clients of the unstable endpoints.
	Delay        int64 `json:"delay,omitempty"`
	RunningSince int64 `json:"running_since,omitempty"`
}

// finalised is what became of a delayed event: with neither an event nor an error, it was cancelled.
type finalised struct {
	TS      int64           `json:"finalised_ts"`
	EventID id.EventID      `json:"event_id,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

func showDelayed(d *room.DelayedEvent, unstable bool) delayedEvent {
	out := delayedEvent{
		DelayID: d.DelayID, RoomID: d.RoomID, Type: d.Type, StateKey: d.StateKey, DelayMS: d.DelayMS, DelayedSinceTS: d.SinceTS,
		Content: d.Content,
	}
	if d.FinalTS != 0 {
		out.Finalised = &finalised{TS: d.FinalTS, EventID: d.EventID, Error: d.Error}
	}
	if unstable {
		out.Delay, out.RunningSince = d.DelayMS, d.SinceTS
	}
	return out
}

// delayedEvent is GET /delayed_events/{delayId}.
func (a *API) delayedEvent(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (delayedEvent, error) {
	return a.showDelayedEvent(ctx, r, false)
}

// delayedEventUnstable is the same below /unstable/org.matrix.msc4140.
func (a *API) delayedEventUnstable(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (delayedEvent, error) {
	return a.showDelayedEvent(ctx, r, true)
}

func (a *API) showDelayedEvent(ctx context.Context, r *httpapi.Request, unstable bool) (delayedEvent, error) {
	d, err := a.Rooms.DelayedEvent(ctx, r.Requester.UserID, r.Path("delayId"))
	if err != nil {
		return delayedEvent{}, err
	}
	return showDelayed(d, unstable), nil
}

type delayedEventsResponse struct {
	DelayedEvents []delayedEvent `json:"delayed_events"`
}

// delayedEvents is GET /delayed_events (MSC4486, once part of MSC4140): what is scheduled.
func (a *API) delayedEvents(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (delayedEventsResponse, error) {
	return a.listDelayedEvents(ctx, r, false)
}

// delayedEventsUnstable is the same below /unstable/org.matrix.msc4140.
func (a *API) delayedEventsUnstable(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (delayedEventsResponse, error) {
	return a.listDelayedEvents(ctx, r, true)
}

func (a *API) listDelayedEvents(ctx context.Context, r *httpapi.Request, unstable bool) (delayedEventsResponse, error) {
	all, err := a.Rooms.DelayedEvents(ctx, r.Requester.UserID)
	out := delayedEventsResponse{DelayedEvents: make([]delayedEvent, 0, len(all))}
	for _, d := range all {
		out.DelayedEvents = append(out.DelayedEvents, showDelayed(d, unstable))
	}
	return out, err
}
