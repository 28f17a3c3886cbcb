package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

type tagsResponse struct {
	Tags account.Tags `json:"tags"`
}

// tags is GET /user/{userId}/rooms/{roomId}/tags.
func (a *API) tags(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (tagsResponse, error) {
	user, err := ownUser(r)
	if err != nil {
		return tagsResponse{}, err
	}
	tags, err := a.Accounts.Tags(ctx, user, roomID(r))
	return tagsResponse{tags}, err
}

// setTag is PUT /user/{userId}/rooms/{roomId}/tags/{tag}.
func (a *API) setTag(ctx context.Context, r *httpapi.Request, in json.RawMessage) (httpapi.Empty, error) {
	user, err := ownUser(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Accounts.SetTag(ctx, user, roomID(r), r.Path("tag"), in)
}

// deleteTag is DELETE /user/{userId}/rooms/{roomId}/tags/{tag}.
func (a *API) deleteTag(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	user, err := ownUser(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Accounts.DeleteTag(ctx, user, roomID(r), r.Path("tag"))
}
