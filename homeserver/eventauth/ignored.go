package eventauth

import (
	"encoding/json"

	"maunium.net/go/mautrix/id"
)

// IgnoredUsersType is the type of account data that names whom a user ignores. Client-Server API, "Ignoring Users".
const IgnoredUsersType = "m.ignored_user_list"

// IgnoredUsers returns whom content of that type names, nil for nobody. What is not understood names nobody: clients write it.
func IgnoredUsers(content json.RawMessage) map[id.UserID]bool {
	var list struct {
		Users map[id.UserID]json.RawMessage `json:"ignored_users"`
	}
	if len(content) == 0 || json.Unmarshal(content, &list) != nil || len(list.Users) == 0 {
		return nil
	}
	ignored := make(map[id.UserID]bool, len(list.Users))
	for user := range list.Users {
		ignored[user] = true
	}
	return ignored
}
