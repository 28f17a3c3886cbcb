package push

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"maunium.net/go/mautrix/id"
)

// Kind is one of the kinds of rules: the five of the specification, and PostContent.
type Kind string

// The kinds, in the order in which they are checked.
const (
	Override Kind = "override"
	Content  Kind = "content"
	// PostContent has the server's rules for threads alone (MSC4306), and none where those are off.
	PostContent Kind = "postcontent"
	Room        Kind = "room"
	Sender      Kind = "sender"
	Underride   Kind = "underride"
)

var kinds = []Kind{Override, Content, PostContent, Room, Sender, Underride}

// rank is the place of a kind in kinds.
type rank int

const (
	rankOverride rank = iota
	rankContent
	rankPostContent
	rankRoom
	rankSender
	rankUnderride
	ranks // how many there are
)

// Bounds on the rules of one user. A content rule counts as a condition.
const (
	maxRules         = 2000
	maxAllConditions = 1000
)

// masterRule comes before all others, those of the user's own too.
const masterRule = ".m.rule.master"

// Ruleset holds the rules of a user by kind, the most important one first.
type Ruleset struct {
	Override    []Rule `json:"override"`
	Content     []Rule `json:"content"`
	PostContent []Rule `json:"postcontent,omitempty"`
	Room        []Rule `json:"room"`
	Sender      []Rule `json:"sender"`
	Underride   []Rule `json:"underride"`
}

// Rule is a push rule. Conditions is nil but for override and underride rules, and Pattern empty but for content rules.
type Rule struct {
	RuleID     string            `json:"rule_id"`
	Default    bool              `json:"default"`
	Enabled    bool              `json:"enabled"`
	Conditions []json.RawMessage `json:"conditions,omitzero"`
	Pattern    string            `json:"pattern,omitempty"`
	Actions    []json.RawMessage `json:"actions"`
}

// of returns the rules of a kind, to be changed in place, or nil for an unknown kind.
func (rs *Ruleset) of(kind Kind) *[]Rule {
	switch kind {
	case Override:
		return &rs.Override
	case Content:
		return &rs.Content
	case PostContent:
		return &rs.PostContent
	case Room:
		return &rs.Room
	case Sender:
		return &rs.Sender
	case Underride:
		return &rs.Underride
	}
	return nil
}

func (rs *Ruleset) find(kind Kind, ruleID string) (*Rule, error) {
	if rules := rs.of(kind); rules != nil { // a kind of a later version, or of somebody's own, has no rules here
		if i := indexOf(*rules, ruleID); i >= 0 {
			return &(*rules)[i], nil
		}
	}
	return nil, noRule()
}

// put adds a rule, or gives the one of the same id a new body. A new one becomes the most important of the user's own, unless
// before or after say where it goes; before counts when both are given.
func (rs *Ruleset) put(kind Kind, rule Rule, before, after string) error {
	rules := rs.of(kind)
	if rules == nil {
		return unknownKind()
	}
	if neighbour := before + after; strings.HasPrefix(neighbour, ".") {
		return matrixError(http.StatusBadRequest, "M_INVALID_PARAM", "A rule cannot stand next to a default rule")
	}
	at := indexOf(*rules, rule.RuleID)
	if at >= 0 {
		rule.Enabled = (*rules)[at].Enabled
		if before == "" && after == "" {
			(*rules)[at] = rule
			return rs.checkSize()
		}
		*rules = slices.Delete(*rules, at, at+1)
	}
	at, err := place(*rules, before, after)
	if err != nil {
		return err
	}
	*rules = slices.Insert(*rules, at, rule)
	return rs.checkSize()
}

// checkSize bounds the rules of the user's own, and what all of them look at in each event.
func (rs *Ruleset) checkSize() error {
	rules, conditions := 0, 0
	for _, kind := range kinds {
		for _, rule := range *rs.of(kind) {
			if rule.Default {
				continue
			}
			rules++
			conditions += len(rule.Conditions)
			if kind == Content {
				conditions++
			}
		}
	}
	if rules > maxRules || conditions > maxAllConditions {
		return matrixError(http.StatusBadRequest, "M_INVALID_PARAM", "A user can have %d push rules, with %d conditions in all", maxRules, maxAllConditions)
	}
	return nil
}

// place returns the index that a new rule gets.
func place(rules []Rule, before, after string) (int, error) {
	neighbour, offset := before, 0
	if before == "" {
		neighbour, offset = after, 1
	}
	if neighbour != "" {
		i := indexOf(rules, neighbour)
		if i < 0 {
			return 0, matrixError(http.StatusBadRequest, "M_UNKNOWN", "before/after rule not found: %s", neighbour)
		}
		return i + offset, nil
	}
	if len(rules) > 0 && rules[0].RuleID == masterRule {
		return 1, nil
	}
	return 0, nil
}

func (rs *Ruleset) remove(kind Kind, ruleID string) error {
	rule, err := rs.find(kind, ruleID)
	if err != nil {
		return err
	}
	if rule.Default {
		return matrixError(http.StatusBadRequest, "M_INVALID_PARAM", "A default rule can be disabled but not deleted")
	}
	rules := rs.of(kind)
	i := indexOf(*rules, ruleID)
	*rules = slices.Delete(*rules, i, i+1)
	return nil
}

// merge returns the rules that the stored content of m.push_rules (nil for none) stands for today: the user's own rules, and
// the default rules as this version of the program has them, with the switch and the actions that the user gave them.
func (b *book) merge(user id.UserID, stored json.RawMessage) (*Ruleset, error) {
	rules := b.defaults(user)
	if len(stored) == 0 {
		return rules, nil
	}
	var old content
	if err := json.Unmarshal(stored, &old); err != nil {
		return nil, fmt.Errorf("read the push rules of %s: %w", user, err)
	}
	if old.Global == nil {
		return rules, nil
	}
	for _, kind := range kinds {
		now := rules.of(kind)
		var own []Rule
		for _, rule := range *old.Global.of(kind) {
			if !strings.HasPrefix(rule.RuleID, ".") {
				own = append(own, rule)
			} else if i := indexOf(*now, rule.RuleID); i >= 0 {
				(*now)[i].Enabled, (*now)[i].Actions = rule.Enabled, rule.Actions
			}
		}
		first, err := place(*now, "", "")
		if err != nil {
			return nil, err
		}
		*now = slices.Insert(*now, first, own...)
	}
	return rules, nil
}

func indexOf(rules []Rule, ruleID string) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.RuleID == ruleID })
}

func unknownKind() error {
	return matrixError(http.StatusBadRequest, "M_INVALID_PARAM", "kind must be override, content, room, sender or underride")
}

func noRule() error {
	return matrixError(http.StatusNotFound, "M_NOT_FOUND", "The push rule was not found")
}
