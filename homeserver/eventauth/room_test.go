package eventauth

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// ev is an event in a table. The key of a message event is none.
type ev struct{ sender, evType, key, content string }

const none = "-"

func member(sender, target, membership string) ev {
	return ev{sender, event.TypeMember, target, `{"membership":"` + membership + `"}`}
}

func joinRule(rule string) ev {
	return ev{"@creator:here", event.TypeJoinRules, "", `{"join_rule":"` + rule + `"}`}
}

func powerLevels(sender, content string) ev { return ev{sender, event.TypePowerLevels, "", content} }

// testRoom is a room of some version, with a user for each occasion.
type testRoom struct {
	t       testing.TB
	version *event.RoomVersion
	key     *event.Key
	create  *event.PDU
	state   StateMap
}

// newRoom makes a room whose creator is @creator:here. @admin:here has level 100, @mod:here 50, @bob:here and @carol:there none; they
// have joined. @invited, @banned, @knocker and @left, all :there, are what they are called.
func newRoom(t testing.TB, version, createContent string) *testRoom {
	t.Helper()
	v, err := event.LookupVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	r := &testRoom{
		t: t, version: v, state: StateMap{},
		key: &event.Key{ServerName: "here", KeyID: "ed25519:t", Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
	}
	if createContent == "" {
		createContent = `{"creator":"@creator:here"}`
	}
	r.create = r.build(ev{"@creator:here", event.TypeCreate, "", createContent}, nil)
	r.state[StateKey{Type: event.TypeCreate}] = r.create
	users := `"@admin:here":100,"@mod:here":50`
	if !v.PrivilegedCreators {
		users += `,"@creator:here":100`
	}
	for _, user := range []string{"@creator:here", "@admin:here", "@mod:here", "@bob:here", "@carol:there"} {
		r.put(member(user, user, event.MembershipJoin))
	}
	r.put(powerLevels("@creator:here", `{"users":{`+users+`}}`))
	r.put(joinRule(event.JoinRuleInvite))
	r.put(member("@bob:here", "@invited:there", event.MembershipInvite))
	r.put(member("@mod:here", "@banned:there", event.MembershipBan))
	r.put(member("@knocker:there", "@knocker:there", event.MembershipKnock))
	r.put(member("@left:there", "@left:there", event.MembershipLeave))
	return r
}

// build makes the event e, after prev or after something else.
func (r *testRoom) build(e ev, prev []id.EventID) *event.PDU {
	r.t.Helper()
	b := &event.Builder{
		RoomID: "!room:here", Sender: id.UserID(e.sender), Type: e.evType, Content: json.RawMessage(e.content), PrevEvents: prev, Depth: 9,
	}
	if r.create != nil {
		b.RoomID = r.create.RoomID
	}
	if e.key != none {
		b.StateKey = &e.key
	}
	if r.version.ReferencePairs {
		b.ReferenceHashes = make(map[id.EventID]string)
		for _, ref := range prev {
			b.ReferenceHashes[ref] = "x"
		}
	}
	p, err := b.Build(r.version, r.key)
	if err != nil {
		r.t.Fatalf("build %+v: %v", e, err)
	}
	return p
}

func (r *testRoom) put(e ev) *event.PDU {
	r.t.Helper()
	p := r.build(e, []id.EventID{"$other"})
	r.state[StateKey{p.Type, *p.StateKey}] = p
	return p
}

// authCase is a case of a table: in a room of the version, with state on top of that of newRoom, e is rejected by rule; "" is to allow it.
type authCase struct {
	name    string
	version string // "12" when empty
	state   []ev
	e       ev
	rule    string
}

func runAuthCases(t *testing.T, cases []authCase) {
	t.Helper()
	for _, tc := range cases {
		if tc.version == "" {
			tc.version = "12"
		}
		t.Run(tc.name, func(t *testing.T) {
			r := newRoom(t, tc.version, "")
			for _, s := range tc.state {
				r.put(s)
			}
			checkRule(t, Check(r.build(tc.e, []id.EventID{"$other"}), r.state), tc.rule)
		})
	}
}

// checkRule checks that err is the rejection by rule, or nil for "".
func checkRule(t *testing.T, err error, rule string) {
	t.Helper()
	var denied *NotAllowed
	got := ""
	if errors.As(err, &denied) {
		got = denied.Rule
	}
	if got != rule || (err == nil) != (rule == "") {
		t.Errorf("got %v, want rule %q", err, rule)
	}
}
