package room

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"

	"maunium.net/go/mautrix/id"
)

// Adoption is a room of another server with the point at which this server comes to know it.
type Adoption struct {
	RoomID  id.RoomID
	Version *event.RoomVersion
	Create  []byte // the create event
}

// Adopt makes a room of another server, of which the create event is all that is known here. What comes after it is received. It
// returns store.ErrExists when the room is here already, and an *Unacceptable when the event cannot be the beginning of the room.
func (s *Service) Adopt(ctx context.Context, in Adoption) error {
	pdu, err := event.Parse(in.Version, in.Create)
	if err != nil {
		return &Unacceptable{err}
	}
	if pdu.RoomID != in.RoomID || !pdu.IsStateOf(event.TypeCreate, "") {
		return &Unacceptable{errors.New("it is not the create event of the room")}
	}
	if created, err := pdu.Create(); err != nil || created.RoomVersion != in.Version.ID {
		return &Unacceptable{errors.New("it is not of this version")}
	}
	if err := s.checkSignatures(ctx, pdu); err != nil {
		return err
	}
	if pdu, err = hashed(pdu); err != nil {
		return err
	}
	if err := eventauth.Check(pdu, eventauth.StateMap{}); err != nil {
		return &Unacceptable{err}
	}
	h := &head{
		roomID: in.RoomID, version: in.Version, create: true, loaded: true, refs: 1, generation: s.DB.Generation(),
		last: &entry{}, state: make(map[eventauth.StateKey]*entry),
	}
	defer s.release(h)
	h.mu.Lock()
	e := &entry{pdu: pdu, after: h.last, received: true, outcome: &outcome{done: make(chan struct{})}}
	h.apply(e)
	err = s.hand(ctx, h, []*entry{e}, nil, e.outcome)
	h.mu.Unlock()
	if err != nil {
		return err
	}
	<-e.outcome.done
	return e.outcome.err
}
