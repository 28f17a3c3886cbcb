package eventauth

import (
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// joinVia is a join that user says via's server authorised.
func joinVia(user, via string) ev {
	return ev{user, event.TypeMember, user, `{"membership":"join","join_authorised_via_users_server":"` + via + `"}`}
}

// Rules 5.1, 5.3 and 5.8.
func TestJoin(t *testing.T) {
	rule := func(rule string) []ev { return []ev{joinRule(rule)} }
	join := func(user string) ev { return member(user, user, "join") }
	runAuthCases(t, []authCase{
		{"5.1: no state key", "", nil, ev{"@bob:here", event.TypeMember, none, `{"membership":"join"}`}, "5.1"},
		{"5.1: no membership", "", nil, ev{"@bob:here", event.TypeMember, "@bob:here", `{}`}, "5.1"},
		{"5.8: unknown membership", "", nil, member("@bob:here", "@bob:here", "x"), "5.8"},
		{"5.8: membership is a number", "", nil, ev{"@bob:here", event.TypeMember, "@bob:here", `{"membership":1}`}, "5.8"},

		{"5.3.2: oneself", "", rule("public"), join("@stranger:there"), ""},
		{"5.3.2: another", "", rule("public"), member("@creator:here", "@stranger:there", "join"), "5.3.2"},
		{"5.3.3: banned", "", rule("public"), join("@banned:there"), "5.3.3"},
		{"5.3.3: creator who is banned", "", append(rule("public"), member("@admin:here", "@creator:here", "ban")), join("@creator:here"), "5.3.3"},

		{"5.3.4: invite rule, invited", "", nil, join("@invited:there"), ""},
		{"5.3.4: invite rule, joined", "", nil, join("@bob:here"), ""},
		{"5.3.4: invite rule, stranger", "", nil, join("@stranger:there"), "5.3.4"},
		{"5.3.4: invite rule, left", "", nil, join("@left:there"), "5.3.4"},
		{"5.3.4: invite rule, knocked", "", nil, join("@knocker:there"), "5.3.4"},
		{"5.3.4: knock rule, invited", "", rule("knock"), join("@invited:there"), ""},
		{"5.3.4: knock rule, knocked", "", rule("knock"), join("@knocker:there"), "5.3.4"},
		{"5.3.4: knock rule before its time", "6", rule("knock"), join("@invited:there"), "5.3.7"},
		{"5.3.4: no rule names one", "", []ev{{"@creator:here", event.TypeJoinRules, "", `{}`}}, join("@invited:there"), ""},

		{"5.3.5.1: restricted, invited", "", rule("restricted"), join("@invited:there"), ""},
		{"5.3.5.1: restricted, joined", "", rule("restricted"), join("@carol:there"), ""},
		{"5.3.5.2: restricted, authorised", "", rule("restricted"), joinVia("@stranger:there", "@bob:here"), ""},
		{"5.3.5.2: restricted, not authorised", "", rule("restricted"), join("@stranger:there"), "5.3.5.2"},
		{"5.3.5.2: restricted, authorised by a stranger", "", rule("restricted"), joinVia("@stranger:there", "@other:here"), "5.3.5.2"},
		{"5.3.5.2: restricted, authorised by one who left", "", rule("restricted"), joinVia("@stranger:there", "@left:there"), "5.3.5.2"},
		{
			"5.3.5.2: restricted, authorised by one who may not invite", "",
			append(rule("restricted"), powerLevels("@creator:here", `{"invite":1}`)), joinVia("@stranger:there", "@bob:here"), "5.3.5.2",
		},
		{
			"5.3.5.2: restricted, authorised by the creator", "",
			append(rule("restricted"), powerLevels("@creator:here", `{"invite":1000}`)), joinVia("@stranger:there", "@creator:here"), "",
		},
		{"5.3.5: restricted, banned", "", rule("restricted"), joinVia("@banned:there", "@bob:here"), "5.3.3"},
		{"5.3.5: restricted before its time", "7", rule("restricted"), joinVia("@stranger:there", "@bob:here"), "5.3.7"},
		{"5.3.5: knock_restricted, authorised", "", rule("knock_restricted"), joinVia("@stranger:there", "@bob:here"), ""},
		{"5.3.5: knock_restricted, not authorised", "", rule("knock_restricted"), join("@stranger:there"), "5.3.5.2"},
		{"5.3.5: knock_restricted before its time", "9", rule("knock_restricted"), joinVia("@stranger:there", "@bob:here"), "5.3.7"},

		{"5.3.6: public", "", rule("public"), join("@left:there"), ""},
		{"5.3.7: private", "", rule("private"), join("@invited:there"), "5.3.7"},
		{"5.3.7: unknown", "", rule("x"), join("@invited:there"), "5.3.7"},
		{"5.3.7: rule is a number", "", []ev{{"@creator:here", event.TypeJoinRules, "", `{"join_rule":1}`}}, join("@invited:there"), "5.3.7"},
	})
}

// Rule 5.3.1.
func TestFirstJoin(t *testing.T) {
	for _, tc := range []struct {
		name, version, createContent, user string
		extraPrev                          []id.EventID
		rule                               string
	}{
		{"creator", "12", `{}`, "@creator:here", nil, ""},
		{"creator of version 11", "11", `{}`, "@creator:here", nil, ""},
		{"someone else", "12", `{}`, "@bob:here", nil, "5.3.4"},
		{"additional creator", "12", `{"additional_creators":["@bob:here"]}`, "@bob:here", nil, "5.3.4"},
		{"creator after something else", "12", `{}`, "@creator:here", []id.EventID{"$x"}, "5.3.4"},
		{"creator named by the content", "10", `{"creator":"@bob:here"}`, "@bob:here", nil, ""},
		{"sender who is not the creator named", "10", `{"creator":"@bob:here"}`, "@creator:here", nil, "5.3.4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom(t, tc.version, tc.createContent)
			state := StateMap{{Type: event.TypeCreate}: r.create}
			p := r.build(member(tc.user, tc.user, "join"), append([]id.EventID{r.create.EventID}, tc.extraPrev...))
			checkRule(t, Check(p, state), tc.rule)
		})
	}
}

// Rules 5.4.2 to 5.4.5. Those of 5.4.1 are in TestThirdPartyInvite.
func TestInvite(t *testing.T) {
	runAuthCases(t, []authCase{
		{"5.4.2: sender joined", "", nil, member("@bob:here", "@stranger:there", "invite"), ""},
		{"5.4.2: sender invited", "", nil, member("@invited:there", "@stranger:there", "invite"), "5.4.2"},
		{"5.4.3: target left", "", nil, member("@bob:here", "@left:there", "invite"), ""},
		{"5.4.3: target knocked", "", nil, member("@bob:here", "@knocker:there", "invite"), ""},
		{"5.4.3: target invited", "", nil, member("@bob:here", "@invited:there", "invite"), ""},
		{"5.4.3: target joined", "", nil, member("@creator:here", "@bob:here", "invite"), "5.4.3"},
		{"5.4.3: target banned", "", nil, member("@creator:here", "@banned:there", "invite"), "5.4.3"},
		{"5.4.4: level", "", []ev{powerLevels("@creator:here", `{"invite":50,"users":{"@mod:here":50}}`)}, member("@mod:here", "@stranger:there", "invite"), ""},
		{"5.4.5: no level", "", []ev{powerLevels("@creator:here", `{"invite":50}`)}, member("@bob:here", "@stranger:there", "invite"), "5.4.5"},
	})
}

// Rules 5.5.
func TestLeave(t *testing.T) {
	leave := func(sender, target string) ev { return member(sender, target, "leave") }
	runAuthCases(t, []authCase{
		{"5.5.1: joined", "", nil, leave("@bob:here", "@bob:here"), ""},
		{"5.5.1: invited", "", nil, leave("@invited:there", "@invited:there"), ""},
		{"5.5.1: knocked", "", nil, leave("@knocker:there", "@knocker:there"), ""},
		{"5.5.1: knocked before its time", "6", nil, leave("@knocker:there", "@knocker:there"), "5.5.1"},
		{"5.5.1: banned", "", nil, leave("@banned:there", "@banned:there"), "5.5.1"},
		{"5.5.1: left", "", nil, leave("@left:there", "@left:there"), "5.5.1"},
		{"5.5.1: never there", "", nil, leave("@stranger:there", "@stranger:there"), "5.5.1"},
		{"5.5.2: kick", "", nil, leave("@mod:here", "@bob:here"), ""},
		{"5.5.2: kick from outside", "", []ev{member("@mod:here", "@mod:here", "leave")}, leave("@mod:here", "@bob:here"), "5.5.2"},
		{"5.5.3: unban", "", nil, leave("@mod:here", "@banned:there"), ""},
		{"5.5.3: unban without the level", "", []ev{powerLevels("@creator:here", `{"ban":60,"users":{"@mod:here":50}}`)}, leave("@mod:here", "@banned:there"), "5.5.3"},
		{"5.5.3: unban without the level to kick", "", []ev{powerLevels("@creator:here", `{"kick":60,"users":{"@mod:here":50}}`)}, leave("@mod:here", "@banned:there"), "5.5.5"},
		{"5.5.4: withdraw an invite", "", nil, leave("@mod:here", "@invited:there"), ""},
		{"5.5.4: reject a knock", "", nil, leave("@mod:here", "@knocker:there"), ""},
		{"5.5.5: no level", "", nil, leave("@bob:here", "@carol:there"), "5.5.5"},
		{"5.5.5: equals", "", []ev{powerLevels("@creator:here", `{"users":{"@mod:here":50,"@bob:here":50}}`)}, leave("@mod:here", "@bob:here"), "5.5.5"},
		{"5.5.5: superior", "", nil, leave("@mod:here", "@admin:here"), "5.5.5"},
		{"5.5.5: creator", "", nil, leave("@admin:here", "@creator:here"), "5.5.5"},
		{"5.5.4: by the creator", "", nil, leave("@creator:here", "@admin:here"), ""},
	})
}

// Rules 5.6.
func TestBan(t *testing.T) {
	ban := func(sender, target string) ev { return member(sender, target, "ban") }
	runAuthCases(t, []authCase{
		{"5.6.1: from outside", "", []ev{member("@mod:here", "@mod:here", "leave")}, ban("@mod:here", "@bob:here"), "5.6.1"},
		{"5.6.2: member", "", nil, ban("@mod:here", "@bob:here"), ""},
		{"5.6.2: stranger", "", nil, ban("@mod:here", "@stranger:there"), ""},
		{"5.6.2: again", "", nil, ban("@mod:here", "@banned:there"), ""},
		{"5.6.3: no level", "", nil, ban("@bob:here", "@carol:there"), "5.6.3"},
		{"5.6.3: equals", "", nil, ban("@mod:here", "@mod:here"), "5.6.3"},
		{"5.6.3: superior", "", nil, ban("@mod:here", "@admin:here"), "5.6.3"},
		{"5.6.3: creator", "", nil, ban("@admin:here", "@creator:here"), "5.6.3"},
		{"5.6.2: by the creator", "", nil, ban("@creator:here", "@admin:here"), ""},
	})
}

// Rules 5.7.
func TestKnock(t *testing.T) {
	rule := func(rule string) []ev { return []ev{joinRule(rule)} }
	knock := func(user string) ev { return member(user, user, "knock") }
	runAuthCases(t, []authCase{
		{"5.7.1: knock", "", rule("knock"), knock("@stranger:there"), ""},
		{"5.7.1: knock_restricted", "", rule("knock_restricted"), knock("@stranger:there"), ""},
		{"5.7.1: knock_restricted before its time", "9", rule("knock_restricted"), knock("@stranger:there"), "5.7.1"},
		{"5.7.1: invite", "", nil, knock("@stranger:there"), "5.7.1"},
		{"5.7.1: public", "", rule("public"), knock("@stranger:there"), "5.7.1"},
		{"5.7.2: another", "", rule("knock"), member("@bob:here", "@stranger:there", "knock"), "5.7.2"},
		{"5.7.3: left", "", rule("knock"), knock("@left:there"), ""},
		{"5.7.3: knocked", "", rule("knock"), knock("@knocker:there"), ""},
		{"5.7.4: banned", "", rule("knock"), knock("@banned:there"), "5.7.4"},
		{"5.7.4: invited", "", rule("knock"), knock("@invited:there"), "5.7.4"},
		{"5.7.4: joined", "", rule("knock"), knock("@bob:here"), "5.7.4"},
		{"5.8: knock before its time", "6", rule("knock"), knock("@stranger:there"), "5.8"},
	})
}
