package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"
)

// slidingSync is POST /_matrix/client/v4/sync (MSC4186).
func (a *API) slidingSync(ctx context.Context, r *httpapi.Request, in json.RawMessage) (usersync.SlidingResponse, error) {
	who := viewer(r)
	req, err := usersync.ParseSliding(who.User, who.Device, true, in)
	if err != nil {
		return usersync.SlidingResponse{}, err
	}
	req.Closing = r.Closing()
	return waiting(ctx, a, r, func(ctx context.Context) (usersync.SlidingResponse, error) { return a.Sync.Sliding(ctx, req) })
}

// unstableSlidingSync is POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync, which is what clients call that were made
// before MSC4186 was merged. Some of the parameters are in the query.
func (a *API) unstableSlidingSync(ctx context.Context, r *httpapi.Request, in json.RawMessage) (usersync.SlidingResponse, error) {
	who := viewer(r)
	req, err := usersync.ParseSliding(who.User, who.Device, false, in)
	if err != nil {
		return usersync.SlidingResponse{}, err
	}
	if r.HasQuery("pos") {
		req.Pos = r.Query("pos")
	}
	if r.HasQuery("timeout") {
		timeout, err := r.QueryInt("timeout", 0)
		if err != nil {
			return usersync.SlidingResponse{}, err
		}
		if err := req.SetTimeout(timeout); err != nil {
			return usersync.SlidingResponse{}, err
		}
	}
	if r.HasQuery("set_presence") {
		req.SetPresence = r.Query("set_presence")
		if err := req.CheckPresence(); err != nil {
			return usersync.SlidingResponse{}, err
		}
	}
	req.Closing = r.Closing()
	return waiting(ctx, a, r, func(ctx context.Context) (usersync.SlidingResponse, error) { return a.Sync.Sliding(ctx, req) })
}
