package event

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"maunium.net/go/mautrix/id"
)

// withContent returns a bare event whose content can be viewed. The content must be canonical.
func withContent(t testing.TB, version, evType, content string) *PDU {
	return &PDU{
		Version: mustVersion(t, version), Type: evType, StateKey: stateKey(""), Sender: "@creator:domain", Content: []byte(content),
	}
}

func TestStringViews(t *testing.T) {
	for _, tc := range []struct {
		name, evType, content string
		view                  func(p *PDU) string
		want                  string
	}{
		{"membership", TypeMember, `{"membership":"join"}`, (*PDU).Membership, "join"},
		{"no membership", TypeMember, `{}`, (*PDU).Membership, ""},
		{"membership in capitals", TypeMember, `{"Membership":"join"}`, (*PDU).Membership, ""},
		{"membership is a number", TypeMember, `{"membership":1}`, (*PDU).Membership, ""},
		{"membership of something else", TypeJoinRules, `{"membership":"join"}`, (*PDU).Membership, ""},
		{"join rule", TypeJoinRules, `{"join_rule":"public"}`, (*PDU).JoinRule, "public"},
		{"no join rule", TypeJoinRules, `{}`, (*PDU).JoinRule, "invite"},
		{"join rule is null", TypeJoinRules, `{"join_rule":null}`, (*PDU).JoinRule, ""},
		{"join rule of something else", TypeMember, `{"join_rule":"public"}`, (*PDU).JoinRule, ""},
		{"visibility", TypeHistoryVisibility, `{"history_visibility":"joined"}`, (*PDU).HistoryVisibility, "joined"},
		{"world readable", TypeHistoryVisibility, `{"history_visibility":"world_readable"}`, (*PDU).HistoryVisibility, "world_readable"},
		{"no visibility", TypeHistoryVisibility, `{}`, (*PDU).HistoryVisibility, "shared"},
		{"unknown visibility", TypeHistoryVisibility, `{"history_visibility":"x"}`, (*PDU).HistoryVisibility, "shared"},
		{"malformed visibility", TypeHistoryVisibility, `{"history_visibility":[]}`, (*PDU).HistoryVisibility, "shared"},
		{"authorised via", TypeMember, `{"join_authorised_via_users_server":"@a:b"}`, func(p *PDU) string { return string(p.AuthorisedVia()) }, "@a:b"},
		{"string", "x", `{"name":"n\n"}`, func(p *PDU) string { return p.ContentString("name") }, "n\n"},
		{"no string", "x", `{"name":1}`, func(p *PDU) string { return p.ContentString("name") }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.view(withContent(t, "12", tc.evType, tc.content)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAllow(t *testing.T) {
	const content = `{"allow":[{"room_id":"!a","type":"m.room_membership"},1,{"type":2},{"type":"x"}],"join_rule":"restricted"}`
	want := []AllowRule{{Type: "m.room_membership", RoomID: "!a"}, {Type: "x"}}
	if got := withContent(t, "12", TypeJoinRules, content).Allow(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := withContent(t, "12", TypeJoinRules, `{"allow":{}}`).Allow(); got != nil {
		t.Errorf("malformed: got %+v, want nothing", got)
	}
}

func TestCreate(t *testing.T) {
	for _, tc := range []struct {
		name, version, content string
		want                   *Create // nil for ErrBadContent
	}{
		{"empty", "12", `{}`, &Create{RoomVersion: "1", Federate: true, Creator: "@creator:domain"}},
		{
			"all", "12",
			`{"additional_creators":["@a:b","@c:d"],"m.federate":false,"predecessor":{"event_id":"$e","room_id":"!old"},"room_version":"12","type":"m.space"}`,
			&Create{
				RoomVersion: "12", RoomType: "m.space", Creator: "@creator:domain", AdditionalCreators: []id.UserID{"@a:b", "@c:d"},
				Predecessor: &Predecessor{RoomID: "!old", EventID: "$e"},
			},
		},
		{"m.federate is not quite false", "12", `{"m.federate":"false"}`, &Create{RoomVersion: "1", Federate: true, Creator: "@creator:domain"}},
		{"predecessor is none", "12", `{"predecessor":{"event_id":"$e"}}`, &Create{RoomVersion: "1", Federate: true, Creator: "@creator:domain"}},
		{"creator of content", "10", `{"creator":"@other:domain"}`, &Create{RoomVersion: "1", Federate: true, Creator: "@other:domain"}},
		{"creator of content no longer counts", "11", `{"creator":"@other:domain"}`, &Create{RoomVersion: "1", Federate: true, Creator: "@creator:domain"}},
		{"additional creators do not count yet", "11", `{"additional_creators":1}`, &Create{RoomVersion: "1", Federate: true, Creator: "@creator:domain"}},
		{"no creator", "10", `{}`, nil},
		{"creator is no user", "10", `{"creator":5}`, &Create{RoomVersion: "1", Federate: true}},
		{"version is a number", "12", `{"room_version":12}`, nil},
		{"additional creators are no list", "12", `{"additional_creators":"@a:b"}`, nil},
		{"additional creators are null", "12", `{"additional_creators":null}`, nil},
		{"additional creators are not strings", "12", `{"additional_creators":[1]}`, nil},
		{"additional creators are not users", "12", `{"additional_creators":["@a:b","a"]}`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := withContent(t, tc.version, TypeCreate, tc.content).Create()
			if tc.want == nil && !errors.Is(err, ErrBadContent) {
				t.Errorf("got %+v, %v, want ErrBadContent", got, err)
			}
			if tc.want != nil && (err != nil || !reflect.DeepEqual(got, tc.want)) {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
	if _, err := withContent(t, "12", TypeMember, `{}`).Create(); !errors.Is(err, ErrBadContent) {
		t.Errorf("of another type: got %v, want ErrBadContent", err)
	}
}

func TestPowerLevels(t *testing.T) {
	l, err := withContent(t, "12", TypePowerLevels,
		`{"ban":0,"events":{"m.room.name":10,"a\"b":-3},"notifications":{"room":20},"users":{"@a:b":100},"users_default":5,"x":"y"}`).PowerLevels()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name      string
		got, want int64
	}{
		{"ban", l.Ban, 0},
		{"kick", l.Kick, 50},
		{"redact", l.Redact, 50},
		{"invite", l.Invite, 0},
		{"listed user", l.User("@a:b"), 100},
		{"other user", l.User("@c:d"), 5},
		{"listed event", l.Event("m.room.name", true), 10},
		{"listed event with an escape", l.Event(`a"b`, false), -3},
		{"state event", l.Event("m.room.topic", true), 50},
		{"message event", l.Event("m.room.message", false), 0},
		{"listed notification", l.Notification("room"), 20},
		{"other notification", l.Notification("other"), 50},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, tc.got, tc.want)
		}
	}
	if level, ok := l.Explicit("ban"); level != 0 || !ok {
		t.Errorf("explicit ban: got %d, %v", level, ok)
	}
	if _, ok := l.Explicit("kick"); ok {
		t.Error("kick is not explicit")
	}
}

// Room versions, "m.room.power_levels events accept values as strings" and "as floats".
func TestPowerLevelForms(t *testing.T) {
	for _, tc := range []struct {
		name, value string
		want        map[string]int64 // by version; in those left out it is no level
	}{
		{"integer", `50`, map[string]int64{"1": 50, "5": 50, "6": 50, "9": 50, "10": 50, "12": 50}},
		{"negative", `-50`, map[string]int64{"1": -50, "5": -50, "6": -50, "9": -50, "10": -50, "12": -50}},
		{"string", `"0050"`, map[string]int64{"1": 50, "5": 50, "6": 50, "9": 50}},
		{"string with a sign and spaces", `" +50\t"`, map[string]int64{"1": 50, "5": 50, "6": 50, "9": 50}},
		{"negative string", `" -50 "`, map[string]int64{"1": -50, "5": -50, "6": -50, "9": -50}},
		{"string beyond all", `"99999999999999999999"`, map[string]int64{"1": math.MaxInt64 - 1, "5": math.MaxInt64 - 1, "6": math.MaxInt64 - 1, "9": math.MaxInt64 - 1}},
		{"negative string beyond all", `"-99999999999999999999"`, map[string]int64{"1": math.MinInt64, "5": math.MinInt64, "6": math.MinInt64, "9": math.MinInt64}},
		{"float", `50.57`, map[string]int64{"1": 50, "5": 50}},
		{"negative float", `-50.57`, map[string]int64{"1": -50, "5": -50}},
		{"exponent", `51146.98`, map[string]int64{"1": 51146, "5": 51146}},
		{"huge", `1e+300`, map[string]int64{"1": math.MaxInt64 - 1, "5": math.MaxInt64 - 1}},
		{"string of a float", `"50.5"`, nil},
		{"empty string", `""`, nil},
		{"string with two signs", `"--5"`, nil},
		{"string with an underscore", `"5_0"`, nil},
		{"word", `"x"`, nil},
		{"true", `true`, nil},
		{"null", `null`, nil},
		{"object", `{}`, nil},
		{"array", `[50]`, nil},
	} {
		for _, version := range []string{"1", "5", "6", "9", "10", "12"} {
			t.Run(tc.name+" in "+version, func(t *testing.T) {
				want, valid := tc.want[version]
				checkLevelForm(t, mustVersion(t, version), tc.value, want, valid)
			})
		}
	}
}

// checkLevelForm checks what becomes of value wherever a level may stand.
func checkLevelForm(t *testing.T, v *RoomVersion, value string, want int64, valid bool) {
	t.Helper()
	for _, tc := range []struct {
		where      string
		get        func(*PowerLevels) int64
		ifMissing  int64
		mustBeGood bool
	}{
		{`{"ban":%}`, func(l *PowerLevels) int64 { return l.Ban }, DefaultBanLevel, v.IntegerPowerLevels},
		{`{"events_default":%}`, func(l *PowerLevels) int64 { return l.Event("x", false) }, DefaultEventsLevel, v.IntegerPowerLevels},
		{`{"events":{"x":%}}`, func(l *PowerLevels) int64 { return l.Event("x", true) }, DefaultStateLevel, v.IntegerPowerLevels},
		{`{"notifications":{"room":%}}`, func(l *PowerLevels) int64 { return l.Notification("room") }, DefaultNotificationLevel, v.IntegerPowerLevels},
		{`{"users":{"@a:b":%}}`, func(l *PowerLevels) int64 { return l.User("@a:b") }, DefaultUsersLevel, true},
	} {
		l, err := withContent(t, v.ID, TypePowerLevels, strings.Replace(tc.where, "%", value, 1)).PowerLevels()
		if !valid && tc.mustBeGood {
			if !errors.Is(err, ErrBadContent) {
				t.Errorf("%s: got %+v, %v, want ErrBadContent", tc.where, l, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.where, err)
			continue
		}
		want := want
		if !valid {
			want = tc.ifMissing
		}
		if got := tc.get(l); got != want {
			t.Errorf("%s: got %d, want %d", tc.where, got, want)
		}
	}
}

func TestPowerLevelsMalformed(t *testing.T) {
	beyond := strings.Repeat("9", 400)
	for _, tc := range []struct{ content, versions string }{ // versions that reject it
		{`{"users":[]}`, "1 5 9 10 12"},
		{`{"users":null}`, "1 5 9 10 12"},
		{`{"users":{"alice":1}}`, "1 5 9 10 12"},
		{`{"users":{"@alice":1}}`, "1 5 9 10 12"},
		{`{"users":{"@a:b_c":1}}`, "1 5 9 10 12"},
		{`{"events":1}`, "10 12"},
		{`{"events":null}`, "10 12"},
		{`{"notifications":"x"}`, "10 12"},
		{`{"notifications":{"x":"y"}}`, "10 12"},
		{`{"invite":null}`, "10 12"},
		{`{"other":null}`, ""},
		{`{"ban":` + beyond + `}`, "1 5 10 12"}, // the versions between have no such number
		{`{"events":{"x":-` + beyond + `}}`, "1 5 10 12"},
		{`{"users":{"@a:b":` + beyond + `}}`, "1 5 9 10 12"},
	} {
		for _, version := range []string{"1", "5", "9", "10", "12"} {
			l, err := withContent(t, version, TypePowerLevels, tc.content).PowerLevels()
			reject := slices.Contains(strings.Fields(tc.versions), version)
			if reject != errors.Is(err, ErrBadContent) || !reject && err != nil {
				t.Errorf("%.40s in %s: got %+v, %v, want it rejected: %v", tc.content, version, l, err, reject)
			}
			if err == nil && (l.Ban != DefaultBanLevel || l.Event("x", true) != DefaultStateLevel) {
				t.Errorf("%.40s in %s: got %+v, want the defaults", tc.content, version, l)
			}
		}
	}
	if _, err := withContent(t, "12", TypeMember, `{}`).PowerLevels(); !errors.Is(err, ErrBadContent) {
		t.Errorf("of another type: got %v, want ErrBadContent", err)
	}
}

// Views are read by many at once; the race detector has the last word here.
func TestViewsConcurrently(t *testing.T) {
	p := withContent(t, "12", TypePowerLevels, `{"users":{"@a:b":7}}`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if l, err := p.PowerLevels(); err != nil || l.User("@a:b") != 7 {
				t.Errorf("got %+v, %v", l, err)
			}
		})
	}
	wg.Wait()
}
