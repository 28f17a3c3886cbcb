package clientapi

import (
	"context"
	"encoding/json"
	"time"

	"causeway/homeserver/ephemeral"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

type typingRequest struct {
	Typing    *bool `json:"typing"`
	TimeoutMS int64 `json:"timeout"`
}

// setTyping is PUT /rooms/{roomId}/typing/{userId}.
func (a *API) setTyping(ctx context.Context, r *httpapi.Request, in typingRequest) (httpapi.Empty, error) {
	user, err := ownUser(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	if in.Typing == nil {
		return httpapi.Empty{}, httpapi.MissingParam("typing")
	}
	timeout := time.Duration(max(0, min(in.TimeoutMS, maxTimeoutMS))) * time.Millisecond
	return httpapi.Empty{}, a.Typing.SetTyping(ctx, user, roomID(r), *in.Typing, timeout)
}

type receiptRequest struct {
	ThreadID json.RawMessage `json:"thread_id"`
}

// setReceipt is POST /rooms/{roomId}/receipt/{receiptType}/{eventId}.
func (a *API) setReceipt(ctx context.Context, r *httpapi.Request, in receiptRequest) (httpapi.Empty, error) {
	mark := ephemeral.Mark{Type: r.Path("receiptType"), EventID: id.EventID(r.Path("eventId"))}
	if in.ThreadID != nil {
		if err := json.Unmarshal(in.ThreadID, &mark.Thread); err != nil || mark.Thread == "" {
			return httpapi.Empty{}, httpapi.InvalidParam("thread_id must be a string that is not empty")
		}
	}
	return httpapi.Empty{}, a.Receipts.SetRead(ctx, r.Requester.UserID, roomID(r), mark)
}

type readMarkersRequest struct {
	FullyRead id.EventID `json:"m.fully_read"`
	Read      id.EventID `json:"m.read"`
	Private   id.EventID `json:"m.read.private"`
}

// setReadMarkers is POST /rooms/{roomId}/read_markers.
func (a *API) setReadMarkers(ctx context.Context, r *httpapi.Request, in readMarkersRequest) (httpapi.Empty, error) {
	var marks []ephemeral.Mark
	for _, m := range [...]ephemeral.Mark{
		{Type: ephemeral.TypeFullyRead, EventID: in.FullyRead}, {Type: ephemeral.TypeRead, EventID: in.Read},
		{Type: ephemeral.TypeReadPrivate, EventID: in.Private},
	} {
		if m.EventID != "" {
			marks = append(marks, m)
		}
	}
	return httpapi.Empty{}, a.Receipts.SetRead(ctx, r.Requester.UserID, roomID(r), marks...)
}

// getPresence is GET /presence/{userId}/status.
func (a *API) getPresence(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (ephemeral.PresenceStatus, error) {
	return a.Presence.Status(ctx, r.Requester.UserID, id.UserID(r.Path("userId")))
}

type presenceRequest struct {
	Presence  string          `json:"presence"`
	StatusMsg json.RawMessage `json:"status_msg"`
}

// setPresence is PUT /presence/{userId}/status. Without status_msg the message stays; null takes it away.
func (a *API) setPresence(ctx context.Context, r *httpapi.Request, in presenceRequest) (httpapi.Empty, error) {
	user, err := ownUser(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	if in.Presence == "" {
		return httpapi.Empty{}, httpapi.MissingParam("presence")
	}
	var message *string
	if in.StatusMsg != nil {
		message = new(string)
		if err := json.Unmarshal(in.StatusMsg, message); err != nil {
			return httpapi.Empty{}, httpapi.BadJSON("status_msg must be a string")
		}
	}
	return httpapi.Empty{}, a.Presence.SetStatus(ctx, user, in.Presence, message)
}
