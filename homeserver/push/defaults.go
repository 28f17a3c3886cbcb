package push

import (
	"encoding/json"
	"slices"

	"maunium.net/go/mautrix/id"
)

// defaultRule is a row of the table of default rules.
type defaultRule struct {
	id         string
	disabled   bool
	conditions []condition
	actions    string
}

// condition is a condition of a default rule.
type condition struct {
	Kind    string  `json:"kind"`
	Key     string  `json:"key,omitempty"`
	Pattern *string `json:"pattern,omitempty"`
	Value   any     `json:"value,omitempty"`
	Is      string  `json:"is,omitempty"`
}

const (
	nothing   = `[]`
	notifyAll = `["notify"]`
	sound     = `["notify",{"set_tweak":"sound","value":"default"}]`
	ring      = `["notify",{"set_tweak":"sound","value":"ring"}]`
	highlight = `["notify",{"set_tweak":"highlight"}]`
	loud      = `["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}]`
)

// ownID stands in the table for the id of the user whose rules they are.
const ownID = "\x00"

func match(key, pattern string) condition {
	return condition{Kind: "event_match", Key: key, Pattern: &pattern}
}

func is(key string, value any) condition {
	return condition{Kind: "event_property_is", Key: key, Value: value}
}

func contains(key string, value any) condition {
	return condition{Kind: "event_property_contains", Key: key, Value: value}
}

func members(is string) condition { return condition{Kind: "room_member_count", Is: is} }

func senderMay(key string) condition {
	return condition{Kind: "sender_notification_permission", Key: key}
}

// defaultOverrides are those of the Client-Server API 1.19, Default Override Rules.
var defaultOverrides = []defaultRule{
	{masterRule, true, nil, nothing},
	{".m.rule.suppress_notices", false, []condition{match("content.msgtype", "m.notice")}, nothing},
	{".m.rule.invite_for_me", false, []condition{
		match("type", "m.room.member"), match("content.membership", "invite"), match("state_key", ownID)}, sound},
	{".m.rule.member_event", false, []condition{match("type", "m.room.member")}, nothing},
	{".m.rule.is_user_mention", false, []condition{contains(`content.m\.mentions.user_ids`, ownID)}, loud},
	{".m.rule.is_room_mention", false, []condition{is(`content.m\.mentions.room`, true), senderMay("room")}, highlight},
	{".m.rule.tombstone", false, []condition{match("type", "m.room.tombstone"), match("state_key", "")}, highlight},
	{".m.rule.reaction", false, []condition{match("type", "m.reaction")}, nothing},
	{".m.rule.room.server_acl", false, []condition{match("type", "m.room.server_acl"), match("state_key", "")}, nothing},
	{".m.rule.suppress_edits", false, []condition{is(`content.m\.relates_to.rel_type`, "m.replace")}, nothing},
}

// defaultUnderrides are those of the Client-Server API 1.19, Default Underride Rules.
var defaultUnderrides = []defaultRule{
	{".m.rule.call", false, []condition{match("type", "m.call.invite")}, ring},
	{".m.rule.encrypted_room_one_to_one", false, []condition{members("2"), match("type", "m.room.encrypted")}, sound},
	{".m.rule.room_one_to_one", false, []condition{members("2"), match("type", "m.room.message")}, sound},
	{".m.rule.message", false, []condition{match("type", "m.room.message")}, notifyAll},
	{".m.rule.encrypted", false, []condition{match("type", "m.room.encrypted")}, notifyAll},
}

// compiled default rules, with ownID in the place of the user. They are copied, never changed.
var (
	compiledOverrides  = compile(defaultOverrides)
	compiledUnderrides = compile(defaultUnderrides)
)

func compile(table []defaultRule) []Rule {
	rules := make([]Rule, len(table))
	for i, row := range table {
		rules[i] = Rule{RuleID: row.id, Default: true, Enabled: !row.disabled, Conditions: []json.RawMessage{}}
		for _, c := range row.conditions {
			rules[i].Conditions = append(rules[i].Conditions, mustMarshal(c))
		}
		if err := json.Unmarshal([]byte(row.actions), &rules[i].Actions); err != nil {
			panic("push: actions of " + row.id + ": " + err.Error())
		}
	}
	return rules
}

func mustMarshal(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("push: " + err.Error())
	}
	return raw
}

// defaults returns the rules of a user who has changed none.
func defaults(user id.UserID) *Ruleset {
	return &Ruleset{
		Override:  personal(compiledOverrides, user),
		Content:   []Rule{},
		Room:      []Rule{},
		Sender:    []Rule{},
		Underride: personal(compiledUnderrides, user),
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
