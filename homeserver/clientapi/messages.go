package clientapi

import (
	"context"
	"math"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// messages is GET /rooms/{roomId}/messages.
func (a *API) messages(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	req := usersync.MessagesRequest{Viewer: viewer(r), RoomID: roomID(r), From: r.Query("from"), To: r.Query("to")}
	var err error
	if req.Backwards, err = backwards(r, ""); err != nil {
		return nil, err
	}
	if req.Limit, err = queryLimit(r); err != nil {
		return nil, err
	}
	if req.Filter, err = usersync.ParseEventFilter(r.Query("filter")); err != nil {
		return nil, err
	}
	return a.Sync.Messages(ctx, req)
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
