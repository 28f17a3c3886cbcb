package event

import (
	"strings"
	"testing"
)

// fullContent has, for each type that keeps some of its content, all keys that some version keeps, and one that none does.
var fullContent = map[string]string{
	TypeMember: `{"displayname":"x","join_authorised_via_users_server":"@a:b","membership":"invite",` +
		`"third_party_invite":{"display_name":"x","signed":{"mxid":"@a:b"}}}`,
	TypeCreate:            `{"creator":"@a:b","room_version":"1"}`,
	TypeJoinRules:         `{"allow":[],"join_rule":"restricted","x":1}`,
	TypePowerLevels:       `{"ban":1,"events":{},"events_default":2,"invite":3,"kick":4,"notifications":{},"redact":5,"state_default":6,"users":{},"users_default":7}`,
	TypeAliases:           `{"aliases":["#a:b"],"x":1}`,
	TypeHistoryVisibility: `{"history_visibility":"joined","x":1}`,
	TypeRedaction:         `{"reason":"x","redacts":"$x"}`,
	"m.room.message":      `{"body":"x"}`,
}

func TestRedactContent(t *testing.T) {
	const levels = `{"ban":1,"events":{},"events_default":2,"kick":4,"redact":5,"state_default":6,"users":{},"users_default":7}`
	for _, tc := range []struct {
		versions, evType, want string
	}{
		{"1 2 3 4 5 6 7 8", TypeMember, `{"membership":"invite"}`},
		{"9 10", TypeMember, `{"join_authorised_via_users_server":"@a:b","membership":"invite"}`},
		{"11 12", TypeMember, `{"join_authorised_via_users_server":"@a:b","membership":"invite","third_party_invite":{"signed":{"mxid":"@a:b"}}}`},
		{"1 2 3 4 5 6 7 8 9 10", TypeCreate, `{"creator":"@a:b"}`},
		{"11 12", TypeCreate, `{"creator":"@a:b","room_version":"1"}`},
		{"1 2 3 4 5 6 7", TypeJoinRules, `{"join_rule":"restricted"}`},
		{"8 9 10 11 12", TypeJoinRules, `{"allow":[],"join_rule":"restricted"}`},
		{"1 2 3 4 5 6 7 8 9 10", TypePowerLevels, levels},
		{"11 12", TypePowerLevels, strings.Replace(levels, `"kick"`, `"invite":3,"kick"`, 1)},
		{"1 2 3 4 5", TypeAliases, `{"aliases":["#a:b"]}`},
		{"6 7 8 9 10 11 12", TypeAliases, `{}`},
		{"1 2 3 4 5 6 7 8 9 10 11 12", TypeHistoryVisibility, `{"history_visibility":"joined"}`},
		{"1 2 3 4 5 6 7 8 9 10", TypeRedaction, `{}`},
		{"11 12", TypeRedaction, `{"redacts":"$x"}`},
		{"1 2 3 4 5 6 7 8 9 10 11 12", "m.room.message", `{}`},
	} {
		for version := range strings.FieldsSeq(tc.versions) {
			t.Run(version+" "+tc.evType, func(t *testing.T) {
				got := string(redactContent(mustVersion(t, version), tc.evType, []byte(fullContent[tc.evType])))
				if got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
			})
		}
	}
}

func TestRedactThirdPartyInvite(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"without signed", `{"third_party_invite":{"display_name":"x"}}`, `{"third_party_invite":{}}`},
		{"not an object", `{"third_party_invite":"x"}`, `{}`},
		{"signed is kept as it is", `{"third_party_invite":{"signed":1}}`, `{"third_party_invite":{"signed":1}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(redactContent(mustVersion(t, "12"), TypeMember, []byte(tc.in))); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestRedactTopLevel(t *testing.T) {
	const in = `{"auth_events":[],"content":{"body":"x"},"depth":3,"event_id":"$e:d","hashes":{"sha256":"x"},"membership":"join","origin":"d",` +
		`"origin_server_ts":1,"prev_events":[],"prev_state":[],"redacts":"$x","room_id":"!r:d","sender":"@u:d","signatures":{"d":{}},` +
		`"state_key":"","type":"t","unknown":1,"unsigned":{}}`
	const want = `{"auth_events":[],"content":{},"depth":3,"event_id":"$e:d","hashes":{"sha256":"x"},"origin_server_ts":1,"prev_events":[],` +
		`"room_id":"!r:d","sender":"@u:d","signatures":{"d":{}},"state_key":"","type":"t"}`
	legacy := strings.NewReplacer(
		`"origin_server_ts"`, `"membership":"join","origin":"d","origin_server_ts"`, `"room_id"`, `"prev_state":[],"room_id"`,
	).Replace(want)
	for _, v := range Versions() {
		t.Run(v.ID, func(t *testing.T) {
			want := want
			if v.Redaction.LegacyTopLevel {
				want = legacy
			}
			if got := string(appendRedacted(nil, v, "t", []byte(in), true)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			unsigned := strings.Replace(want, `"signatures":{"d":{}},`, "", 1)
			if got := string(appendRedacted(nil, v, "t", []byte(in), false)); got != unsigned {
				t.Errorf("to be signed: got %s, want %s", got, unsigned)
			}
		})
	}
}

func TestRedactKeepsIdentity(t *testing.T) {
	p, err := messageBuilder().Build(mustVersion(t, "12"), testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Redact()
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Content) != "{}" || r.EventID != p.EventID || r.Sender != p.Sender || r.Depth != p.Depth || len(r.AuthEvents) != 2 {
		t.Errorf("got %+v", r)
	}
	if string(p.Content) == "{}" {
		t.Error("the event itself was changed")
	}
	if r.VerifyHash() == nil {
		t.Error("the content hash still matches")
	}
	twice, err := r.Redact()
	if err != nil || string(twice.JSON()) != string(r.JSON()) {
		t.Errorf("redacted twice: got %s, %v, want %s", twice.JSON(), err, r.JSON())
	}
}
