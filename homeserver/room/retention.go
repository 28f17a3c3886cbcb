package room

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/retention"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
)

// ApplyRetention deletes the messages that are older than their rooms and the server let them be (MSC1763). State events stay, and
// with them the redactions of those; each room's newest event and extremities stay, too. A room in which it cannot be done is logged, and
// does not keep it from being done in others.
func (s *Service) ApplyRetention(ctx context.Context, policy retention.Policy) (store.Purged, error) {
	var all store.Purged
	if !policy.Enabled {
		return all, nil
	}
	var rooms []store.RoomRetention
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		rooms, err = tx.RoomRetentions(policy.Default == 0)
		return err
	})
	if err != nil {
		return all, fmt.Errorf("find the rooms with messages that expire: %w", err)
	}
	failed := 0
	for _, r := range rooms {
		if lifetime := policy.MaxLifetime(r.Content); lifetime > 0 {
			if err := s.expire(ctx, r, lifetime, &all); err != nil {
				if ctx.Err() != nil {
					return all, err
				}
				failed++
				zerolog.Ctx(ctx).Error().Err(err).Stringer("room_id", r.RoomID).Msg("Deleting the expired messages of a room")
			}
		}
	}
	if failed > 0 {
		return all, fmt.Errorf("expired messages of %d rooms: %w", failed, errNotDeleted)
	}
	return all, nil
}

var errNotDeleted = errors.New("they could not be deleted; the log says why")

// expire deletes the messages of a room that are older than lifetime, in milliseconds.
func (s *Service) expire(ctx context.Context, r store.RoomRetention, lifetime int64, all *store.Purged) error {
	now := s.Now().UnixMilli()
	search := store.Expiry{RoomNID: r.RoomNID, BeforeTS: now - lifetime, NowTS: now}
	sweep := false
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var nids []int64
		err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
			nids, done, err = tx.FindExpired(&search)
			return err
		})
		if err != nil {
			return err
		}
		if len(nids) == 0 {
			continue
		}
		err = s.unreceived(ctx, r.RoomID, func() error {
			return s.repeat(ctx, all, func(tx *store.Tx) (store.Purged, bool, error) {
				deleted, rest, loose, err := tx.DeleteExpired(r.RoomNID, nids)
				if err == nil && loose {
					err = tx.MarkSweep(r.RoomNID, store.SweepSets)
				}
				if err == nil {
					tx.AfterCommit(func() { nids, sweep = rest, sweep || loose })
				}
				return deleted, rest != nil, err
			})
		})
		if err != nil {
			return err
		}
	}
	if !sweep {
		return nil
	}
	return s.unreceived(ctx, r.RoomID, func() error { return s.sweepRoom(ctx, r.RoomNID, store.SweepSets, all) })
}
