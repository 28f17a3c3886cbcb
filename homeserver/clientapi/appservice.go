package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// maxPingTxnID bounds the transaction id of a ping, in bytes. It is handed on to the application service.
const maxPingTxnID = 255

type pingRequest struct {
	TransactionID string `json:"transaction_id"`
}

type pingResponse struct {
	DurationMS int64 `json:"duration_ms"`
}

// pingAppService is POST /appservice/{appserviceId}/ping. Application Service API, "Pinging".
func (a *API) pingAppService(ctx context.Context, r *httpapi.Request, in pingRequest) (pingResponse, error) {
	service := r.Path("appserviceId")
	if service == "" || r.Requester.AppService != service {
		return pingResponse{}, httpapi.Forbidden("The access token is not that of this application service")
	}
	if len(in.TransactionID) > maxPingTxnID {
		return pingResponse{}, httpapi.InvalidParam("transaction_id is longer than %d bytes", maxPingTxnID)
	}
	duration, err := a.Pinger.Ping(ctx, service, in.TransactionID)
	return pingResponse{DurationMS: duration}, err
}

// maxServiceUsers bounds the users of one question.
const maxServiceUsers = 1000

type usersOfServices struct {
	Users []id.UserID `json:"users"`
}

// serviceUsers is POST /causeway/service_users, which is Causeway's own: of some users, those that an application service has to itself. A
// bridge that shares a room with another does not take the other's ghosts for people.
func (a *API) serviceUsers(_ context.Context, _ *httpapi.Request, in usersOfServices) (usersOfServices, error) {
	if len(in.Users) > maxServiceUsers {
		return usersOfServices{}, httpapi.InvalidParam("users has more than %d", maxServiceUsers)
	}
	return usersOfServices{a.Accounts.OfServices(in.Users)}, nil
}

// ofOwner keeps an endpoint to who has an account, and away from application services that act for people: a namespace may hold the users of
// this server (for double puppeting), and what speaks for them everywhere must not be able to lock them out of their accounts, or to keep a
// way in of its own. "This applies to all aspects of the Client-Server API, except for Account Management." Application Service API,
// "Identity assertion". Users that an application service has made have nobody else to manage their accounts.
func ofOwner[In, Out any](a *API, f func(context.Context, *httpapi.Request, In) (Out, error)) func(context.Context, *httpapi.Request, In) (Out, error) {
	return func(ctx context.Context, r *httpapi.Request, in In) (out Out, err error) {
		if r.Requester != nil && r.Requester.AppService != "" {
			switch manages, err := a.Accounts.Manages(ctx, r.Requester.AppService, r.Requester.UserID); {
			case err != nil:
				return out, err
			case !manages:
				return out, httpapi.Forbidden("An application service manages the accounts alone that it has made")
			}
		}
		return f(ctx, r, in)
	}
}
