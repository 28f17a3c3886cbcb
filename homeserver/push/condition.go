package push

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"causeway/homeserver/event"
)

// test is a condition, made ready: it tells whether an event is as a rule of a person wants it.
type test func(f *facts, p *person) (bool, error)

// conditionKinds make a test of a condition; nil for one that never matches.
var conditionKinds = map[string]func(c *rawCondition) test{
	"event_match":                    (*rawCondition).eventMatch,
	"event_property_is":              (*rawCondition).propertyIs,
	"event_property_contains":        (*rawCondition).propertyContains,
	"contains_display_name":          (*rawCondition).displayName,
	"room_member_count":              (*rawCondition).memberCount,
	"sender_notification_permission": (*rawCondition).senderMay,
	kindThread:                       (*rawCondition).threadSubscription,
}

// kindThread is the condition of MSC4306.
const kindThread = "io.element.msc4306.thread_subscription"

// rawCondition is a condition as clients write it.
type rawCondition struct {
	Kind    string          `json:"kind"`
	Key     string          `json:"key"`
	Pattern *string         `json:"pattern"`
	Value   json.RawMessage `json:"value"`
	Is      string          `json:"is"`
	// Subscribed is of kindThread.
	Subscribed *bool `json:"subscribed"`
}

// compileCondition makes a test of a condition. It returns nil for what is unknown or cannot be understood: "Unrecognised conditions
// MUST NOT match any events".
func compileCondition(raw json.RawMessage) test {
	var c rawCondition
	if json.Unmarshal(raw, &c) != nil {
		return nil
	}
	if make := conditionKinds[c.Kind]; make != nil {
		return make(&c)
	}
	return nil
}

func (c *rawCondition) eventMatch() test {
	if c.Pattern == nil {
		return nil
	}
	key, pattern := newPath(c.Key), newGlob(*c.Pattern)
	if c.Key == bodyKey {
		return func(f *facts, _ *person) (bool, error) {
			body, is := f.body()
			return is && pattern.words(body, &f.steps), nil
		}
	}
	return func(f *facts, _ *person) (bool, error) {
		text, is := f.text(key)
		return is && pattern.whole(text, &f.steps), nil
	}
}

func (c *rawCondition) propertyIs() test {
	want := simpleValue(c.Value)
	if want == nil {
		return nil
	}
	key := newPath(c.Key)
	return func(f *facts, _ *person) (bool, error) { return bytes.Equal(f.value(key), want), nil }
}

func (c *rawCondition) propertyContains() test {
	want := simpleValue(c.Value)
	if want == nil {
		return nil
	}
	key := newPath(c.Key)
	return func(f *facts, _ *person) (bool, error) {
		list := f.value(key)
		if len(list) == 0 || list[0] != '[' {
			return false, nil
		}
		f.steps -= len(list)
		for have := range event.Elements(list) {
			if bytes.Equal(have, want) {
				return true, nil
			}
		}
		return false, nil
	}
}

// simpleValue returns a string, integer, boolean or null as canonical JSON, in which equal values are equal bytes; nil for others.
func simpleValue(raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return nil
	}
	object, err := event.CanonicalJSON([]byte(`{"v":` + string(raw) + `}`))
	if err != nil {
		return nil
	}
	value := event.Field(object, "v")
	if len(value) == 0 || value[0] == '{' || value[0] == '[' {
		return nil
	}
	return value
}

func (c *rawCondition) displayName() test {
	return func(f *facts, p *person) (bool, error) {
		body, is := f.body()
		if !is {
			return false, nil
		}
		name, err := f.displayName(p)
		if err != nil || name == "" {
			return false, err
		}
		// It is a name, and no pattern.
		g := glob{pieces: []piece{{text: name}}}
		return g.words(body, &f.steps), nil
	}
}

// threadSubscription: "the event … is part of a thread" and "the user is subscribed to the thread … or is not".
func (c *rawCondition) threadSubscription() test {
	if c.Subscribed == nil {
		return nil
	}
	want := *c.Subscribed
	return func(f *facts, p *person) (bool, error) {
		thread, err := f.thread()
		if err != nil || !thread.is {
			return false, err
		}
		return want == (p != nil && thread.followers[p.nid]), nil
	}
}

func (c *rawCondition) memberCount() test {
	digits := strings.TrimLeft(c.Is, "<>=")
	operator := c.Is[:len(c.Is)-len(digits)]
	n, err := strconv.ParseUint(digits, 10, 53)
	if err != nil {
		return nil
	}
	want := int64(n)
	var holds func(have int64) bool
	switch operator {
	case "", "==":
		holds = func(have int64) bool { return have == want }
	case "<":
		holds = func(have int64) bool { return have < want }
	case ">":
		holds = func(have int64) bool { return have > want }
	case "<=":
		holds = func(have int64) bool { return have <= want }
	case ">=":
		holds = func(have int64) bool { return have >= want }
	default:
		return nil
	}
	return func(f *facts, _ *person) (bool, error) {
		joined, err := f.joined()
		return err == nil && holds(joined), err
	}
}

func (c *rawCondition) senderMay() test {
	if c.Key == "" {
		return nil
	}
	key := c.Key
	return func(f *facts, _ *person) (bool, error) { return f.senderMay(key) }
}

// bodyKey is the property that is matched by words.
const bodyKey = "content.body"

// path is the way to a property of an event.
type path struct {
	key   string   // as conditions have it
	names []string // as they stand between quotes in canonical JSON
}

// newPath reads a path. Appendices, "Dot-separated property paths".
func newPath(s string) path {
	var (
		all  []string
		name []byte
	)
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '.':
			all, name = append(all, quoted(name)), nil
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '.' || s[i+1] == '\\'):
			i++
			name = append(name, s[i])
		default:
			name = append(name, s[i])
		}
	}
	return path{key: s, names: append(all, quoted(name))}
}

// quoted returns a name as it stands between quotes.
func quoted(name []byte) string {
	raw, err := json.Marshal(string(name))
	if err != nil {
		return string(name)
	}
	if canonical := simpleValue(raw); len(canonical) >= 2 {
		return string(canonical[1 : len(canonical)-1])
	}
	return string(name)
}
