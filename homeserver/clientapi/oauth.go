package clientapi

import (
	"context"
	"net/http"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/oauth"
)

// authMetadata is GET /auth_metadata, and the same by the names that RFC 8414 and OpenID Connect Discovery have for it.
func (a *API) authMetadata(context.Context, *httpapi.Request, httpapi.Empty) (oauth.Metadata, error) {
	if a.OAuth == nil {
		return oauth.Metadata{}, noOAuth()
	}
	return a.OAuth.Metadata(), nil
}

type authIssuerResponse struct {
	Issuer string `json:"issuer"`
}

// authIssuer is GET /auth_issuer, of MSC2965 before it was merged.
func (a *API) authIssuer(context.Context, *httpapi.Request, httpapi.Empty) (authIssuerResponse, error) {
	if a.OAuth == nil {
		return authIssuerResponse{}, noOAuth()
	}
	return authIssuerResponse{Issuer: a.OAuth.Metadata().Issuer}, nil
}

func noOAuth() error {
	return httpapi.Error(http.StatusNotFound, "M_UNRECOGNIZED", "There is no OAuth 2.0 on this server")
}
