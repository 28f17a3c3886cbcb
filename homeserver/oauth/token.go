package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/store"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// maxSecretBytes bounds codes and tokens before anyone looks them up.
const maxSecretBytes = 4096

// protocol is what happens at the endpoints that clients call without a browser (op.Server): the library reads requests and writes
// answers.
type protocol struct {
	op.UnimplementedServer
	s *Service
}

// ServeHTTP serves the token, revocation and device authorization endpoints. What they take is in the body: a query ends in logs.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // RFC 6749, section 5.1
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
		op.WriteError(w, r, oidc.ErrInvalidRequest().WithDescription("the parameters must be a form, in the body"), nil)
		return
	}
	form, err := params(r.PostForm, protocolParams)
	if err != nil {
		op.WriteError(w, r, oidc.ErrInvalidRequest().WithDescription("%s", err), nil)
		return
	}
	if r.URL.Path == PathRevoke { // any client, or none, may revoke what it has got hold of: Client-Server API, Token revocation
		form.Set("client_id", anyone)
	}
	r.Form, r.PostForm = form, form
	s.protocol.ServeHTTP(w, r)
}

// anyone stands for the client at the revocation endpoint.
const anyone = "-"

// VerifyClient finds the client of a request. All are public: there is nothing that they could prove it by.
func (p protocol) VerifyClient(ctx context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	if r.URL.Path == PathRevoke {
		return &client{id: anyone}, nil
	}
	if r.Data.ClientSecret != "" || r.Data.ClientAssertion != "" {
		return nil, oidc.ErrInvalidClient().WithDescription("the client has no secret")
	}
	c, err := p.s.client(ctx, r.Data.ClientID)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// CodeExchange gives tokens for a code (RFC 6749, section 4.1.3).
func (p protocol) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	var code store.OAuthCode
	tokens, err := p.s.cfg.Accounts.BeginOAuth(ctx, func(tx *store.Tx) (account.OAuthGrant, error) {
		var err error
		if code, err = p.redeem(tx, r); err != nil {
			return account.OAuthGrant{}, err
		}
		g, err := grant(tx, code.UserNID, code.DeviceID, r.Client.(*client))
		g.Code = &code.Hash
		return g, err
	})
	if errors.Is(err, errCodeReplayed) {
		if err := p.endReplayed(ctx, r); err != nil {
			return nil, internal(ctx, err)
		}
		return nil, oidc.ErrInvalidGrant().WithDescription("the code was used before")
	}
	if err != nil {
		return nil, tokenError(ctx, err)
	}
	return tokenResponse(tokens, code.Scope), nil
}

var errCodeReplayed = errors.New("an authorization code was used twice")

// endReplayed ends the tokens that came by a code that is used a second time: somebody else has had it, before this client or after it (RFC
// 6749, section 4.1.2). A session that has begun on the device since then goes on: with it, the code was forgotten.
func (p protocol) endReplayed(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) error {
	return p.s.cfg.Accounts.EndTokens(ctx, func(tx *store.Tx) (int64, id.DeviceID, error) {
		code, err := p.redeem(tx, r)
		if errors.Is(err, errCodeReplayed) {
			return code.UserNID, code.DeviceID, nil
		}
		if _, refused := errors.AsType[*oidc.Error](err); refused { // another request was faster
			err = nil
		}
		return 0, "", err
	})
}

// redeem checks a code against the request that brings it. A code that was used before is returned with errCodeReplayed, if it is the
// client's own request that comes again: the code alone, which may be in a log, is to end nothing.
func (p protocol) redeem(tx *store.Tx, r *op.ClientRequest[oidc.AccessTokenRequest]) (store.OAuthCode, error) {
	invalid := oidc.ErrInvalidGrant().WithDescription("the code is not valid")
	if len(r.Data.Code) > maxSecretBytes {
		return store.OAuthCode{}, invalid
	}
	code, err := tx.OAuthCode(sha256.Sum256([]byte(r.Data.Code)))
	if errors.Is(err, store.ErrNotFound) {
		return code, invalid
	}
	if err != nil {
		return code, err
	}
	switch {
	case code.Client != r.Client.GetID():
		return code, invalid
	case code.RedirectURI != r.Data.RedirectURI:
		return code, oidc.ErrInvalidGrant().WithDescription("redirect_uri is not that of the request")
	case !oidc.VerifyCodeChallenge(&oidc.CodeChallenge{Challenge: code.Challenge, Method: oidc.CodeChallengeMethodS256}, r.Data.CodeVerifier):
		return code, oidc.ErrInvalidGrant().WithDescription("code_verifier does not go with the challenge")
	case code.Used:
		return code, errCodeReplayed
	case code.ExpiresTS <= p.s.now():
		return code, invalid
	}
	return code, nil
}

// RefreshToken gives new tokens for a refresh token (RFC 6749, section 6).
func (p protocol) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	if len(r.Data.RefreshToken) > maxSecretBytes {
		return nil, oidc.ErrInvalidGrant()
	}
	out, err := p.s.cfg.Accounts.Refresh(ctx, r.Data.RefreshToken, r.Client.GetID())
	if err != nil {
		return nil, tokenError(ctx, err)
	}
	return tokenResponse(out.Tokens, ""), nil
}

// Revocation ends the session of a token (RFC 7009).
func (p protocol) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if len(r.Data.Token) <= maxSecretBytes {
		if err := p.s.cfg.Accounts.Revoke(ctx, r.Data.Token); err != nil {
			return nil, internal(ctx, err)
		}
	}
	return op.NewResponse(struct{}{}), nil
}

// grant is what a user has allowed a client, which must not have been forgotten meanwhile.
func grant(tx *store.Tx, userNID int64, device id.DeviceID, c *client) (account.OAuthGrant, error) {
	if _, err := tx.OAuthClient(c.id); errors.Is(err, store.ErrNotFound) {
		return account.OAuthGrant{}, oidc.ErrInvalidClient()
	} else if err != nil {
		return account.OAuthGrant{}, err
	}
	return account.OAuthGrant{UserNID: userNID, DeviceID: device, DeviceName: c.name(), Client: c.id}, nil
}

// tokenResponse is the answer with tokens. Without a scope it is that of before (RFC 6749, section 5.1).
func tokenResponse(t account.Tokens, granted string) *op.Response {
	out := &oidc.AccessTokenResponse{
		AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, TokenType: oidc.BearerToken, ExpiresIn: uint64(t.ExpiresInMS / 1000),
	}
	if granted != "" {
		out.Scope = oidc.SpaceDelimitedArray{granted}
	}
	return op.NewResponse(out)
}

// tokenError is what a client hears when a grant is worth nothing.
func tokenError(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*oidc.Error](err); ok {
		return e
	}
	e, ok := errors.AsType[mautrix.RespError](err)
	if ok && (e.ErrCode == "M_USER_LOCKED" || e.ErrCode == "ORG_MATRIX_EXPIRED_ACCOUNT") {
		// The session is still there, for when the account can be used again: after invalid_grant, the client would forget it.
		return op.NewStatusError(&oidc.Error{ErrorType: "temporarily_unavailable", Description: e.Err}, http.StatusServiceUnavailable)
	}
	if ok && e.StatusCode < http.StatusInternalServerError {
		return oidc.ErrInvalidGrant().WithDescription("the grant is not valid, or has ended")
	}
	return internal(ctx, err)
}
