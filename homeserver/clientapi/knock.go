package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
)

// knock is POST /knock/{roomIdOrAlias}.
func (a *API) knock(ctx context.Context, r *httpapi.Request, in reasonRequest) (roomIDResponse, error) {
	roomID, err := a.Rooms.Knock(ctx, by(r), r.Path("roomIdOrAlias"), in.Reason)
	return roomIDResponse{roomID}, err
}
