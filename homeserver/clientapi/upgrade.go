package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"

	"maunium.net/go/mautrix/id"
)

type upgradeResponse struct {
	ReplacementRoom id.RoomID `json:"replacement_room"`
}

// upgradeRoom is POST /rooms/{roomId}/upgrade.
func (a *API) upgradeRoom(ctx context.Context, r *httpapi.Request, in room.UpgradeRequest) (upgradeResponse, error) {
	if in.NewVersion == "" {
		return upgradeResponse{}, httpapi.MissingParam("new_version")
	}
	replacement, err := a.Rooms.Upgrade(ctx, by(r), roomID(r), in)
	return upgradeResponse{replacement}, err
}
