package clientapi

import (
	"context"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/httpapi"
)

type enabled struct {
	Enabled bool `json:"enabled"`
}

type roomVersions struct {
	Default   string            `json:"default"`
	Available map[string]string `json:"available"`
}

type profileFieldsCapability struct {
	Enabled bool     `json:"enabled"`
	Allowed []string `json:"allowed"`
}

type capabilities struct {
	ChangePassword enabled                 `json:"m.change_password"`
	RoomVersions   roomVersions            `json:"m.room_versions"`
	SetDisplayName enabled                 `json:"m.set_displayname"`
	SetAvatarURL   enabled                 `json:"m.set_avatar_url"`
	ProfileFields  profileFieldsCapability `json:"m.profile_fields"`
	ThreePIDs      enabled                 `json:"m.3pid_changes"`
	GetLoginToken  enabled                 `json:"m.get_login_token"`
}

type capabilitiesResponse struct {
	Capabilities capabilities `json:"capabilities"`
}

// capabilities is GET /capabilities.
func (a *API) capabilities(_ context.Context, r *httpapi.Request, _ httpapi.Empty) (capabilitiesResponse, error) {
	versions := roomVersions{Default: a.Rooms.DefaultVersion, Available: make(map[string]string)}
	for _, v := range event.Versions() {
		versions.Available[v.ID] = "stable"
	}
	return capabilitiesResponse{capabilities{
		ChangePassword: enabled{r.Requester.AppService == ""},
		RoomVersions:   versions,
		SetDisplayName: enabled{true},
		SetAvatarURL:   enabled{true},
		ProfileFields:  profileFieldsCapability{Enabled: true, Allowed: slices.Sorted(maps.Keys(profileFields))},
	}}, nil
}
