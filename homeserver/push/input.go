package push

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds on one rule.
const (
	maxRuleIDBytes  = 255
	maxPatternBytes = 1024
	maxConditions   = 64 // of one rule
	maxActions      = 16
)

// RuleInput is what a client says of a rule.
type RuleInput struct {
	Actions    []json.RawMessage `json:"actions"`
	Conditions []json.RawMessage `json:"conditions"`
	Pattern    *string           `json:"pattern"`
}

// rule checks a client's input and makes a rule of it.
func (in RuleInput) rule(kind Kind, ruleID string) (Rule, error) {
	if !slices.Contains(kinds, kind) || kind == PostContent {
		return Rule{}, unknownKind()
	}
	if err := checkRuleID(ruleID); err != nil {
		return Rule{}, err
	}
	actions, err := checkActions(in.Actions)
	if err != nil {
		return Rule{}, err
	}
	rule := Rule{RuleID: ruleID, Enabled: true, Actions: actions}
	switch kind {
	case Override, Underride:
		if rule.Conditions, err = checkConditions(in.Conditions); err != nil {
			return Rule{}, err
		}
	case Content:
		if in.Pattern == nil {
			return Rule{}, matrixError(http.StatusBadRequest, "M_MISSING_PARAM", "Missing pattern")
		}
		if *in.Pattern == "" || len(*in.Pattern) > maxPatternBytes {
			return Rule{}, invalid("pattern must have 1 to %d bytes", maxPatternBytes)
		}
		rule.Pattern = *in.Pattern
	}
	return rule, nil
}

// checkRuleID: "If the string starts with a dot ("."), the request MUST be rejected as this is reserved for server-default
// rules. Slashes and backslashes are also not allowed."
func checkRuleID(ruleID string) error {
	switch {
	case ruleID == "" || len(ruleID) > maxRuleIDBytes || !utf8.ValidString(ruleID):
		return invalid("A rule's id must be text of 1 to %d bytes", maxRuleIDBytes)
	case ruleID[0] == '.':
		return invalid("Rules whose id begins with a dot are the server's own")
	case strings.ContainsAny(ruleID, `/\`):
		return invalid("A rule's id must not contain slashes or backslashes")
	}
	return nil
}

// actionNotify is the one action that is a word.
const actionNotify = "notify"

// checkActions checks a list of actions. Those that have no meaning any more are kept, so that clients find what they wrote, and are
// passed over when events are judged (Client-Server API, "Historical Actions").
func checkActions(actions []json.RawMessage) ([]json.RawMessage, error) {
	if actions == nil {
		return nil, matrixError(http.StatusBadRequest, "M_MISSING_PARAM", "Missing actions")
	}
	if len(actions) > maxActions {
		return nil, invalid("A rule must not have more than %d actions", maxActions)
	}
	kept := []json.RawMessage{}
	size := 0
	for _, raw := range actions {
		if size += len(raw) + 1; size > maxActionsBytes {
			return nil, invalid("The actions of a rule must not have more than %d bytes", maxActionsBytes)
		}
		var name string
		if json.Unmarshal(raw, &name) == nil {
			switch name {
			case actionNotify, "dont_notify", "coalesce":
				kept = append(kept, raw)
			default:
				return nil, invalid("An action is unknown")
			}
			continue
		}
		var tweak struct {
			SetTweak string `json:"set_tweak"`
		}
		if json.Unmarshal(raw, &tweak) != nil || tweak.SetTweak == "" {
			return nil, invalid("An action must be a string or an object with set_tweak")
		}
		kept = append(kept, raw)
	}
	return kept, nil
}

// checkConditions wants objects with a kind. Unknown kinds are kept: such rules match nothing.
func checkConditions(conditions []json.RawMessage) ([]json.RawMessage, error) {
	if len(conditions) > maxConditions {
		return nil, invalid("A rule must not have more than %d conditions", maxConditions)
	}
	for _, raw := range conditions {
		var condition struct {
			Kind string `json:"kind"`
		}
		if json.Unmarshal(raw, &condition) != nil || condition.Kind == "" {
			return nil, invalid("A condition must be an object with a kind")
		}
	}
	if conditions == nil {
		conditions = []json.RawMessage{}
	}
	return conditions, nil
}

func invalid(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_INVALID_PARAM", format, args...)
}
