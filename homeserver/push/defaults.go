package push

// defaultRule is a row of the table of default rules.
type defaultRule struct {
	id         string
	disabled   bool
	legacy     bool // it guesses from the text whom a message mentions
	conditions []condition
	pattern    string // of a content rule; ownID is the localpart
	actions    string
}

// condition is a condition of a default rule.
type condition struct {
	Kind string `json:"kind"`
	// Subscribed is of kindThread.
	Subscribed *bool   `json:"subscribed,omitempty"`
	Key        string  `json:"key,omitempty"`
	Pattern    *string `json:"pattern,omitempty"`
	Value      any     `json:"value,omitempty"`
	Is         string  `json:"is,omitempty"`
}

const (
	nothing   = `[]`
	notifyAll = `["notify"]`
	sound     = `["notify",{"set_tweak":"sound","value":"default"}]`
	ring      = `["notify",{"set_tweak":"sound","value":"ring"}]`
	highlight = `["notify",{"set_tweak":"highlight"}]`
	loud      = `["notify",{"set_tweak":"sound","value":"default"},{"set_tweak":"highlight"}]`
)

// The legacy rules that are about a user.
const (
	legacyNameRule      = ".m.rule.contains_display_name"
	legacyLocalpartRule = ".m.rule.contains_user_name"
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

// defaultOverrides are those of the Client-Server API 1.19, Default Override Rules, and of MSC3930.
var defaultOverrides = []defaultRule{
	{id: masterRule, disabled: true, actions: nothing},
	{id: ".m.rule.suppress_notices", conditions: []condition{match("content.msgtype", "m.notice")}, actions: nothing},
	{id: ".m.rule.invite_for_me", conditions: []condition{
		match("type", "m.room.member"), match("content.membership", "invite"), match("state_key", ownID)}, actions: sound},
	{id: ".m.rule.member_event", conditions: []condition{match("type", "m.room.member")}, actions: nothing},
	{id: ".m.rule.is_user_mention", conditions: []condition{contains(`content.m\.mentions.user_ids`, ownID)}, actions: loud},
	{id: legacyNameRule, legacy: true, conditions: []condition{{Kind: "contains_display_name"}}, actions: loud},
	{id: ".m.rule.is_room_mention", conditions: []condition{is(`content.m\.mentions.room`, true), senderMay("room")}, actions: highlight},
	{id: ".m.rule.roomnotif", legacy: true, conditions: []condition{match("content.body", "@room"), senderMay("room")}, actions: highlight},
	{id: ".m.rule.tombstone", conditions: []condition{match("type", "m.room.tombstone"), match("state_key", "")}, actions: highlight},
	{id: ".m.rule.reaction", conditions: []condition{match("type", "m.reaction")}, actions: nothing},
	{id: ".m.rule.room.server_acl", conditions: []condition{match("type", "m.room.server_acl"), match("state_key", "")}, actions: nothing},
	{id: ".m.rule.suppress_edits", conditions: []condition{is(`content.m\.relates_to.rel_type`, "m.replace")}, actions: nothing},
	{id: ".org.matrix.msc3930.rule.poll_response", conditions: []condition{match("type", "org.matrix.msc3381.poll.response")}, actions: nothing},
}

// defaultContents are those that the specification had until 1.16.
var defaultContents = []defaultRule{
	{id: legacyLocalpartRule, legacy: true, pattern: ownID, actions: loud},
}

func follows(yes bool) condition { return condition{Kind: kindThread, Subscribed: &yes} }

// defaultPostContents are those of MSC4306.
var defaultPostContents = []defaultRule{
	{id: ".io.element.msc4306.rule.unsubscribed_thread", conditions: []condition{follows(false)}, actions: nothing},
	{id: ".io.element.msc4306.rule.subscribed_thread", conditions: []condition{follows(true)}, actions: sound},
}

// defaultUnderrides are those of the Client-Server API 1.19, Default Underride Rules, and of MSC3930.
var defaultUnderrides = []defaultRule{
	{id: ".m.rule.call", conditions: []condition{match("type", "m.call.invite")}, actions: ring},
	{id: ".m.rule.encrypted_room_one_to_one", conditions: []condition{members("2"), match("type", "m.room.encrypted")}, actions: sound},
	{id: ".m.rule.room_one_to_one", conditions: []condition{members("2"), match("type", "m.room.message")}, actions: sound},
	{id: ".m.rule.message", conditions: []condition{match("type", "m.room.message")}, actions: notifyAll},
	{id: ".m.rule.encrypted", conditions: []condition{match("type", "m.room.encrypted")}, actions: notifyAll},
	{id: ".org.matrix.msc3930.rule.poll_start_one_to_one", conditions: []condition{
		members("2"), match("type", "org.matrix.msc3381.poll.start")}, actions: sound},
	{id: ".org.matrix.msc3930.rule.poll_start", conditions: []condition{match("type", "org.matrix.msc3381.poll.start")}, actions: notifyAll},
	{id: ".org.matrix.msc3930.rule.poll_end_one_to_one", conditions: []condition{
		members("2"), match("type", "org.matrix.msc3381.poll.end")}, actions: sound},
	{id: ".org.matrix.msc3930.rule.poll_end", conditions: []condition{match("type", "org.matrix.msc3381.poll.end")}, actions: notifyAll},
}
