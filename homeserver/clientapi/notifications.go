package clientapi

import (
	"context"
	"math"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"
)

// notifications is GET /notifications.
func (a *API) notifications(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	limit, err := r.QueryInt("limit", 0)
	if err != nil {
		return nil, err
	}
	return a.Sync.Notifications(ctx, usersync.NotificationsRequest{
		Viewer: viewer(r), From: r.Query("from"), Limit: int(min(limit, math.MaxInt32)), Highlights: r.Query("only") == "highlight",
	})
}
