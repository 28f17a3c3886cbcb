package clientapi

import (
	"context"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// deactivate is POST /account/deactivate.
func (a *API) deactivate(ctx context.Context, r *httpapi.Request, in account.DeactivateRequest) (unbindResponse, error) {
	if err := confirming(r, in.Auth); err != nil {
		return unbindResponse{}, err
	}
	unbound, err := a.Accounts.Deactivate(ctx, accountOf(r), in)
	return unbindResult(unbound), challenge(err)
}
