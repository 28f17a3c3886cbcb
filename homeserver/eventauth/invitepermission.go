package eventauth

import (
	"encoding/json"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// InvitePermissionTypes are the types of account data by which a user says whose invitations are welcome: that of the specification
// (since version 1.18), and those of MSC4155 and MSC4380.
var InvitePermissionTypes = []string{
	"m.invite_permission_config", "org.matrix.msc4155.invite_permission_config", "org.matrix.msc4380.invite_permission_config",
}

// InvitePermission is what becomes of an invitation.
type InvitePermission int

// The permissions, by their strength.
const (
	InviteAllowed InvitePermission = iota
	InviteIgnored                  // it is made, and the user is not told of it
	InviteBlocked                  // it is refused
)

// invitePermissions is the content of account data of InvitePermissionTypes. A field that is not understood says nothing: clients write it.
type invitePermissions struct {
	Enabled       json.RawMessage `json:"enabled"`
	DefaultAction json.RawMessage `json:"default_action"`

	AllowedUsers   json.RawMessage `json:"allowed_users"`
	IgnoredUsers   json.RawMessage `json:"ignored_users"`
	BlockedUsers   json.RawMessage `json:"blocked_users"`
	AllowedServers json.RawMessage `json:"allowed_servers"`
	IgnoredServers json.RawMessage `json:"ignored_servers"`
	BlockedServers json.RawMessage `json:"blocked_servers"`
}

// PermitInvite returns what content, of account data of one of InvitePermissionTypes, makes of invitations by a user: the lists of MSC4155
// in its order, and then the default of the specification (Client-Server API, "Invite permission"). No content allows all.
func PermitInvite(content json.RawMessage, sender id.UserID) InvitePermission {
	var c invitePermissions
	if len(content) == 0 || json.Unmarshal(content, &c) != nil || string(c.Enabled) == "false" {
		return InviteAllowed
	}
	server := hostOf(event.ServerOf(sender))
	for _, rule := range []struct {
		patterns json.RawMessage
		text     string
		result   InvitePermission
	}{
		{c.AllowedUsers, string(sender), InviteAllowed},
		{c.IgnoredUsers, string(sender), InviteIgnored},
		{c.BlockedUsers, string(sender), InviteBlocked},
		{c.AllowedServers, server, InviteAllowed},
		{c.IgnoredServers, server, InviteIgnored},
		{c.BlockedServers, server, InviteBlocked},
	} {
		if matchesOne(rule.patterns, rule.text) {
			return rule.result
		}
	}
	if string(c.DefaultAction) == `"block"` {
		return InviteBlocked
	}
	return InviteAllowed
}

// matchesOne tells whether a JSON array has a glob, of a length that a user ID can have, which matches text.
func matchesOne(list json.RawMessage, text string) bool {
	var elements []json.RawMessage
	if len(list) == 0 || json.Unmarshal(list, &elements) != nil {
		return false
	}
	for _, e := range elements {
		var pattern string
		if json.Unmarshal(e, &pattern) == nil && pattern != "" && len(pattern) <= event.MaxFieldBytes && glob(pattern, text) {
			return true
		}
	}
	return false
}
