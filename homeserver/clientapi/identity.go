package clientapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Identifier makes the accounts known to httpapi as those whom access tokens belong to.
func Identifier(accounts *account.Service) httpapi.Identifier { return identifier{accounts} }

type identifier struct{ accounts *account.Service }

// Identify implements httpapi.Identifier.
func (i identifier) Identify(ctx context.Context, token, asUser string, asDevice id.DeviceID) (*httpapi.Requester, error) {
	who, err := i.accounts.Identify(ctx, token, id.UserID(asUser), asDevice)
	if err != nil {
		return nil, err
	}
	requester := &httpapi.Requester{
		UserID: who.UserID, DeviceID: who.DeviceID, IsAdmin: who.IsAdmin, IsGuest: who.IsGuest, RateLimited: who.RateLimited,
		Locked: who.Locked, IsSuspended: who.IsSuspended,
	}
	if who.AppService != nil {
		requester.AppService = who.AppService.ID
		// The line of the request itself, with its route and the same request_id, follows.
		zerolog.Ctx(ctx).Debug().Str("appservice", who.AppService.ID).Stringer("user_id", who.UserID).
			Stringer("device_id", who.DeviceID).Msg("Application service acts for a user")
	}
	return requester, nil
}

// Unlimited has the accounts say which application services no rate limit holds back, for httpapi.Options.
func Unlimited(accounts *account.Service) func(token, asUser string) bool {
	return func(token, asUser string) bool { return accounts.Unlimited(token, id.UserID(asUser)) }
}

// Seen has the accounts know when and from where devices are seen, for httpapi.Options, and alive, unless it is nil, of which application
// service a request is.
func Seen(accounts *account.Service, alive func(appServiceID string)) func(*httpapi.Request) {
	return func(r *httpapi.Request) {
		if r.Requester.AppService != "" && alive != nil {
			alive(r.Requester.AppService)
		}
		accounts.Saw(r.Requester.UserID, r.Requester.DeviceID, r.ClientIP(), r.UserAgent())
	}
}

// challenge turns the question for authentication that a service asks into its answer (Client-Server API, User-interactive
// API in the REST API). Other errors stay as they are.
func challenge(err error) error {
	if c, ok := errors.AsType[*account.Challenge](err); ok {
		return httpapi.ErrorBody(http.StatusUnauthorized, c)
	}
	return err
}

// bearer returns the token of a request to an endpoint that is open to everybody, and has a use for the tokens of application
// services only: a client may send the token of a session that has ended, and is to be served all the same.
func bearer(r *httpapi.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// ownUser returns the user in the path, who must be the one that the request comes from.
func ownUser(r *httpapi.Request) (id.UserID, error) {
	user := id.UserID(r.Path("userId"))
	if user != r.Requester.UserID {
		return "", httpapi.Forbidden("The access token is not that of %s", user)
	}
	return user, nil
}
