package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

type loginFlowsResponse struct {
	Flows []account.LoginFlow `json:"flows"`
}

// loginFlows is GET /login.
func (a *API) loginFlows(context.Context, *httpapi.Request, httpapi.Empty) (loginFlowsResponse, error) {
	return loginFlowsResponse{a.Accounts.LoginFlows()}, nil
}

// login is POST /login. Application services log in as often as they like.
func (a *API) login(ctx context.Context, r *httpapi.Request, in account.LoginRequest) (account.Login, error) {
	in.AppServiceToken, in.ClientIP = bearer(r), r.ClientIP()
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
	if r.Requester == nil {
		if in.Auth != nil {
			if err := r.LimitClient(httpapi.ClassLogin); err != nil {
				return httpapi.Empty{}, err
			}
		}
		return httpapi.Empty{}, challenge(a.Accounts.ResetPassword(ctx, in))
	}
	if r.Requester.IsGuest {
		return httpapi.Empty{}, httpapi.Error(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "Guests have no password")
	}
	if err := confirming(r, in.Auth); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, challenge(a.Accounts.ChangePassword(ctx, accountOf(r), in))
}
