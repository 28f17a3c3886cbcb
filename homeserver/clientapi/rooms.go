package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"

	"maunium.net/go/mautrix/id"
)

// by says on whose behalf a request acts.
func by(r *httpapi.Request) room.By {
	q := r.Requester
	device := string(q.DeviceID)
	if q.AppService != "" && device == "" {
		device = "as:" + q.AppService // a scope of its own for the transaction ids of a service without devices
	}
	return room.By{User: q.UserID, AppService: q.AppService, Device: device, Guest: q.IsGuest, Suspended: q.IsSuspended, TS: q.TS}
}

// byService is by, with whom else an application service may act for.
func (a *API) byService(r *httpapi.Request) room.By { return a.actingFor(by(r)) }

func (a *API) actingFor(who room.By) room.By {
	if service := who.AppService; service != "" {
		who.ActFor = func(ctx context.Context, user id.UserID) error { return a.Accounts.MayActFor(ctx, service, user) }
	}
	return who
}

// querySticky is the parameter by which an event is made sticky. MSC4354.
const querySticky = "org.matrix.msc4354.sticky_duration_ms"

// bySticky is by, with what the request says of how long the event is to be sticky.
func (a *API) bySticky(r *httpapi.Request) (room.By, error) {
	who := by(r)
	if !a.Rooms.Config.StickyEvents || !r.HasQuery(querySticky) {
		return who, nil
	}
	durationMS, err := r.QueryInt(querySticky, 0)
	if err == nil {
		who.StickyMS, err = &durationMS, room.CheckSticky(durationMS)
	}
	return who, err
}

func roomID(r *httpapi.Request) id.RoomID { return id.RoomID(r.Path("roomId")) }

type roomIDResponse struct {
	RoomID id.RoomID `json:"room_id"`
}

type eventIDResponse struct {
	EventID id.EventID `json:"event_id"`
}

// createRoom is POST /createRoom.
func (a *API) createRoom(ctx context.Context, r *httpapi.Request, in room.CreateRequest) (roomIDResponse, error) {
	roomID, err := a.Rooms.Create(ctx, a.byService(r), in)
	return roomIDResponse{roomID}, err
}

// sendEvent is PUT /rooms/{roomId}/send/{eventType}/{txnId}.
func (a *API) sendEvent(ctx context.Context, r *httpapi.Request) (any, error) {
	if r.HasQuery(queryDelay) {
		return a.delayByQuery(ctx, r, nil)
	}
	var in json.RawMessage
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	who, err := a.bySticky(r)
	if err != nil {
		return nil, err
	}
	eventID, err := a.Rooms.Send(ctx, who, roomID(r), r.Path("eventType"), r.Path("txnId"), in)
	if err == nil {
		a.Presence.Active(r.Requester.UserID)
	}
	return eventIDResponse{eventID}, err
}

// sendState is PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
func (a *API) sendState(ctx context.Context, r *httpapi.Request) (any, error) {
	stateKey := r.Path("stateKey")
	if r.HasQuery(queryDelay) {
		return a.delayByQuery(ctx, r, &stateKey)
	}
	var in json.RawMessage
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	who, err := a.bySticky(r)
	if err != nil {
		return nil, err
	}
	eventID, err := a.Rooms.SendState(ctx, a.actingFor(who), roomID(r), r.Path("eventType"), stateKey, in)
	return eventIDResponse{eventID}, err
}

type redactRequest struct {
	Reason               string   `json:"reason"`
	WithRelTypes         []string `json:"with_rel_types"`
	UnstableWithRelTypes []string `json:"org.matrix.msc3912.with_relations"`
}

// redactedPerRequest is how many events that a redaction takes along count as one request more. They are written one by one, but it is
// the server that does it, and a moderator who clears up is not to be kept from speaking for long.
const redactedPerRequest = 5

// redact is PUT /rooms/{roomId}/redact/{eventId}/{txnId}.
func (a *API) redact(ctx context.Context, r *httpapi.Request, in redactRequest) (eventIDResponse, error) {
	along := room.Along{
		RelTypes: append(in.WithRelTypes, in.UnstableWithRelTypes...),
		Charge:   func(events int) { r.Charge((events + redactedPerRequest - 1) / redactedPerRequest) },
	}
	eventID, err := a.Rooms.RedactWith(ctx, by(r), roomID(r), id.EventID(r.Path("eventId")), r.Path("txnId"), in.Reason, along)
	return eventIDResponse{eventID}, err
}
