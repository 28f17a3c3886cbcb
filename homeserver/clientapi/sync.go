package clientapi

import (
	"cmp"
	"context"
	"time"

	"causeway/homeserver/ephemeral"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// maxTimeoutMS bounds the timeout parameter, so that it fits a time.Duration; usersync has a bound of its own below it.
const maxTimeoutMS = int64(time.Hour / time.Millisecond)

// viewer says who reads, and on which device.
func viewer(r *httpapi.Request) usersync.Viewer {
	who := by(r)
	return usersync.Viewer{User: who.User, Device: id.DeviceID(who.Device)}
}

// sync is GET /sync.
func (a *API) sync(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (usersync.Response, error) {
	who := viewer(r)
	req := usersync.Request{User: who.User, Device: who.Device, Since: r.Query("since"), Closing: r.Closing()}
	timeout, err := r.QueryInt("timeout", 0)
	if err != nil {
		return usersync.Response{}, err
	}
	req.Timeout = time.Duration(min(timeout, maxTimeoutMS)) * time.Millisecond
	if req.FullState, err = r.QueryBool("full_state", false); err != nil {
		return usersync.Response{}, err
	}
	if req.StateAfter, err = stateAfter(r); err != nil {
		return usersync.Response{}, err
	}
	if req.SetPresence, err = setPresence(r); err != nil {
		return usersync.Response{}, err
	}
	if req.Filter, err = a.Sync.Filter(ctx, who.User, r.Query("filter")); err != nil {
		return usersync.Response{}, err
	}
	return waiting(ctx, a, r, func(ctx context.Context) (usersync.Response, error) { return a.Sync.Sync(ctx, req) })
}

// setPresence returns the set_presence parameter.
func setPresence(r *httpapi.Request) (string, error) {
	state := cmp.Or(r.Query("set_presence"), ephemeral.Online)
	return state, ephemeral.CheckState(state)
}

// stateAfter returns the name under which the client wants the state at the end of the timeline, "" when it does not.
func stateAfter(r *httpapi.Request) (string, error) {
	for _, spelling := range [...]struct{ param, field string }{
		{"use_state_after", usersync.StateAfter},
		{"org.matrix.msc4222.use_state_after", usersync.StateAfterUnstable},
	} {
		wanted, err := r.QueryBool(spelling.param, false)
		if wanted || err != nil {
			return spelling.field, err
		}
	}
	return "", nil
}
