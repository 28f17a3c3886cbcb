package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"

	"maunium.net/go/mautrix/id"
)

type aliasResponse struct {
	RoomID  id.RoomID `json:"room_id"`
	Servers []string  `json:"servers"`
}

// getAlias is GET /directory/room/{roomAlias}.
func (a *API) getAlias(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (aliasResponse, error) {
	var who room.By // a stranger
	if r.Requester != nil {
		who = by(r)
	}
	roomID, err := a.Rooms.ResolveAlias(ctx, who, id.RoomAlias(r.Path("roomAlias")))
	return aliasResponse{RoomID: roomID, Servers: []string{a.ServerName}}, err
}

// putAlias is PUT /directory/room/{roomAlias}.
func (a *API) putAlias(ctx context.Context, r *httpapi.Request, in roomIDResponse) (httpapi.Empty, error) {
	if in.RoomID == "" {
		return httpapi.Empty{}, httpapi.MissingParam("room_id")
	}
	return httpapi.Empty{}, a.Rooms.CreateAlias(ctx, by(r), id.RoomAlias(r.Path("roomAlias")), in.RoomID)
}

// deleteAlias is DELETE /directory/room/{roomAlias}.
func (a *API) deleteAlias(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	alias := id.RoomAlias(r.Path("roomAlias"))
	if r.Requester.IsAdmin {
		return httpapi.Empty{}, a.Rooms.DeleteAnyAlias(ctx, by(r), alias)
	}
	return httpapi.Empty{}, a.Rooms.DeleteAlias(ctx, by(r), alias)
}

type aliasesResponse struct {
	Aliases []id.RoomAlias `json:"aliases"`
}

// roomAliases is GET /rooms/{roomId}/aliases.
func (a *API) roomAliases(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (aliasesResponse, error) {
	aliases, err := a.Rooms.RoomAliases(ctx, by(r), roomID(r))
	return aliasesResponse{aliases}, err
}
