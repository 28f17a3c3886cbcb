package room

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// maxTips is how many tips a room may have before they are joined, and maxDummySenders how many users are tried for it.
const (
	maxTips         = 10
	maxDummySenders = 20
)

// collapse joins the tips of a room when there are many: each event from here names them all, and each resolution takes them all in.
func (s *Service) collapse(ctx context.Context, roomID id.RoomID) {
	var users []id.UserID
	tips := 0
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		nid, err := tx.RoomNID(roomID)
		if err != nil || nid == 0 {
			return err
		}
		if tips, err = tx.CountExtremities(nid); err != nil || tips <= maxTips {
			return err
		}
		nids, err := tx.LocalMembers(nid, maxDummySenders)
		if err != nil {
			return err
		}
		for _, nid := range nids {
			user, err := tx.Text(nid)
			if err != nil {
				return err
			}
			users = append(users, id.UserID(user))
		}
		return nil
	})
	for _, user := range users {
		if err != nil {
			break
		}
		_, err = s.append(ctx, roomID, []draft{{Type: event.TypeDummy, Sender: user, Content: []byte("{}"), TS: s.Now().UnixMilli()}}, nil)
		var refused mautrix.RespError
		if !errors.As(err, &refused) {
			break
		}
		err = nil // this one may not: perhaps the next
	}
	if err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Stringer("room_id", roomID).Int("tips", tips).Msg("Joining the branches of a room")
	}
}
