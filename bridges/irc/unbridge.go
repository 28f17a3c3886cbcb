package irc

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

// unbridgedReason is what others read on IRC when somebody leaves with the room.
const unbridgedReason = "The room is no longer bridged"

// LeavePortal implements bridges.PortalLeaver: everybody who is on the channel by the room parts, and from its further channels.
func (c *Connector) LeavePortal(ctx context.Context, portal *bridgev2.Portal) error {
	c.unshowStrict(ctx, portal.MXID, portal.ID)
	name, _, _ := splitID(string(portal.ID))
	if n, ok := c.networks[name]; ok {
		if err := c.host.SetListedOn(ctx, n.name, portal.MXID, false); err != nil {
			c.br.Log.Debug().Err(err).Stringer("room_id", portal.MXID).Msg("a room that is left stays in the directory")
		}
		if err := c.partAll(ctx, n, portal, unbridgedReason); err != nil {
			return err
		}
		n.botPart(portal.Name, unbridgedReason)
	}
	for _, link := range c.links.inRoom(portal.MXID) {
		n, channel := c.channelOf(ctx, link.Portal)
		if n != nil && link.Portal != portal.ID {
			further, err := c.br.GetPortalByKey(ctx, networkid.PortalKey{ID: link.Portal})
			if err != nil {
				return err
			}
			if err := c.partAll(ctx, n, further, unbridgedReason); err != nil {
				return err
			}
			n.botPart(channel, unbridgedReason)
		}
		if err := c.links.forget(ctx, link); err != nil {
			return err
		}
	}
	return nil
}
