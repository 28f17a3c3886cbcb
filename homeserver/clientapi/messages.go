package clientapi

import (
	"context"
	"math"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// messages is GET /rooms/{roomId}/messages. That one may not read the room comes before what else is wrong with a request.
func (a *API) messages(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	req, err := messagesRequest(r)
	if err == nil {
		return a.Sync.Messages(ctx, req)
	}
	if refused := a.Sync.MayRead(ctx, req.User, req.RoomID); refused != nil {
		return nil, refused
	}
	return nil, err
}

func messagesRequest(r *httpapi.Request) (usersync.MessagesRequest, error) {
	req := usersync.MessagesRequest{Viewer: viewer(r), RoomID: roomID(r), From: r.Query("from"), To: r.Query("to")}
	var err error
	if req.Backwards, err = backwards(r, ""); err != nil {
		return req, err
	}
	if req.Limit, err = queryLimit(r); err != nil {
		return req, err
	}
	req.Filter, err = usersync.ParseEventFilter(r.Query("filter"))
	return req, err
}

// eventContext is GET /rooms/{roomId}/context/{eventId}.
func (a *API) eventContext(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	limit, err := queryLimit(r)
	if err != nil {
		return nil, err
	}
	filter, err := usersync.ParseEventFilter(r.Query("filter"))
	if err != nil {
		return nil, err
	}
	return a.Sync.Context(ctx, viewer(r), roomID(r), id.EventID(r.Path("eventId")), limit, filter)
}

// queryLimit returns the limit parameter; usersync bounds it.
func queryLimit(r *httpapi.Request) (int, error) {
	limit, err := r.QueryInt("limit", usersync.DefaultPage)
	return int(min(limit, math.MaxInt32)), err
}
