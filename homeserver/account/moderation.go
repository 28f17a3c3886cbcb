package account

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Moderated is what an administrator can do about an account (Client-Server API, "Account moderation").
type Moderated struct{ Locked, Suspended bool }

// Moderation returns whether a user is locked out or suspended. by is the administrator who asks. Errors: 400 M_INVALID_PARAM for a user of
// another server, 404 M_NOT_FOUND for nobody and who is deactivated, 403 M_FORBIDDEN for another administrator.
func (s *Service) Moderation(ctx context.Context, by, user id.UserID) (m Moderated, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		u, err := s.moderable(tx, by, user)
		if err == nil {
			m = Moderated{Locked: u.Locked, Suspended: u.Suspended}
		}
		return err
	})
	return m, err
}

// SetSuspended suspends a user, or ends that. Errors: as those of Moderation; also 403 M_FORBIDDEN for by itself.
func (s *Service) SetSuspended(ctx context.Context, by, user id.UserID, suspended bool) error {
	return s.moderate(ctx, by, user, func(tx *store.Tx) error { return tx.SetSuspended(user, suspended) })
}

// SetLocked locks a user out, or ends that. The sessions stay, and what waits on behalf of the user ends. Errors: as those of SetSuspended.
func (s *Service) SetLocked(ctx context.Context, by, user id.UserID, locked bool) error {
	return s.moderate(ctx, by, user, func(tx *store.Tx) error { return tx.SetLocked(user, locked) })
}

func (s *Service) moderate(ctx context.Context, by, user id.UserID, change func(*store.Tx) error) error {
	if by == user {
		return forbidden("You cannot do that to yourself")
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if _, err := s.moderable(tx, by, user); err != nil {
			return err
		}
		return change(tx)
	})
	s.forget(user)
	return err
}

func (s *Service) moderable(tx *store.Tx, by, user id.UserID) (*store.User, error) {
	if localpart, server, err := user.Parse(); err != nil || localpart == "" || server != s.cfg.ServerName {
		return nil, invalidParam("User does not belong to the local server.")
	}
	u, err := tx.User(user)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && u.Deactivated:
		return nil, notFound("User not found.")
	case err != nil:
		return nil, fmt.Errorf("look up %s: %w", user, err)
	case u.Admin && user != by:
		return nil, forbidden("%s is an administrator, too", user)
	}
	return u, nil
}

// SetValidity records when an account ends, in milliseconds, 0 for never. It is for the operator. store.ErrNotFound when there is no such
// account.
func (s *Service) SetValidity(ctx context.Context, user id.UserID, untilTS int64) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error { return tx.SetValidUntil(user, untilTS) })
	s.forget(user)
	return err
}
