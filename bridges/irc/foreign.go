package irc

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// HandleForeign implements bridges.ForeignWatcher. Ghosts of other bridges have no connection of their own to IRC; where the relay speaks for
// everybody, it speaks for them too.
func (c *Connector) HandleForeign(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error {
	return c.inAllChannels(ctx, portal, evt, c.handleForeign)
}

func (c *Connector) handleForeign(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error {
	name, _, _ := splitID(string(portal.ID))
	n, ok := c.networks[name]
	if !ok || ownerOf(portal.PortalKey) != "" {
		return nil
	}
	n.strictChanged(portal.Name) // what they see is seen elsewhere
	if evt.Content.AsMember().Membership != event.MembershipJoin || c.modeOf(n, portal) != modeRelay {
		return nil
	}
	return c.userJoined(ctx, n, portal, id.UserID(evt.GetStateKey()))
}

// inRoom are those for whom a channel's room is connected: the people in it, and where the relay speaks for everybody, the ghosts of other
// bridges as well.
func (c *Connector) inRoom(ctx context.Context, n *network, portal *bridgev2.Portal, room id.RoomID) ([]id.UserID, error) {
	if c.modeOf(n, portal) == modeRelay {
		return c.host.Audience(ctx, room)
	}
	return c.host.People(ctx, room)
}
