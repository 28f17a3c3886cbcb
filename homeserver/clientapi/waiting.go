package clientapi

import (
	"context"
	"errors"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
)

// waiting calls f, which may wait for long, and ends the wait when the session ends that the request is made in: what comes after that is
// not for it. Where other sessions of the user have changed, f goes on.
func waiting[T any](ctx context.Context, a *API, r *httpapi.Request, f func(context.Context) (T, error)) (T, error) {
	var zero T
	for {
		watched, stop := a.Accounts.Watch(ctx, r.Requester.UserID)
		// Again, now that nothing is missed: the session may have ended since the request was let in.
		if err := r.Authenticate(ctx); err != nil {
			stop()
			return zero, err
		}
		out, err := f(watched)
		changed := errors.Is(context.Cause(watched), account.ErrSessionsChanged)
		stop()
		if err == nil || !changed || ctx.Err() != nil {
			return out, err
		}
	}
}
