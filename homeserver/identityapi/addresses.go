package identityapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// hashDetails is GET /v2/hash_details.
func (a *API) hashDetails(ctx context.Context, _ *httpapi.Request, _ id.UserID, _ httpapi.Empty) (identity.HashDetails, error) {
	return a.Identity.HashDetails(ctx)
}

type lookupResponse struct {
	Mappings map[string]id.UserID `json:"mappings"`
}

// lookup is POST /v2/lookup.
func (a *API) lookup(ctx context.Context, _ *httpapi.Request, _ id.UserID, in identity.LookupRequest) (lookupResponse, error) {
	found, err := a.Identity.Lookup(ctx, in)
	return lookupResponse{found}, err
}

type sidResponse struct {
	SID string `json:"sid"`
}

// requestToken is POST /v2/validate/{email,msisdn}/requestToken.
func (a *API) requestToken(medium string) handler[threepid.TokenRequest, sidResponse] {
	return func(ctx context.Context, _ *httpapi.Request, user id.UserID, in threepid.TokenRequest) (sidResponse, error) {
		in.Medium, in.Purpose, in.User, in.Requester = medium, threepid.Identity, user, string(user)
		out, err := a.Threepids.RequestToken(ctx, in)
		return sidResponse{out.SID}, err
	}
}

type successResponse struct {
	Success bool `json:"success"`
}

// submitToken is POST /v2/validate/{email,msisdn}/submitToken.
func (a *API) submitToken(medium string) handler[threepid.SubmitRequest, successResponse] {
	return func(ctx context.Context, _ *httpapi.Request, _ id.UserID, in threepid.SubmitRequest) (successResponse, error) {
		err := a.Threepids.Submit(ctx, in, medium, true)
		return successResponse{err == nil}, err
	}
}

// submitPage is GET /v2/validate/{email,msisdn}/submitToken, for people. The specification wants an access token, which no browser sends
// that follows a link: the three parameters are proof enough.
func (a *API) submitPage(medium string) func(context.Context, http.ResponseWriter, *httpapi.Request) error {
	return func(ctx context.Context, w http.ResponseWriter, r *httpapi.Request) error {
		in := threepid.SubmitRequest{SID: r.Query("sid"), Secret: r.Query("client_secret"), Token: r.Query("token")}
		err := a.Threepids.Submit(ctx, in, medium, true)
		var refused mautrix.RespError
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if err != nil {
			w.WriteHeader(refused.StatusCode)
			_, err := io.WriteString(w, "That did not work: "+refused.Err+".\n")
			return err
		}
		if next := a.Threepids.NextLink(ctx, in.SID); next != "" {
			h.Set("Location", next)
			w.WriteHeader(http.StatusFound)
		}
		_, err = io.WriteString(w, "Confirmed. Go back to where you began, and go on there.\n")
		return err
	}
}

// validated is GET /v2/3pid/getValidated3pid.
func (a *API) validated(ctx context.Context, r *httpapi.Request, user id.UserID, _ httpapi.Empty) (identity.Validated, error) {
	return a.Identity.Validated(ctx, user, r.Query("sid"), r.Query("client_secret"))
}

type bindRequest struct {
	SID    string    `json:"sid"`
	Secret string    `json:"client_secret"`
	MXID   id.UserID `json:"mxid"`
}

// bind is POST /v2/3pid/bind.
func (a *API) bind(ctx context.Context, _ *httpapi.Request, user id.UserID, in bindRequest) (json.RawMessage, error) {
	_, association, err := a.Identity.Bind(ctx, user, in.SID, in.Secret, in.MXID)
	return association, err
}

// unbind is POST /v2/3pid/unbind. A homeserver signs it, or a user shows to have the address.
func (a *API) unbind(ctx context.Context, r *httpapi.Request) (any, error) {
	var in identity.UnbindRequest
	raw, err := r.ReadBody()
	if err != nil {
		return nil, err
	}
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	server, err := a.Identity.SignedBy(ctx, r.Header.Get("Authorization"), r.Method, r.URL.RequestURI(), raw)
	if err != nil {
		return nil, err
	}
	var user id.UserID
	if server == "" {
		if user, err = a.Identity.Identify(ctx, bearer(r)); err != nil {
			return nil, err
		}
		if err := a.Identity.MustAccept(ctx, user); err != nil {
			return nil, err
		}
	}
	return httpapi.Empty{}, a.Identity.Unbind(ctx, user, server, in)
}

// storeInvite is POST /v2/store-invite.
func (a *API) storeInvite(ctx context.Context, _ *httpapi.Request, user id.UserID, in identity.InviteRequest) (identity.StoredInvite, error) {
	return a.Identity.StoreInvite(ctx, user, in)
}

// sign is POST /v2/sign-ed25519.
func (a *API) sign(ctx context.Context, _ *httpapi.Request, _ id.UserID, in identity.SignRequest) (json.RawMessage, error) {
	return a.Identity.Sign(ctx, in)
}
