package identityapi

import (
	"context"
	"errors"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// specVersions are the versions of the specification whose identity service this is.
var specVersions = []string{
	"r0.3.0", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16",
	"v1.17", "v1.18", "v1.19",
}

type versionsResponse struct {
	Versions []string `json:"versions"`
}

// versions is GET /versions.
func (a *API) versions(context.Context, *httpapi.Request, httpapi.Empty) (versionsResponse, error) {
	return versionsResponse{specVersions}, nil
}

// ping is GET /v2.
func (a *API) ping(context.Context, *httpapi.Request, httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, nil
}

type registerResponse struct {
	Token string `json:"token"`
	// AccessToken is what some clients look for.
	AccessToken string `json:"access_token"`
}

// register is POST /v2/account/register.
func (a *API) register(ctx context.Context, _ *httpapi.Request, in identity.OpenIDToken) (registerResponse, error) {
	token, err := a.Identity.Register(ctx, in)
	return registerResponse{token, token}, err
}

type accountResponse struct {
	UserID id.UserID `json:"user_id"`
}

// account is GET /v2/account.
func (a *API) account(_ context.Context, _ *httpapi.Request, user id.UserID, _ httpapi.Empty) (accountResponse, error) {
	return accountResponse{user}, nil
}

// logout is POST /v2/account/logout. It takes no body.
func (a *API) logout(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	token := bearer(r)
	if _, err := a.Identity.Identify(ctx, token); err != nil {
		var refused mautrix.RespError
		if token != "" && errors.As(err, &refused) {
			return httpapi.Empty{}, httpapi.UnknownToken(false)
		}
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.Identity.Logout(ctx, token)
}

type termsResponse struct {
	Policies map[string]map[string]any `json:"policies"`
}

// terms is GET /v2/terms.
func (a *API) terms(context.Context, *httpapi.Request, httpapi.Empty) (termsResponse, error) {
	out := termsResponse{Policies: make(map[string]map[string]any)}
	for name, p := range a.Identity.Terms {
		policy := map[string]any{"version": p.Version}
		for language, l := range p.Languages {
			policy[language] = l
		}
		out.Policies[name] = policy
	}
	return out, nil
}

type acceptRequest struct {
	UserAccepts []string `json:"user_accepts"`
}

// acceptTerms is POST /v2/terms.
func (a *API) acceptTerms(ctx context.Context, _ *httpapi.Request, user id.UserID, in acceptRequest) (httpapi.Empty, error) {
	if in.UserAccepts == nil {
		return httpapi.Empty{}, missingParam("user_accepts")
	}
	return httpapi.Empty{}, a.Identity.Accept(ctx, user, in.UserAccepts)
}

type publicKeyResponse struct {
	PublicKey string `json:"public_key"`
}

// publicKey is GET /v2/pubkey/{keyId}.
func (a *API) publicKey(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (publicKeyResponse, error) {
	key, err := a.Identity.PublicKey(ctx, r.Path("keyId"))
	return publicKeyResponse{key}, err
}

type validResponse struct {
	Valid bool `json:"valid"`
}

// keyValid is GET /v2/pubkey/isvalid.
func (a *API) keyValid(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (out validResponse, err error) {
	if !r.HasQuery("public_key") {
		return out, missingParam("public_key")
	}
	out.Valid, err = a.Identity.KeyValid(ctx, r.Query("public_key"))
	return out, err
}

// ephemeralKeyValid is GET /v2/pubkey/ephemeral/isvalid.
func (a *API) ephemeralKeyValid(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (out validResponse, err error) {
	if !r.HasQuery("public_key") {
		return out, missingParam("public_key")
	}
	out.Valid, err = a.Identity.EphemeralKeyValid(ctx, r.Query("public_key"))
	return out, err
}

// missingParam has a code that the client-server API does not have: Identity Service API, "Standard error response".
func missingParam(name string) error {
	return httpapi.Error(400, "M_MISSING_PARAMS", "Missing %s", name)
}
