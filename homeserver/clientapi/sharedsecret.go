package clientapi

import (
	"context"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

type nonceResponse struct {
	Nonce string `json:"nonce"`
}

// registrationNonce is GET /_synapse/admin/v1/register, which is here because tools for other servers call it.
func (a *API) registrationNonce(context.Context, *httpapi.Request, httpapi.Empty) (nonceResponse, error) {
	nonce, err := a.Accounts.RegistrationNonce()
	return nonceResponse{nonce}, err
}

// registerBySecret is POST /_synapse/admin/v1/register. Each request takes a nonce, so those that fail are limited where nonces are given.
func (a *API) registerBySecret(ctx context.Context, _ *httpapi.Request, in account.SecretRegistration) (account.Login, error) {
	return a.Accounts.RegisterBySecret(ctx, in)
}
