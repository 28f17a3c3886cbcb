package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"
)

// hierarchy is GET /rooms/{roomId}/hierarchy.
func (a *API) hierarchy(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (*room.HierarchyPage, error) {
	req := room.HierarchyRequest{User: r.Requester.UserID, RoomID: roomID(r), From: r.Query("from"), MaxDepth: -1}
	var err error
	if req.SuggestedOnly, err = r.QueryBool("suggested_only", false); err != nil {
		return nil, err
	}
	if req.Limit, err = r.QueryInt("limit", 0); err != nil {
		return nil, err
	}
	if r.Query("limit") != "" && req.Limit == 0 {
		return nil, httpapi.InvalidParam("limit must be greater than zero")
	}
	if r.HasQuery("max_depth") {
		if req.MaxDepth, err = r.QueryInt("max_depth", -1); err != nil {
			return nil, err
		}
	}
	return a.Rooms.Hierarchy(ctx, req)
}

// roomSummary is GET /room_summary/{roomIdOrAlias}.
func (a *API) roomSummary(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (*room.Summary, error) {
	var asker room.By
	if r.Requester != nil {
		asker = by(r)
	}
	return a.Rooms.Summary(ctx, asker, r.Path("roomIdOrAlias"))
}

// unstableSummary is the answer of roomSummary to the paths of MSC3266, whose names clients look for there.
type unstableSummary struct {
	*room.Summary
	Version    string `json:"im.nheko.summary.room_version,omitempty"`
	OldVersion string `json:"im.nheko.summary.version,omitempty"`
	Encryption string `json:"im.nheko.summary.encryption,omitempty"`
}

// roomSummaryUnstable is GET /unstable/im.nheko.summary/summary/{roomIdOrAlias} and /unstable/im.nheko.summary/rooms/{roomIdOrAlias}/summary
// (MSC3266).
func (a *API) roomSummaryUnstable(ctx context.Context, r *httpapi.Request, in httpapi.Empty) (unstableSummary, error) {
	s, err := a.roomSummary(ctx, r, in)
	if err != nil {
		return unstableSummary{}, err
	}
	return unstableSummary{Summary: s, Version: s.RoomVersion, OldVersion: s.RoomVersion, Encryption: s.Encryption}, nil
}
