package usersync

import (
	"context"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxMutual bounds the rooms of one answer of MutualRooms.
const maxMutual = 1000

// MutualRooms is a page of the rooms that two users are in. Client-Server API, GET /mutual_rooms.
type MutualRooms struct {
	Joined []id.RoomID `json:"joined"`
	Count  int64       `json:"count"` // of all pages
	Next   string      `json:"next_batch,omitempty"`
}

// MutualRooms returns the rooms that a user shares with another, of whom there need not be an account. from is a token of the page before,
// "" for the first. Errors: M_INVALID_PARAM.
func (s *Service) MutualRooms(ctx context.Context, user, with id.UserID, from string) (*MutualRooms, error) {
	switch {
	case !event.ValidUserID(string(with)):
		return nil, matrixError(400, "M_INVALID_PARAM", "%q is not a user id", with)
	case with == user:
		return nil, matrixError(400, "M_INVALID_PARAM", "You share all your rooms with yourself")
	case from != "" && (from[0] != '!' || len(from) > event.MaxFieldBytes):
		return nil, matrixError(400, "M_INVALID_PARAM", "from is not a token of this server")
	}
	all := &MutualRooms{Joined: []id.RoomID{}}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		mine, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		theirs, err := tx.LookupNID(string(with))
		if err != nil || mine == 0 || theirs == 0 {
			return err
		}
		// One more than is shown tells whether there are more.
		rooms, total, err := tx.MutualRooms(mine, theirs, id.RoomID(from), maxMutual+1)
		if err != nil {
			return err
		}
		if len(rooms) > maxMutual {
			rooms = rooms[:maxMutual]
			all.Next = string(rooms[maxMutual-1])
		}
		all.Joined, all.Count = append(all.Joined, rooms...), total
		return nil
	})
	return all, err
}
