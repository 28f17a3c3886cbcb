package room

import (
	"context"
	"slices"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

const (
	// summonTime bounds the wait for the application services before an invitation goes on without them, however many are invited.
	summonTime = time.Minute
	// maxSummons is how many users of one request are asked for at a time.
	maxSummons = 8
)

// summonAll has the application services make those users that are to be invited and are not there yet: people invite ghosts that nobody has
// seen. Whatever comes of it, the invitations follow.
func (s *Service) summonAll(ctx context.Context, by By, users ...id.UserID) error {
	if s.Summon == nil {
		return nil
	}
	var missing []id.UserID
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		missing = missing[:0]
		for _, user := range users {
			if user.Homeserver() != s.ServerName || slices.Contains(missing, user) {
				continue
			}
			exists, err := tx.UserExists(user)
			if err != nil {
				return err
			}
			if !exists {
				missing = append(missing, user)
			}
		}
		return nil
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, summonTime)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(maxSummons)
	for _, user := range missing {
		group.Go(func() error {
			s.Summon(waiting, user, by.AppService)
			return nil
		})
	}
	_ = group.Wait()
	return ctx.Err()
}

// summon is summonAll for who is invited to a room, by somebody who is in it: others may not invite, and nothing is done for them.
func (s *Service) summon(ctx context.Context, by By, roomID id.RoomID, user id.UserID) error {
	if s.Summon == nil || user.Homeserver() != s.ServerName {
		return nil
	}
	now, err := s.membership(ctx, roomID, by.User)
	if err != nil || now != event.MembershipJoin || by.Suspended {
		return nil // the invitation is refused, with the reason
	}
	return s.summonAll(ctx, by, user)
}
