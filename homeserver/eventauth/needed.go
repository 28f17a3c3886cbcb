package eventauth

import (
	"encoding/json"
	"slices"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// Needed returns the places in the state whose events an event is to name as its auth_events, where there are any. content need not be
// canonical; what cannot be read of it is taken to be absent. The create event is left out in the versions whose room ID implies it
// (version 12). Server-Server API, "Auth events selection".
func Needed(v *event.RoomVersion, sender id.UserID, evType string, stateKey *string, content json.RawMessage) []StateKey {
	if evType == event.TypeCreate {
		return nil
	}
	keys := make([]StateKey, 0, 6)
	if !v.RoomIDIsCreateHash {
		keys = append(keys, StateKey{Type: event.TypeCreate})
	}
	keys = append(keys, StateKey{Type: event.TypePowerLevels}, StateKey{event.TypeMember, string(sender)})
	if evType != event.TypeMember {
		return keys
	}
	return neededByMember(keys, v, stateKey, content)
}

// neededByMember adds what m.room.member events need besides.
func neededByMember(keys []StateKey, v *event.RoomVersion, stateKey *string, content json.RawMessage) []StateKey {
	add := func(k StateKey) {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	if stateKey != nil {
		add(StateKey{event.TypeMember, *stateKey})
	}
	obj, err := v.Canonical(content)
	if err != nil {
		return keys
	}
	membership, _ := event.Text(event.Field(obj, "membership"))
	switch membership {
	case event.MembershipJoin, event.MembershipInvite, event.MembershipKnock:
		add(StateKey{Type: event.TypeJoinRules})
	}
	if membership == event.MembershipInvite {
		if token, ok := event.Text(event.Field(event.Field(event.Field(obj, "third_party_invite"), "signed"), "token")); ok {
			add(StateKey{event.TypeThirdPartyInvite, token})
		}
	}
	if membership == event.MembershipJoin && v.Restricted {
		if via, ok := event.Text(event.Field(obj, "join_authorised_via_users_server")); ok {
			add(StateKey{event.TypeMember, via})
		}
	}
	return keys
}

// NeededBy returns what Needed does for an event that exists.
func NeededBy(p *event.PDU) []StateKey {
	return Needed(p.Version, p.Sender, p.Type, p.StateKey, p.Content)
}

// CheckAuthEvents applies the rules about the auth_events of p: nil, or a *NotAllowed. events are all the events that p names, and
// rejected says of them, and of the room's create event, whether they were rejected; nil for none. Rule 3 (rule 2 in the versions
// before 12).
func CheckAuthEvents(p *event.PDU, events []*event.PDU, rejected func(id.EventID) bool) error {
	if p.Type == event.TypeCreate {
		return nil // Rule 1 has the last word on create events.
	}
	// Rule 2. The room is named by its create event.
	if p.Version.RoomIDIsCreateHash && rejected != nil && p.RoomID != "" && rejected(id.EventID("$"+p.RoomID[1:])) {
		return reject("2", "The create event was rejected")
	}
	needed := NeededBy(p)
	seen := make(map[StateKey]bool, len(events))
	for _, auth := range events {
		if auth.StateKey == nil {
			return reject("3.2", "An auth event is not a state event")
		}
		key := StateKey{auth.Type, *auth.StateKey}
		if seen[key] {
			return reject("3.1", "Two auth events are for the same place in the state")
		}
		seen[key] = true
		if !slices.Contains(needed, key) {
			return reject("3.2", "An auth event is none that this event needs")
		}
		if rejected != nil && rejected(auth.EventID) {
			return reject("3.3", "An auth event was rejected")
		}
		if auth.RoomID != p.RoomID {
			return reject("3.5", "An auth event is of another room")
		}
	}
	if !p.Version.RoomIDIsCreateHash && !seen[StateKey{Type: event.TypeCreate}] {
		return reject("2.4 of version 11", "The create event is not among the auth events")
	}
	return nil
}
