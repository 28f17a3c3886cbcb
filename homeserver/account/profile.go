package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on profiles, of which name and picture go into member events.
const (
	maxDisplayNameBytes = 256
	maxAvatarURLBytes   = 1000
	maxProfileKeyBytes  = 255
	maxProfileBytes     = 64 << 10 // as JSON
)

// The fields of a profile that are shown in rooms, too.
const (
	FieldDisplayName = "displayname"
	FieldAvatarURL   = "avatar_url"
)

// Profile is what a user shows of themselves, by the names of the fields. The values are JSON.
type Profile map[string]json.RawMessage

// Profile returns the profile of a user of this server. Errors: M_NOT_FOUND.
func (s *Service) Profile(ctx context.Context, user id.UserID) (p Profile, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		p, err = profile(tx, user)
		return err
	})
	return p, profileError(user, err)
}

func profile(tx *store.Tx, user id.UserID) (Profile, error) {
	name, avatar, err := tx.Profile(user)
	if err != nil {
		return nil, err
	}
	fields, err := tx.ProfileFields(user)
	if err != nil {
		return nil, err
	}
	p := Profile(fields)
	if p == nil {
		p = Profile{}
	}
	for field, value := range map[string]string{FieldDisplayName: name, FieldAvatarURL: avatar} {
		if value == "" {
			continue
		}
		if p[field], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// ProfileField returns one field of a profile, as an object that has nothing else. Errors: M_NOT_FOUND, also where the user has no such
// field; M_INVALID_PARAM, M_KEY_TOO_LARGE. With unset, a user without a name or a picture has {} in place of the error.
func (s *Service) ProfileField(ctx context.Context, user id.UserID, field string, unset bool) (Profile, error) {
	if err := checkProfileKey(field); err != nil {
		return nil, err
	}
	p, err := s.Profile(ctx, user)
	if err != nil {
		return nil, err
	}
	value, ok := p[field]
	switch {
	case ok:
		return Profile{field: value}, nil
	case unset && (field == FieldDisplayName || field == FieldAvatarURL):
		return Profile{}, nil
	}
	return nil, notFound("This profile has no field %s", field)
}

// checkProfileKey refuses what cannot be the name of a field. Appendices, "Common Namespaced Identifier Grammar".
func checkProfileKey(field string) error {
	if len(field) > maxProfileKeyBytes {
		return matrixError(http.StatusBadRequest, "M_KEY_TOO_LARGE", "The name of a profile field can have %d bytes", maxProfileKeyBytes)
	}
	if field == "" || field[0] < 'a' || field[0] > 'z' || strings.Trim(field, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return invalidParam("%q cannot be the name of a profile field", field)
	}
	return nil
}

// SetProfileField changes a field of a user's profile. null takes a name or a picture away, as it did before there was a DELETE, and is
// a value like others elsewhere. inRooms tells that the rooms have to be told. Errors: M_INVALID_PARAM, M_BAD_JSON, M_KEY_TOO_LARGE,
// M_PROFILE_TOO_LARGE, M_NOT_FOUND.
func (s *Service) SetProfileField(ctx context.Context, user id.UserID, field string, value json.RawMessage) (inRooms bool, err error) {
	if err := checkProfileKey(field); err != nil {
		return false, err
	}
	var text *string
	inRooms = field == FieldDisplayName || field == FieldAvatarURL
	if err := json.Unmarshal(value, &text); inRooms && err != nil {
		return false, matrixError(http.StatusBadRequest, "M_BAD_JSON", "%s must be a string", field)
	}
	if text == nil {
		text = new(string)
	}
	switch field {
	case FieldDisplayName:
		return true, s.SetDisplayName(ctx, user, *text)
	case FieldAvatarURL:
		return true, s.SetAvatarURL(ctx, user, *text)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		return false, matrixError(http.StatusBadRequest, "M_BAD_JSON", "%s is not JSON", field)
	}
	return false, s.changeProfile(ctx, user, func(tx *store.Tx) error { return tx.SetProfileField(user, field, compact.Bytes()) })
}

// DeleteProfileField removes a field from a user's profile, if it is there. inRooms and errors are those of SetProfileField.
func (s *Service) DeleteProfileField(ctx context.Context, user id.UserID, field string) (inRooms bool, err error) {
	if field == FieldDisplayName || field == FieldAvatarURL {
		return s.SetProfileField(ctx, user, field, json.RawMessage(`null`))
	}
	if err := checkProfileKey(field); err != nil {
		return false, err
	}
	return false, s.changeProfile(ctx, user, func(tx *store.Tx) error { return tx.DeleteProfileField(user, field) })
}

// SetDisplayName changes a user's name, or removes it with "". The caller tells the rooms. Errors: M_INVALID_PARAM,
// M_PROFILE_TOO_LARGE, M_NOT_FOUND.
func (s *Service) SetDisplayName(ctx context.Context, user id.UserID, name string) error {
	if err := checkDisplayName(name); err != nil {
		return err
	}
	return s.changeProfile(ctx, user, func(tx *store.Tx) error { return tx.SetDisplayName(user, name) })
}

func checkDisplayName(name string) error {
	if len(name) > maxDisplayNameBytes || !storable(name) {
		return invalidParam("displayname must be text of at most %d bytes", maxDisplayNameBytes)
	}
	return nil
}

// SetAvatarURL changes a user's picture, or removes it with "". The caller tells the rooms. Errors: as those of SetDisplayName.
func (s *Service) SetAvatarURL(ctx context.Context, user id.UserID, url string) error {
	if len(url) > maxAvatarURLBytes || !storable(url) {
		return invalidParam("avatar_url must be text of at most %d bytes", maxAvatarURLBytes)
	}
	return s.changeProfile(ctx, user, func(tx *store.Tx) error { return tx.SetAvatarURL(user, url) })
}

// changeProfile changes a profile, unless it would become too large.
func (s *Service) changeProfile(ctx context.Context, user id.UserID, change func(*store.Tx) error) error {
	return profileError(user, s.db.Write(ctx, func(tx *store.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		p, err := profile(tx, user) // ErrNotFound for who has none
		if err != nil {
			return err
		}
		raw, err := json.Marshal(p)
		if err == nil && len(raw) > maxProfileBytes {
			err = matrixError(http.StatusBadRequest, "M_PROFILE_TOO_LARGE", "A profile can have %d bytes", maxProfileBytes)
		}
		return err
	}))
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
