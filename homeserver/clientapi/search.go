package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/search"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

type searchRequest struct {
	Categories *struct {
		RoomEvents *search.Criteria `json:"room_events"`
	} `json:"search_categories"`
}

type searchResponse struct {
	Categories struct {
		RoomEvents json.RawMessage `json:"room_events,omitempty"`
	} `json:"search_categories"`
}

// search is POST /search.
func (a *API) search(ctx context.Context, r *httpapi.Request, in searchRequest) (out searchResponse, err error) {
	if in.Categories == nil {
		return out, httpapi.MissingParam("search_categories")
	}
	if in.Categories.RoomEvents == nil {
		return out, nil
	}
	v := viewer(r)
	out.Categories.RoomEvents, err = a.Search.Find(ctx, search.Request{
		User: v.User, Device: v.Device, NextBatch: r.Query("next_batch"), Criteria: *in.Categories.RoomEvents,
	})
	return out, err
}

type userSearchRequest struct {
	Term  *string `json:"search_term"`
	Limit int64   `json:"limit"`
}

// searchUsers is POST /user_directory/search.
func (a *API) searchUsers(ctx context.Context, r *httpapi.Request, in userSearchRequest) (*search.Users, error) {
	if in.Term == nil {
		return nil, httpapi.MissingParam("search_term")
	}
	return a.Search.FindUsers(ctx, r.Requester.UserID, *in.Term, in.Limit)
}

// mutualRooms is GET /mutual_rooms.
func (a *API) mutualRooms(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (*usersync.MutualRooms, error) {
	if !r.HasQuery("user_id") {
		return nil, httpapi.MissingParam("user_id")
	}
	return a.Sync.MutualRooms(ctx, r.Requester.UserID, id.UserID(r.Query("user_id")), r.Query("from"))
}

// mutualRoomsResponse has the token for more under the name that the proposal gave it (MSC2666), too.
type mutualRoomsResponse struct {
	*usersync.MutualRooms
	NextToken string `json:"next_batch_token,omitempty"`
}

// mutualRoomsUnstable is GET /mutual_rooms as it was proposed, where the token of the page before is called batch_token.
func (a *API) mutualRoomsUnstable(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (mutualRoomsResponse, error) {
	if !r.HasQuery("user_id") {
		return mutualRoomsResponse{}, httpapi.MissingParam("user_id")
	}
	from := r.Query("batch_token")
	if from == "" {
		from = r.Query("from")
	}
	rooms, err := a.Sync.MutualRooms(ctx, r.Requester.UserID, id.UserID(r.Query("user_id")), from)
	if err != nil {
		return mutualRoomsResponse{}, err
	}
	return mutualRoomsResponse{rooms, rooms.Next}, nil
}
