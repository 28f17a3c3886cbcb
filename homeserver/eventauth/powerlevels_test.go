package eventauth

import (
	"testing"

	"causeway/homeserver/event"
)

// Rules 10.1 to 10.5.
func TestPowerLevelsForm(t *testing.T) {
	runAuthCases(t, []authCase{
		{"10.1: integers", "", nil, powerLevels("@creator:here", `{"ban":1,"events_default":2,"invite":3,"kick":4,"redact":5,"state_default":6,"users_default":7}`), ""},
		{"10.1: string", "", nil, powerLevels("@creator:here", `{"ban":"50"}`), "10.1 to 10.3"},
		{"10.1: string in version 11", "11", nil, powerLevels("@creator:here", `{"users":{"@creator:here":100},"ban":"50"}`), "10.1 to 10.3"},
		{"10.1: string before that", "9", nil, powerLevels("@creator:here", `{"users":{"@creator:here":100,"@admin:here":100},"ban":"50"}`), ""},
		{"10.1: null", "", nil, powerLevels("@creator:here", `{"kick":null}`), "10.1 to 10.3"},
		{"10.2: events of strings", "", nil, powerLevels("@creator:here", `{"events":{"x":"1"}}`), "10.1 to 10.3"},
		{"10.2: events is an array", "", nil, powerLevels("@creator:here", `{"events":[]}`), "10.1 to 10.3"},
		{"10.2: notifications of booleans", "", nil, powerLevels("@creator:here", `{"notifications":{"room":true}}`), "10.1 to 10.3"},
		{"10.3: users is a string", "", nil, powerLevels("@creator:here", `{"users":"x"}`), "10.1 to 10.3"},
		{"10.3: key is no user", "", nil, powerLevels("@creator:here", `{"users":{"bob":1}}`), "10.1 to 10.3"},
		{"10.3: value is no integer", "", nil, powerLevels("@creator:here", `{"users":{"@bob:here":"1"}}`), "10.1 to 10.3"},
		{"10.4: creator", "", nil, powerLevels("@creator:here", `{"users":{"@creator:here":100}}`), "10.4"},
		{"10.4: creator in version 11", "11", nil, powerLevels("@creator:here", `{"users":{"@admin:here":100,"@creator:here":100,"@mod:here":50}}`), ""},
	})
	t.Run("10.4: additional creator", func(t *testing.T) {
		r := newRoom(t, "12", `{"additional_creators":["@bob:here"]}`)
		checkRule(t, Check(r.build(powerLevels("@creator:here", `{"users":{"@bob:here":0}}`), nil), r.state), "10.4")
		checkRule(t, Check(r.build(powerLevels("@bob:here", `{"users":{"@carol:there":0}}`), nil), r.state), "")
	})
	t.Run("10.5: first", func(t *testing.T) {
		for _, version := range []string{"11", "12"} {
			r := newRoom(t, version, "")
			delete(r.state, StateKey{Type: event.TypePowerLevels})
			checkRule(t, Check(r.build(powerLevels("@creator:here", `{"ban":10000,"users":{"@bob:here":10000}}`), nil), r.state), "")
			checkRule(t, Check(r.build(powerLevels("@bob:here", `{}`), nil), r.state), "8")
		}
	})
}

// Rules 10.6 to 10.10.
func TestPowerLevelsChanges(t *testing.T) {
	// @mod:here, of level 50, may send power levels, and changes these.
	const before = `{"ban":60,"events":{"equal":50,"high":60,"low":40,"m.room.power_levels":50},"kick":40,"redact":50,` +
		`"notifications":{"high":60,"low":40},"users":{"@admin:here":100,"@bob:here":10,"@carol:there":50,"@mod:here":50}}`
	for _, tc := range []struct{ name, version, after, rule string }{
		{"nothing", "12", before, ""},
		{"10.6.1: change a level above", "12", replaced(t, before, `"ban":60`, `"ban":50`), "10.6.1"},
		{"10.6.1: remove a level above", "12", replaced(t, before, `"ban":60,`, ``), "10.6.1"},
		{"10.6: change a level below", "12", replaced(t, before, `"kick":40`, `"kick":50`), ""},
		{"10.6: remove a level below", "12", replaced(t, before, `"kick":40,`, ``), ""},
		{"10.6: change a level that is one's own", "12", replaced(t, before, `"redact":50`, `"redact":40`), ""},
		{"10.6: remove a level that is one's own", "12", replaced(t, before, `"redact":50,`, ``), ""},
		{"10.7: change an event of one's own level", "12", replaced(t, before, `"equal":50`, `"equal":40`), ""},
		{"10.7: remove an event of one's own level", "12", replaced(t, before, `"equal":50,`, ``), ""},
		{"10.6: add a level", "12", replaced(t, before, `"kick":40`, `"kick":40,"invite":50`), ""},
		{"10.6: make a default explicit", "12", replaced(t, before, `"kick":40`, `"kick":40,"users_default":0`), ""},
		{"10.6.2: raise a level above", "12", replaced(t, before, `"kick":40`, `"kick":51`), "10.6.2"},
		{"10.6.2: add a level above", "12", replaced(t, before, `"kick":40`, `"kick":40,"state_default":51`), "10.6.2"},
		{"10.7: change an event above", "12", replaced(t, before, `"high":60,"low":40,"m.`, `"high":50,"low":40,"m.`), "10.7.1"},
		{"10.7: remove an event above", "12", replaced(t, before, `"high":60,"low":40,"m.`, `"low":40,"m.`), "10.7.1"},
		{"10.7: change an event below", "12", replaced(t, before, `"low":40,"m.`, `"low":50,"m.`), ""},
		{"10.7: remove an event below", "12", replaced(t, before, `"low":40,"m.`, `"m.`), ""},
		{"10.8: add an event", "12", replaced(t, before, `"low":40,"m.`, `"low":40,"x":50,"m.`), ""},
		{"10.8: add an event above", "12", replaced(t, before, `"low":40,"m.`, `"low":40,"x":51,"m.`), "10.8.1"},
		{"10.8: raise an event above", "12", replaced(t, before, `"low":40,"m.`, `"low":51,"m.`), "10.8.1"},
		{"10.7: change a notification above", "12", replaced(t, before, `{"high":60,"low":40}`, `{"high":50,"low":40}`), "10.7.1"},
		{"10.7: change a notification below", "12", replaced(t, before, `"low":40}`, `"low":30}`), ""},
		{"10.8: add a notification above", "12", replaced(t, before, `"low":40}`, `"low":40,"x":51}`), "10.8.1"},
		{"10.7: notifications did not always count", "5", replaced(t, before, `{"high":60,"low":40}`, `{"high":50,"low":90}`), ""},
		{"10.9: lower a user below", "12", replaced(t, before, `"@bob:here":10`, `"@bob:here":0`), ""},
		{"10.9: remove a user below", "12", replaced(t, before, `"@bob:here":10,`, ``), ""},
		{"10.9.1: lower an equal", "12", replaced(t, before, `"@carol:there":50`, `"@carol:there":40`), "10.9.1"},
		{"10.9.1: remove an equal", "12", replaced(t, before, `"@carol:there":50,`, ``), "10.9.1"},
		{"10.9.1: remove a superior", "12", replaced(t, before, `"@admin:here":100,`, ``), "10.9.1"},
		{"10.9: lower oneself", "12", replaced(t, before, `"@mod:here":50`, `"@mod:here":0`), ""},
		{"10.9: remove oneself", "12", replaced(t, before, `,"@mod:here":50`, ``), ""},
		{"10.10: raise a user", "12", replaced(t, before, `"@bob:here":10`, `"@bob:here":50`), ""},
		{"10.10: add a user", "12", replaced(t, before, `"@bob:here":10`, `"@bob:here":10,"@new:x":50`), ""},
		{"10.10.1: raise a user above", "12", replaced(t, before, `"@bob:here":10`, `"@bob:here":51`), "10.10.1"},
		{"10.10.1: add a user above", "12", replaced(t, before, `"@bob:here":10`, `"@bob:here":10,"@new:x":51`), "10.10.1"},
		{"10.10.1: raise oneself", "12", replaced(t, before, `"@mod:here":50`, `"@mod:here":51`), "10.10.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom(t, tc.version, "")
			r.put(powerLevels("@creator:here", before))
			checkRule(t, Check(r.build(powerLevels("@mod:here", tc.after), nil), r.state), tc.rule)
			// The creator of version 12 may do all of this.
			if tc.version == "12" {
				checkRule(t, Check(r.build(powerLevels("@creator:here", tc.after), nil), r.state), "")
			}
		})
	}
}

// replaced returns s with the one occurrence of from replaced.
func replaced(t *testing.T, s, from, to string) string {
	t.Helper()
	for i := range s {
		if len(s)-i >= len(from) && s[i:i+len(from)] == from {
			return s[:i] + to + s[i+len(from):]
		}
	}
	t.Fatalf("%q is not in %q", from, s)
	return ""
}
