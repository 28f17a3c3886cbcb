package eventauth

import (
	"reflect"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// Server-Server API, "Auth events selection".
func TestNeeded(t *testing.T) {
	create, levels, rules := StateKey{Type: event.TypeCreate}, StateKey{Type: event.TypePowerLevels}, StateKey{Type: event.TypeJoinRules}
	user := func(u string) StateKey { return StateKey{event.TypeMember, u} }
	a, b, c := user("@a:x"), user("@b:x"), user("@c:x")
	for _, tc := range []struct {
		name, version, evType, key, content string
		want                                []StateKey
	}{
		{"create", "12", event.TypeCreate, "", `{}`, nil},
		{"create of version 11", "11", event.TypeCreate, "", `{}`, nil},
		{"message", "12", "m.room.message", none, `{}`, []StateKey{levels, a}},
		{"message of version 11", "11", "m.room.message", none, `{}`, []StateKey{create, levels, a}},
		{"state", "12", "m.room.name", "", `{"membership":"join"}`, []StateKey{levels, a}},
		{"join", "12", event.TypeMember, "@a:x", `{"membership":"join"}`, []StateKey{levels, a, rules}},
		{"join, authorised", "12", event.TypeMember, "@a:x", `{ "membership" : "join", "join_authorised_via_users_server": "@c:x" }`, []StateKey{levels, a, rules, c}},
		{"join, authorised, in version 8", "8", event.TypeMember, "@a:x", `{"membership":"join","join_authorised_via_users_server":"@c:x"}`, []StateKey{create, levels, a, rules, c}},
		{"join, authorised, before its time", "7", event.TypeMember, "@a:x", `{"membership":"join","join_authorised_via_users_server":"@c:x"}`, []StateKey{create, levels, a, rules}},
		{"join, authorised by oneself", "12", event.TypeMember, "@a:x", `{"membership":"join","join_authorised_via_users_server":"@a:x"}`, []StateKey{levels, a, rules}},
		{"invite", "12", event.TypeMember, "@b:x", `{"membership":"invite","join_authorised_via_users_server":"@c:x"}`, []StateKey{levels, a, b, rules}},
		{"third-party invite", "12", event.TypeMember, "@b:x", `{"membership":"invite","third_party_invite":{"signed":{"token":"t"}}}`, []StateKey{levels, a, b, rules, {event.TypeThirdPartyInvite, "t"}}},
		{"third-party invite, malformed", "12", event.TypeMember, "@b:x", `{"membership":"invite","third_party_invite":{"signed":1}}`, []StateKey{levels, a, b, rules}},
		{"knock", "12", event.TypeMember, "@a:x", `{"membership":"knock"}`, []StateKey{levels, a, rules}},
		{"leave", "12", event.TypeMember, "@a:x", `{"membership":"leave"}`, []StateKey{levels, a}},
		{"ban", "12", event.TypeMember, "@b:x", `{"membership":"ban"}`, []StateKey{levels, a, b}},
		{"membership in capitals", "12", event.TypeMember, "@a:x", `{"Membership":"join"}`, []StateKey{levels, a}},
		{"content that is no JSON", "12", event.TypeMember, "@a:x", `{`, []StateKey{levels, a}},
		{"no state key", "12", event.TypeMember, none, `{"membership":"join"}`, []StateKey{levels, a, rules}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := event.LookupVersion(tc.version)
			if err != nil {
				t.Fatal(err)
			}
			key := &tc.key
			if tc.key == none {
				key = nil
			}
			if got := Needed(v, "@a:x", tc.evType, key, []byte(tc.content)); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// Rule 3.
func TestCheckAuthEvents(t *testing.T) {
	for _, version := range []string{"11", "12"} {
		r := newRoom(t, version, "")
		message := r.build(ev{"@bob:here", "m.room.message", none, `{}`}, nil)
		state := func(evType, key string) *event.PDU { return r.state[StateKey{evType, key}] }
		levels, bob := state(event.TypePowerLevels, ""), state(event.TypeMember, "@bob:here")
		elsewhere := r.build(member("@bob:here", "@bob:here", "join"), nil)
		elsewhere.RoomID = "!elsewhere:here"
		right := []*event.PDU{levels, bob}
		createRule, missingRule, rejectedRule := "3.2", "", "2"
		if version == "11" {
			right = append(right, r.create)
			createRule, missingRule, rejectedRule = "", "2.4 of version 11", "3.3"
		}
		reject := func(which *event.PDU) func(id.EventID) bool {
			return func(e id.EventID) bool { return e == which.EventID }
		}
		for _, tc := range []struct {
			name     string
			p        *event.PDU
			events   []*event.PDU
			rejected func(id.EventID) bool
			rule     string
		}{
			{"right", message, right, nil, ""},
			{"right, others rejected", message, right, reject(message), ""},
			{"3.1: twice", message, append(right[:len(right):len(right)], bob), nil, "3.1"},
			{"3.2: not needed", message, append(right[:len(right):len(right)], state(event.TypeJoinRules, "")), nil, "3.2"},
			{"3.2: other member", message, append(right[:len(right):len(right)], state(event.TypeMember, "@carol:there")), nil, "3.2"},
			{"3.2: message", message, append(right[:len(right):len(right)], message), nil, "3.2"},
			{"3.2: create", message, []*event.PDU{r.create, levels, bob}, nil, createRule},
			{"3.3: rejected", message, right, reject(bob), "3.3"},
			{"2: room's create event rejected", message, right, reject(r.create), rejectedRule},
			{"no create", message, []*event.PDU{levels, bob}, nil, missingRule},
			{"3.5: other room", message, []*event.PDU{levels, elsewhere}, nil, "3.5"},
			{"create event", r.create, nil, nil, ""},
		} {
			t.Run(tc.name+" "+version, func(t *testing.T) {
				checkRule(t, CheckAuthEvents(tc.p, tc.events, tc.rejected), tc.rule)
			})
		}
	}
}
