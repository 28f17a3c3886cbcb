package room

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// receiveFormat reads the event: it must be well-formed in the room's version, and of this room. An event that is here already, and
// not as an outlier alone, needs nothing more.
func (s *Service) receiveFormat(ctx context.Context, a *arrival) error {
	pdu, err := event.Parse(a.version, a.raw)
	if err != nil {
		return &Unacceptable{err}
	}
	if pdu.RoomID != a.roomID {
		return &Unacceptable{fmt.Errorf("it is of the room %q", pdu.RoomID)}
	}
	if pdu.Type == event.TypeCreate && pdu.IsState() {
		return &Unacceptable{errors.New("a room has one create event, which comes with the room")}
	}
	if len(pdu.PrevEvents) == 0 {
		return &Unacceptable{errors.New("it comes after nothing, as only a create event can")}
	}
	a.pdu = pdu
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		a.stored, err = tx.EventByID(pdu.EventID)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		a.stored = nil
		return nil
	case err != nil:
		return err
	case a.stored.RoomNID != a.nid:
		return &Unacceptable{errors.New("another room has an event of this id")}
	case a.stored.Status&store.Outlier == 0:
		return errDone
	case a.stored.ReferenceHash() != pdu.ReferenceHash(): // in versions 1 and 2 its sender chooses an event's id
		return &Unacceptable{errors.New("another event has its id")}
	case a.stored.RedactedBy != 0:
		a.pdu = a.stored.PDU
	}
	return nil
}
