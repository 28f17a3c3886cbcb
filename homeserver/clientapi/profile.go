package clientapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// profileUser returns the user in the path.
func profileUser(r *httpapi.Request) (id.UserID, error) {
	user := id.UserID(r.Path("userId"))
	if _, _, err := user.Parse(); err != nil {
		return "", httpapi.InvalidParam("%s is not a user ID", user)
	}
	return user, nil
}

// profile is GET /profile/{userId}.
func (a *API) profile(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (account.Profile, error) {
	user, err := profileUser(r)
	if err != nil {
		return nil, err
	}
	return a.summoned(ctx, r, user, func() (account.Profile, error) { return a.Accounts.Profile(ctx, user) })
}

// readsPerSummon is what it costs to look for a user that there is not: a service may be asked, and another network by it.
const readsPerSummon = 25

// summoned looks for something of a user, and again when an application service has made the user for that. Strangers and guests have
// nobody made.
func (a *API) summoned(ctx context.Context, r *httpapi.Request, user id.UserID, look func() (account.Profile, error)) (account.Profile, error) {
	found, err := look()
	who := r.Requester
	if !errors.Is(err, mautrix.MNotFound) || who == nil || who.IsGuest || user.Homeserver() != who.UserID.Homeserver() {
		return found, err
	}
	if exists, failure := a.Accounts.UserExists(ctx, user); failure != nil || exists {
		return found, err
	}
	if who.AppService == "" {
		r.Charge(readsPerSummon - 1)
	}
	if !a.Accounts.Summon(ctx, user, who.AppService) {
		return found, err
	}
	return look()
}

// profileField is GET /profile/{userId}/{keyName}. Since version 1.16 what is not set is not found. Application services get {} for a name or
// a picture, as before: bridges look whether a user of theirs has the name already, and give up at any error (mautrix-go 0.31,
// IntentAPI.SetDisplayName).
func (a *API) profileField(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (account.Profile, error) {
	user, err := profileUser(r)
	if err != nil {
		return nil, err
	}
	return a.summoned(ctx, r, user, func() (account.Profile, error) {
		return a.Accounts.ProfileField(ctx, user, r.Path("keyName"), r.Requester != nil && r.Requester.AppService != "")
	})
}

// setProfileField is PUT /profile/{userId}/{keyName}.
func (a *API) setProfileField(ctx context.Context, r *httpapi.Request, in map[string]json.RawMessage) (httpapi.Empty, error) {
	user, err := ownProfile(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	value, ok := in[r.Path("keyName")]
	if !ok {
		return httpapi.Empty{}, httpapi.MissingParam(r.Path("keyName"))
	}
	return httpapi.Empty{}, a.tellRooms(ctx, user)(a.Accounts.SetProfileField(ctx, user, r.Path("keyName"), value))
}

// deleteProfileField is DELETE /profile/{userId}/{keyName}.
func (a *API) deleteProfileField(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (httpapi.Empty, error) {
	user, err := ownProfile(r)
	if err != nil {
		return httpapi.Empty{}, err
	}
	return httpapi.Empty{}, a.tellRooms(ctx, user)(a.Accounts.DeleteProfileField(ctx, user, r.Path("keyName")))
}

// ownProfile returns the user in the path, who must be the one that the request comes from. Guests may change their display name only
// (Client-Server API, "Guest Access").
func ownProfile(r *httpapi.Request) (id.UserID, error) {
	if r.Requester.IsGuest && r.Path("keyName") != "displayname" {
		return "", httpapi.Error(http.StatusForbidden, "M_GUEST_ACCESS_FORBIDDEN", "Guests may change their display name only")
	}
	return ownUser(r)
}

// tellRooms has the rooms show what was changed of a profile, if it is shown there.
func (a *API) tellRooms(ctx context.Context, user id.UserID) func(inRooms bool, err error) error {
	return func(inRooms bool, err error) error {
		if err != nil || !inRooms {
			return err
		}
		return a.Rooms.PropagateProfile(ctx, user)
	}
}
