// Package identityapi serves /_matrix/identity: routes.go is the whole Identity Service API on a page. A handler decodes, calls one method
// of package identity, and answers. Its access tokens are not those of the client-server API.
package identityapi

import (
	"context"
	"strings"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"
	"causeway/homeserver/mail"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix/id"
)

// API is the Identity Service API over its service.
type API struct {
	Identity  *identity.Service
	Threepids *threepid.Service
}

// route is a row of the table, with POST and GET alike.
type route struct {
	method, path string
	endpoint     httpapi.Endpoint
}

// Routes is the Identity Service API.
func (a *API) Routes() []httpapi.Route {
	rows := []route{
		{"GET", "/versions", httpapi.JSON(a.versions)},
		{"GET", "/v2", httpapi.JSON(a.ping)},
		{"POST", "/v2/account/register", httpapi.JSON(a.register).Limited(httpapi.ClassOpenID)},
		{"GET", "/v2/account", member(a, a.account, httpapi.ClassRead)},
		{"POST", "/v2/account/logout", httpapi.JSON(a.logout).Limited(httpapi.ClassOpenID)},
		{"GET", "/v2/terms", httpapi.JSON(a.terms)},
		{"POST", "/v2/terms", member(a, a.acceptTerms, httpapi.ClassOpenID)},
		{"GET", "/v2/pubkey/{keyId}", httpapi.JSON(a.publicKey).Limited(httpapi.ClassRead)},
		{"GET", "/v2/pubkey/isvalid", httpapi.JSON(a.keyValid).Limited(httpapi.ClassRead)},
		{"GET", "/v2/pubkey/ephemeral/isvalid", httpapi.JSON(a.ephemeralKeyValid).Limited(httpapi.ClassRead)},
		{"GET", "/v2/hash_details", signed(a, a.hashDetails, httpapi.ClassRead)},
		{"POST", "/v2/lookup", signed(a, a.lookup, httpapi.ClassDirectory)},
		{"POST", "/v2/validate/email/requestToken", signed(a, a.requestToken(mail.Email), httpapi.ClassMail)},
		{"POST", "/v2/validate/email/submitToken", signed(a, a.submitToken(mail.Email), httpapi.ClassMail)},
		{"GET", "/v2/validate/email/submitToken", httpapi.Raw(a.submitPage(mail.Email)).Limited(httpapi.ClassMail)},
		{"POST", "/v2/validate/msisdn/requestToken", signed(a, a.requestToken(mail.MSISDN), httpapi.ClassMail)},
		{"POST", "/v2/validate/msisdn/submitToken", signed(a, a.submitToken(mail.MSISDN), httpapi.ClassMail)},
		{"GET", "/v2/validate/msisdn/submitToken", httpapi.Raw(a.submitPage(mail.MSISDN)).Limited(httpapi.ClassMail)},
		{"GET", "/v2/3pid/getValidated3pid", signed(a, a.validated, httpapi.ClassRead)},
		{"POST", "/v2/3pid/bind", signed(a, a.bind, httpapi.ClassMail)},
		{"POST", "/v2/3pid/unbind", httpapi.Dynamic(a.unbind).Limited(httpapi.ClassMail)},
		{"POST", "/v2/store-invite", signed(a, a.storeInvite, httpapi.ClassInvite)},
		{"POST", "/v2/sign-ed25519", signed(a, a.sign, httpapi.ClassMail)},
	}
	routes := make([]httpapi.Route, len(rows))
	for i, r := range rows {
		routes[i] = httpapi.Route{Method: r.method, Path: "/_matrix/identity" + r.path, Access: httpapi.Public, Endpoint: r.endpoint}
	}
	return routes
}

// bearer returns the access token of a request, "" when it has none.
func bearer(r *httpapi.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// handler is one for a user of the identity service.
type handler[In, Out any] func(ctx context.Context, r *httpapi.Request, user id.UserID, in In) (Out, error)

// member makes an endpoint for users. They are counted by user, as well as by address before that.
func member[In, Out any](a *API, f handler[In, Out], class httpapi.Class) httpapi.Endpoint {
	return httpapi.Dynamic(func(ctx context.Context, r *httpapi.Request) (any, error) {
		user, err := a.Identity.Identify(ctx, bearer(r))
		if err != nil {
			return nil, err
		}
		if err := r.Limit(class, string(user)); err != nil {
			return nil, err
		}
		var in In
		if err := decode(r, &in); err != nil {
			return nil, err
		}
		return f(ctx, r, user, in)
	}).Limited(class)
}

// signed makes an endpoint for users who have accepted the terms.
func signed[In, Out any](a *API, f handler[In, Out], class httpapi.Class) httpapi.Endpoint {
	return member(a, func(ctx context.Context, r *httpapi.Request, user id.UserID, in In) (out Out, err error) {
		if err := a.Identity.MustAccept(ctx, user); err != nil {
			return out, err
		}
		return f(ctx, r, user, in)
	}, class)
}
