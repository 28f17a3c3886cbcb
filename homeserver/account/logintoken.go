package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"causeway/homeserver/store"
)

// Bounds of login tokens.
const (
	loginTokenPrefix   = "cwl_"
	loginTokenLifetime = 2 * time.Minute // as the specification recommends
	maxLoginTokens     = 5               // of one user: those before expire early
	maxLoginTokenBytes = 256
)

// LoginToken is by what a device that is logged in lets another log in.
type LoginToken struct {
	Token       string `json:"login_token"`
	ExpiresInMS int64  `json:"expires_in_ms"`
}

// GetLoginToken makes a token by which another device can log in once (Client-Server API, POST /login/get_token), after the user has
// proven who they are, each time. Errors: *Challenge; 403 M_FORBIDDEN.
func (s *Service) GetLoginToken(ctx context.Context, who Requester, auth *AuthData) (LoginToken, error) {
	session, op, err := s.confirmed(ctx, who, "let another device sign in", auth)
	if err != nil {
		return LoginToken{}, err
	}
	// First of all, so that what was proven serves once even when two requests come at the same moment.
	if !s.uia.drop(op, session) {
		return LoginToken{}, op.challenge(&uiaSession{id: randomText(lowerLetters, uiaSessionChars)}, "", "")
	}
	token, err := s.newLoginToken(ctx, who)
	if err != nil {
		return LoginToken{}, fmt.Errorf("make a login token for %s: %w", who.UserID, err)
	}
	return token, nil
}

func (s *Service) newLoginToken(ctx context.Context, who Requester) (LoginToken, error) {
	token, hash := randomToken(loginTokenPrefix)
	now := s.now()
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		user, err := tx.User(who.UserID)
		if err != nil {
			return err
		}
		if has, err := tx.HasDevice(who.UserID, who.DeviceID); err == nil && !has && who.DeviceID != "" {
			return unknownToken() // the session has ended since the request came, and what it grants is not to outlast it
		} else if err != nil {
			return err
		}
		return tx.InsertLoginToken(hash, user.NID, now, now+loginTokenLifetime.Milliseconds(), maxLoginTokens)
	})
	return LoginToken{Token: token, ExpiresInMS: loginTokenLifetime.Milliseconds()}, err
}

// tokenLogin follows the Client-Server API, Token-based.
func (s *Service) tokenLogin(ctx context.Context, in LoginRequest) (*store.User, error) {
	if in.Token == "" {
		return nil, missingParam("token")
	}
	if len(in.Token) > maxLoginTokenBytes {
		return nil, forbidden("Invalid login token")
	}
	hash := sha256.Sum256([]byte(in.Token))
	var user *store.User
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		nid, err := tx.UseLoginToken(hash, s.now())
		if err != nil {
			return err
		}
		user, err = tx.UserByNID(nid)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, forbidden("Invalid login token")
	}
	if err != nil {
		return nil, fmt.Errorf("look up a login token: %w", err)
	}
	return user, nil
}
