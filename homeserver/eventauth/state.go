package eventauth

import "causeway/homeserver/event"

// StateKey names a place in a room's state.
type StateKey struct{ Type, Key string }

// State is a room's state, or as much of it as the question at hand needs.
type State interface {
	// Get returns the event at k, or nil when there is none.
	Get(k StateKey) *event.PDU
}

// StateMap is a State held in memory.
type StateMap map[StateKey]*event.PDU

// Get returns the event at k, or nil when there is none.
func (m StateMap) Get(k StateKey) *event.PDU { return m[k] }

// NewStateMap returns the state made of events, later ones replacing earlier ones at the same place. Events that are not state
// events are left out.
func NewStateMap(events ...*event.PDU) StateMap {
	m := make(StateMap, len(events))
	for _, p := range events {
		if p.StateKey != nil {
			m[StateKey{p.Type, *p.StateKey}] = p
		}
	}
	return m
}
