package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

type threadSubscription struct {
	Automatic bool `json:"automatic"`
}

// getThreadSubscription is GET /io.element.msc4306/rooms/{roomId}/thread/{threadRootId}/subscription.
func (a *API) getThreadSubscription(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (out threadSubscription, err error) {
	out.Automatic, err = a.Threads.Subscription(ctx, r.Requester.UserID, roomID(r), id.EventID(r.Path("threadRootId")))
	return out, err
}

type subscribeRequest struct {
	// Automatic is the event for which a client follows the thread on its own.
	Automatic *id.EventID `json:"automatic"`
}

// subscribeThread is PUT of it.
func (a *API) subscribeThread(ctx context.Context, r *httpapi.Request, in subscribeRequest) (httpapi.Empty, error) {
	var cause id.EventID
	if in.Automatic != nil {
		if cause = *in.Automatic; cause == "" {
			return httpapi.Empty{}, httpapi.InvalidParam("automatic must be the ID of an event")
		}
	}
	return httpapi.Empty{}, a.Threads.Subscribe(ctx, r.Requester.UserID, roomID(r), id.EventID(r.Path("threadRootId")), cause)
}

// unsubscribeThread is DELETE of it.
func (a *API) unsubscribeThread(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.Threads.Unsubscribe(ctx, r.Requester.UserID, roomID(r), id.EventID(r.Path("threadRootId")))
}

// threadSubscriptions is GET /io.element.msc4308/thread_subscriptions.
func (a *API) threadSubscriptions(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.JSON, error) {
	if !r.HasQuery("dir") {
		return nil, httpapi.MissingParam("dir")
	}
	if r.Query("dir") != "b" {
		return nil, httpapi.InvalidParam("dir must be b")
	}
	limit, err := r.QueryInt("limit", usersync.MaxThreadChanges)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, httpapi.InvalidParam("limit must be positive")
	}
	return a.Sync.ThreadSubscriptions(ctx, r.Requester.UserID, r.Query("from"), r.Query("to"), int(min(limit, usersync.MaxThreadChanges)))
}
