package roomgen

import (
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// errNotSent is returned for an event that was not sent, because its own branch does not allow it, or because a clock stands still and
// the very same event was sent before.
var errNotSent = errors.New("not allowed on its own branch, or there already")

// send makes d the next event of its sender's server, and tells those that the server reaches.
func (w *world) send(d *draft) error {
	s := w.serverOf(d.sender)
	i, err := w.sendOn(d, w.prevOf(s))
	if err != nil {
		return err
	}
	w.tell(s, i)
	return nil
}

// try is send, for events that need not be allowed.
func (w *world) try(d *draft) error {
	if d == nil {
		return nil
	}
	if err := w.send(d); !errors.Is(err, errNotSent) {
		return err
	}
	return nil
}

// sendOn makes d an event on prev, of which nobody else hears. It returns the index of the event.
func (w *world) sendOn(d *draft, prev []int) (int, error) {
	s := w.serverOf(d.sender)
	before, err := w.stateBefore(prev)
	if err != nil {
		return 0, err
	}
	at := w.site(s, prev)
	if at.auth, err = authEvents(w.room.Version, d, w.states[before]); err != nil {
		return 0, err
	}
	p, err := w.build(d, at)
	if err != nil {
		return 0, err
	}
	if p.Type == event.TypeCreate {
		w.room.RoomID = p.RoomID
	}
	if w.room.PDU(p.EventID) != nil {
		return 0, errNotSent
	}
	if w.allowed(p, before) {
		return w.record(s, p, before, Sound, false), nil
	}
	if !w.o.Rejected {
		return 0, errNotSent
	}
	return w.record(s, p, before, Forbidden, true), nil
}

func (w *world) allowed(p *event.PDU, before int) bool {
	return eventauth.Check(p, w.room.StateMap(w.states[before])) == nil
}
