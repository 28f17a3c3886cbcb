package bridges

import (
	"context"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// addCommands has bridgev2's commands that take a room from the bridge go about it slowly.
func (b *Bridge) addCommands() {
	command := func(name, help string) *commands.FullHandler {
		return &commands.FullHandler{
			Name: name, Help: commands.HelpMeta{Section: commands.HelpSectionChats, Description: help},
			RequiresPortal: true, RequiresEventLevel: event.StateBridge,
			Func: func(ce *commands.Event) {
				// What it does is told to the room by the job.
				if err := b.Unbridge(ce.Ctx, ce.RoomID, ce.User.MXID.String()+" asked for that"); err != nil {
					b.log.Err(err).Msg("unbridge a room")
					ce.Reply("The room cannot be unbridged at the moment.")
				}
			},
		}
	}
	b.v2.Commands.(*commands.Processor).AddHandlers(
		command("unbridge", "Take the bridge out of this room, and leave the room to those in it"),
		command("delete-portal", "The same as unbridge"),
	)
	b.addMatrixCommands()
}

// IsIn says whether a room is a portal, or one that the bot is in.
func (b *Bridge) IsIn(ctx context.Context, room id.RoomID) (bool, error) {
	if err := b.awaitReady(ctx); err != nil {
		return false, err
	}
	portal, err := b.v2.GetPortalByMXID(ctx, room)
	if err != nil || portal != nil {
		return portal != nil, err
	}
	joined, err := b.conn.Bot.JoinedRooms(ctx)
	if err != nil {
		return false, fmt.Errorf("list the rooms of the bot: %w", err)
	}
	return slices.Contains(joined.JoinedRooms, room), nil
}
