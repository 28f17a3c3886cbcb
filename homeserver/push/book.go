package push

import (
	"encoding/json"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/id"
)

// book is the default rules of a server, as users see them and ready to be tested.
type book struct {
	threads bool
	rules   [ranks][]Rule        // with ownID in the place of the user
	tests   [ranks][]defaultTest // of the same rules
}

// defaultTest is a default rule, made ready.
type defaultTest struct {
	shared   []test // conditions that are the same for everybody
	personal test   // the one that is about the user, nil for none
	others   bool   // personal may hold for those whom it is not about
	legacy   bool
	plain    judgement // of those who have not changed the rule
}

// judgement is a default rule of a user: whether it is on, and what follows.
type judgement struct {
	on bool
	verdict
}

// defaultTables are the default rules, by kind.
var defaultTables = [ranks][]defaultRule{
	rankOverride: defaultOverrides, rankContent: defaultContents, rankPostContent: defaultPostContents, rankUnderride: defaultUnderrides,
}

// newBook returns the default rules; legacy adds those that guess from the text whom a message mentions, which Matrix 1.17 removed
// (MSC4210), and threads those by which one hears of the threads that one follows (MSC4306).
func newBook(legacy, threads bool) *book {
	b := &book{threads: threads}
	for at, table := range defaultTables {
		b.rules[at] = []Rule{}
		for _, row := range table {
			if row.legacy && !legacy || at == int(rankPostContent) && !threads {
				continue
			}
			rule := row.rule(kinds[at])
			b.rules[at] = append(b.rules[at], rule)
			t := row.test()
			t.plain = judgement{on: rule.Enabled, verdict: compileActions(rule.Actions)}
			b.tests[at] = append(b.tests[at], t)
		}
	}
	return b
}

// rule returns the rule as users see it.
func (row *defaultRule) rule(kind Kind) Rule {
	r := Rule{RuleID: row.id, Default: true, Enabled: !row.disabled, Pattern: row.pattern}
	if kind != Content {
		r.Conditions = []json.RawMessage{}
	}
	for _, c := range row.conditions {
		r.Conditions = append(r.Conditions, mustMarshal(c))
	}
	if err := json.Unmarshal([]byte(row.actions), &r.Actions); err != nil {
		panic(fmt.Sprintf("push: actions of %s: %v", row.id, err))
	}
	return r
}

// test makes the rule ready.
func (row *defaultRule) test() defaultTest {
	t := defaultTest{legacy: row.legacy}
	for _, c := range row.conditions {
		switch {
		case c.Pattern != nil && *c.Pattern == ownID:
			t.personal = isStateKey
		case c.Value == ownID:
			t.personal = isMentioned
		case c.Kind == kindThread:
			t.personal, t.others = compileCondition(mustMarshal(c)), true
		case c.Kind == "contains_display_name":
			t.personal = compileCondition(mustMarshal(c))
		default:
			t.shared = append(t.shared, compileCondition(mustMarshal(c)))
		}
	}
	if row.pattern == ownID {
		t.personal = hasLocalpart
	}
	return t
}

func isStateKey(f *facts, p *person) (bool, error) {
	return f.event.StateKey != nil && *f.event.StateKey == string(p.id), nil
}

func isMentioned(f *facts, p *person) (bool, error) { return f.mentioned()[string(p.id)], nil }

func hasLocalpart(f *facts, p *person) (bool, error) {
	body, is := f.body()
	if !is {
		return false, nil
	}
	g := newGlob(p.id.Localpart())
	return g.words(body, &f.steps), nil
}

func mustMarshal(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("push: " + err.Error())
	}
	return raw
}

// defaults returns the rules of a user who has changed none.
func (b *book) defaults(user id.UserID) *Ruleset {
	return &Ruleset{
		Override:    personal(b.rules[rankOverride], user),
		Content:     personal(b.rules[rankContent], user),
		PostContent: personal(b.rules[rankPostContent], user),
		Room:        []Rule{},
		Sender:      []Rule{},
		Underride:   personal(b.rules[rankUnderride], user),
	}
}

var (
	ownMatch   = mustMarshal(match("state_key", ownID))
	ownMention = mustMarshal(contains(`content.m\.mentions.user_ids`, ownID))
)

// personal copies rules and puts the user where the table says ownID.
func personal(rules []Rule, user id.UserID) []Rule {
	own := slices.Clone(rules)
	for i := range own {
		own[i].Conditions = slices.Clone(own[i].Conditions)
		if own[i].Pattern == ownID {
			own[i].Pattern = user.Localpart()
		}
		for j, c := range own[i].Conditions {
			switch string(c) {
			case string(ownMatch):
				own[i].Conditions[j] = mustMarshal(match("state_key", string(user)))
			case string(ownMention):
				own[i].Conditions[j] = mustMarshal(contains(`content.m\.mentions.user_ids`, string(user)))
			}
		}
	}
	return own
}
