package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// relations is GET /rooms/{roomId}/relations/{eventId}, with or without a relType and an eventType.
func (a *API) relations(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	req := usersync.RelationsRequest{
		Viewer: viewer(r), RoomID: roomID(r), EventID: id.EventID(r.Path("eventId")), RelType: r.Path("relType"),
		EventType: r.Path("eventType"), From: r.Query("from"), To: r.Query("to"),
	}
	var err error
	if req.Backwards, err = backwards(r, "b"); err != nil {
		return nil, err
	}
	if req.Limit, err = queryLimit(r); err != nil {
		return nil, err
	}
	for _, name := range [...]string{"recurse", "org.matrix.msc3981.recurse"} {
		if r.HasQuery(name) {
			recurse, err := r.QueryBool(name, false)
			if err != nil {
				return nil, err
			}
			req.Recurse = &recurse
		}
	}
	return a.Sync.Relations(ctx, req)
}

// threads is GET /rooms/{roomId}/threads.
func (a *API) threads(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	req := usersync.ThreadsRequest{Viewer: viewer(r), RoomID: roomID(r), From: r.Query("from")}
	switch r.Query("include") {
	case "", "all":
	case "participated":
		req.Participated = true
	default:
		return nil, httpapi.InvalidParam("Query parameter include must be all or participated")
	}
	var err error
	if req.Limit, err = queryLimit(r); err != nil {
		return nil, err
	}
	if req.Limit == 0 {
		return nil, httpapi.InvalidParam("Query parameter limit must be above zero")
	}
	return a.Sync.Threads(ctx, req)
}

type eventAtTimeResponse struct {
	EventID        id.EventID `json:"event_id"`
	OriginServerTS int64      `json:"origin_server_ts"`
}

// timestampToEvent is GET /rooms/{roomId}/timestamp_to_event.
func (a *API) timestampToEvent(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (out eventAtTimeResponse, err error) {
	if r.Query("ts") == "" {
		return out, httpapi.MissingParam("ts")
	}
	ts, err := r.QueryInt("ts", 0)
	if err != nil {
		return out, err
	}
	back, err := backwards(r, "")
	if err != nil {
		return out, err
	}
	out.EventID, out.OriginServerTS, err = a.Sync.EventAtTime(ctx, viewer(r), roomID(r), ts, back)
	return out, err
}

// backwards reads the direction of a request; absent is that of one that does not say, "" where it must.
func backwards(r *httpapi.Request, absent string) (bool, error) {
	dir := r.Query("dir")
	if dir == "" {
		dir = absent
	}
	switch dir {
	case "b":
		return true, nil
	case "f":
		return false, nil
	case "":
		return false, httpapi.MissingParam("dir")
	}
	return false, httpapi.InvalidParam("Query parameter dir must be b or f")
}
