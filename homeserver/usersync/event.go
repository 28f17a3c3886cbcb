package usersync

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// maxContext bounds the events around one, both sides together.
const maxContext = 100

// Event returns one event of a room (Client-Server API, GET /rooms/{roomId}/event/{eventId}). The error is 404 M_NOT_FOUND
// for what is not there and for what the user may not see, without telling which.
func (s *Service) Event(ctx context.Context, by Viewer, roomID id.RoomID, eventID id.EventID) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, e, err := s.openEvent(tx, by.User, roomID, eventID)
		if err != nil {
			return err
		}
		render := s.renderer(r, by)
		if err := render.gather([]*store.Event{e}); err != nil {
			return err
		}
		out, err = render.appendEvent(nil, e)
		return err
	})
	return out, err
}

// openEvent finds an event that the user may see.
func (s *Service) openEvent(tx *store.Tx, user id.UserID, roomID id.RoomID, eventID id.EventID) (*reading, *store.Event, error) {
	notFound := matrixError(404, "M_NOT_FOUND", "There is no event %s in %s, or you may not see it", eventID, roomID)
	r, err := s.open(tx, user, roomID)
	var refused mautrix.RespError
	if errors.As(err, &refused) {
		return nil, nil, notFound
	}
	if err != nil {
		return nil, nil, err
	}
	e, err := tx.EventByID(eventID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, notFound
	}
	if err != nil {
		return nil, nil, err
	}
	seen, err := r.see(e)
	if err != nil {
		return nil, nil, err
	}
	if seen == nil {
		return nil, nil, notFound
	}
	return r, seen, nil
}

// Visible returns an event of a room as a user sees it. The error is 404 M_NOT_FOUND, as that of Event.
func (s *Service) Visible(tx *store.Tx, user id.UserID, roomID id.RoomID, eventID id.EventID) (*store.Event, error) {
	_, e, err := s.openEvent(tx, user, roomID, eventID)
	return e, err
}

// Context returns what happened around an event (Client-Server API, GET /rooms/{roomId}/context/{eventId}): {event,
// events_before, events_after, start, end, state}. limit is for both sides together. Errors as those of Event.
func (s *Service) Context(ctx context.Context, by Viewer, roomID id.RoomID, eventID id.EventID, limit int, filter *EventFilter) (JSON, error) {
	limit = min(limit, maxContext)
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, e, err := s.openEvent(tx, by.User, roomID, eventID)
		if err != nil {
			return err
		}
		before := page{reading: r, filter: filter, limit: limit / 2, backwards: true, cursor: e.Pos - 1}
		after := page{reading: r, filter: filter, limit: limit - limit/2, cursor: e.Pos, stop: max(r.upto, e.Pos)}
		for _, p := range [...]*page{&before, &after} {
			if !filter.allowsRoom(roomID) {
				continue
			}
			if err := p.read(); err != nil {
				return err
			}
		}
		c := surroundings{reading: r, event: e, before: &before, after: &after, filter: filter}
		out, err = c.append(s.renderer(r, by))
		return err
	})
	return out, err
}

// surroundings is an event with the pages on both sides of it.
type surroundings struct {
	*reading
	event         *store.Event
	before, after *page
	filter        *EventFilter
}

func (c *surroundings) append(r *renderer) ([]byte, error) {
	all := append(append([]*store.Event{c.event}, c.before.events...), c.after.events...)
	if err := r.gather(all); err != nil {
		return nil, err
	}
	dst, err := r.appendEvent([]byte(`{"event":`), c.event)
	if err != nil {
		return nil, err
	}
	if dst, err = r.appendEvents(appendKey(dst, "events_before"), c.before.events); err != nil {
		return nil, err
	}
	if dst, err = r.appendEvents(appendKey(dst, "events_after"), c.after.events); err != nil {
		return nil, err
	}
	dst = appendString(appendKey(dst, "start"), token(c.before.cursor))
	dst = appendString(appendKey(dst, "end"), token(c.after.cursor))
	state, err := c.state(all)
	if err != nil {
		return nil, err
	}
	if dst, err = r.appendState(appendKey(dst, "state"), state); err != nil {
		return nil, err
	}
	return append(dst, '}'), nil
}

// state returns the state at the last of the events; nothing when that event is the user's own membership, told to them outside of
// what they may read.
func (c *surroundings) state(all []*store.Event) ([]*store.Event, error) {
	last := all[len(all)-1]
	if len(c.after.events) == 0 {
		last = c.event
	}
	if readable, err := c.readable(last); err != nil || !readable {
		return nil, err
	}
	events, err := stateEvents(c.tx, c.roomNID, last.StateAfter, c.room.StateID, c.filter.lazy(), nil)
	if err != nil {
		return nil, err
	}
	if c.filter.lazy() {
		members, err := c.senderMembers(all, last.StateAfter)
		if err != nil {
			return nil, err
		}
		events = append(events, members...)
	}
	kept := events[:0]
	for _, e := range events {
		if c.filter.allows(e.PDU) || c.filter.lazy() && e.Type == event.TypeMember {
			kept = append(kept, e)
		}
	}
	return kept, nil
}
