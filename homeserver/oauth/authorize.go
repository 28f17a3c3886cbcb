package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"causeway/homeserver/account"
	"causeway/homeserver/store"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"maunium.net/go/mautrix/id"
)

// Bounds of authorization requests and codes.
const (
	maxRequestBytes = 8 << 10 // of the query
	maxUserCodes    = 50      // of one user, used ones among them
	// codeMS is how long a code can be used, in milliseconds, and usedCodeMS how long after that its second use is noticed.
	codeMS     = 2 * 60 * 1000
	usedCodeMS = 60 * 60 * 1000
	codeBytes  = 32
	// challengeChars is the length of a SHA-256 in base64url (RFC 7636, section 4.2).
	challengeChars = 43
)

// Authorization is what a client asks a user for (RFC 6749, section 4.1.1), once it has been found to be in order.
type Authorization struct {
	ClientName  string
	ClientHost  string // of client_uri
	RedirectURI string
	TOSURI      string // "" for none
	PolicyURI   string // "" for none
	DeviceID    id.DeviceID
	Create      bool // the user wants a new account
	Login       bool // the user is to give their password, unless that was just now (account.Browser.Recent)

	client    *client
	scope     scope
	challenge string
	request   oidc.AuthRequest
}

// Shown returns what the answer depends on, for whoever makes sure that the user decides about what they were shown. Different requests
// have different texts.
func (a *Authorization) Shown() string {
	var text strings.Builder
	for _, part := range [...]string{
		a.client.id, a.request.RedirectURI, a.scope.text, string(a.DeviceID), a.challenge, a.request.State, string(a.request.ResponseMode),
	} {
		fmt.Fprintf(&text, "%d:%s", len(part), part)
	}
	return text.String()
}

// PageError is why a request cannot be answered to the client, but only to the person in front of the browser: where the answer would have
// to go is not known to be the client's (RFC 6749, section 4.1.2.1).
type PageError struct{ Message string }

// Error implements error.
func (e *PageError) Error() string { return e.Message }

// RedirectError is why a request is refused, and where the browser is to take that. Anybody can register a client, so that a link to this
// server with an error in it leads wherever its author likes: only who uses the client already may be sent on without a word (RFC 9700,
// section 4.11.2). See [Service.Uses].
type RedirectError struct {
	URL        string
	ClientName string

	client string
}

// Error implements error.
func (e *RedirectError) Error() string { return "the client is told of an error" }

// Authorization reads an authorization request. Errors: *PageError, *RedirectError.
func (s *Service) Authorization(ctx context.Context, query string) (*Authorization, error) {
	values, err := url.ParseQuery(query)
	if err != nil || len(query) > maxRequestBytes {
		return nil, &PageError{"The request is not of the right form."}
	}
	switch values, err = params(values, authorizationParams); {
	case errors.Is(err, errTwice):
		return nil, &PageError{"The request says something twice."}
	case err != nil:
		return nil, &PageError{"The request is not of the right form."}
	}
	a := &Authorization{}
	if err := s.decoder.Decode(&a.request, values); err != nil {
		return nil, &PageError{"The request is not of the right form."}
	}
	c, err := s.client(ctx, a.request.ClientID)
	if unknown, ok := errors.AsType[*oidc.Error](err); ok && unknown.ErrorType == oidc.InvalidClient {
		return nil, &PageError{"The application is not known to this server, or has not been used for long. Go back to it and begin anew."}
	}
	if err != nil {
		return nil, err
	}
	a.client = c
	if !c.redirects(a.request.RedirectURI) || op.ValidateAuthReqRedirectURI(c, a.request.RedirectURI, a.request.ResponseType) != nil {
		return nil, &PageError{"The application wants you to be sent to an address that it has not registered."}
	}
	if err := s.examine(a, values); err != nil {
		return nil, s.redirectError(a, err)
	}
	a.ClientName, a.ClientHost, a.RedirectURI, a.DeviceID = c.name(), c.host(), a.request.RedirectURI, a.scope.device
	a.TOSURI, a.PolicyURI = c.TOSURI, c.PolicyURI
	return a, nil
}

// examine checks what the client may hear of when it is wrong.
func (s *Service) examine(a *Authorization, values url.Values) error {
	r := &a.request
	if r.RequestParam != "" || values.Has("request_uri") {
		return oidc.ErrRequestNotSupported()
	}
	if mode := r.ResponseMode; mode != "" && mode != oidc.ResponseModeQuery && mode != oidc.ResponseModeFragment {
		r.ResponseMode = ""
		return oidc.ErrInvalidRequest().WithDescription("response_mode must be query or fragment")
	}
	if err := op.ValidateAuthReqResponseType(a.client, r.ResponseType); err != nil {
		return err
	}
	if !op.ValidateGrantType(a.client, oidc.GrantTypeCode) {
		return oidc.ErrUnauthorizedClient().WithDescription("the client has not registered for this grant type")
	}
	if slices.Contains(r.Prompt, oidc.PromptNone) {
		return oidc.ErrInteractionRequired()
	}
	a.Create, a.Login = slices.Contains(r.Prompt, "create"), slices.Contains(r.Prompt, oidc.PromptLogin)
	// RFC 7636. The specification of Matrix wants S256, so that a request without a challenge, or with a plain one, is an attack.
	if r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return oidc.ErrInvalidRequest().WithDescription("code_challenge_method must be S256")
	}
	if raw, err := base64.RawURLEncoding.DecodeString(r.CodeChallenge); err != nil || len(raw) != sha256.Size || len(r.CodeChallenge) != challengeChars {
		return oidc.ErrInvalidRequest().WithDescription("code_challenge is no SHA-256")
	}
	a.challenge = r.CodeChallenge
	tokens, err := op.ValidateAuthReqScopes(a.client, slices.Clone(r.Scopes))
	if err != nil {
		return err
	}
	a.scope, err = parseScope(tokens)
	return err
}

// codeResponse is the answer to an authorization request (RFC 6749, section 4.1.2; RFC 9207).
type codeResponse struct {
	Code        string `schema:"code,omitempty"`
	Error       string `schema:"error,omitempty"`
	Description string `schema:"error_description,omitempty"`
	State       string `schema:"state,omitempty"`
	Issuer      string `schema:"iss"`
}

func (s *Service) responseURL(a *Authorization, response codeResponse) (string, error) {
	response.State, response.Issuer = a.request.State, s.issuer()
	return op.AuthResponseURL(a.request.RedirectURI, a.request.ResponseType, a.request.ResponseMode, &response, s.encoder)
}

// redirectError takes an error to the client.
func (s *Service) redirectError(a *Authorization, err error) error {
	e, ok := errors.AsType[*oidc.Error](err)
	if !ok {
		return err
	}
	to, err := s.responseURL(a, codeResponse{Error: string(e.ErrorType), Description: e.Description})
	if err != nil {
		return err
	}
	return &RedirectError{URL: to, ClientName: a.client.name(), client: a.client.id}
}

// Uses tells whether a user has a device of the client that a request is refused to.
func (s *Service) Uses(ctx context.Context, user account.Browser, refused *RedirectError) (used bool, err error) {
	err = s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		used, err = tx.HasDeviceOfOAuthClient(user.UserNID, refused.client)
		return err
	})
	if err != nil {
		err = fmt.Errorf("look for a device of an OAuth client: %w", err)
	}
	return used, err
}

// Approve gives the client a code for what it asked for, and returns where the browser takes it.
func (s *Service) Approve(ctx context.Context, a *Authorization, user account.Browser) (string, error) {
	secret := make([]byte, codeBytes)
	_, _ = rand.Read(secret) // never fails
	code := base64.RawURLEncoding.EncodeToString(secret)
	now := s.now()
	err := s.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		if err := user.Check(tx, now); err != nil {
			return err
		}
		if err := tx.UseOAuthClient(a.client.id, now); err != nil {
			return err
		}
		return tx.AddOAuthCode(store.OAuthCode{
			Hash: sha256.Sum256([]byte(code)), UserNID: user.UserNID, DeviceID: a.DeviceID, Client: a.client.id, Scope: a.scope.text,
			RedirectURI: a.RedirectURI, Challenge: a.challenge, ExpiresTS: now + codeMS,
		}, now-usedCodeMS, maxUserCodes)
	})
	if err != nil {
		return "", fmt.Errorf("make an authorization code: %w", err)
	}
	return s.responseURL(a, codeResponse{Code: code})
}

// Deny returns where the browser takes the user's refusal.
func (s *Service) Deny(a *Authorization) (string, error) {
	return s.responseURL(a, codeResponse{Error: string(oidc.AccessDenied), Description: "the user said no"})
}
