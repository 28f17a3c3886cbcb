package push

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

const alice = id.UserID("@alice:example.org")

var plainBook = newBook(false, false)

// TestDefaultRules compares with the examples of the specification, version 1.19, for the user @alice:example.org.
func TestDefaultRules(t *testing.T) {
	golden, err := os.ReadFile("testdata/default_rules.json")
	if err != nil {
		t.Fatal(err)
	}
	rules := plainBook.defaults(alice)
	for _, kind := range kinds { // those of MSCs come after those of the specification
		mine := rules.of(kind)
		*mine = slices.DeleteFunc(*mine, func(r Rule) bool { return strings.HasPrefix(r.RuleID, ".org.matrix.msc") })
	}
	raw, err := json.Marshal(rules)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(raw, &got), json.Unmarshal(golden, &want)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %s\nwant %s", raw, golden)
	}
	if other, _ := json.Marshal(plainBook.defaults("@bob:example.org")); strings.Contains(string(other), "alice") {
		t.Error("one user's rules are in another's")
	}
}

func TestRules(t *testing.T) {
	// user shows the rules of a kind that are the user's own, and those that are not as they were, as "id" or "id(off)".
	user := func(rules *Ruleset, kind Kind) (ids []string) {
		for i, rule := range *rules.of(kind) {
			switch plain := *plainBook.defaults(alice).of(kind); {
			case !rule.Default && rule.Enabled:
				ids = append(ids, rule.RuleID)
			case !rule.Default:
				ids = append(ids, rule.RuleID+"(off)")
			case i == 0 && rule.RuleID == masterRule && rule.Enabled:
				ids = append(ids, "silence")
			case !slices.ContainsFunc(plain, func(r Rule) bool { return reflect.DeepEqual(r, rule) }):
				ids = append(ids, rule.RuleID+"(changed)")
			}
		}
		return ids
	}
	put := func(kind Kind, ruleID, before, after string) func(context.Context, *Service) error {
		return func(ctx context.Context, s *Service) error {
			pattern := "cake"
			return s.PutRule(ctx, alice, kind, ruleID, RuleInput{Actions: []json.RawMessage{[]byte(`"notify"`)}, Pattern: &pattern}, before, after)
		}
	}
	enable := func(kind Kind, ruleID string, enabled bool) func(context.Context, *Service) error {
		return func(ctx context.Context, s *Service) error { return s.SetEnabled(ctx, alice, kind, ruleID, enabled) }
	}
	steps := []struct {
		name string
		do   func(context.Context, *Service) error
		want string // error code
		kind Kind
		now  string
	}{
		{"first", put(Override, "a", "", ""), "", Override, "a"},
		{"newest comes first", put(Override, "b", "", ""), "", Override, "b a"},
		{"after", put(Override, "c", "", "b"), "", Override, "b c a"},
		{"before", put(Override, "d", "a", ""), "", Override, "b c d a"},
		{"before counts for more", put(Override, "e", "a", "b"), "", Override, "b c d e a"},
		{"off", enable(Override, "c", false), "", Override, "b c(off) d e a"},
		{"changed in its place, still off", put(Override, "c", "", ""), "", Override, "b c(off) d e a"},
		{"moved", put(Override, "c", "", "a"), "", Override, "b d e a c(off)"},
		{"next to nothing", put(Override, "f", "x", ""), "M_UNKNOWN", Override, "b d e a c(off)"},
		{"next to a default rule", put(Override, "f", ".m.rule.reaction", ""), "M_INVALID_PARAM", Override, "b d e a c(off)"},
		{"reserved id", put(Override, ".f", "", ""), "M_INVALID_PARAM", Override, "b d e a c(off)"},
		{"slash", put(Override, "a/b", "", ""), "M_INVALID_PARAM", Override, "b d e a c(off)"},
		{"backslash", put(Override, `a\b`, "", ""), "M_INVALID_PARAM", Override, "b d e a c(off)"},
		{"long id", put(Override, strings.Repeat("x", 256), "", ""), "M_INVALID_PARAM", Override, "b d e a c(off)"},
		{"delete", func(ctx context.Context, s *Service) error { return s.DeleteRule(ctx, alice, Override, "d") }, "", Override, "b e a c(off)"},
		{"delete again", func(ctx context.Context, s *Service) error { return s.DeleteRule(ctx, alice, Override, "d") }, "M_NOT_FOUND", Override, "b e a c(off)"},
		{"delete a default rule", func(ctx context.Context, s *Service) error {
			return s.DeleteRule(ctx, alice, Override, ".m.rule.reaction")
		}, "M_INVALID_PARAM", Override, "b e a c(off)"},
		{"master", enable(Override, masterRule, true), "", Override, "silence b e a c(off)"},
		{"after the master rule", put(Override, "g", "", ""), "", Override, "silence g b e a c(off)"},
		{"default off", enable(Underride, ".m.rule.message", false), "", Underride, ".m.rule.message(changed)"},
		{"own underride", put(Underride, "u", "", ""), "", Underride, "u .m.rule.message(changed)"},
		{"actions of a default rule", func(ctx context.Context, s *Service) error {
			return s.SetActions(ctx, alice, Underride, ".m.rule.call", []json.RawMessage{[]byte(`"dont_notify"`)})
		}, "", Underride, "u .m.rule.call(changed) .m.rule.message(changed)"},
		{"no actions", func(ctx context.Context, s *Service) error {
			return s.SetActions(ctx, alice, Underride, ".m.rule.call", nil)
		},
			"M_MISSING_PARAM", Underride, "u .m.rule.call(changed) .m.rule.message(changed)"},
		{"actions of no rule", func(ctx context.Context, s *Service) error {
			return s.SetActions(ctx, alice, Underride, "x", []json.RawMessage{})
		}, "M_NOT_FOUND", Underride, "u .m.rule.call(changed) .m.rule.message(changed)"},
		{"content", put(Content, "c", "", ""), "", Content, "c"},
		{"room", put(Room, "!r:example.org", "", ""), "", Room, "!r:example.org"},
		{"sender", put(Sender, "@spam:example.org", "", ""), "", Sender, "@spam:example.org"},
		{"no such kind", put("x", "a", "", ""), "M_INVALID_PARAM", Sender, "@spam:example.org"},
		{"no such kind either", enable("x", "a", true), "M_NOT_FOUND", Sender, "@spam:example.org"},
		{"no such rule", enable(Sender, "a", true), "M_NOT_FOUND", Sender, "@spam:example.org"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		bus := new(notify.Local)
		s := New(Config{DB: db, Bus: bus})
		for _, step := range steps {
			if got := codeOf(step.do(ctx, s)); got != step.want {
				t.Errorf("%s: got error %q, want %q", step.name, got, step.want)
			}
			rules, err := s.Ruleset(ctx, alice)
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if got := strings.Join(user(rules, step.kind), " "); got != step.now {
				t.Errorf("%s: got %s, want %s", step.name, got, step.now)
			}
		}
		rule, err := s.Rule(ctx, alice, Underride, ".m.rule.call")
		if err != nil || len(rule.Actions) != 1 || compileActions(rule.Actions) != (verdict{}) {
			t.Errorf("got %s, %v, want the old action, which means nothing", rule.Actions, err)
		}
	})
}

func TestAccountData(t *testing.T) {
	ctx := context.Background()
	db := storetest.New(t)
	bus := new(notify.Local)
	s := New(Config{DB: db, Bus: bus})
	var nid int64
	if err := db.Write(ctx, func(tx *store.Tx) (err error) { nid, err = tx.NID(string(alice)); return err }); err != nil {
		t.Fatal(err)
	}
	bell := bus.Register(notify.Key{Kind: notify.User, NID: nid})
	defer bell.Close()
	fresh, err := s.AccountData(alice, nil)
	if err != nil || !strings.HasPrefix(string(fresh), `{"global":{"override":[{"rule_id":".m.rule.master"`) {
		t.Fatalf("got %s, %v", fresh, err)
	}
	if err := s.SetEnabled(ctx, alice, Override, masterRule, true); err != nil {
		t.Fatal(err)
	}
	if len(bell.C) != 1 {
		t.Error("the bell did not ring")
	}
	var stored json.RawMessage
	if err := db.View(ctx, func(tx *store.Tx) (err error) { stored, err = tx.AccountData(alice, 0, AccountDataType); return err }); err != nil {
		t.Fatal(err)
	}
	shown, err := s.AccountData(alice, stored)
	if err != nil || string(shown) != string(stored) {
		t.Errorf("got %s, %v, want what is stored: %s", shown, err, stored)
	}
	if content, err := s.Content(ctx, alice); err != nil || string(content) != string(shown) {
		t.Errorf("got %s, %v, want %s", content, err, shown)
	}
}

// TestMergeKeepsUp: rules that a later version of the program brings are there, and those that it dropped are not.
func TestMergeKeepsUp(t *testing.T) {
	stored := `{"global":{"override":[
		{"rule_id":"mine","enabled":true,"conditions":[],"actions":[]},
		{"rule_id":".m.rule.contains_display_name","default":true,"enabled":true,"actions":["notify"]},
		{"rule_id":".m.rule.reaction","default":true,"enabled":false,"actions":["notify"]}]}}`
	got, err := plainBook.merge(alice, json.RawMessage(stored))
	if err != nil {
		t.Fatal(err)
	}
	want := plainBook.defaults(alice)
	want.Override = slices.Insert(want.Override, 1, Rule{RuleID: "mine", Enabled: true, Conditions: []json.RawMessage{}, Actions: []json.RawMessage{}})
	i := indexOf(want.Override, ".m.rule.reaction")
	want.Override[i].Enabled, want.Override[i].Actions = false, []json.RawMessage{[]byte(`"notify"`)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if _, err := plainBook.merge(alice, json.RawMessage(`[]`)); err == nil {
		t.Error("got no error for damaged rules")
	}
}

func TestTooManyRules(t *testing.T) {
	ctx := context.Background()
	s := New(Config{DB: storetest.New(t), Bus: new(notify.Local)})
	pattern := strings.Repeat("x", maxPatternBytes)
	for i := range 1000 {
		err := s.PutRule(ctx, alice, Content, strings.Repeat("y", i%200+1)+string(rune('a'+i/200)), RuleInput{Actions: []json.RawMessage{}, Pattern: &pattern}, "", "")
		if err != nil {
			if codeOf(err) != "M_TOO_LARGE" {
				t.Errorf("got %v, want M_TOO_LARGE", err)
			}
			return
		}
	}
	t.Error("got no error")
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[mautrix.RespError](err); ok {
		return e.ErrCode
	}
	return err.Error()
}

// badInputs are refused as rules of the kind.
var badInputs = []struct {
	kind Kind
	in   string
}{
	{Override, `{}`},
	{Override, `{"actions":["x"]}`},
	{Override, `{"actions":[1]}`},
	{Override, `{"actions":[{"x":1}]}`},
	{Override, `{"actions":[],"conditions":[1]}`},
	{Override, `{"actions":[],"conditions":[{"x":1}]}`},
	{Content, `{"actions":[]}`},
	{Content, `{"actions":[],"pattern":""}`},
	{"x", `{"actions":[]}`},
}

func TestBadInput(t *testing.T) {
	for _, test := range badInputs {
		var in RuleInput
		if err := json.Unmarshal([]byte(test.in), &in); err != nil {
			t.Fatal(err)
		}
		if _, err := in.rule(test.kind, "a"); codeOf(err) != "M_INVALID_PARAM" && codeOf(err) != "M_MISSING_PARAM" {
			t.Errorf("%s %s: got %v", test.kind, test.in, err)
		}
	}
}

func FuzzRuleInput(f *testing.F) {
	for _, seed := range badInputs {
		f.Add(string(seed.kind), "a", seed.in)
	}
	f.Add("override", "b", `{"actions":["notify",{"set_tweak":"sound","value":"x"},"coalesce"],"conditions":[{"kind":"x"}]}`)
	f.Add("content", "\xff", `{"actions":[],"pattern":"\ud800"}`)
	f.Fuzz(func(t *testing.T, kind, ruleID, raw string) {
		var in RuleInput
		if json.Unmarshal([]byte(raw), &in) != nil {
			return
		}
		rule, err := in.rule(Kind(kind), ruleID)
		if err != nil {
			return
		}
		rules := plainBook.defaults(alice)
		if err := rules.put(Kind(kind), rule, "", ""); err != nil {
			t.Fatal(err)
		}
		stored, err := marshal(rules)
		if err != nil {
			t.Fatal(err)
		}
		again, err := plainBook.merge(alice, stored)
		if err != nil {
			t.Fatal(err)
		}
		if shown, err := marshal(again); err != nil || string(shown) != string(stored) {
			t.Fatalf("got %+v, %v, want %+v", again.of(Kind(kind)), err, rules.of(Kind(kind)))
		}
	})
}
