package room

import (
	"encoding/json"
	"slices"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

const (
	// maxLevel bounds power levels, as canonical JSON does all integers.
	maxLevel = 1<<53 - 1
	// tombstoneLevel is what it takes to replace a room where creators are above all others. Client-Server API, POST /createRoom.
	tombstoneLevel = 150
	// silence is what it takes at the least to speak or to invite in a room that was replaced.
	silence = 50
)

// levels returns the content of the new room's m.room.power_levels event: that of the old one, in the form of the new version.
func (old *oldRoom) levels(by By, version *event.RoomVersion, creators []id.UserID) map[string]any {
	content, users, events := old.levelParts(by, version)
	if !version.PrivilegedCreators {
		if old.Version.PrivilegedCreators { // they were above all others
			top := topLevel(users, events, content)
			for _, user := range append([]id.UserID{old.create.Creator}, old.create.AdditionalCreators...) {
				users[user] = top
			}
		}
		return content
	}
	for _, user := range append(slices.Clone(creators), by.User) {
		delete(users, user) // they are above all others, and must not be listed
	}
	state := int64(event.DefaultStateLevel)
	if level, ok := content["state_default"].(int64); ok {
		state = level
	}
	// Who can replace a room can make themselves its creator. That was for the highest of those who have levels, and is for those above.
	level, explicit := events[typeTombstone]
	if !explicit || !old.Version.PrivilegedCreators {
		level = max(level, tombstoneLevel)
	}
	events[typeTombstone] = clamp(max(level, state+1))
	return content
}

// levelParts returns the content of the old room's m.room.power_levels event with every level an integer, and its users and events,
// which are part of it.
func (old *oldRoom) levelParts(by By, version *event.RoomVersion) (content map[string]any, users map[id.UserID]int64, events map[string]int64) {
	content = make(map[string]any)
	users, events = make(map[id.UserID]int64), make(map[string]int64)
	content["users"], content["events"] = users, events
	e, levels := old.powerLevels()
	if e == nil {
		users[by.User] = event.DefaultCreatorLevel // nobody else could have replaced the room
		return content, users, events
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(e.Content, &fields); err == nil {
		for name, raw := range fields {
			if _, err := version.Canonical([]byte(`{"":` + string(raw) + `}`)); err == nil && !ofLevels(name) {
				content[name] = raw
			}
		}
	}
	for _, name := range event.LevelNames {
		if level, ok := levels.Explicit(name); ok {
			content[name] = clamp(level)
		}
	}
	for user, level := range levels.Users {
		users[user] = clamp(level)
	}
	for eventType, level := range levels.Events {
		events[eventType] = clamp(level)
	}
	if len(levels.Notifications) > 0 {
		notifications := make(map[string]int64, len(levels.Notifications))
		for key, level := range levels.Notifications {
			notifications[key] = clamp(level)
		}
		content["notifications"] = notifications
	}
	return content, users, events
}

// ofLevels tells whether a property of m.room.power_levels is one that the specification gives a meaning.
func ofLevels(name string) bool {
	return slices.Contains(event.LevelNames[:], name) || name == "users" || name == "events" || name == "notifications"
}

// topLevel is the highest level that anything takes or anybody has, and at least that of creators.
func topLevel(users map[id.UserID]int64, events map[string]int64, content map[string]any) int64 {
	top := int64(event.DefaultCreatorLevel)
	for _, level := range users {
		top = max(top, level)
	}
	for _, level := range events {
		top = max(top, level)
	}
	for _, name := range event.LevelNames {
		if level, ok := content[name].(int64); ok {
			top = max(top, level)
		}
	}
	return top
}

func clamp(level int64) int64 { return max(-maxLevel, min(level, maxLevel)) }

// raisedLevels is the content of the old room's m.room.power_levels event by which ordinary users can neither speak nor invite; nil
// when they cannot already. Client-Server API, "Room Upgrades", "Server behaviour", step 6.
func (old *oldRoom) raisedLevels() (json.RawMessage, error) {
	e, levels := old.powerLevels()
	content := make(map[string]any)
	if e == nil {
		levels = event.NewPowerLevels()
		if !old.Version.PrivilegedCreators {
			content["users"] = map[id.UserID]int64{old.create.Creator: event.DefaultCreatorLevel}
		}
	} else {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(e.Content, &fields); err != nil {
			return nil, err
		}
		for name, raw := range fields {
			content[name] = raw
		}
	}
	least := max(silence, clamp(levels.UsersDefault+1))
	changed := false
	for name, level := range map[string]int64{"events_default": levels.EventsDefault, "invite": levels.Invite} {
		if level < least {
			content[name], changed = least, true
		}
	}
	events := make(map[string]int64, len(levels.Events))
	raised := false
	for eventType, level := range levels.Events {
		events[eventType] = max(level, least)
		raised = raised || level < least
	}
	if raised {
		content["events"] = events
	}
	if !changed && !raised {
		return nil, nil
	}
	return json.Marshal(content)
}
