package store

import (
	"errors"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// ThreadOf finds the thread of an event. It is no query for an event that relates to none, or is in a thread itself.
func (tx *Tx) ThreadOf(e *Event) (event.Thread, error) {
	return event.ThreadOf(e.PDU, func(eventID id.EventID) (*event.PDU, error) {
		parent, err := tx.EventByID(eventID)
		if errors.Is(err, ErrNotFound) || err == nil && parent.RoomNID != e.RoomNID {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return parent.PDU, nil
	})
}
