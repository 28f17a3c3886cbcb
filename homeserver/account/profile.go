package account

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on profiles, which go into member events.
const (
	maxDisplayNameBytes = 256
	maxAvatarURLBytes   = 1000
)

// Profile is what a user shows of themselves; "" is what they do not.
type Profile struct {
	DisplayName string `json:"displayname,omitempty"`
	AvatarURL   string `json:"avatar_url,omitempty"`
}

// Profile returns the profile of a user of this server. Errors: M_NOT_FOUND.
func (s *Service) Profile(ctx context.Context, user id.UserID) (p Profile, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		p.DisplayName, p.AvatarURL, err = tx.Profile(user)
		return err
	})
	return p, profileError(user, err)
}

// SetDisplayName changes a user's name, or removes it with "". The caller tells the rooms. Errors: M_INVALID_PARAM,
// M_NOT_FOUND.
func (s *Service) SetDisplayName(ctx context.Context, user id.UserID, name string) error {
	if len(name) > maxDisplayNameBytes || !storable(name) {
		return invalidParam("displayname must be text of at most %d bytes", maxDisplayNameBytes)
	}
	return profileError(user, s.db.Write(ctx, func(tx *store.Tx) error { return tx.SetDisplayName(user, name) }))
}

// SetAvatarURL changes a user's picture, or removes it with "". The caller tells the rooms. Errors: M_INVALID_PARAM,
// M_NOT_FOUND.
func (s *Service) SetAvatarURL(ctx context.Context, user id.UserID, url string) error {
	if len(url) > maxAvatarURLBytes || !storable(url) {
		return invalidParam("avatar_url must be text of at most %d bytes", maxAvatarURLBytes)
	}
	return profileError(user, s.db.Write(ctx, func(tx *store.Tx) error { return tx.SetAvatarURL(user, url) }))
}

func profileError(user id.UserID, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("Profile not found")
	}
	if err != nil {
		return fmt.Errorf("profile of %s: %w", user, err)
	}
	return nil
}
