package clientapi

import (
	"context"
	"net/http"
	"time"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// switchedOff answers for what the specification deprecates, where the configuration does not have it: as an endpoint that is not
// there (Client-Server API, "Common error codes", M_UNRECOGNIZED), so that a client goes on to what took its place.
func switchedOff(instead string) error {
	return httpapi.Error(http.StatusNotFound, "M_UNRECOGNIZED", "This server does not serve the old form of this: use %s", instead)
}

// events is GET /events. With room_id it is for peeking, which has no other endpoint; without, it is what there was before /sync.
func (a *API) events(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	room := id.RoomID(r.Query("room_id"))
	if room == "" && !a.OldEvents {
		return nil, switchedOff("GET /sync")
	}
	timeout, err := r.QueryInt("timeout", 0)
	if err != nil {
		return nil, err
	}
	req := usersync.EventsRequest{
		Viewer: viewer(r), RoomID: room, From: r.Query("from"), Closing: r.Closing(),
		Timeout: time.Duration(min(timeout, maxTimeoutMS)) * time.Millisecond,
	}
	return waiting(ctx, a, r, func(ctx context.Context) (usersync.JSON, error) { return a.Sync.Events(ctx, req) })
}

// oldEvent is GET /events/{eventId}.
func (a *API) oldEvent(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	if !a.OldEvents {
		return nil, switchedOff("GET /rooms/{roomId}/event/{eventId}")
	}
	return a.Sync.OldEvent(ctx, viewer(r), id.EventID(r.Path("eventId")))
}

// initialSync is GET /initialSync.
func (a *API) initialSync(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	if !a.OldEvents {
		return nil, switchedOff("GET /sync")
	}
	limit, err := queryLimit(r)
	if err != nil {
		return nil, err
	}
	archived, err := r.QueryBool("archived", false)
	if err != nil {
		return nil, err
	}
	return a.Sync.InitialSync(ctx, viewer(r), limit, archived)
}

// roomInitialSync is GET /rooms/{roomId}/initialSync. It is served in any case: for peeking it is not deprecated.
func (a *API) roomInitialSync(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	limit, err := queryLimit(r)
	if err != nil {
		return nil, err
	}
	return a.Sync.RoomInfo(ctx, viewer(r), roomID(r), limit)
}
