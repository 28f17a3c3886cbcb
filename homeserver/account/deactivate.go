package account

import (
	"context"
	"fmt"
	"time"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Bounds on the work that deactivated accounts leave.
const (
	maxDepartures  = 100 // users who are read at once
	departureRetry = 10 * time.Second
)

// DeactivateRequest is the body of POST /account/deactivate.
type DeactivateRequest struct {
	Auth     *AuthData `json:"auth"`
	Erase    bool      `json:"erase"`
	IDServer string    `json:"id_server"`
}

// Deactivate ends a user's account for ever, after the user has proven who they are (Client-Server API, POST /account/deactivate). The
// user is made to leave all rooms soon after. What was published of the user by identity services is taken back before; unbound is false when
// one of them would not, which keeps nobody's account alive. Errors: *Challenge.
func (s *Service) Deactivate(ctx context.Context, who Requester, in DeactivateRequest) (unbound bool, err error) {
	what := "deactivate your account"
	if in.Erase {
		what = "deactivate your account and erase what you said"
	}
	done, err := s.Confirm(ctx, who, what, in.Auth)
	if err != nil {
		return false, err
	}
	if unbound, err = s.unbindAll(ctx, who.UserID, in.IDServer); err != nil {
		return false, err
	}
	if err := s.endAccount(ctx, who.UserID, in.Erase); err != nil {
		return false, err
	}
	done()
	return unbound, nil
}

// EndAccount is Deactivate for who has proven to be the user, or may do so without. store.ErrNotFound when there is no such account, or not
// any more.
func (s *Service) EndAccount(ctx context.Context, user id.UserID, erase bool) error {
	if _, err := s.unbindAll(ctx, user, ""); err != nil {
		return err
	}
	return s.endAccount(ctx, user, erase)
}

func (s *Service) endAccount(ctx context.Context, user id.UserID, erase bool) error {
	var change store.DeviceChange
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		change, err = tx.Deactivate(user, erase)
		return err
	})
	s.forget(user)
	if err != nil {
		return fmt.Errorf("deactivate %s: %w", user, err)
	}
	s.devicesChanged(change)
	s.departNow()
	return nil
}

func (s *Service) departNow() {
	select {
	case s.departed <- struct{}{}:
	default: // it will look
	}
}

// Run does what the accounts do by themselves, until ctx ends: it writes when devices were seen, and has those whose account is
// deactivated leave their rooms. It returns nil.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(seenEvery)
	defer ticker.Stop()
	retry := time.NewTimer(0) // there may be some who had not left when the server stopped
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			s.writeSeen(context.WithoutCancel(ctx))
			return nil
		case <-ticker.C:
			s.writeSeen(ctx)
			continue
		case <-s.departed:
		case <-retry.C:
		}
		if !s.depart(ctx) {
			retry.Reset(departureRetry)
		}
	}
}

// depart has all users leave their rooms whose account is deactivated. It is false when that did not succeed for all, and has to be tried
// again.
func (s *Service) depart(ctx context.Context) (all bool) {
	all = true
	var after int64
	for ctx.Err() == nil {
		var due []int64
		err := s.db.View(ctx, func(tx *store.Tx) (err error) {
			due, err = tx.Departures(after, maxDepartures)
			return err
		})
		if err != nil {
			zerolog.Ctx(ctx).Err(err).Msg("Deactivated users who have yet to leave their rooms cannot be read")
			return ctx.Err() != nil
		}
		if len(due) == 0 {
			return all
		}
		for _, nid := range due {
			after = nid
			if err := s.departOne(ctx, nid); err != nil && ctx.Err() == nil {
				zerolog.Ctx(ctx).Err(err).Msg("A deactivated user has not left all rooms yet")
				all = false
			}
		}
	}
	return true
}

func (s *Service) departOne(ctx context.Context, nid int64) error {
	var user *store.User
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		user, err = tx.UserByNID(nid)
		return err
	})
	if err != nil {
		return fmt.Errorf("look up who has rooms to leave: %w", err)
	}
	if s.cfg.Depart != nil {
		if err := s.cfg.Depart(ctx, user.UserID); err != nil {
			return fmt.Errorf("leave the rooms of %s: %w", user.UserID, err)
		}
	}
	return s.db.Write(ctx, func(tx *store.Tx) error { return tx.EndDeparture(nid) })
}
