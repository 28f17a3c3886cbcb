package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// getEvent is GET /rooms/{roomId}/event/{eventId}.
func (a *API) getEvent(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	return a.Sync.Event(ctx, viewer(r), roomID(r), id.EventID(r.Path("eventId")))
}

// getState is GET /rooms/{roomId}/state.
func (a *API) getState(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	return a.Sync.State(ctx, viewer(r), roomID(r))
}

// getStateEvent is GET /rooms/{roomId}/state/{eventType}/{stateKey}, and the same without the state key.
func (a *API) getStateEvent(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	var whole bool
	switch r.Query("format") {
	case "", "content":
	case "event":
		whole = true
	default:
		return nil, httpapi.InvalidParam("Query parameter format must be content or event")
	}
	return a.Sync.StateEvent(ctx, viewer(r), roomID(r), r.Path("eventType"), r.Path("stateKey"), whole)
}

// members is GET /rooms/{roomId}/members.
func (a *API) members(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	for _, name := range [...]string{"membership", "not_membership"} {
		switch r.Query(name) {
		case "", "join", "invite", "knock", "leave", "ban":
		default:
			return nil, httpapi.InvalidParam("Query parameter %s is not a membership", name)
		}
	}
	return a.Sync.Members(ctx, usersync.MembersRequest{
		Viewer: viewer(r), RoomID: roomID(r), At: r.Query("at"),
		Membership: r.Query("membership"), NotMembership: r.Query("not_membership"),
	})
}

// joinedMembers is GET /rooms/{roomId}/joined_members.
func (a *API) joinedMembers(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	return a.Sync.JoinedMembers(ctx, r.Requester.UserID, roomID(r), a.Accounts.UsersOf(r.Requester.AppService))
}

type joinedRoomsResponse struct {
	JoinedRooms []id.RoomID `json:"joined_rooms"`
}

// joinedRooms is GET /joined_rooms.
func (a *API) joinedRooms(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (joinedRoomsResponse, error) {
	rooms, err := a.Sync.JoinedRooms(ctx, r.Requester.UserID)
	return joinedRoomsResponse{JoinedRooms: rooms}, err
}
