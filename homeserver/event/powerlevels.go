package event

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/id"
)

// The levels of a room, or of a property, that says nothing else. Client-Server API, m.room.power_levels.
const (
	DefaultBanLevel          = 50
	DefaultInviteLevel       = 0
	DefaultKickLevel         = 50
	DefaultRedactLevel       = 50
	DefaultEventsLevel       = 0
	DefaultStateLevel        = 50
	DefaultUsersLevel        = 0
	DefaultNotificationLevel = 50
	// DefaultCreatorLevel is the creator's in a room without power levels, where creators are not above them.
	DefaultCreatorLevel = 100
)

// LevelNames are the properties of m.room.power_levels that hold one level.
var LevelNames = [...]string{"users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"}

// PowerLevels is the content of an m.room.power_levels event, with the defaults in place of what it leaves out. It must not be changed.
type PowerLevels struct {
	Ban, Invite, Kick, Redact, EventsDefault, StateDefault, UsersDefault int64
	Events, Notifications                                                map[string]int64
	Users                                                                map[id.UserID]int64

	explicit map[string]int64
}

// NewPowerLevels returns the levels of a room that has no m.room.power_levels event, but for the creator's.
func NewPowerLevels() *PowerLevels {
	return &PowerLevels{
		Ban: DefaultBanLevel, Invite: DefaultInviteLevel, Kick: DefaultKickLevel, Redact: DefaultRedactLevel,
		EventsDefault: DefaultEventsLevel, StateDefault: DefaultStateLevel, UsersDefault: DefaultUsersLevel,
	}
}

// Explicit returns the level that the event itself gives the property name, one of LevelNames, and whether it gives one.
func (l *PowerLevels) Explicit(name string) (int64, bool) {
	level, ok := l.explicit[name]
	return level, ok
}

// User returns the level of user by this event alone: that of creators may be above it.
func (l *PowerLevels) User(user id.UserID) int64 {
	if level, ok := l.Users[user]; ok {
		return level
	}
	return l.UsersDefault
}

// Event returns the required power level of events of type evType. Server-Server API, "Definitions".
func (l *PowerLevels) Event(evType string, isState bool) int64 {
	if level, ok := l.Events[evType]; ok {
		return level
	}
	if isState {
		return l.StateDefault
	}
	return l.EventsDefault
}

// Notification returns the level required to trigger the notification key, such as "room".
func (l *PowerLevels) Notification(key string) int64 {
	if level, ok := l.Notifications[key]; ok {
		return level
	}
	return DefaultNotificationLevel
}

// parsePowerLevels reads content by the rules of version v. That all of it is well-formed is rules 10.1 to 10.3 of version 12's
// authorisation rules. The versions before 10 ask that of users only: what else is no level counts as absent there, unless it is a
// number beyond a double (version 1, "m.room.power_levels events accept values as floats").
func parsePowerLevels(v *RoomVersion, content []byte) (*PowerLevels, error) {
	l := NewPowerLevels()
	l.explicit = make(map[string]int64, len(LevelNames))
	slots := map[string]*int64{
		"ban": &l.Ban, "invite": &l.Invite, "kick": &l.Kick, "redact": &l.Redact,
		"events_default": &l.EventsDefault, "state_default": &l.StateDefault, "users_default": &l.UsersDefault,
	}
	for k, value := range Members(content) {
		key := string(k)
		var err error
		switch key {
		case "events":
			l.Events, err = parseLevels[string](v, key, value, v.IntegerPowerLevels)
		case "notifications":
			l.Notifications, err = parseLevels[string](v, key, value, v.IntegerPowerLevels)
		case "users":
			l.Users, err = parseLevels[id.UserID](v, key, value, true)
		default:
			slot := slots[key]
			if slot == nil {
				continue
			}
			switch level, kind := parseLevel(v, value); {
			case kind == isLevel:
				*slot, l.explicit[key] = level, level
			case kind == beyondLevels || v.IntegerPowerLevels:
				return nil, fieldError(ErrBadContent, key)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for user := range l.Users {
		if !ValidUserID(string(user)) {
			return nil, fmt.Errorf("%w: users: %q is not a user ID", ErrBadContent, clip(string(user)))
		}
	}
	return l, nil
}

// parseLevels reads an object of levels. Unless it must be well-formed, what is not a level is left out.
func parseLevels[K ~string](v *RoomVersion, name string, value []byte, strict bool) (map[K]int64, error) {
	if !isObject(value) {
		if strict {
			return nil, fieldError(ErrBadContent, name)
		}
		return nil, nil
	}
	levels := make(map[K]int64)
	for k, e := range Members(value) {
		switch level, kind := parseLevel(v, e); {
		case kind == isLevel:
			levels[K(Unescape(k))] = level
		case kind == beyondLevels || strict:
			return nil, fieldError(ErrBadContent, name)
		}
	}
	return levels, nil
}

// levelKind is what a value turned out to be.
type levelKind int

const (
	notLevel     levelKind = iota
	beyondLevels           // a number that is too large for a double
	isLevel
)

// parseLevel reads one level: an integer, or in earlier versions what passes for one.
func parseLevel(v *RoomVersion, value []byte) (int64, levelKind) {
	if len(value) == 0 {
		return 0, notLevel
	}
	if value[0] == '-' || value[0] >= '0' && value[0] <= '9' {
		if n, ok := integer(value); ok {
			return n, isLevel
		}
		if !v.FloatingPowerLevels {
			return 0, notLevel
		}
		return truncated(string(value))
	}
	s, ok := Text(value)
	if !ok || v.IntegerPowerLevels {
		return 0, notLevel
	}
	// Version 1, "m.room.power_levels events accept values as strings": white space, a sign, leading zeroes. There is no limit to
	// them, so one beyond int64 is taken to be the highest or lowest level there is.
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, notLevel
	}
	return min(n, highestLevel), isLevel
}

// highestLevel leaves room for a creator's above it.
const highestLevel = math.MaxInt64 - 1

// truncated reads a number that is no int64. Version 1, "m.room.power_levels events accept values as floats". A level beyond int64 is
// taken to be the highest or lowest there is.
func truncated(s string) (int64, levelKind) {
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return 0, beyondLevels
	case f >= math.MaxInt64:
		return highestLevel, isLevel
	case f <= math.MinInt64:
		return math.MinInt64, isLevel
	}
	return int64(f), isLevel
}
