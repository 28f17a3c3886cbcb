package usersync

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// State returns the state of a room as an array of events: the current state for members, that of when they left for those
// who did (Client-Server API, GET /rooms/{roomId}/state). The error is M_FORBIDDEN.
func (s *Service) State(ctx context.Context, by Viewer, roomID id.RoomID) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := open(tx, by.User, roomID)
		if err != nil {
			return err
		}
		events, err := stateEvents(tx, r.roomNID, r.stateID, r.room.StateID, false, nil)
		if err != nil {
			return err
		}
		sortByPos(events)
		out, err = s.renderer(r, by).appendState(nil, events)
		return err
	})
	return out, err
}

// StateEvent returns one state event of a room, its content only unless whole is true. Errors: M_FORBIDDEN, M_NOT_FOUND.
func (s *Service) StateEvent(ctx context.Context, by Viewer, roomID id.RoomID, eventType, stateKey string, whole bool) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := open(tx, by.User, roomID)
		if err != nil {
			return err
		}
		e, err := r.stateEvent(eventType, stateKey)
		if errors.Is(err, store.ErrNotFound) {
			return matrixError(404, "M_NOT_FOUND", "%s has no state %q with the key %q", roomID, eventType, stateKey)
		}
		if err != nil {
			return err
		}
		if !whole {
			out = append(out, e.Content...)
			return nil
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

// stateEvent returns an event of the state that the user may read. ErrNotFound.
func (r *reading) stateEvent(eventType, stateKey string) (*store.Event, error) {
	if r.current {
		return r.tx.CurrentStateEvent(r.roomNID, eventType, stateKey)
	}
	place, err := r.tx.LookupStateNID(eventType, stateKey)
	if err != nil {
		return nil, err
	}
	set, err := r.tx.StateValues(r.stateID, place)
	if err != nil {
		return nil, err
	}
	nid, ok := set[place]
	if !ok {
		return nil, store.ErrNotFound
	}
	return r.tx.EventByNID(nid)
}

// MembersRequest asks for members of a room.
type MembersRequest struct {
	Viewer
	RoomID        id.RoomID
	At            string // a token, "" for now or for when the user left
	Membership    string // "" for any
	NotMembership string // "" for none; a member passes that satisfies either of the two
}

func (m *MembersRequest) wants(membership string) bool {
	switch {
	case m.Membership == "" && m.NotMembership == "":
		return true
	case m.Membership != "" && membership == m.Membership:
		return true
	}
	return m.NotMembership != "" && membership != m.NotMembership
}

// Members returns the m.room.member events of a room as {chunk} (Client-Server API, GET /rooms/{roomId}/members). Errors:
// M_FORBIDDEN, M_INVALID_PARAM.
func (s *Service) Members(ctx context.Context, req MembersRequest) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := open(tx, req.User, req.RoomID)
		if err != nil {
			return err
		}
		if req.At != "" {
			if err := r.goTo(req.At); err != nil {
				return err
			}
		}
		events, err := r.members()
		if err != nil {
			return err
		}
		kept := events[:0]
		for _, e := range events {
			if req.wants(e.Membership()) {
				kept = append(kept, e)
			}
		}
		sortByPos(kept)
		out, err = s.renderer(r, req.Viewer).appendState([]byte(`{"chunk":`), kept)
		out = append(out, '}')
		return err
	})
	return out, err
}

// goTo makes the state of a point in time the one to read. Who may not see what happened last before that time may not know
// who was there either.
func (r *reading) goTo(at string) error {
	pos, err := parseToken("at", at)
	if err != nil {
		return err
	}
	if pos >= r.upto {
		return nil
	}
	last, err := r.tx.TimelineBefore(r.roomNID, 1, pos, 1)
	if err != nil {
		return err
	}
	forbidden := matrixError(403, "M_FORBIDDEN", "You may not see %s at that time", r.room.RoomID)
	if len(last) == 0 {
		return forbidden
	}
	seen, err := r.readable(last[0])
	if err != nil {
		return err
	}
	if !seen {
		return forbidden
	}
	r.stateID = last[0].StateAfter
	r.current = r.stateID == r.room.StateID
	return nil
}

// members returns the member events of the state that the user may read.
func (r *reading) members() ([]*store.Event, error) {
	if r.current {
		return r.tx.CurrentStateOfType(r.roomNID, event.TypeMember)
	}
	memberNID, err := r.tx.LookupNID(event.TypeMember)
	if err != nil {
		return nil, err
	}
	set, err := r.tx.StateDelta(0, r.stateID)
	if err != nil {
		return nil, err
	}
	nids := make([]int64, 0, len(set))
	for place, nid := range set {
		if place.Type == memberNID {
			nids = append(nids, nid)
		}
	}
	return r.tx.EventsByNID(nids)
}

// JoinedMembers returns who is in a room, with names and avatars (Client-Server API, GET /rooms/{roomId}/joined_members).
// The user must be in it, or someone of whom also is true, if it is not nil: an application service may ask about the rooms
// of any of its users. The error is M_FORBIDDEN.
func (s *Service) JoinedMembers(ctx context.Context, user id.UserID, roomID id.RoomID, also func(id.UserID) bool) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		roomNID, err := tx.RoomNID(roomID)
		if err != nil {
			return err
		}
		events, err := tx.MemberEvents(roomNID, event.MembershipJoin)
		if err != nil {
			return err
		}
		sortByPos(events)
		in := false
		dst := []byte(`{"joined":{`)
		for _, e := range events {
			member := id.UserID(*e.StateKey)
			in = in || member == user || also != nil && also(member)
			dst = append(appendKey(dst, member), '{')
			for _, field := range [...][2]string{{"displayname", "display_name"}, {"avatar_url", "avatar_url"}} {
				if value := e.ContentString(field[0]); value != "" {
					dst = appendString(appendKey(dst, field[1]), value)
				}
			}
			dst = append(dst, '}')
		}
		if !in {
			return matrixError(403, "M_FORBIDDEN", "You are not in %s", roomID)
		}
		out = append(dst, `}}`...)
		return nil
	})
	return out, err
}

// JoinedRooms returns the rooms that a user is in.
func (s *Service) JoinedRooms(ctx context.Context, user id.UserID) ([]id.RoomID, error) {
	rooms := []id.RoomID{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.LookupNID(string(user))
		if err != nil || nid == 0 {
			return err
		}
		nids, err := tx.JoinedRooms(nid)
		if err != nil {
			return err
		}
		for _, roomNID := range nids {
			roomID, err := tx.RoomID(roomNID)
			if err != nil {
				return err
			}
			rooms = append(rooms, roomID)
		}
		return nil
	})
	return rooms, err
}
