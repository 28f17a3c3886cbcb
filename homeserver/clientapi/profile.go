package clientapi

import (
	"context"
	"encoding/json"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix/id"
)

// profileField is a part of the profile that clients may change.
type profileField struct {
	get func(account.Profile) account.Profile
	set func(*account.Service, context.Context, id.UserID, string) error
}

var profileFields = map[string]profileField{
	"displayname": {
		get: func(p account.Profile) account.Profile { return account.Profile{DisplayName: p.DisplayName} },
		set: (*account.Service).SetDisplayName,
	},
	"avatar_url": {
		get: func(p account.Profile) account.Profile { return account.Profile{AvatarURL: p.AvatarURL} },
		set: (*account.Service).SetAvatarURL,
	},
}

// profile is GET /profile/{userId}.
func (a *API) profile(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (account.Profile, error) {
	user := id.UserID(r.Path("userId"))
	if _, _, err := user.Parse(); err != nil {
		return account.Profile{}, httpapi.InvalidParam("%s is not a user ID", user)
	}
	return a.Accounts.Profile(ctx, user)
}

// profileField is GET /profile/{userId}/{keyName}. A field that is not set is answered with {}: the specification demands
// M_NOT_FOUND since version 1.16, but clients of earlier ones take that for a missing user.
func (a *API) profileField(ctx context.Context, r *httpapi.Request, in httpapi.Empty) (account.Profile, error) {
	field, ok := profileFields[r.Path("keyName")]
	if !ok {
		return account.Profile{}, httpapi.NotFound("Profile not found")
	}
	profile, err := a.profile(ctx, r, in)
	return field.get(profile), err
}

// setProfileField is PUT /profile/{userId}/{keyName}.
func (a *API) setProfileField(ctx context.Context, r *httpapi.Request, in map[string]json.RawMessage) (httpapi.Empty, error) {
	raw, ok := in[r.Path("keyName")]
	if !ok {
		return httpapi.Empty{}, httpapi.MissingParam(r.Path("keyName"))
	}
	var value *string
	if err := json.Unmarshal(raw, &value); err != nil {
		return httpapi.Empty{}, httpapi.BadJSON("%s must be a string", r.Path("keyName"))
	}
	if value == nil {
		value = new(string) // null removes, as it did before there was a DELETE
	}
	return httpapi.Empty{}, a.changeProfile(ctx, r, *value)
}

// deleteProfileField is DELETE /profile/{userId}/{keyName}.
func (a *API) deleteProfileField(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	return httpapi.Empty{}, a.changeProfile(ctx, r, "")
}

func (a *API) changeProfile(ctx context.Context, r *httpapi.Request, value string) error {
	user, err := ownUser(r)
	if err != nil {
		return err
	}
	if r.Requester.IsGuest && r.Path("keyName") != "displayname" {
		// Client-Server API, "Guest Access".
		return httpapi.Error(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "Guests may change their display name only")
	}
	field, ok := profileFields[r.Path("keyName")]
	if !ok {
		return httpapi.Forbidden("This server keeps no such field in profiles")
	}
	if err := field.set(a.Accounts, ctx, user, value); err != nil {
		return err
	}
	return a.Rooms.PropagateProfile(ctx, user)
}
