package clientapi

import (
	"context"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// requestOpenIDToken is POST /user/{userId}/openid/request_token.
func (a *API) requestOpenIDToken(ctx context.Context, r *httpapi.Request, _ struct{}) (account.OpenIDToken, error) {
	user, err := ownUser(r)
	if err != nil {
		return account.OpenIDToken{}, err
	}
	return a.Accounts.RequestOpenIDToken(ctx, user, r.Requester.DeviceID)
}
