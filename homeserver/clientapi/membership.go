package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

type reasonRequest struct {
	Reason string `json:"reason"`
}

func (in reasonRequest) extra() map[string]any {
	if in.Reason == "" {
		return nil
	}
	return map[string]any{"reason": in.Reason}
}

// join is POST /join/{roomIdOrAlias} and POST /rooms/{roomId}/join.
func (a *API) join(ctx context.Context, r *httpapi.Request, in reasonRequest) (roomIDResponse, error) {
	target := r.Path("roomIdOrAlias")
	if target == "" {
		target = r.Path("roomId")
	}
	roomID, err := a.Rooms.Join(ctx, by(r), target, in.extra())
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

// invite is POST /rooms/{roomId}/invite.
func (a *API) invite(ctx context.Context, r *httpapi.Request, in targetRequest) (httpapi.Empty, error) {
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
