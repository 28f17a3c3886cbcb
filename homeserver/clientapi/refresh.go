package clientapi

import (
	"context"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

type refreshRequest struct {
	RefreshToken string `json:"refresh_token"`
}

// refresh is POST /refresh. The tokens of an OAuth client are not refreshed here.
func (a *API) refresh(ctx context.Context, _ *httpapi.Request, in refreshRequest) (account.Refreshed, error) {
	if in.RefreshToken == "" {
		return account.Refreshed{}, httpapi.MissingParam("refresh_token")
	}
	return a.Accounts.Refresh(ctx, in.RefreshToken, "")
}

type getLoginTokenRequest struct {
	Auth *account.AuthData `json:"auth"`
}

// getLoginToken is POST /login/get_token.
func (a *API) getLoginToken(ctx context.Context, r *httpapi.Request, in getLoginTokenRequest) (account.LoginToken, error) {
	if err := confirming(r, in.Auth); err != nil {
		return account.LoginToken{}, err
	}
	token, err := a.Accounts.GetLoginToken(ctx, accountOf(r), in.Auth)
	return token, challenge(err)
}
