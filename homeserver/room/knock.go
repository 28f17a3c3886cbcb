package room

import (
	"context"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// Knock asks to be invited to a room, by its id or one of its aliases. The answer is an invitation (Invite), or that the user is made to
// leave (Kick); Leave takes the knock back. Client-Server API, "Knocking on rooms".
func (s *Service) Knock(ctx context.Context, by By, roomIDOrAlias, reason string) (id.RoomID, error) {
	roomID, _, err := s.findRoom(ctx, by, roomIDOrAlias)
	if err != nil {
		return "", err
	}
	return roomID, s.setMembership(ctx, by, roomID, by.User, event.MembershipKnock, reasonOf(reason))
}
