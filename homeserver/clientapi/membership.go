package clientapi

import (
	"context"
	"encoding/json"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"

	"maunium.net/go/mautrix/id"
)

type reasonRequest struct {
	Reason string `json:"reason"`
}

// joinRequest is the body of a join: what it holds goes into the member event, as other servers have it, but for what is the server's
// to say.
type joinRequest map[string]any

// notOfJoiners are the keys of a join's body that do not go into the event.
var notOfJoiners = []string{
	"membership", "displayname", "avatar_url", "join_authorised_via_users_server", "third_party_signed", "third_party_invite", "is_direct",
}

func (in joinRequest) extra() (map[string]any, error) {
	for _, key := range notOfJoiners {
		delete(in, key)
	}
	if reason, given := in["reason"]; given {
		if _, ok := reason.(string); !ok {
			return nil, httpapi.BadJSON("reason must be a string")
		}
	}
	return in, nil
}

// join is POST /join/{roomIdOrAlias} and POST /rooms/{roomId}/join.
func (a *API) join(ctx context.Context, r *httpapi.Request, in joinRequest) (roomIDResponse, error) {
	signed := in["third_party_signed"]
	extra, err := in.extra()
	if err != nil {
		return roomIDResponse{}, err
	}
	target := r.Path("roomIdOrAlias")
	if target == "" {
		target = r.Path("roomId")
	}
	if signed != nil {
		raw, err := json.Marshal(signed)
		if err != nil {
			return roomIDResponse{}, err
		}
		roomID, err := a.Rooms.JoinSigned(ctx, by(r), target, raw, extra)
		return roomIDResponse{roomID}, err
	}
	roomID, err := a.Rooms.Join(ctx, by(r), target, extra)
	return roomIDResponse{roomID}, err
}

type targetRequest struct {
	UserID id.UserID `json:"user_id"`
	Reason string    `json:"reason"`
}

func (in targetRequest) check() error {
	if in.UserID == "" {
		return httpapi.MissingParam("user_id")
	}
	return nil
}

// inviteRequest names a user, or somebody by an address.
type inviteRequest struct {
	targetRequest
	room.AddressInvite
}

// invite is POST /rooms/{roomId}/invite.
func (a *API) invite(ctx context.Context, r *httpapi.Request, in inviteRequest) (httpapi.Empty, error) {
	if in.UserID == "" && in.Medium != "" {
		return httpapi.Empty{}, a.Rooms.InviteByAddress(ctx, by(r), roomID(r), in.AddressInvite, in.Reason)
	}
	if err := in.check(); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Rooms.Invite(ctx, by(r), roomID(r), in.UserID, in.Reason)
}

// leave is POST /rooms/{roomId}/leave.
func (a *API) leave(ctx context.Context, r *httpapi.Request, in reasonRequest) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.Rooms.Leave(ctx, by(r), roomID(r), in.Reason)
}

// kick is POST /rooms/{roomId}/kick.
func (a *API) kick(ctx context.Context, r *httpapi.Request, in targetRequest) (httpapi.Empty, error) {
	if err := in.check(); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Rooms.Kick(ctx, by(r), roomID(r), in.UserID, in.Reason)
}

// ban is POST /rooms/{roomId}/ban.
func (a *API) ban(ctx context.Context, r *httpapi.Request, in targetRequest) (httpapi.Empty, error) {
	if err := in.check(); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Rooms.Ban(ctx, by(r), roomID(r), in.UserID, in.Reason)
}

// unban is POST /rooms/{roomId}/unban.
func (a *API) unban(ctx context.Context, r *httpapi.Request, in targetRequest) (httpapi.Empty, error) {
	if err := in.check(); err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Rooms.Unban(ctx, by(r), roomID(r), in.UserID, in.Reason)
}

// forget is POST /rooms/{roomId}/forget.
func (a *API) forget(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.Rooms.Forget(ctx, by(r), roomID(r))
}
