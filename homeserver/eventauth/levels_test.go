package eventauth

import (
	"math"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

func TestUserLevel(t *testing.T) {
	const creators = `{"additional_creators":["@second:here"],"creator":"@creator:here"}`
	for _, tc := range []struct {
		name, version string
		levels        string // "" for no power levels
		user          id.UserID
		want          int64
	}{
		{"creator", "12", `{}`, "@creator:here", math.MaxInt64},
		{"creator without levels", "12", "", "@creator:here", math.MaxInt64},
		{"additional creator", "12", `{"users_default":5}`, "@second:here", math.MaxInt64},
		{"additional creator without levels", "12", "", "@second:here", math.MaxInt64},
		{"other without levels", "12", "", "@bob:here", 0},
		{"listed", "12", `{"users":{"@bob:here":7}}`, "@bob:here", 7},
		{"default", "12", `{"users_default":5}`, "@bob:here", 5},
		{"creator of version 11", "11", `{}`, "@creator:here", 0},
		{"creator of version 11 without levels", "11", "", "@creator:here", 100},
		{"additional creator of version 11", "11", "", "@second:here", 0},
		{"creator of version 10 without levels", "10", "", "@creator:here", 100},
		{"malformed levels count as none set", "12", `{"users":1}`, "@bob:here", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom(t, tc.version, creators)
			delete(r.state, StateKey{Type: event.TypePowerLevels})
			if tc.levels != "" {
				r.put(powerLevels("@creator:here", tc.levels))
			}
			if got := UserLevel(r.state, tc.user); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	if got := UserLevel(StateMap{}, "@bob:here"); got != 0 {
		t.Errorf("of no room: got %d, want 0", got)
	}
}

func TestLevels(t *testing.T) {
	r := newRoom(t, "12", "")
	empty := StateMap{{Type: event.TypeCreate}: r.create}
	r.put(powerLevels("@creator:here", `{"ban":1,"events":{"x":9},"events_default":2,"invite":3,"kick":4,"notifications":{"room":5},"redact":6,"state_default":7}`))
	for _, tc := range []struct {
		name               string
		level              func(s State) int64
		want, wantDefaults int64
	}{
		{"ban", BanLevel, 1, 50},
		{"events_default", EventsDefault, 2, 0},
		{"invite", InviteLevel, 3, 0},
		{"kick", KickLevel, 4, 50},
		{"redact", RedactLevel, 6, 50},
		{"state_default", StateDefault, 7, 50},
		{"notification", func(s State) int64 { return NotificationLevel(s, "room") }, 5, 50},
		{"listed state event", func(s State) int64 { return RequiredLevel(s, "x", true) }, 9, 50},
		{"state event", func(s State) int64 { return RequiredLevel(s, "y", true) }, 7, 50},
		{"message event", func(s State) int64 { return RequiredLevel(s, "y", false) }, 2, 0},
	} {
		if got := tc.level(r.state); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
		}
		if got := tc.level(empty); got != tc.wantDefaults {
			t.Errorf("%s by default: got %d, want %d", tc.name, got, tc.wantDefaults)
		}
	}
}

func TestCan(t *testing.T) {
	r := newRoom(t, "12", "")
	for _, tc := range []struct {
		name      string
		got, want bool
	}{
		{"send", CanSend(r.state, "@bob:here", "m.room.message", false), true},
		{"send state", CanSend(r.state, "@bob:here", "m.room.name", true), false},
		{"send state as moderator", CanSend(r.state, "@mod:here", "m.room.name", true), true},
		{"send from outside", CanSend(r.state, "@left:there", "m.room.message", false), false},
		{"invite", CanInvite(r.state, "@bob:here"), true},
		{"invite from outside", CanInvite(r.state, "@invited:there"), false},
		{"kick", CanKick(r.state, "@mod:here", "@bob:here"), true},
		{"kick without the level", CanKick(r.state, "@bob:here", "@carol:there"), false},
		{"kick the creator", CanKick(r.state, "@admin:here", "@creator:here"), false},
		{"ban", CanBan(r.state, "@mod:here", "@stranger:there"), true},
		{"ban a superior", CanBan(r.state, "@mod:here", "@admin:here"), false},
		{"notify", CanNotify(r.state, "@mod:here", "room"), true},
		{"notify without the level", CanNotify(r.state, "@bob:here", "room"), false},
		{"redact", CanRedactOf(r.state, "@mod:here", "@carol:there"), true},
		{"redact without the level", CanRedactOf(r.state, "@bob:here", "@carol:there"), false},
		{"redact one's own", CanRedactOf(r.state, "@bob:here", "@bob:here"), true},
		{"redact of the same server", CanRedactOf(r.state, "@bob:here", "@mod:here"), true},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

// Room version 3, "Handling redactions".
func TestCanRedact(t *testing.T) {
	r := newRoom(t, "12", "")
	redaction := r.build(ev{"@mod:here", event.TypeRedaction, none, `{"redacts":"$x"}`}, nil)
	target := r.build(ev{"@carol:there", "m.room.message", none, `{}`}, nil)
	if !CanRedact(r.state, redaction, target) {
		t.Error("a moderator's redaction is not applied")
	}
	target.RoomID = "!elsewhere"
	if CanRedact(r.state, redaction, target) {
		t.Error("a redaction is applied to another room")
	}
}

func TestStateHelpers(t *testing.T) {
	if JoinRule(StateMap{}) != "invite" || HistoryVisibility(StateMap{}) != "shared" || Membership(StateMap{}, "@a:b") != "" {
		t.Error("wrong defaults")
	}
	r := newRoom(t, "12", "")
	r.put(joinRule("public"))
	r.put(ev{"@creator:here", event.TypeHistoryVisibility, "", `{"history_visibility":"joined"}`})
	if JoinRule(r.state) != "public" || HistoryVisibility(r.state) != "joined" || Membership(r.state, "@bob:here") != "join" {
		t.Error("wrong values")
	}
	message := r.build(ev{"@bob:here", "m.room.message", none, `{}`}, nil)
	first, second := r.build(joinRule("public"), nil), r.build(joinRule("knock"), nil)
	m := NewStateMap(message, first, second)
	if len(m) != 1 || m.Get(StateKey{Type: event.TypeJoinRules}) != second {
		t.Errorf("got %v", m)
	}
}
