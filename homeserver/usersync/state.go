package usersync

import (
	"context"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// State returns the state of a room as an array of events: the current state for members, that of when they left for those
// who did (Client-Server API, GET /rooms/{roomId}/state). The error is M_FORBIDDEN.
func (s *Service) State(ctx context.Context, by Viewer, roomID id.RoomID) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := s.open(tx, by.User, roomID)
		if err != nil {
			return err
		}
		events, err := stateEvents(tx, r.roomNID, r.stateID, r.room.StateID, false, nil)
		if err != nil {
			return err
		}
		out, err = s.renderer(r, by).appendState(nil, events)
		return err
	})
	return out, err
}

// StateEvent returns one state event of a room, its content only unless whole is true. Errors: M_FORBIDDEN, M_NOT_FOUND.
func (s *Service) StateEvent(ctx context.Context, by Viewer, roomID id.RoomID, eventType, stateKey string, whole bool) (JSON, error) {
	var out JSON
	err := s.db.View(ctx, func(tx *store.Tx) error {
		r, err := s.open(tx, by.User, roomID)
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
		seen, err := r.seeState([]*store.Event{e})
		if err != nil {
			return err
		}
		if !whole {
			out = append(out, seen[0].Content...)
			return nil
		}
		render := s.renderer(r, by)
		if err := render.gather(seen); err != nil {
			return err
		}
		out, err = render.appendEvent(nil, seen[0])
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
		r, err := s.open(tx, req.User, req.RoomID)
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
		out, err = s.renderer(r, req.Viewer).appendState([]byte(`{"chunk":`), kept)
		out = append(out, '}')
		return err
	})
	return out, err
}

// goTo makes the state of a point in time the one to read. Who may not see what happened last before that time, nor was in the room
// then, may not know who was there either.
func (r *reading) goTo(at string) error {
	pos, err := parseToken("at", at)
	if err != nil || pos >= r.upto {
		return err
	}
	last, err := r.tx.TimelineBefore(r.roomNID, 1, pos, 1)
	if err == nil && len(last) == 0 {
		// Before the room, or before what has been kept of it.
		last, err = r.tx.TimelineAfter(r.roomNID, pos+1, r.upto, 1)
	}
	if err != nil {
		return err
	}
	forbidden := matrixError(403, "M_FORBIDDEN", "You may not see %s at that time", r.room.RoomID)
	if len(last) == 0 {
		return forbidden
	}
	stateID, err := r.tx.StateIDAt(r.roomNID, pos)
	if err != nil {
		return err
	}
	if stateID == 0 {
		stateID = last[0].StateBefore
	}
	seen, err := r.readable(last[0])
	if err == nil && !seen {
		seen, err = r.readableAt(last[0], stateID)
	}
	if err != nil {
		return err
	}
	if !seen || stateID == 0 {
		return forbidden
	}
	r.stateID, r.current = stateID, stateID == r.room.StateID
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
		forbidden := matrixError(403, "M_FORBIDDEN", "You are not in %s", roomID)
		room, err := tx.Room(roomID)
		if errors.Is(err, store.ErrNotFound) {
			return forbidden
		}
		if err != nil {
			return err
		}
		events, err := tx.MemberEvents(room.NID, event.MembershipJoin)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(events, func(e *store.Event) bool {
			member := id.UserID(*e.StateKey)
			return member == user || also != nil && also(member)
		}) {
			return forbidden
		}
		seat, err := tx.Membership(room.NID, user)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if events, err = newViewer(s.newSight(tx, user), room.NID, seat, room.StateID).seeState(events); err != nil {
			return err
		}
		sortByPos(events)
		dst := []byte(`{"joined":{`)
		for _, e := range events {
			dst = appendMember(dst, e)
		}
		out = append(dst, `}}`...)
		return nil
	})
	return out, err
}

// appendMember appends a member of the object of /joined_members. What a member does not have is null, as other servers have it.
func appendMember(dst []byte, e *store.Event) []byte {
	dst = append(appendKey(dst, *e.StateKey), '{')
	for _, field := range [...][2]string{{"displayname", "display_name"}, {"avatar_url", "avatar_url"}} {
		dst = appendKey(dst, field[1])
		if value := e.ContentString(field[0]); value != "" {
			dst = appendString(dst, value)
		} else {
			dst = append(dst, "null"...)
		}
	}
	return append(dst, '}')
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
