package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/id"
)

// maxTokenBytes bounds an access token before anyone looks it up.
const maxTokenBytes = 4096

// maxEventTS is the largest origin_server_ts that canonical JSON can carry.
const maxEventTS = 1<<53 - 1

// Identifier finds out whom an access token belongs to.
type Identifier interface {
	// Identify returns the owner of token. asUser and asDevice are the
	// parameters by which an application service names the user and device it
	// acts for ("" when absent; Application Service API, Identity assertion).
	// They count for nothing when the token is a person's, and must not be
	// refused then, as other endpoints use the same names.
	//
	// An unknown token is mautrix.MUnknownToken or a nil Requester without an
	// error; a user outside the namespaces 403 M_FORBIDDEN or M_EXCLUSIVE; a
	// device that is not the user's 400 M_UNKNOWN_DEVICE. An error that is no
	// mautrix.RespError is answered as M_UNKNOWN.
	Identify(ctx context.Context, token, asUser string, asDevice id.DeviceID) (*Requester, error)
}

// Authenticate finds out again whom the request comes from, for a handler that
// waited for long, or was told that sessions of the user have ended. The errors
// are those that the request would be answered with if it came now.
func (r *Request) Authenticate(ctx context.Context) error {
	return r.authenticate(ctx, r.access)
}

// authenticate sets r.Requester as access demands, or returns the error to
// answer with.
func (r *Request) authenticate(ctx context.Context, access Access) error {
	if access == Public {
		return nil
	}
	token := r.token()
	if token == "" {
		if access == Optional {
			return nil
		}
		return MissingToken()
	}
	if len(token) > maxTokenBytes || r.mux.options.Identifier == nil {
		return UnknownToken(false)
	}
	requester, err := r.mux.options.Identifier.Identify(ctx, token, r.Query("user_id"), r.asDevice())
	if err != nil {
		return err
	}
	if requester == nil {
		return UnknownToken(false)
	}
	r.Requester = requester
	if err := r.timestamp(); err != nil {
		return err
	}
	if err := r.allowed(access); err != nil {
		return err
	}
	if seen := r.mux.options.Seen; seen != nil {
		seen(r)
	}
	return nil
}

// allowed compares the requester with what the route wants.
func (r *Request) allowed(access Access) error {
	switch {
	case r.Requester.Locked != nil && !r.endpoint.evenLocked:
		return r.Requester.Locked
	case r.Requester.IsSuspended && r.endpoint.noSuspended:
		return UserSuspended()
	case access == AppService && r.Requester.AppService == "":
		return Forbidden("Only application services may do this")
	case access == Admin && !r.Requester.IsAdmin:
		return Forbidden("Only administrators of this server may do this")
	case r.Requester.IsGuest && access != Guest && access != Optional:
		return Error(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "Guests may not do this")
	}
	return nil
}

// token returns the access token of the request, and "" when it has none
// (Client-Server API, Using access tokens).
func (r *Request) token() string {
	if values := r.Header["Authorization"]; len(values) > 0 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
		return ""
	}
	if r.mux.options.QueryTokens {
		return r.Query("access_token")
	}
	return ""
}

// asDevice returns the device that an application service acts as, by the
// specification's name of the parameter or by the one it had in MSC3202.
func (r *Request) asDevice() id.DeviceID {
	if device := r.Query("device_id"); device != "" {
		return id.DeviceID(device)
	}
	return id.DeviceID(r.Query("org.matrix.msc3202.device_id"))
}

// timestamp takes over the "ts" parameter (Application Service API, Timestamp
// massaging), which counts only for application services.
func (r *Request) timestamp() error {
	if r.Requester.AppService == "" || !r.HasQuery("ts") {
		return nil
	}
	ts, err := strconv.ParseInt(r.Query("ts"), 10, 64)
	if err != nil || ts < 0 || ts > maxEventTS {
		return InvalidParam("Query parameter ts must be a time in milliseconds")
	}
	// The Requester may be shared between requests, so that it is not ours to change.
	requester := *r.Requester
	requester.TS = ts
	r.Requester = &requester
	return nil
}
