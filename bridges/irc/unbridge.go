package irc

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
)

// LeavePortal implements bridges.PortalLeaver: everybody who is on the channel by the room parts.
func (c *Connector) LeavePortal(ctx context.Context, portal *bridgev2.Portal) error {
	name, _, _ := splitID(string(portal.ID))
	n, ok := c.networks[name]
	if !ok {
		return nil
	}
	rows, err := c.br.DB.UserPortal.GetAllInPortal(ctx, portal.PortalKey)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := c.userLeft(ctx, n, portal, row.UserMXID, "The room is no longer bridged"); err != nil {
			return err
		}
	}
	return nil
}
