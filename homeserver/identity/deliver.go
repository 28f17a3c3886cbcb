package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
)

// Bounds of delivering invitations.
const (
	maxDue     = 50
	firstRetry = time.Minute
	maxRetry   = 6 * time.Hour
	lookEvery  = time.Minute
)

// look has Run look for what is due.
func (s *Service) look() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look
	}
}

// Run has users get the invitations that waited for their addresses, until ctx ends. It returns nil then. What is due is a row, so that
// nobody misses an invitation because the server stops.
func (s *Service) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.deliver(ctx); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Error().Err(err).Msg("Invitations wait: they cannot be read")
		}
		timer := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// deliver delivers what is due.
func (s *Service) deliver(ctx context.Context) error {
	for {
		nowTS := s.Now().UnixMilli()
		var (
			due []store.IdentityInvite
			key *event.Key
		)
		err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
			if err := tx.PruneIdentity(nowTS-invitesMS, nowTS-tokenMS); err != nil {
				return err
			}
			if due, err = tx.IdentityInvitesDue(nowTS, maxDue); err != nil || len(due) == 0 {
				return err
			}
			key, err = s.key(tx)
			return err
		})
		if err != nil || len(due) == 0 {
			return err
		}
		for _, invite := range due {
			if err := s.deliverOne(ctx, invite, key); err != nil {
				return err
			}
		}
	}
}

// deliverOne has one user get one invitation, and records what became of that.
func (s *Service) deliverOne(ctx context.Context, invite store.IdentityInvite, key *event.Key) error {
	err := s.redeem(ctx, invite, key)
	var refused mautrix.RespError
	log := zerolog.Ctx(ctx).With().Stringer("user_id", invite.User).Stringer("room_id", invite.RoomID).Logger()
	switch {
	case err == nil:
	case errors.As(err, &refused):
		log.Info().Err(err).Msg("An invitation by an address is void")
	default:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log.Warn().Err(err).Msg("An invitation by an address could not be delivered, and waits")
		wait := min(firstRetry<<min(invite.Tries, 10), maxRetry)
		next := s.Now().Add(wait).UnixMilli()
		return s.DB.Write(ctx, func(tx *store.Tx) error { return tx.PostponeIdentityInvite(invite.Token, next) })
	}
	ctx = context.WithoutCancel(ctx)
	return s.DB.Write(ctx, func(tx *store.Tx) error { return tx.FinishIdentityInvite(invite.Token, s.Now().UnixMilli()) })
}

func (s *Service) redeem(ctx context.Context, invite store.IdentityInvite, key *event.Key) error {
	if server := event.ServerOf(invite.User); server != s.ServerName || s.Redeem == nil {
		return fmt.Errorf("tell %s of an invitation: there is no federation", server)
	}
	signed, err := signInvite(invite, invite.User, key)
	if err != nil {
		return err
	}
	return s.Redeem(ctx, SignedInvite{RoomID: invite.RoomID, Sender: invite.Sender, User: invite.User, Token: invite.Token, Signed: signed})
}
