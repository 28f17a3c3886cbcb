package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Occupied is the error of a purge of a room that users of this server are in.
type Occupied struct {
	RoomID id.RoomID
	Users  int // who are joined or invited, or knock
}

// Error says how many they are.
func (o *Occupied) Error() string {
	return fmt.Sprintf("%d users of this server are in %s or invited to it", o.Users, o.RoomID)
}

// Purge deletes a room with all that belongs to it. With users of this server in it, it is refused with *Occupied, unless evict is
// true: then they are made to leave first, and have the time grace to hear of it. Once that is done the room is gone for
// everybody at once; its rows go bit by bit. What has begun is ended by ResumePurges, should this be interrupted. It returns
// store.ErrNotFound when this server knows no such room.
func (s *Service) Purge(ctx context.Context, roomID id.RoomID, evict bool, grace time.Duration) (store.Purged, error) {
	if err := s.vacate(ctx, roomID, evict, grace); err != nil {
		return store.Purged{}, err
	}
	var roomNID int64
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if !evict {
			if err := stillVacant(tx, roomID); err != nil {
				return err
			}
		}
		if roomNID, err = tx.BeginPurge(roomID); err != nil {
			return err
		}
		// Events that are built on the room as it was, before or while this is committed, must not be stored.
		s.fail(roomID)
		tx.AfterCommit(func() { s.fail(roomID) })
		return nil
	})
	if err != nil {
		return store.Purged{}, fmt.Errorf("purge %s: %w", roomID, err)
	}
	done, err := s.purgeRows(ctx, roomNID)
	if err != nil {
		return done, fmt.Errorf("purge %s: %w", roomID, err)
	}
	return done, nil
}

// stillVacant is *Occupied when somebody has come into a room since it was looked at. What is committed before the purge begins is seen
// here, and what comes after it finds no room.
func stillVacant(tx *store.Tx, roomID id.RoomID) error {
	nid, err := tx.RoomNID(roomID)
	if err != nil || nid == 0 {
		return err
	}
	seats, err := tx.LocalSeats(nid)
	if err == nil && len(seats) > 0 {
		err = &Occupied{RoomID: roomID, Users: len(seats)}
	}
	return err
}

// vacate makes the users of this server leave a room, or refuses to.
func (s *Service) vacate(ctx context.Context, roomID id.RoomID, evict bool, grace time.Duration) error {
	users, err := s.localUsers(ctx, roomID)
	if err != nil || len(users) == 0 {
		return err
	}
	if !evict {
		return &Occupied{RoomID: roomID, Users: len(users)}
	}
	for _, user := range users {
		if err := s.Leave(ctx, By{User: user}, roomID, ""); err != nil {
			if ctx.Err() != nil {
				return err
			}
			// The room goes all the same: that it refuses to let them go must not keep it here.
			zerolog.Ctx(ctx).Warn().Err(err).Stringer("room_id", roomID).Stringer("user_id", user).Msg("A user cannot leave a room that is to be purged")
		}
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) localUsers(ctx context.Context, roomID id.RoomID) ([]id.UserID, error) {
	var users []id.UserID
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		roomNID, err := tx.RoomNID(roomID)
		if err != nil || roomNID == 0 {
			return err
		}
		seats, err := tx.LocalSeats(roomNID)
		if err != nil {
			return err
		}
		for _, seat := range seats {
			name, err := tx.Text(seat.UserNID)
			if err != nil {
				return err
			}
			users = append(users, id.UserID(name))
		}
		return nil
	})
	return users, err
}

// fail has nothing more built on what is in memory of a room.
func (s *Service) fail(roomID id.RoomID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.heads[roomID]; h != nil {
		h.failed.Store(true)
		s.forget(h)
	}
}

// purgeRows deletes what is left of a room whose purge has begun.
func (s *Service) purgeRows(ctx context.Context, roomNID int64) (store.Purged, error) {
	var all store.Purged
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		var done store.Purged
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			done, more, err = tx.PurgeRoomSome(roomNID)
			return err
		})
		if err != nil {
			return all, err
		}
		all.Add(done)
	}
	return all, nil
}

// ResumePurges ends the purges that were interrupted, of rooms and of history.
func (s *Service) ResumePurges(ctx context.Context) (store.Purged, error) {
	var (
		all   store.Purged
		rooms []int64
		marks []store.AuditRoom
	)
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if rooms, err = tx.RoomsInPurge(); err == nil {
			marks, err = tx.RoomsToSweep()
		}
		return err
	})
	for _, r := range marks {
		err = errors.Join(err, s.unreceived(ctx, r.RoomID, func() error { return s.sweepRoom(ctx, r.NID, r.Sweep, &all) }))
	}
	for _, roomNID := range rooms {
		done, purgeErr := s.purgeRows(ctx, roomNID)
		all.Add(done)
		err = errors.Join(err, purgeErr)
	}
	if err != nil {
		return all, fmt.Errorf("end the purges of rooms: %w", err)
	}
	return all, nil
}

// PurgeForgotten deletes the rooms that nobody here is in any more, and that all who were have forgotten, since longer than keep.
func (s *Service) PurgeForgotten(ctx context.Context, keep time.Duration) (store.Purged, error) {
	var all store.Purged
	var rooms []id.RoomID
	now := s.Now()
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		rooms, err = tx.ForgottenRooms(now.Add(-keep).UnixMilli(), now.UnixMilli())
		return err
	})
	for _, roomID := range rooms {
		if s.inUse(roomID) { // somebody may be joining it
			continue
		}
		done, purgeErr := s.Purge(ctx, roomID, false, 0)
		all.Add(done)
		if occupied := new(Occupied); errors.As(purgeErr, &occupied) {
			continue // somebody has joined it
		}
		if err = errors.Join(err, purgeErr); ctx.Err() != nil {
			break
		}
	}
	return all, err
}

func (s *Service) inUse(roomID id.RoomID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heads[roomID]
	return h != nil && h.refs > 0
}

// PurgeRedacted deletes what redacted events said, of those that were redacted longer ago than keep.
func (s *Service) PurgeRedacted(ctx context.Context, keep time.Duration) (store.Purged, error) {
	var all store.Purged
	beforeTS := s.Now().Add(-keep).UnixMilli()
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		var done store.Purged
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			done, more, err = tx.DropOriginals(beforeTS)
			return err
		})
		if err != nil {
			return all, fmt.Errorf("delete what redacted events said: %w", err)
		}
		all.Add(done)
	}
	return all, nil
}
