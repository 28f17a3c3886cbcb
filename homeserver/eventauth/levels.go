package eventauth

import (
	"math"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// CreatorLevel is the level of a creator in the versions where they are above all others (version 12).
const CreatorLevel = math.MaxInt64

// currentLevels returns the room's power levels, or the defaults and false.
func currentLevels(s State) (*event.PowerLevels, bool, error) {
	p := s.Get(StateKey{Type: event.TypePowerLevels})
	if p == nil {
		return defaultLevels, false, nil
	}
	levels, err := p.PowerLevels()
	return levels, true, err
}

var defaultLevels = event.NewPowerLevels()

// Levels returns the power levels of a room in state s: the defaults when it has none, or has malformed ones. It must not be changed.
func Levels(s State) *event.PowerLevels {
	levels, _, err := currentLevels(s)
	if err != nil {
		return defaultLevels
	}
	return levels
}

// userLevel returns the level of user. create may be nil.
func userLevel(v *event.RoomVersion, create *event.Create, levels *event.PowerLevels, hasLevels bool, user id.UserID) int64 {
	if create != nil {
		if v.PrivilegedCreators && create.IsCreator(user) {
			return CreatorLevel
		}
		if !v.PrivilegedCreators && !hasLevels && create.Creator == user {
			return event.DefaultCreatorLevel
		}
	}
	return levels.User(user)
}

// UserLevel returns the power level of user in a room in state s. Client-Server API, m.room.power_levels.
func UserLevel(s State, user id.UserID) int64 {
	levels, hasLevels, err := currentLevels(s)
	if err != nil {
		levels = defaultLevels
	}
	created := s.Get(StateKey{Type: event.TypeCreate})
	if created == nil {
		return levels.User(user)
	}
	create, err := created.Create()
	if err != nil {
		create = nil
	}
	return userLevel(created.Version, create, levels, hasLevels, user)
}

// RequiredLevel returns the level that it takes to send an event of type evType. Server-Server API, "Definitions".
func RequiredLevel(s State, evType string, isState bool) int64 {
	return Levels(s).Event(evType, isState)
}

// StateDefault returns the level that it takes to send a state event of a type that is not listed.
func StateDefault(s State) int64 { return Levels(s).StateDefault }

// EventsDefault returns the level that it takes to send a message event of a type that is not listed.
func EventsDefault(s State) int64 { return Levels(s).EventsDefault }

// InviteLevel returns the level that it takes to invite.
func InviteLevel(s State) int64 { return Levels(s).Invite }

// KickLevel returns the level that it takes to kick.
func KickLevel(s State) int64 { return Levels(s).Kick }

// BanLevel returns the level that it takes to ban.
func BanLevel(s State) int64 { return Levels(s).Ban }

// RedactLevel returns the level that it takes to redact other users' events.
func RedactLevel(s State) int64 { return Levels(s).Redact }

// NotificationLevel returns the level that it takes to trigger the notification key, such as "room".
func NotificationLevel(s State, key string) int64 { return Levels(s).Notification(key) }

// Membership returns the membership of user; "" when they never had one.
func Membership(s State, user id.UserID) string {
	if p := s.Get(StateKey{event.TypeMember, string(user)}); p != nil {
		return p.Membership()
	}
	return ""
}

// JoinRule returns the join rule of the room, which is "invite" when nothing sets it.
func JoinRule(s State) string {
	if p := s.Get(StateKey{Type: event.TypeJoinRules}); p != nil {
		return p.JoinRule()
	}
	return event.JoinRuleInvite
}

// HistoryVisibility returns the history visibility of the room, which is "shared" when nothing sets it.
func HistoryVisibility(s State) string {
	if p := s.Get(StateKey{Type: event.TypeHistoryVisibility}); p != nil {
		return p.HistoryVisibility()
	}
	return event.VisibilityShared
}

// CanSend reports whether user is in the room and has the level for events of type evType. Rules 6 and 8; other rules may forbid the
// event for what it contains.
func CanSend(s State, user id.UserID, evType string, isState bool) bool {
	return Membership(s, user) == event.MembershipJoin && UserLevel(s, user) >= RequiredLevel(s, evType, isState)
}

// CanInvite reports whether user is in the room and has the level to invite. Rules 5.4.2 and 5.4.4.
func CanInvite(s State, user id.UserID) bool {
	return Membership(s, user) == event.MembershipJoin && UserLevel(s, user) >= InviteLevel(s)
}

// CanKick reports whether user is in the room and may kick target, or withdraw an invite. Rules 5.5.2 and 5.5.4.
func CanKick(s State, user, target id.UserID) bool {
	level := UserLevel(s, user)
	return Membership(s, user) == event.MembershipJoin && level >= KickLevel(s) && UserLevel(s, target) < level
}

// CanBan reports whether user is in the room and may ban target. Rules 5.6.1 and 5.6.2.
func CanBan(s State, user, target id.UserID) bool {
	level := UserLevel(s, user)
	return Membership(s, user) == event.MembershipJoin && level >= BanLevel(s) && UserLevel(s, target) < level
}

// CanNotify reports whether a message of user may trigger the notification key, such as "room".
func CanNotify(s State, user id.UserID, key string) bool {
	return UserLevel(s, user) >= NotificationLevel(s, key)
}

// CanRedact reports whether redaction, an accepted m.room.redaction, is to be applied to target, where s is the room's state at the
// redaction: when its sender has the redact level, or is of the same server as the sender of target. Both must be of the same room.
// Room version 3 and later, "Handling redactions"; in versions 1 and 2 the authorisation rules have decided it, and this holds for
// whatever they accept.
func CanRedact(s State, redaction, target *event.PDU) bool {
	if redaction.RoomID != target.RoomID {
		return false
	}
	return CanRedactOf(s, redaction.Sender, target.Sender) ||
		redaction.Version.RedactionAuth && event.ServerOf(redaction.EventID) == event.ServerOf(target.EventID)
}

// CanRedactOf reports whether a redaction by user of an event of sender would be applied. See CanRedact.
func CanRedactOf(s State, user, sender id.UserID) bool {
	return UserLevel(s, user) >= RedactLevel(s) || event.ServerOf(user) == event.ServerOf(sender)
}
