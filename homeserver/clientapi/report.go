package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

type reportRequest struct {
	Reason *string `json:"reason"`
	Score  *int64  `json:"score"`
}

// report returns the report, whose reason may be left out where the specification does not require one.
func (in reportRequest) report(required bool) (usersync.Report, error) {
	out := usersync.Report{Score: in.Score}
	if in.Reason == nil && required {
		return out, httpapi.MissingParam("reason")
	}
	if in.Reason != nil {
		out.Reason = *in.Reason
	}
	return out, nil
}

// reportEvent is POST /rooms/{roomId}/report/{eventId}.
func (a *API) reportEvent(ctx context.Context, r *httpapi.Request, in reportRequest) (httpapi.Empty, error) {
	report, err := in.report(false)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Sync.ReportEvent(ctx, r.Requester.UserID, roomID(r), id.EventID(r.Path("eventId")), report)
}

// reportRoom is POST /rooms/{roomId}/report.
func (a *API) reportRoom(ctx context.Context, r *httpapi.Request, in reportRequest) (httpapi.Empty, error) {
	report, err := in.report(true)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Sync.ReportRoom(ctx, r.Requester.UserID, roomID(r), report)
}

// reportUser is POST /users/{userId}/report.
func (a *API) reportUser(ctx context.Context, r *httpapi.Request, in reportRequest) (httpapi.Empty, error) {
	report, err := in.report(true)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Sync.ReportUser(ctx, r.Requester.UserID, id.UserID(r.Path("userId")), report)
}
