package eventauth

import (
	"fmt"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// Rule 1.
func TestCreate(t *testing.T) {
	type parts struct {
		content string
		prev    []id.EventID
		room    id.RoomID
	}
	for _, tc := range []struct {
		name, version string
		parts         parts
		rule          string
	}{
		{"first", "12", parts{content: `{"room_version":"12"}`}, ""},
		{"not the first", "12", parts{content: `{}`, prev: []id.EventID{"$x"}}, "1.1"},
		{"same server", "11", parts{content: `{}`, room: "!x:here"}, ""},
		{"other server", "11", parts{content: `{}`, room: "!x:there"}, "1.2 of version 11"},
		{"no version", "12", parts{content: `{}`}, ""},
		{"unknown version", "12", parts{content: `{"room_version":"999"}`}, "1.3"},
		{"version is a number", "12", parts{content: `{"room_version":12}`}, "1.3"},
		{"additional creators", "12", parts{content: `{"additional_creators":["@a:b"]}`}, ""},
		{"additional creators are no list", "12", parts{content: `{"additional_creators":"@a:b"}`}, "1.4"},
		{"additional creators are no users", "12", parts{content: `{"additional_creators":["a"]}`}, "1.4"},
		{"additional creators are not looked at", "11", parts{content: `{"additional_creators":["a"]}`, room: "!x:here"}, ""},
		{"creator", "10", parts{content: `{"creator":"@creator:here"}`, room: "!x:here"}, ""},
		{"no creator", "10", parts{content: `{}`, room: "!x:here"}, "1.4 of version 10"},
		{"creator is no user", "10", parts{content: `{"creator":5}`, room: "!x:here"}, ""},
		{"creator is null", "10", parts{content: `{"creator":null}`, room: "!x:here"}, ""},
		{"no room ID's server", "10", parts{content: `{"creator":"@creator:here"}`, room: "!x"}, "1.2 of version 11"},
		{"no creator since", "11", parts{content: `{}`, room: "!x:here"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom(t, tc.version, "")
			p := r.build(ev{"@creator:here", event.TypeCreate, "", tc.parts.content}, tc.parts.prev)
			if tc.parts.room != "" {
				p.RoomID = tc.parts.room
			}
			checkRule(t, Check(p, StateMap{}), tc.rule)
		})
	}

	t.Run("room ID given", func(t *testing.T) {
		raw := `{"auth_events":[],"content":{},"depth":1,"hashes":{"sha256":"x"},"origin_server_ts":1,"prev_events":[],"room_id":"!x",` +
			`"sender":"@a:b","signatures":{},"state_key":"","type":"m.room.create"}`
		v, _ := event.LookupVersion("12")
		p, err := event.Parse(v, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		checkRule(t, Check(p, StateMap{}), "1.2")
	})
}

// Rules 2 and 4.
func TestRoom(t *testing.T) {
	message := ev{"@carol:there", "m.room.message", none, `{}`}
	t.Run("right create event", func(t *testing.T) {
		r := newRoom(t, "12", "")
		checkRule(t, Check(r.build(message, nil), r.state), "")
	})
	t.Run("no create event", func(t *testing.T) {
		r := newRoom(t, "12", "")
		delete(r.state, StateKey{Type: event.TypeCreate})
		checkRule(t, Check(r.build(message, nil), r.state), "2")
	})
	t.Run("create event of another room", func(t *testing.T) {
		r := newRoom(t, "12", "")
		p := r.build(message, nil)
		r.state[StateKey{Type: event.TypeCreate}] = newRoom(t, "12", `{"x":1}`).create
		checkRule(t, Check(p, r.state), "2")
	})
	for _, tc := range []struct{ name, content, sender, rule string }{
		{"federated", `{"m.federate":true}`, "@carol:there", ""},
		{"not federated", `{"m.federate":false}`, "@carol:there", "4"},
		{"not federated, same server", `{"m.federate":false}`, "@bob:here", ""},
	} {
		for _, version := range []string{"11", "12"} {
			t.Run(tc.name+" "+version, func(t *testing.T) {
				r := newRoom(t, version, tc.content)
				checkRule(t, Check(r.build(ev{tc.sender, "m.room.message", none, `{}`}, nil), r.state), tc.rule)
			})
		}
	}
}

// Rules 6 to 9 and 11, and those of earlier versions about aliases and redactions.
func TestOtherEvents(t *testing.T) {
	requires := func(content string) []ev { return []ev{powerLevels("@creator:here", content)} }
	runAuthCases(t, []authCase{
		{"6: joined", "", nil, ev{"@bob:here", "m.room.message", none, `{}`}, ""},
		{"6: invited", "", nil, ev{"@invited:there", "m.room.message", none, `{}`}, "6"},
		{"6: left", "", nil, ev{"@left:there", "m.room.message", none, `{}`}, "6"},
		{"6: never there", "", nil, ev{"@stranger:there", "m.room.message", none, `{}`}, "6"},
		{"6: creator who left", "", []ev{member("@creator:here", "@creator:here", "leave")}, ev{"@creator:here", "m.room.message", none, `{}`}, "6"},

		{"7: may invite", "", nil, ev{"@bob:here", event.TypeThirdPartyInvite, "token", `{}`}, ""},
		{"7: may not invite", "", requires(`{"invite":1}`), ev{"@bob:here", event.TypeThirdPartyInvite, "token", `{}`}, "7.1"},
		{"7: state_default does not count", "", requires(`{"state_default":100}`), ev{"@bob:here", event.TypeThirdPartyInvite, "token", `{}`}, ""},

		{"8: message", "", nil, ev{"@bob:here", "m.room.message", none, `{}`}, ""},
		{"8: message above events_default", "", requires(`{"events_default":1}`), ev{"@bob:here", "m.room.message", none, `{}`}, "8"},
		{"8: message of a listed type", "", requires(`{"events":{"m.room.message":1}}`), ev{"@bob:here", "m.room.message", none, `{}`}, "8"},
		{"8: state", "", nil, ev{"@mod:here", "m.room.name", "", `{}`}, ""},
		{"8: state below state_default", "", nil, ev{"@bob:here", "m.room.name", "", `{}`}, "8"},
		{"8: state of a listed type", "", requires(`{"events":{"m.room.name":0}}`), ev{"@bob:here", "m.room.name", "", `{}`}, ""},
		{"8: creator is above all", "", requires(`{"events":{"m.room.name":9007199254740991}}`), ev{"@creator:here", "m.room.name", "", `{}`}, ""},
		{"8: creator was not always above all", "11", requires(`{"events":{"m.room.name":101}}`), ev{"@creator:here", "m.room.name", "", `{}`}, "8"},
		{"8: redactions are events like others", "", nil, ev{"@bob:here", event.TypeRedaction, none, `{"redacts":"$x"}`}, ""},

		{"9: own state key", "", requires(`{"state_default":0}`), ev{"@bob:here", "x", "@bob:here", `{}`}, ""},
		{"9: other's state key", "", requires(`{"state_default":0}`), ev{"@bob:here", "x", "@carol:there", `{}`}, "9"},
		{"9: other's state key, by the creator", "", nil, ev{"@creator:here", "x", "@carol:there", `{}`}, "9"},
		{"9: no user's state key", "", requires(`{"state_default":0}`), ev{"@bob:here", "x", "bob", `{}`}, ""},
		{"9: empty state key", "", requires(`{"state_default":0}`), ev{"@bob:here", "x", "", `{}`}, ""},

		{"10: current levels are malformed", "", requires(`{"ban":"x"}`), ev{"@creator:here", "m.room.message", none, `{}`}, "10"},

		{"aliases: own server", "5", nil, ev{"@stranger:there", event.TypeAliases, "there", `{}`}, ""},
		{"aliases: other server", "5", nil, ev{"@bob:here", event.TypeAliases, "there", `{}`}, "4.2 of version 1"},
		{"aliases: no state key", "5", nil, ev{"@bob:here", event.TypeAliases, none, `{}`}, "4.1 of version 1"},
		{"aliases: ordinary state", "6", nil, ev{"@bob:here", event.TypeAliases, "here", `{}`}, "8"},
	})
}

// Rule 11 of versions 1 and 2.
func TestRedactionOfVersion1(t *testing.T) {
	for _, tc := range []struct {
		name, sender string
		target       id.EventID
		rule         string
	}{
		{"level", "@mod:here", "$x:there", ""},
		{"same server", "@bob:here", "$x:here", ""},
		{"neither", "@bob:here", "$x:there", "11.3 of version 1"},
		{"level to send it", "@stranger:there", "$x:there", "6"},
		{"no target", "@bob:here", "", "11.3 of version 1"},
		{"target without a server", "@bob:here", "$x", "11.3 of version 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom(t, "2", "")
			p := r.build(ev{tc.sender, event.TypeRedaction, none, `{}`}, nil)
			p.Redacts = tc.target
			checkRule(t, Check(p, r.state), tc.rule)
		})
	}
}

// Client-Server API, "Size limits", in the versions that let such events pass as well-formed.
func TestOversized(t *testing.T) {
	long := strings.Repeat("é", event.MaxFieldBytes/2+1)
	for _, tc := range []struct{ name, evType, key, rule string }{
		{"fits", "x", long[:254], ""},
		{"type", long, "", "0"},
		{"state key", "x", long, "0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom(t, "10", "")
			raw := string(r.build(ev{"@creator:here", "TYPE", "KEY", `{}`}, nil).JSON())
			raw = strings.NewReplacer("TYPE", tc.evType, "KEY", tc.key).Replace(raw)
			p, err := event.Parse(r.version, []byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			checkRule(t, Check(p, r.state), tc.rule)
		})
	}
}

// The rules of version 12 for rooms with so many creators that the time to compare them with as many users would tell.
func TestManyCreators(t *testing.T) {
	const n = 2000
	var creators, users []string
	for i := range n {
		creators = append(creators, fmt.Sprintf(`"@c%d:x"`, i))
		users = append(users, fmt.Sprintf(`"@u%d:x":1`, i))
	}
	r := newRoom(t, "12", `{"additional_creators":[`+strings.Join(creators, ",")+`]}`)
	for _, tc := range []struct{ name, extra, rule string }{
		{"others", `"@u:x":1`, ""},
		{"the creator", `"@creator:here":1`, "10.4"},
		{"the first", `"@c0:x":1`, "10.4"},
		{"the last", fmt.Sprintf(`"@c%d:x":1`, n-1), "10.4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			content := `{"users":{` + strings.Join(users, ",") + `,` + tc.extra + `}}`
			checkRule(t, Check(r.build(powerLevels("@creator:here", content), nil), r.state), tc.rule)
		})
	}
	if got := UserLevel(r.state, "@c1999:x"); got != CreatorLevel {
		t.Errorf("level of an additional creator: got %d", got)
	}
}

func TestNotAllowedText(t *testing.T) {
	err := reject("5.3.3", "The user is banned from the room")
	if got, want := err.Error(), "The user is banned from the room (authorisation rule 5.3.3)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
