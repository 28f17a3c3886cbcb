package bridges

import (
	"context"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// enterByPuppets has people whom a new room is for join it by their double puppets. bridgev2 leaves that to a homeserver that says to do it
// (com.beeper.room_create_autojoin_invites), but ours lets those alone join whom the bridge may act for by its registration: ghosts.
func (c *matrixConnector) enterByPuppets(ctx context.Context, room id.RoomID, invited []id.UserID) {
	for _, member := range invited {
		if c.Bridge.IsGhostMXID(member) {
			continue
		}
		user, err := c.Bridge.GetExistingUserByMXID(ctx, member)
		if err == nil && user != nil {
			if puppet := user.DoublePuppet(ctx); puppet != nil {
				// mautrix has taken them for joined.
				if err = c.AS.StateStore.SetMembership(ctx, room, member, event.MembershipInvite); err == nil {
					err = puppet.EnsureJoined(ctx, room)
				}
			}
		}
		if err != nil { // they are invited, and can join themselves
			zerolog.Ctx(ctx).Err(err).Stringer("room_id", room).Stringer("user_id", member).Msg("have a double puppet enter a new room")
		}
	}
}
