package usersync

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// reading is a user's leave to read a room: as a member, as one who was a member, or because anybody may.
type reading struct {
	*viewer
	room    *store.Room
	stateID int64 // the state that the user may read: the current one, or that when they left
	current bool  // stateID is the current state
	upto    int64 // the newest position that the user may read
}

// open lets a user read a room. Users who left read it as it was when they left (Client-Server API, "Getting events for a
// room"); a room whose history is world_readable is open to all. The error is 403 M_FORBIDDEN, which does not tell whether
// there is such a room.
func (s *Service) open(tx *store.Tx, user id.UserID, roomID id.RoomID) (*reading, error) {
	return s.openSight(s.newSight(tx, user), roomID)
}

// MayRead tells whether a user may read a room, if only as it was when they left. The error is 403 M_FORBIDDEN.
func (s *Service) MayRead(ctx context.Context, user id.UserID, roomID id.RoomID) error {
	return s.db.View(ctx, func(tx *store.Tx) error {
		_, err := s.open(tx, user, roomID)
		return err
	})
}

// openSight is open for one of several rooms in the same transaction.
func (s *Service) openSight(sight *sight, roomID id.RoomID) (*reading, error) {
	tx, user := sight.tx, sight.user
	forbidden := matrixError(403, "M_FORBIDDEN", "You are not in %s", roomID)
	room, err := tx.Room(roomID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, forbidden
	}
	if err != nil {
		return nil, err
	}
	seat, err := tx.Membership(room.NID, user)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	upto, err := tx.StreamPos()
	if err != nil {
		return nil, err
	}
	r := &reading{
		viewer: newViewer(sight, room.NID, seat, room.StateID),
		room:   room, stateID: room.StateID, current: true, upto: upto,
	}
	if seat.Membership == event.MembershipJoin {
		return r, nil
	}
	if !seat.Forgotten {
		left, err := r.departure()
		if err != nil {
			return nil, err
		}
		if left != nil {
			r.stateID, r.current, r.upto = left.stateID, left.stateID == room.StateID, left.pos
			return r, nil
		}
	}
	visibility, err := r.history.at(tx, room.StateID)
	if err != nil {
		return nil, err
	}
	if visibility != event.VisibilityWorldReadable {
		return nil, forbidden
	}
	return r, nil
}
