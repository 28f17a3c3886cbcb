package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

type loginFlowsResponse struct {
	Flows []loginFlow `json:"flows"`
}

type loginFlow struct {
	Type string `json:"type"`
}

// loginFlows is GET /login.
func (a *API) loginFlows(_ context.Context, _ *httpapi.Request, _ httpapi.Empty) (out loginFlowsResponse, err error) {
	for _, name := range a.Accounts.LoginTypes() {
		out.Flows = append(out.Flows, loginFlow{Type: name})
	}
	return out, nil
}

// login is POST /login. Application services log in as often as they like.
func (a *API) login(ctx context.Context, r *httpapi.Request, in account.LoginRequest) (account.Login, error) {
	in.AppServiceToken = bearer(r)
	if !in.ByAppService() {
		if err := r.LimitClient(httpapi.ClassLogin); err != nil {
			return account.Login{}, err
		}
	}
	return a.Accounts.Login(ctx, in)
}

// logout is POST /logout.
func (a *API) logout(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.Accounts.Logout(ctx, r.Requester.UserID, r.Requester.DeviceID)
}

// logoutAll is POST /logout/all.
func (a *API) logoutAll(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.Accounts.LogoutAll(ctx, r.Requester.UserID, "")
}

// changePassword is POST /account/password.
func (a *API) changePassword(ctx context.Context, r *httpapi.Request, in account.PasswordRequest) (httpapi.Empty, error) {
	if in.Auth != nil {
		if err := r.LimitClient(httpapi.ClassLogin); err != nil {
			return httpapi.Empty{}, err
		}
	}
	if r.Requester == nil {
		return httpapi.Empty{}, challenge(a.Accounts.ResetPassword(ctx, in))
	}
	if r.Requester.IsGuest {
		return httpapi.Empty{}, httpapi.Error(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "Guests have no password")
	}
	who := account.Requester{UserID: r.Requester.UserID, DeviceID: r.Requester.DeviceID, ByAppService: r.Requester.AppService != ""}
	return httpapi.Empty{}, challenge(a.Accounts.ChangePassword(ctx, who, in))
}
