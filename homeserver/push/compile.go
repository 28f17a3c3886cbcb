package push

import (
	"encoding/json"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxActionsBytes bounds the actions of a rule as JSON: they are kept as a text of their own.
const maxActionsBytes = 1024

// verdict is what the actions of a rule come to.
type verdict struct {
	outcome store.Outcome
	actions string // when it is not the whole outcome: the list of actions
}

// of returns the outcome as it is stored.
func (v verdict) of(tx *store.Tx) (store.Outcome, error) {
	if v.actions == "" {
		return v.outcome, nil
	}
	return tx.Outcome(v.outcome, v.actions)
}

// compileActions tells what follows from a list of actions. Actions that have no meaning, or none any more, are passed over: Client-Server
// API, "Historical Actions".
func compileActions(actions []json.RawMessage) verdict {
	var bits store.Outcome
	kept := []string{}
	for _, raw := range actions {
		var name string
		if json.Unmarshal(raw, &name) == nil {
			if name == actionNotify && bits&store.Notifies == 0 {
				bits |= store.Notifies
				kept = append(kept, string(raw))
			}
			continue
		}
		var tweak struct {
			Name  string          `json:"set_tweak"`
			Value json.RawMessage `json:"value"`
		}
		if json.Unmarshal(raw, &tweak) != nil || tweak.Name == "" {
			continue
		}
		kept = append(kept, string(raw))
		// "If a highlight tweak is given with no value, its value is defined to be true."
		if tweak.Name == "highlight" && (len(tweak.Value) == 0 || string(tweak.Value) == "true") {
			bits |= store.Highlights
		}
	}
	if bits&store.Notifies == 0 {
		return verdict{}
	}
	object, err := event.CanonicalJSON([]byte(`{"a":[` + strings.Join(kept, ",") + `]}`))
	list := string(event.Field(object, "a"))
	if err != nil || len(list) > maxActionsBytes {
		return verdict{outcome: bits}
	}
	if known, is := store.KnownOutcome(list); is {
		return verdict{outcome: known}
	}
	return verdict{outcome: bits, actions: list}
}

// compiled is the rules of one user, made ready. nil stands for those of a user who has changed none and ignores nobody.
type compiled struct {
	own      [ranks][]ownRule // rules but those of rooms and senders that are the user's own and can match
	rooms    map[id.RoomID]verdict
	senders  map[id.UserID]verdict
	defaults [ranks][]judgement // by the place in the book
	ignored  map[id.UserID]bool
	cost     int // about the bytes that it takes in memory
}

// ownRule is a rule of the user's own.
type ownRule struct {
	tests []test
	verdict
}

// compile makes the rules of a user ready.
func (b *book) compile(rules *Ruleset) *compiled {
	c := new(compiled)
	for _, at := range [...]rank{rankOverride, rankContent, rankPostContent, rankUnderride} {
		for _, rule := range *rules.of(kinds[at]) {
			switch {
			case rule.Default:
				// merge has left them in the order of the book.
				c.defaults[at] = append(c.defaults[at], judgement{rule.Enabled, compileActions(rule.Actions)})
			case rule.Enabled:
				c.addOwn(at, rule)
			}
		}
	}
	c.rooms = make(map[id.RoomID]verdict)
	for _, rule := range rules.Room {
		if rule.Enabled {
			c.rooms[id.RoomID(rule.RuleID)] = compileActions(rule.Actions)
		}
	}
	c.senders = make(map[id.UserID]verdict)
	for _, rule := range rules.Sender {
		if rule.Enabled {
			c.senders[id.UserID(rule.RuleID)] = compileActions(rule.Actions)
		}
	}
	return c
}

// addOwn adds a rule of the user's own, unless it can never match.
func (c *compiled) addOwn(at rank, rule Rule) {
	own := ownRule{verdict: compileActions(rule.Actions)}
	conditions := rule.Conditions
	if at == rankContent {
		conditions = []json.RawMessage{mustMarshal(match(bodyKey, rule.Pattern))}
	}
	for _, raw := range conditions {
		t := compileCondition(raw)
		if t == nil {
			return
		}
		own.tests = append(own.tests, t)
	}
	c.own[at] = append(c.own[at], own)
}
