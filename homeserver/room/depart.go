package room

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Depart has a user whose account has ended leave all rooms, decline invitations and take back knocks. A room that refuses is passed over.
// It may be called again, should it be cut short.
func (s *Service) Depart(ctx context.Context, user id.UserID) error {
	var rooms []id.RoomID
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.LookupNID(string(user))
		if err == nil && nid != 0 {
			rooms, err = tx.SeatsToLeave(nid)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look up the rooms of %s: %w", user, err)
	}
	for _, roomID := range rooms {
		var refused mautrix.RespError
		switch err := s.Leave(ctx, By{User: user}, roomID, ""); {
		case err == nil:
		case errors.As(err, &refused):
			zerolog.Ctx(ctx).Warn().Err(err).Stringer("room_id", roomID).Stringer("user_id", user).Msg("A deactivated user cannot leave a room")
		default:
			return err
		}
	}
	return nil
}
