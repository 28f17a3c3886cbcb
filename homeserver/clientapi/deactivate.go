package clientapi

import (
	"context"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

type deactivateResponse struct {
	IDServerUnbindResult string `json:"id_server_unbind_result"`
}

// deactivate is POST /account/deactivate. There are no identifiers to unbind.
func (a *API) deactivate(ctx context.Context, r *httpapi.Request, in account.DeactivateRequest) (deactivateResponse, error) {
	if err := confirming(r, in.Auth); err != nil {
		return deactivateResponse{}, err
	}
	return deactivateResponse{"success"}, challenge(a.Accounts.Deactivate(ctx, accountOf(r), in))
}
