package push

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// refRoom is what conditions ask of a room.
type refRoom struct {
	members int64
	names   map[id.UserID]string
	mayRoom map[id.UserID]bool // who may notify the whole room
}

// refActions is the plain reading of a rule's actions.
func refActions(actions []json.RawMessage) store.Outcome {
	var o store.Outcome
	for _, raw := range actions {
		var v any
		_ = json.Unmarshal(raw, &v)
		if v == "notify" {
			o |= store.Notifies
		}
		if m, is := v.(map[string]any); is && m["set_tweak"] == "highlight" && m["value"] != false {
			o |= store.Highlights
		}
	}
	if o&store.Notifies == 0 {
		return 0
	}
	return o
}

// refJudge is the specification read plainly: the rules of one user, as the API shows them, put to an event one after the other.
func refJudge(rules *Ruleset, user id.UserID, ev map[string]any, room refRoom) store.Outcome {
	for _, kind := range kinds {
		for _, rule := range *rules.of(kind) {
			if rule.Enabled && refMatches(kind, rule, user, ev, room) {
				return refActions(rule.Actions)
			}
		}
	}
	return 0
}

func refMatches(kind Kind, rule Rule, user id.UserID, ev map[string]any, room refRoom) bool {
	switch kind {
	case Room:
		return ev["room_id"] == rule.RuleID
	case Sender:
		return ev["sender"] == rule.RuleID
	}
	content, _ := ev["content"].(map[string]any)
	switch rule.RuleID {
	case legacyNameRule, legacyLocalpartRule, ".m.rule.roomnotif":
		if _, intentional := content["m.mentions"]; intentional {
			return false
		}
	}
	if kind == Content {
		body, is := content["body"].(string)
		return is && refWords(rule.Pattern, body)
	}
	for _, raw := range rule.Conditions {
		var c map[string]any
		_ = json.Unmarshal(raw, &c)
		if !refHolds(c, user, ev, room) {
			return false
		}
	}
	return true
}

func refHolds(c map[string]any, user id.UserID, ev map[string]any, room refRoom) bool {
	key, _ := c["key"].(string)
	have, there := refProperty(ev, key)
	switch c["kind"] {
	case "event_match":
		text, is := have.(string)
		pattern, has := c["pattern"].(string)
		if !is || !has {
			return false
		}
		if key == "content.body" {
			return refWords(pattern, text)
		}
		return regexp.MustCompile(`(?is)\A` + refGlob(pattern) + `\z`).MatchString(text)
	case "event_property_is":
		want, has := c["value"]
		return has && there && refSimple(want) && refSimple(have) && have == want
	case "event_property_contains":
		want, has := c["value"]
		list, is := have.([]any)
		if !has || !is || !refSimple(want) {
			return false
		}
		for _, one := range list {
			if refSimple(one) && one == want {
				return true
			}
		}
		return false
	case "contains_display_name":
		content, _ := ev["content"].(map[string]any)
		body, is := content["body"].(string)
		name := room.names[user]
		return is && name != "" && regexp.MustCompile(refBoundary(`(?is)`, regexp.QuoteMeta(name))).MatchString(body)
	case "room_member_count":
		m := regexp.MustCompile(`^(==|<|>|<=|>=|)([0-9]+)$`).FindStringSubmatch(c["is"].(string))
		if m == nil {
			return false
		}
		n, _ := strconv.ParseInt(m[2], 10, 64)
		switch m[1] {
		case "<":
			return room.members < n
		case ">":
			return room.members > n
		case "<=":
			return room.members <= n
		case ">=":
			return room.members >= n
		}
		return room.members == n
	case "sender_notification_permission":
		return key == "room" && room.mayRoom[id.UserID(ev["sender"].(string))]
	}
	return false
}

func refSimple(v any) bool {
	switch n := v.(type) {
	case string, bool, nil:
		return true
	case float64:
		return n == float64(int64(n))
	}
	return false
}

// refProperty reads a dot-separated path.
func refProperty(ev map[string]any, key string) (any, bool) {
	var at any = ev
	const dot, slash = "\x01", "\x02"
	for _, name := range strings.Split(strings.NewReplacer(`\\`, slash, `\.`, dot).Replace(key), ".") {
		object, is := at.(map[string]any)
		if !is {
			return nil, false
		}
		var has bool
		if at, has = object[strings.NewReplacer(slash, `\`, dot, ".").Replace(name)]; !has {
			return nil, false
		}
	}
	return at, true
}

func refGlob(pattern string) string {
	return strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
}

func refBoundary(flags, inner string) string {
	return flags + `(?:\A|\b|[^A-Za-z0-9_])(?:` + inner + `)(?:\z|\b|[^A-Za-z0-9_])`
}

func refWords(pattern, text string) bool {
	return regexp.MustCompile(refBoundary(`(?is)`, refGlob(pattern))).MatchString(text)
}
