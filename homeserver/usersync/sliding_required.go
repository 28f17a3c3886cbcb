package usersync

import (
	"encoding/json"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// requiredState says which state of a room is told (MSC4186, RequiredStateRequest). Its JSON is what connections remember.
type requiredState struct {
	Include []statePattern `json:"i,omitempty"`
	Exclude []statePattern `json:"e,omitempty"`
	// Lazy has m.room.member events told when they are needed. Patterns without a state key do not mean them then.
	Lazy bool `json:"l,omitempty"`
}

// statePattern matches places of the state. What is nil matches anything.
type statePattern struct {
	Type *string `json:"type,omitempty"`
	Key  *string `json:"state_key,omitempty"`
}

func (p statePattern) matches(eventType, key string) bool {
	return (p.Type == nil || *p.Type == eventType) && (p.Key == nil || *p.Key == key)
}

// matches tells whether a place is always told, not only by lazy loading.
func (q *requiredState) matches(eventType, key string) bool {
	for _, p := range q.Exclude {
		if p.matches(eventType, key) {
			return false
		}
	}
	for _, p := range q.Include {
		if p.matches(eventType, key) && !(q.Lazy && p.Key == nil && eventType == event.TypeMember) {
			return true
		}
	}
	return false
}

// parseRequired reads the stable form: {include, exclude, lazy_members}.
func parseRequired(field string, raw json.RawMessage) (*requiredState, error) {
	var wire *struct {
		Include []statePattern `json:"include"`
		Exclude []statePattern `json:"exclude"`
		Lazy    bool           `json:"lazy_members"`
	}
	if err := decodeField(field, raw, &wire); err != nil {
		return nil, err
	}
	if wire == nil {
		return nil, invalid(field, "is required")
	}
	for name, patterns := range map[string][]statePattern{"include": wire.Include, "exclude": wire.Exclude} {
		if len(patterns) > maxRequiredState {
			return nil, invalid(field+"."+name, "must not have more than %d entries", maxRequiredState)
		}
		for _, p := range patterns {
			if p.Type != nil && len(*p.Type) > maxSlidingName || p.Key != nil && len(*p.Key) > maxSlidingName {
				return nil, invalid(field+"."+name, "must be of types and state keys of at most %d bytes", maxSlidingName)
			}
		}
	}
	return &requiredState{Include: wire.Include, Exclude: wire.Exclude, Lazy: wire.Lazy}, nil
}

// The words of the unstable form that stand for something else.
const (
	wildcard = "*"
	keyMe    = "$ME"
	keyLazy  = "$LAZY"
)

// parseOldRequired reads the unstable form: pairs of a type and a state key (MSC3575).
func parseOldRequired(field string, raw json.RawMessage, me id.UserID) (*requiredState, error) {
	var wire [][]string
	if err := decodeField(field, raw, &wire); err != nil {
		return nil, err
	}
	if len(wire) > maxRequiredState {
		return nil, invalid(field, "must not have more than %d entries", maxRequiredState)
	}
	q := new(requiredState)
	everyone := false
	for _, pair := range wire {
		if len(pair) != 2 {
			return nil, invalid(field, "must be of pairs of a type and a state key")
		}
		if len(pair[0]) > maxSlidingName || len(pair[1]) > maxSlidingName {
			return nil, invalid(field, "must be of types and state keys of at most %d bytes", maxSlidingName)
		}
		eventType, key := pair[0], pair[1]
		if key == keyLazy {
			q.Lazy = q.Lazy || eventType == event.TypeMember
			continue
		}
		everyone = everyone || eventType == event.TypeMember && key == wildcard
		if key == keyMe {
			key = string(me)
		}
		var p statePattern
		if eventType != wildcard {
			p.Type = &eventType
		}
		if key != wildcard {
			p.Key = &key
		}
		q.Include = append(q.Include, p)
	}
	q.Lazy = q.Lazy && !everyone
	return q, nil
}

// stateWish is what the rules that hold for a room want of its state together: the union.
type stateWish []*requiredState

func (w stateWish) matches(eventType, key string) bool {
	for _, q := range w {
		if q.matches(eventType, key) {
			return true
		}
	}
	return false
}

// lazy tells whether members are told when they are needed. They are not where they are told all (MSC4186, "Combining room
// configs").
func (w stateWish) lazy() bool {
	lazy := false
	for _, q := range w {
		if lazy = lazy || q.Lazy; q.Lazy {
			continue
		}
		for _, p := range q.Include {
			if p.Key == nil && (p.Type == nil || *p.Type == event.TypeMember) && len(q.Exclude) == 0 {
				return false
			}
		}
	}
	return lazy
}

// plan is where the state that is wished for is to be looked for: some of it may not be wished.
type statePlan struct {
	all     bool                // everything, but for members
	members bool                // all members
	types   []string            // all of these types
	keyless []string            // these types, with an empty state key
	keyed   map[string][]string // by type, state keys
	keys    []string            // of any type
}

func (w stateWish) plan() statePlan {
	plan := statePlan{keyed: make(map[string][]string)}
	for _, q := range w {
		for _, p := range q.Include {
			switch {
			case p.Type == nil && p.Key == nil:
				plan.all = true
				plan.members = plan.members || !q.Lazy
			case p.Type == nil:
				plan.keys = append(plan.keys, *p.Key)
			case p.Key == nil && *p.Type == event.TypeMember:
				plan.members = plan.members || !q.Lazy
			case p.Key == nil:
				plan.types = append(plan.types, *p.Type)
			case *p.Key == "":
				plan.keyless = append(plan.keyless, *p.Type)
			default:
				plan.keyed[*p.Type] = append(plan.keyed[*p.Type], *p.Key)
			}
		}
	}
	return plan
}
