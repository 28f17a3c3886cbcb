package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
)

type filterResponse struct {
	FilterID string `json:"filter_id"`
}

// addFilter is POST /user/{userId}/filter.
func (a *API) addFilter(ctx context.Context, r *httpapi.Request, in json.RawMessage) (out filterResponse, err error) {
	user, err := ownUser(r)
	if err != nil {
		return out, err
	}
	out.FilterID, err = a.Accounts.AddFilter(ctx, user, in)
	return out, err
}

// getFilter is GET /user/{userId}/filter/{filterId}.
func (a *API) getFilter(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	user, err := ownUser(r)
	if err != nil {
		return nil, err
	}
	return a.Accounts.Filter(ctx, user, r.Path("filterId"))
}
