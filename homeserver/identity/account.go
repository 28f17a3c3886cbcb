package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of access tokens.
const (
	tokenBytes  = 32
	tokenPrefix = "cwi_"
	maxTokens   = 20 // of one user: those before end
	tokenMS     = 180 * 24 * 60 * 60 * 1000
)

// ErrUnauthorized is the error for requests without a valid token. Identity Service API, "Authentication".
var ErrUnauthorized = matrixError(401, "M_UNAUTHORIZED", "The access token is missing or not valid")

// OpenIDToken is the body of POST /account/register: what a homeserver answers to POST /openid/request_token.
type OpenIDToken struct {
	AccessToken      string `json:"access_token"`
	MatrixServerName string `json:"matrix_server_name"`
	TokenType        string `json:"token_type"`
	ExpiresIn        int64  `json:"expires_in"`
}

// Register gives a token to whoever a homeserver says has the OpenID token. Errors: M_MISSING_PARAMS, 401 M_UNAUTHORIZED.
func (s *Service) Register(ctx context.Context, in OpenIDToken) (token string, err error) {
	switch {
	case in.AccessToken == "":
		return "", missingParam("access_token")
	case in.MatrixServerName == "":
		return "", missingParam("matrix_server_name")
	}
	user, err := s.OpenID(ctx, in.MatrixServerName, in.AccessToken)
	if err != nil {
		return "", err
	}
	if event.ServerOf(user) != in.MatrixServerName { // a homeserver speaks for its own users
		return "", ErrUnauthorized
	}
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.InsertIdentityToken(sha256.Sum256([]byte(token)), user, s.Now().UnixMilli(), maxTokens)
	})
	return token, err
}

// Identify returns whose a token is. ErrUnauthorized, for users of this homeserver who may not use their account, too.
func (s *Service) Identify(ctx context.Context, token string) (user id.UserID, err error) {
	if token == "" {
		return "", ErrUnauthorized
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		nowTS := s.Now().UnixMilli()
		if user, err = tx.IdentityUser(sha256.Sum256([]byte(token)), nowTS-tokenMS); err != nil {
			return err
		}
		account, err := tx.User(user)
		if errors.Is(err, store.ErrNotFound) {
			return nil // of another server
		}
		if err == nil && (account.Deactivated || account.Locked || account.ValidUntilTS != 0 && account.ValidUntilTS <= nowTS) {
			err = ErrUnauthorized
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrUnauthorized
	}
	return user, err
}

// Logout ends a token.
func (s *Service) Logout(ctx context.Context, token string) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error { return tx.DeleteIdentityToken(sha256.Sum256([]byte(token))) })
}

// maxAccepted bounds the policies that are accepted at once.
const maxAccepted = 100

// Accept records the policies that a user accepts, by their addresses. Those that there are not count for nothing.
func (s *Service) Accept(ctx context.Context, user id.UserID, urls []string) error {
	if len(urls) > maxAccepted {
		return matrixError(400, "M_INVALID_PARAM", "user_accepts has more than %d addresses", maxAccepted)
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		for _, p := range s.Terms {
			for _, l := range p.Languages {
				if !slices.Contains(urls, l.URL) {
					continue
				}
				if err := tx.AcceptPolicy(user, l.URL, s.Now().UnixMilli()); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// MustAccept returns 403 M_TERMS_NOT_SIGNED while there are policies that a user has not accepted, in any language.
func (s *Service) MustAccept(ctx context.Context, user id.UserID) error {
	if len(s.Terms) == 0 {
		return nil
	}
	return s.DB.View(ctx, func(tx *store.Tx) error {
		accepted, err := tx.AcceptedPolicies(user)
		if err != nil {
			return err
		}
		for _, p := range s.Terms {
			signed := false
			for _, l := range p.Languages {
				signed = signed || slices.Contains(accepted, l.URL)
			}
			if !signed {
				return matrixError(403, "M_TERMS_NOT_SIGNED", "Please accept the terms of this service")
			}
		}
		return nil
	})
}
