package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

type whoamiResponse struct {
	UserID   id.UserID   `json:"user_id"`
	DeviceID id.DeviceID `json:"device_id,omitempty"`
	IsGuest  bool        `json:"is_guest"`
}

// whoami is GET /account/whoami.
func (a *API) whoami(_ context.Context, r *httpapi.Request, _ httpapi.Empty) (whoamiResponse, error) {
	return whoamiResponse{UserID: r.Requester.UserID, DeviceID: r.Requester.DeviceID, IsGuest: r.Requester.IsGuest}, nil
}
