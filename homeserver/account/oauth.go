package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// oauthAccessMS is how long an access token for an OAuth client lasts where the operator says nothing, in milliseconds: it must be short
// (Client-Server API, Refresh token grant).
const oauthAccessMS = 5 * 60 * 1000

// OAuthGrant is what a user has allowed an OAuth client.
type OAuthGrant struct {
	UserNID    int64
	DeviceID   id.DeviceID
	DeviceName string // of a new device
	Client     string
	Code       *[32]byte // SHA-256 of the authorization code that it came by, which is used by that; nil for none
}

// BeginOAuth begins the session that a grant is for, on a new device or on the one of that id, whose other sessions end. before runs in the
// same transaction, ahead of that, and returns the grant. Errors: those of before; 403 M_FORBIDDEN for an account that may not be used,
// 400 M_INVALID_PARAM for an id that no device can have.
func (s *Service) BeginOAuth(ctx context.Context, before func(*store.Tx) (OAuthGrant, error)) (Tokens, error) {
	var (
		tokens Tokens
		user   string
	)
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		user = ""
		g, err := before(tx)
		if err != nil {
			return err
		}
		if user, err = tx.Text(g.UserNID); err != nil {
			return err
		}
		usable, err := tx.UsableAccount(g.UserNID, s.now())
		if err != nil {
			return err
		}
		if !usable {
			return forbidden("This account cannot be used")
		}
		if err := s.ensureDevice(tx, g.UserNID, g.DeviceID, g.DeviceName); err != nil {
			return err
		}
		if err := tx.EndTokens(g.UserNID, g.DeviceID); err != nil {
			return err
		}
		if err := tx.SetDeviceOrigin(g.UserNID, g.DeviceID, g.Client, ""); err != nil {
			return err
		}
		f := s.newTokens(g.UserNID, g.DeviceID, true, g.Client)
		tokens = f.Tokens
		if g.Code != nil {
			if err := tx.UseOAuthCode(*g.Code); err != nil {
				return err
			}
		}
		return f.insert(tx)
	})
	if user != "" {
		s.forget(id.UserID(user))
	}
	if err != nil {
		return Tokens{}, err
	}
	return tokens, nil
}

// EndTokens ends the tokens of a device, which stays. which runs in the same transaction, and returns the device; user 0 is for none.
func (s *Service) EndTokens(ctx context.Context, which func(*store.Tx) (userNID int64, device id.DeviceID, err error)) error {
	var user string
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		user = ""
		userNID, device, err := which(tx)
		if err != nil || userNID == 0 {
			return err
		}
		if user, err = tx.Text(userNID); err != nil {
			return err
		}
		return tx.EndTokens(userNID, device)
	})
	if user != "" {
		s.forget(id.UserID(user))
	}
	if err != nil {
		return fmt.Errorf("end the tokens of a device: %w", err)
	}
	return nil
}

// Revoke ends the session that an access token or a refresh token is of, and removes its device (Client-Server API, Token revocation). A
// refresh token that was used ends the session alone: it may have been found anywhere since. A token that is unknown, or expired, does
// nothing, and is no error.
func (s *Service) Revoke(ctx context.Context, token string) error {
	hash := sha256.Sum256([]byte(token))
	var (
		user   id.UserID
		change store.DeviceChange
	)
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		user, change = "", store.DeviceChange{}
		owner, err := tokenOwner(tx, hash)
		if errors.Is(err, store.ErrNotFound) || err == nil && owner.ExpiresTS != 0 && owner.ExpiresTS <= s.now() {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := tx.Text(owner.UserNID)
		if err != nil {
			return err
		}
		user = id.UserID(text)
		if owner.Used {
			return tx.EndTokens(owner.UserNID, owner.DeviceID)
		}
		change, err = tx.DeleteDevice(owner.UserNID, owner.DeviceID)
		return err
	})
	if user != "" {
		s.forget(user)
	}
	if err != nil {
		return fmt.Errorf("revoke a token: %w", err)
	}
	s.devicesChanged(change)
	return nil
}

// tokenOwner returns whose an access token or a refresh token is, and when it ends. ErrNotFound.
func tokenOwner(tx *store.Tx, hash [32]byte) (store.RefreshToken, error) {
	session, err := tx.SessionByToken(hash)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return store.RefreshToken{UserNID: session.UserNID, DeviceID: session.DeviceID, ExpiresTS: session.ExpiresTS}, err
	}
	return tx.RefreshToken(hash)
}

// CheckDeviceID refuses what cannot be the id of a device. The error is 400 M_INVALID_PARAM.
func CheckDeviceID(device id.DeviceID) error {
	if device == "" {
		return invalidParam("The device has no id")
	}
	return (&Device{DeviceID: device}).check()
}
