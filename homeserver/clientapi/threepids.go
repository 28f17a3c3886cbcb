package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/threepid"
)

type threepidsResponse struct {
	Threepids []account.Threepid `json:"threepids"`
}

// threepids is GET /account/3pid.
func (a *API) threepids(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (out threepidsResponse, err error) {
	out.Threepids, err = a.Accounts.Threepids(ctx, r.Requester.UserID)
	return out, err
}

// requestToken is POST /account/3pid/{email,msisdn}/requestToken, and its like for registration and for lost passwords.
func (a *API) requestToken(purpose threepid.Purpose, medium string) func(context.Context, *httpapi.Request, threepid.TokenRequest) (threepid.TokenResponse, error) {
	return func(ctx context.Context, r *httpapi.Request, in threepid.TokenRequest) (threepid.TokenResponse, error) {
		in.Medium, in.Purpose, in.Requester = medium, purpose, r.Network()
		if r.Requester != nil {
			if r.Requester.IsGuest {
				return threepid.TokenResponse{}, httpapi.Error(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "Guests have no addresses")
			}
			in.User, in.Requester = r.Requester.UserID, string(r.Requester.UserID)
		}
		return a.Threepids.RequestToken(ctx, in)
	}
}

// submitToken is where submit_url of the answer to a request for a token leads.
func (a *API) submitToken(ctx context.Context, _ *httpapi.Request, in threepid.SubmitRequest) (successResponse, error) {
	err := a.Threepids.Submit(ctx, in, "", false)
	return successResponse{err == nil}, err
}

type successResponse struct {
	Success bool `json:"success"`
}

// addThreepid is POST /account/3pid/add.
func (a *API) addThreepid(ctx context.Context, r *httpapi.Request, in account.AddThreepidRequest) (httpapi.Empty, error) {
	if err := confirming(r, in.Auth); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, challenge(a.Accounts.AddThreepid(ctx, accountOf(r), in))
}

// bindThreepid is POST /account/3pid/bind.
func (a *API) bindThreepid(ctx context.Context, r *httpapi.Request, in account.BindRequest) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.Accounts.BindThreepid(ctx, r.Requester.UserID, in)
}

type bindDeprecatedRequest struct {
	Creds *account.BindRequest `json:"three_pid_creds"`
}

// bindThreepidDeprecated is POST /account/3pid, which does what POST /account/3pid/bind does.
func (a *API) bindThreepidDeprecated(ctx context.Context, r *httpapi.Request, in bindDeprecatedRequest) (httpapi.Empty, error) {
	if in.Creds == nil {
		return httpapi.Empty{}, httpapi.MissingParam("three_pid_creds")
	}
	return httpapi.Empty{}, a.Accounts.BindThreepid(ctx, r.Requester.UserID, *in.Creds)
}

type unbindResponse struct {
	Result string `json:"id_server_unbind_result"`
}

func unbindResult(unbound bool) unbindResponse {
	if unbound {
		return unbindResponse{"success"}
	}
	return unbindResponse{"no-support"}
}

// unbindThreepid is POST /account/3pid/unbind.
func (a *API) unbindThreepid(ctx context.Context, r *httpapi.Request, in account.UnbindRequest) (unbindResponse, error) {
	unbound, err := a.Accounts.UnbindThreepid(ctx, r.Requester.UserID, in)
	return unbindResult(unbound), err
}

// deleteThreepid is POST /account/3pid/delete.
func (a *API) deleteThreepid(ctx context.Context, r *httpapi.Request, in account.UnbindRequest) (unbindResponse, error) {
	unbound, err := a.Accounts.DeleteThreepid(ctx, r.Requester.UserID, in)
	return unbindResult(unbound), err
}
