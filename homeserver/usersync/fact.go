package usersync

import (
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// fact follows what one place of a room's state says, from state set to state set.
type fact struct {
	eventType, stateKey string
	read                func(*event.PDU) string
	known               []knownFact
}

type knownFact struct {
	setID int64
	value string
}

// maxKnown bounds what a fact remembers; the newest are what the next event will ask for.
const maxKnown = 64

func (f *fact) learn(setID int64, value string) {
	if len(f.known) >= maxKnown {
		f.known = append(f.known[:0], f.known[maxKnown/2:]...)
	}
	f.known = append(f.known, knownFact{setID, value})
}

func (f *fact) recall(setID int64) (string, bool) {
	for i := len(f.known) - 1; i >= 0; i-- {
		if f.known[i].setID == setID {
			return f.known[i].value, true
		}
	}
	return "", false
}

// across returns what the place says in the states before and after an event; "" for nothing. These states are those of the event's
// branch of the room's history, which need not be what the room went through.
func (f *fact) across(tx *store.Tx, e *store.Event) (before, after string, err error) {
	if !e.IsStateOf(f.eventType, f.stateKey) {
		if value, ok := f.recall(e.StateAfter); ok {
			if e.StateBefore != e.StateAfter {
				f.learn(e.StateBefore, value)
			}
			return value, value, nil
		}
		value, err := f.at(tx, e.StateBefore)
		if e.StateBefore != e.StateAfter {
			f.learn(e.StateAfter, value)
		}
		return value, value, err
	}
	after = f.read(e.PDU)
	if _, ok := f.recall(e.StateAfter); !ok {
		f.learn(e.StateAfter, after)
	}
	if before, ok := f.recall(e.StateBefore); ok {
		return before, after, nil
	}
	if e.Replaces != 0 {
		old, err := tx.EventByNID(e.Replaces)
		if err == nil {
			before = f.read(old.PDU)
			f.learn(e.StateBefore, before)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return before, after, err
		}
	}
	// Nothing, or something that is not known any more by that name.
	before, err = f.at(tx, e.StateBefore)
	return before, after, err
}

// at returns what the place says in a state set.
func (f *fact) at(tx *store.Tx, setID int64) (string, error) {
	if value, ok := f.recall(setID); ok || setID == 0 {
		return value, nil
	}
	place, err := tx.LookupStateNID(f.eventType, f.stateKey)
	if err != nil {
		return "", err
	}
	values, err := tx.StateValues(setID, place)
	if err != nil {
		return "", err
	}
	value := ""
	if nid := values[place]; nid != 0 {
		e, err := tx.EventByNID(nid)
		if err != nil {
			return "", err
		}
		value = f.read(e.PDU)
	}
	f.learn(setID, value)
	return value, nil
}
