package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Lifetimes says how long tokens last, in milliseconds; 0 is for ever.
type Lifetimes struct {
	AccessMS  int64 // of an access token that can be refreshed
	SessionMS int64 // of one that cannot
	RefreshMS int64 // of a refresh token that nobody uses
}

// Tokens are what a session is carried on by.
type Tokens struct {
	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	ExpiresInMS  int64  `json:"expires_in_ms,omitempty"` // of the access token
}

// fresh is tokens with what is stored of them.
type fresh struct {
	Tokens
	access  store.AccessToken
	refresh *store.RefreshToken // nil for none
}

// newTokens makes tokens for a device of a user. client is the OAuth client that they are for, "" for none.
func (s *Service) newTokens(userNID int64, device id.DeviceID, refreshable bool, client string) fresh {
	now := s.now()
	var f fresh
	lifetime := s.cfg.Lifetimes.SessionMS
	if refreshable {
		lifetime = s.cfg.Lifetimes.AccessMS
		if client != "" && lifetime == 0 {
			lifetime = oauthAccessMS
		}
		f.refresh = &store.RefreshToken{UserNID: userNID, DeviceID: device, Client: client, CreatedTS: now, ExpiresTS: later(now, s.cfg.Lifetimes.RefreshMS)}
		f.RefreshToken, f.refresh.Hash = randomToken(refreshTokenPrefix)
	}
	f.ExpiresInMS = lifetime
	f.access = store.AccessToken{UserNID: userNID, DeviceID: device, CreatedTS: now, ExpiresTS: later(now, lifetime)}
	f.AccessToken, f.access.Hash = randomToken(accessTokenPrefix)
	return f
}

// insert stores the tokens.
func (f *fresh) insert(tx *store.Tx) error {
	if err := tx.AddAccessToken(f.access); err != nil || f.refresh == nil {
		return err
	}
	return tx.AddRefreshToken(*f.refresh)
}

// later returns the time after a while, 0 for never.
func later(now, lifetimeMS int64) int64 {
	if lifetimeMS == 0 {
		return 0
	}
	return now + lifetimeMS
}

// randomToken returns a token and the hash under which it is stored.
func randomToken(prefix string) (token string, hash [32]byte) {
	secret := make([]byte, accessTokenBytes)
	_, _ = rand.Read(secret) // never fails
	token = prefix + base64.RawURLEncoding.EncodeToString(secret)
	return token, sha256.Sum256([]byte(token))
}

// Refreshed is the answer to a refresh.
type Refreshed struct {
	Tokens
	UserID   id.UserID   `json:"-"`
	DeviceID id.DeviceID `json:"-"`
}

// droppedGraceMS is how long after a client asked again for tokens those that it had got before are merely unknown, in milliseconds: a
// client may ask twice at once.
const droppedGraceMS = 30 * 1000

// ErrReplayed is the error of a refresh token whose heir was used already, or that another took the place of: it, or its heir, is in wrong
// hands, and the session has ended.
var ErrReplayed = errors.New("a refresh token was used twice")

// Refresh gives new tokens for a refresh token (Client-Server API, Refreshing access tokens; RFC 6749, section 6; RFC 9700, section
// 4.14.2). The old one serves until one of the new tokens is used. client is the OAuth client that asks, "" for none. Errors: 401
// M_UNKNOWN_TOKEN, a soft logout where the device is still there; ErrReplayed, wrapped by such; 401 M_USER_LOCKED.
func (s *Service) Refresh(ctx context.Context, token, client string) (Refreshed, error) {
	hash := sha256.Sum256([]byte(token))
	var (
		out      Refreshed
		replayed bool
	)
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		out, replayed = Refreshed{}, false
		old, err := tx.RefreshToken(hash)
		if errors.Is(err, store.ErrNotFound) || err == nil && old.Client != client {
			return unknownToken()
		}
		if err != nil {
			return err
		}
		user, err := tx.UserByNID(old.UserNID)
		if err != nil {
			return err
		}
		if old.DroppedTS != 0 && s.now()-old.DroppedTS < droppedGraceMS {
			return unknownToken()
		}
		out.UserID, out.DeviceID = user.UserID, old.DeviceID
		if old.Used {
			replayed = true
			return tx.EndTokens(old.UserNID, old.DeviceID)
		}
		if old.ExpiresTS != 0 && old.ExpiresTS <= s.now() {
			return softLogout()
		}
		if err := s.mayBegin(user); err != nil {
			return err
		}
		if old.Parent != nil {
			if err := tx.ConfirmHeirs(old.UserNID, old.DeviceID, old.Parent); err != nil {
				return err
			}
		}
		if err := tx.DropHeirs(&old, s.now()); err != nil {
			return err
		}
		f := s.newTokens(old.UserNID, old.DeviceID, true, client)
		f.access.Refreshed, f.refresh.Parent = hash[:], hash[:]
		out.Tokens = f.Tokens
		return f.insert(tx)
	})
	if out.UserID != "" {
		s.forget(out.UserID)
	}
	if replayed && err == nil {
		return Refreshed{}, fmt.Errorf("%w: %w", softLogout(), ErrReplayed)
	}
	if err != nil {
		return Refreshed{}, err
	}
	return out, nil
}

// confirm notes that a client uses an access token that came by a refresh token, and reads the session anew: it may have ended since it
// was read, and what it came with must not count then. store.ErrNotFound.
func (s *Service) confirm(ctx context.Context, hash [32]byte) (session store.Session, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if session, err = tx.SessionByToken(hash); err != nil || session.Refreshed == nil {
			return err
		}
		return tx.ConfirmHeirs(session.UserNID, session.DeviceID, session.Refreshed)
	})
	if err != nil {
		return session, fmt.Errorf("take note that a refreshed token is used: %w", err)
	}
	s.forget(session.UserID)
	session.Refreshed = nil
	return session, nil
}

// softLogout is the error of a session that has ended, and that the same client may take up again by logging in. Client-Server API,
// "Soft logout".
func softLogout() error {
	return mautrix.RespError{StatusCode: http.StatusUnauthorized, ErrCode: "M_UNKNOWN_TOKEN", Err: "The access token has expired",
		ExtraData: map[string]any{"soft_logout": true}}
}
