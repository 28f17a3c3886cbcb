package clientapi

import (
	"context"

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

// delayedEventsCapability is of MSC4140. Without it a server sends no delayed events.
type delayedEventsCapability struct {
	MaxDelayMS   int64 `json:"max_delay_ms"`
	MaxScheduled int   `json:"max_scheduled"`
}

// accountModeration says what an administrator can do about accounts (Matrix 1.18).
type accountModeration struct {
	Suspend bool `json:"suspend"`
	Lock    bool `json:"lock"`
}

type capabilities struct {
	ChangePassword enabled      `json:"m.change_password"`
	RoomVersions   roomVersions `json:"m.room_versions"`
	SetDisplayName enabled      `json:"m.set_displayname"`
	SetAvatarURL   enabled      `json:"m.set_avatar_url"`
	ProfileFields  enabled      `json:"m.profile_fields"`
	ThreePIDs      enabled      `json:"m.3pid_changes"`
	GetLoginToken  enabled      `json:"m.get_login_token"`

	AccountModeration         *accountModeration `json:"m.account_moderation,omitempty"`
	AccountModerationUnstable *accountModeration `json:"uk.timedout.msc4323,omitempty"`

	DelayedEvents         *delayedEventsCapability `json:"m.delayed_events,omitempty"`
	DelayedEventsUnstable *delayedEventsCapability `json:"org.matrix.msc4140.delayed_events,omitempty"`
}

type capabilitiesResponse struct {
	Capabilities capabilities `json:"capabilities"`
}

// capabilities is GET /capabilities.
func (a *API) capabilities(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (capabilitiesResponse, error) {
	versions := roomVersions{Default: a.Rooms.DefaultVersion, Available: make(map[string]string)}
	for _, v := range event.Versions() {
		versions.Available[v.ID] = "stable"
	}
	var delayed *delayedEventsCapability
	if c := a.Rooms.Config.Delayed; !c.Off {
		delayed = &delayedEventsCapability{MaxDelayMS: c.MaxDelay.Milliseconds(), MaxScheduled: c.MaxScheduled}
	}
	var moderation *accountModeration
	if r.Requester.IsAdmin {
		moderation = &accountModeration{Suspend: true, Lock: true}
	}
	can, err := a.Accounts.Abilities(ctx, accountOf(r))
	return capabilitiesResponse{capabilities{
		DelayedEvents: delayed, DelayedEventsUnstable: delayed,
		AccountModeration: moderation, AccountModerationUnstable: moderation,
		ChangePassword: enabled{can.ChangePassword},
		GetLoginToken:  enabled{can.GetLoginToken},
		RoomVersions:   versions,
		SetDisplayName: enabled{true},
		SetAvatarURL:   enabled{true},
		ProfileFields:  enabled{true},
		ThreePIDs:      enabled{a.Accounts.CanHaveThreepids()},
	}}, err
}
