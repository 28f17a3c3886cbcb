package room

import (
	"encoding/json"

	"maunium.net/go/mautrix/id"
)

// withoutCreator takes the one who makes a room out of the users of power_level_content_override: for clients that name no room version, and so
// cannot know that creators have all power and must not be listed, as Element Call. Who names a version is told.
func withoutCreator(override json.RawMessage, creator id.UserID) json.RawMessage {
	var content, users map[string]json.RawMessage
	if json.Unmarshal(override, &content) != nil || json.Unmarshal(content["users"], &users) != nil {
		return override // what it is instead, is said where it is used
	}
	if _, there := users[string(creator)]; !there {
		return override
	}
	delete(users, string(creator))
	var err error
	if content["users"], err = json.Marshal(users); err != nil {
		return override
	}
	changed, err := json.Marshal(content)
	if err != nil {
		return override
	}
	return changed
}
