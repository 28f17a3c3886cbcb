package clientapi

import (
	"context"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

type suspension struct {
	Suspended *bool `json:"suspended"`
}

type lock struct {
	Locked *bool `json:"locked"`
}

func pathUser(r *httpapi.Request) id.UserID { return id.UserID(r.Path("userId")) }

// suspended is GET /admin/suspend/{userId}.
func (a *API) suspended(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (suspension, error) {
	m, err := a.Accounts.Moderation(ctx, r.Requester.UserID, pathUser(r))
	return suspension{&m.Suspended}, err
}

// suspend is PUT /admin/suspend/{userId}.
func (a *API) suspend(ctx context.Context, r *httpapi.Request, in suspension) (suspension, error) {
	if in.Suspended == nil {
		return in, httpapi.MissingParam("suspended")
	}
	return in, a.Accounts.SetSuspended(ctx, r.Requester.UserID, pathUser(r), *in.Suspended)
}

// locked is GET /admin/lock/{userId}.
func (a *API) locked(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (lock, error) {
	m, err := a.Accounts.Moderation(ctx, r.Requester.UserID, pathUser(r))
	return lock{&m.Locked}, err
}

// lockOut is PUT /admin/lock/{userId}.
func (a *API) lockOut(ctx context.Context, r *httpapi.Request, in lock) (lock, error) {
	if in.Locked == nil {
		return in, httpapi.MissingParam("locked")
	}
	return in, a.Accounts.SetLocked(ctx, r.Requester.UserID, pathUser(r), *in.Locked)
}

type whoisResponse struct {
	UserID  id.UserID                   `json:"user_id"`
	Devices map[id.DeviceID]whoisDevice `json:"devices"`
}

type whoisDevice struct {
	Sessions []whoisSession `json:"sessions"`
}

type whoisSession struct {
	Connections []whoisConnection `json:"connections"`
}

type whoisConnection struct {
	IP        string `json:"ip,omitempty"`
	LastSeen  int64  `json:"last_seen,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

// whois is GET /admin/whois/{userId}, for the user, and for administrators.
func (a *API) whois(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (whoisResponse, error) {
	user := pathUser(r)
	if user != r.Requester.UserID && !r.Requester.IsAdmin {
		return whoisResponse{}, httpapi.Forbidden("Only administrators of this server may look up others")
	}
	devices, err := a.Accounts.Devices(ctx, user)
	if err != nil {
		return whoisResponse{}, err
	}
	out := whoisResponse{UserID: user, Devices: make(map[id.DeviceID]whoisDevice, len(devices))}
	for _, d := range devices {
		out.Devices[d.DeviceID] = whoisDevice{[]whoisSession{{[]whoisConnection{{IP: d.LastSeenIP, LastSeen: d.LastSeenTS, UserAgent: d.UserAgent}}}}}
	}
	return out, nil
}
