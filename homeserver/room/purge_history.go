package room

import (
	"context"
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Before says up to where a room's history is purged: to an event, which stays, or else to a time in milliseconds.
type Before struct {
	EventID id.EventID
	TS      int64
}

// PurgeHistory deletes the messages of a room before a point, and the state events of that time that neither a state that is kept
// nor the auth chain of anything kept needs; those that are needed leave the timeline. The newest event and the room's extremities
// stay, whatever the point. What users who are not in the room any more are shown of their last moments there stays as well. It
// returns store.ErrNotFound when this server knows no such room, or the room no such event.
func (s *Service) PurgeHistory(ctx context.Context, roomID id.RoomID, before Before) (store.Purged, error) {
	var (
		point store.PurgePoint
		all   store.Purged
	)
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Room(roomID)
		if err != nil {
			return err
		}
		if before.EventID != "" {
			point, err = tx.PurgePointAt(r.NID, before.EventID)
		} else {
			point, err = tx.PurgePointBefore(r.NID, before.TS, s.Now().UnixMilli())
		}
		return err
	})
	if err == nil {
		err = s.unreceived(ctx, roomID, func() error {
			if err := s.purgeBefore(ctx, point, &all); err != nil {
				return err
			}
			return s.sweepRoom(ctx, point.RoomNID, store.SweepOutliers, &all)
		})
	}
	if err != nil {
		return all, fmt.Errorf("purge the history of %s: %w", roomID, err)
	}
	return all, nil
}

// unreceived runs do when no events of a room are being received from elsewhere: such an event may come after any that is here. Those
// that are made here come after the extremities, which stay.
func (s *Service) unreceived(ctx context.Context, roomID id.RoomID, do func() error) error {
	unlock, err := s.receiving.lock(ctx, roomID)
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

// purgeBefore takes all before a point out of a room's timeline. Each step leaves a database in which all is well. The caller keeps
// events from being received.
func (s *Service) purgeBefore(ctx context.Context, p store.PurgePoint, all *store.Purged) error {
	if err := s.DB.Write(ctx, func(tx *store.Tx) error { return tx.MarkSweep(p.RoomNID, store.SweepOutliers) }); err != nil {
		return err
	}
	// Who leaves from here on does so after the point, and needs nothing before it that is not pinned already.
	var pinned map[int64]bool
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		pinned, err = tx.PinnedEvents(p.RoomNID)
		return err
	})
	if err != nil {
		return err
	}
	var next int64
	steps := []func(*store.Tx) (done store.Purged, more bool, err error){
		func(tx *store.Tx) (done store.Purged, more bool, err error) {
			done, upto, err := tx.PurgeMessages(p, next)
			return done, upto != 0, later(tx, err, &next, upto)
		},
		func(tx *store.Tx) (store.Purged, bool, error) { return tx.PurgeStrays(p) },
		func(tx *store.Tx) (done store.Purged, more bool, err error) {
			upto, err := tx.DemoteState(p, next, pinned)
			return done, upto != 0, later(tx, err, &next, upto)
		},
		func(tx *store.Tx) (done store.Purged, more bool, err error) {
			more, err = tx.DemoteStrays(p)
			return done, more, err
		},
		func(tx *store.Tx) (done store.Purged, more bool, err error) {
			more, err = tx.TrimRoomStates(p)
			return done, more, err
		},
	}
	for _, step := range steps {
		next = 0
		if err := s.repeat(ctx, all, step); err != nil {
			return err
		}
	}
	return nil
}

// later sets a variable when the transaction is committed: it may be run more than once.
func later(tx *store.Tx, err error, variable *int64, value int64) error {
	if err == nil {
		tx.AfterCommit(func() { *variable = value })
	}
	return err
}

// repeat runs a step, each time in a transaction of its own, until there is no more to do for it.
func (s *Service) repeat(ctx context.Context, all *store.Purged, step func(*store.Tx) (done store.Purged, more bool, err error)) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var done store.Purged
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			done, more, err = step(tx)
			return err
		})
		if err != nil {
			return err
		}
		all.Add(done)
	}
	return nil
}

// sweepRoom deletes the state sets of a room that nothing refers to any more, and of that kind the outliers that nothing needs. The
// caller keeps events from being received.
func (s *Service) sweepRoom(ctx context.Context, roomNID int64, kind store.Sweep, all *store.Purged) error {
	outliers := kind == store.SweepOutliers
	if outliers {
		if err := s.rebaseSets(ctx, roomNID); err != nil {
			return err
		}
	}
	var garbage *store.Garbage
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		garbage, err = tx.FindGarbage(roomNID, outliers)
		return err
	})
	if err != nil {
		return err
	}
	defer s.resolver.Forget() // it may remember sets that are gone
	return s.repeat(ctx, all, func(tx *store.Tx) (store.Purged, bool, error) {
		done, rest, err := tx.DeleteGarbage(garbage)
		if err == nil && rest == nil {
			err = tx.EndSweep(roomNID, kind)
		}
		if err == nil {
			tx.AfterCommit(func() { garbage = rest })
		}
		return done, rest != nil, err
	})
}

// rebaseSets has no state that is kept build on one of a time that has been purged.
func (s *Service) rebaseSets(ctx context.Context, roomNID int64) error {
	var (
		direct map[int64]bool
		upto   int64
	)
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if upto, err = tx.StreamPos(); err == nil {
			direct, err = tx.DirectSets(roomNID)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error { return tx.RebaseStateSets(roomNID, upto, direct) })
}
