package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"
)

const (
	visibilityPublic  = "public"
	visibilityPrivate = "private"
)

type visibility struct {
	Visibility string `json:"visibility"`
}

// published tells whether a room is to be in a directory.
func (in visibility) published() (bool, error) {
	if in.Visibility != visibilityPublic && in.Visibility != visibilityPrivate {
		return false, httpapi.BadJSON("visibility must be public or private")
	}
	return in.Visibility == visibilityPublic, nil
}

// getVisibility is GET /directory/list/room/{roomId}.
func (a *API) getVisibility(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (visibility, error) {
	published, err := a.Rooms.Published(ctx, roomID(r))
	if published {
		return visibility{visibilityPublic}, err
	}
	return visibility{visibilityPrivate}, err
}

// setVisibility is PUT /directory/list/room/{roomId}.
func (a *API) setVisibility(ctx context.Context, r *httpapi.Request, in visibility) (httpapi.Empty, error) {
	if in.Visibility == "" {
		in.Visibility = visibilityPublic
	}
	published, err := in.published()
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Rooms.Publish(ctx, by(r), r.Requester.IsAdmin, roomID(r), published)
}

// setNetworkVisibility is PUT /directory/list/appservice/{networkId}/{roomId}.
func (a *API) setNetworkVisibility(ctx context.Context, r *httpapi.Request, in visibility) (httpapi.Empty, error) {
	if in.Visibility == "" {
		return httpapi.Empty{}, httpapi.MissingParam("visibility")
	}
	published, err := in.published()
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Rooms.PublishOn(ctx, by(r), r.Path("networkId"), roomID(r), published)
}

// dropNetworkVisibility is DELETE /directory/list/appservice/{networkId}/{roomId}, which bridges call and the specification does not have: the
// room is private then.
func (a *API) dropNetworkVisibility(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.Rooms.PublishOn(ctx, by(r), r.Path("networkId"), roomID(r), false)
}

// publicRooms is GET /publicRooms.
func (a *API) publicRooms(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (*room.DirectoryPage, error) {
	limit, err := r.QueryInt("limit", 0)
	if err != nil {
		return nil, err
	}
	return a.directory(ctx, r, room.DirectoryRequest{Limit: limit, Since: r.Query("since")})
}

type publicRoomsRequest struct {
	Limit  int64  `json:"limit"`
	Since  string `json:"since"`
	Filter struct {
		Term      string    `json:"generic_search_term"`
		RoomTypes []*string `json:"room_types"`
	} `json:"filter"`
	AllNetworks bool   `json:"include_all_networks"`
	Instance    string `json:"third_party_instance_id"`
}

// searchPublicRooms is POST /publicRooms.
func (a *API) searchPublicRooms(ctx context.Context, r *httpapi.Request, in publicRoomsRequest) (*room.DirectoryPage, error) {
	return a.directory(ctx, r, room.DirectoryRequest{
		Limit: in.Limit, Since: in.Since, Term: in.Filter.Term, RoomTypes: in.Filter.RoomTypes, AllNetworks: in.AllNetworks,
		Network: in.Instance,
	})
}

func (a *API) directory(ctx context.Context, r *httpapi.Request, in room.DirectoryRequest) (*room.DirectoryPage, error) {
	if server := r.Query("server"); server != "" && server != a.ServerName {
		return nil, httpapi.NotFound("The directory of %s cannot be read: this server does not federate yet", server)
	}
	return a.Rooms.Directory(ctx, in)
}
