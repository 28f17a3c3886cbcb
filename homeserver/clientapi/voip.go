package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// TURN gives out credentials of the servers that relay the media of calls.
type TURN interface {
	// Credentials are a user's own, of one of their devices, "" for none; and of no use soon, or when that is signed out.
	Credentials(user id.UserID, device id.DeviceID) TURNCredentials
}

// TURNCredentials are what GET /voip/turnServer answers.
type TURNCredentials struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	URIs     []string `json:"uris"`
	TTL      int64    `json:"ttl"` // in seconds
}

// turnServer is GET /voip/turnServer. Where there is none it is 404, as MSC4166 has it: an answer with status 200 must have all four
// fields, {} has none, and an empty list of URIs is more than a browser takes.
func (a *API) turnServer(_ context.Context, r *httpapi.Request, _ httpapi.Empty) (TURNCredentials, error) {
	switch {
	case a.TURN == nil:
		return TURNCredentials{}, httpapi.NotFound("This server has no TURN server")
	case r.Requester.IsGuest && !a.TURNGuests:
		return TURNCredentials{}, httpapi.Error(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "Guests may not use the TURN server")
	}
	return a.TURN.Credentials(r.Requester.UserID, r.Requester.DeviceID), nil
}
