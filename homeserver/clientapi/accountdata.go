package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/push"
)

// getAccountData is GET /user/{userId}/account_data/{type} and GET /user/{userId}/rooms/{roomId}/account_data/{type}.
func (a *API) getAccountData(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	user, err := ownUser(r)
	if err != nil {
		return nil, err
	}
	if roomID(r) == "" && r.Path("type") == push.AccountDataType {
		// Users who changed none have push rules all the same.
		return a.Push.Content(ctx, user)
	}
	return a.Accounts.AccountData(ctx, user, roomID(r), r.Path("type"))
}

// setAccountData is PUT /user/{userId}/account_data/{type} and PUT /user/{userId}/rooms/{roomId}/account_data/{type}.
func (a *API) setAccountData(ctx context.Context, r *httpapi.Request, in json.RawMessage) (httpapi.Empty, error) {
	user, err := ownUser(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Accounts.SetAccountData(ctx, user, roomID(r), r.Path("type"), in)
}

// deleteAccountData is DELETE /user/{userId}/account_data/{type} and DELETE /user/{userId}/rooms/{roomId}/account_data/{type} (MSC3391).
func (a *API) deleteAccountData(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	user, err := ownUser(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Accounts.DeleteAccountData(ctx, user, roomID(r), r.Path("type"))
}
