package irc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

// make does what follows from consent: the room becomes that of the channel, and its people enter the channel. Each step can
// be done again.
func (ls *links) make(ctx context.Context, link bridges.Link) error {
	c := ls.conn
	n, channel := c.channelOf(ctx, link.Portal)
	if n == nil {
		return nil // it is configured no longer, and may be again
	}
	may, err := c.mayLink(ctx, link.Room, link.AskedBy)
	switch {
	case isFinal(err), err == nil && !may && !c.br.Config.Permissions.Get(link.AskedBy).Admin:
		// Meanwhile the bot was sent away, or who has asked is nobody any more who could.
		return ls.drop(ctx, link, n, channel, link.AskedBy.String()+" may not do so any more.")
	case err != nil:
		return err
	}
	portal, err := ls.occupy(ctx, link, n, channel)
	if why, ok := errors.AsType[*sendError](err); ok {
		return ls.drop(ctx, link, n, channel, why.text)
	} else if err != nil {
		return err
	}
	people, err := c.inRoom(ctx, n, portal, link.Room)
	if err != nil {
		return err
	}
	strangers := 0
	for _, user := range people {
		if !c.br.Config.Permissions.Get(user).Login {
			strangers++
			continue
		}
		if err := c.userJoined(ctx, n, portal, user); err != nil {
			return err
		}
	}
	link.State = bridges.LinkStanding
	if err := c.host.SetLink(ctx, link); err != nil {
		return err
	}
	ls.put(link)
	if err := ls.place(ctx, link); err != nil {
		return err
	}
	ch := n.channel(channel)
	ch.resync()
	ch.restate()
	text := "This room is connected with " + channel + " on " + n.name + ": what is said here is said there. " + link.Consent + " has allowed it."
	if strangers > 0 {
		text += fmt.Sprintf(" %d members may not use this bridge; they hear, and nobody on IRC hears or sees them.", strangers)
	}
	c.say(link.Room, text)
	return nil
}

// drop forgets a link of which nothing came, and says why.
func (ls *links) drop(ctx context.Context, link bridges.Link, n *network, channel, why string) error {
	if err := ls.forget(ctx, link); err != nil {
		return err
	}
	ls.conn.say(link.Room, "Not connected with "+channel+": "+why)
	ls.leaveIdle(n, channel)
	return nil
}

// occupy makes a room that of a channel, unless it has a channel already: then this becomes a further one. It returns the channel's
// portal; what cannot be is a *sendError.
func (ls *links) occupy(ctx context.Context, link bridges.Link, n *network, channel string) (*bridgev2.Portal, error) {
	portal, err := ls.conn.br.GetPortalByKey(ctx, networkid.PortalKey{ID: link.Portal})
	if err != nil {
		return nil, err
	}
	if portal.Name == "" {
		portal.Name = channel
		if err := portal.Save(ctx); err != nil {
			return nil, fmt.Errorf("store the name of %s: %w", channel, err)
		}
	}
	if portal.MXID == link.Room {
		return portal, nil
	}
	if portal.MXID != "" {
		return nil, failure("the channel has a room already")
	}
	if why, err := ls.conn.unfit(ctx, n, channel, link.Room); err != nil {
		return nil, err
	} else if why != "" {
		return nil, failure("%s", why)
	}
	first, err := ls.conn.br.GetPortalByMXID(ctx, link.Room)
	if err != nil || first != nil {
		return portal, err
	}
	ls.conn.roomsMu.Lock()
	err = portal.UpdateMatrixRoomID(ctx, link.Room, bridgev2.UpdateMatrixRoomIDParams{FailIfMXIDSet: true, ChatInfoSource: n.login})
	ls.conn.roomsMu.Unlock()
	switch {
	case errors.Is(err, bridgev2.ErrRoomAlreadyExists):
		return nil, failure("the channel has a room already")
	case errors.Is(err, bridgev2.ErrTargetRoomIsPortal): // for a moment ago it was none
		return portal, nil
	}
	return portal, err
}

// unfit says in words why a room cannot be connected with a channel, whoever allows it.
func (c *Connector) unfit(ctx context.Context, n *network, channel string, room id.RoomID) (string, error) {
	places, err := c.placesOf(ctx, room)
	if err != nil {
		return "", err
	}
	for _, p := range places {
		switch {
		case p.net == n && p.portal.ID == n.ids.portal(channel).ID:
			return "", nil
		case p.net == n:
			return "it is connected with " + p.channel + " on " + n.name + " already, and cannot have two channels of one network", nil
		case p.net.isSameAs(n):
			// The same people would be seen twice, and the bridge would hear itself.
			return p.net.name + " and " + n.name + " are the same network", nil
		case c.isStrict(p.net, p.channel):
			return p.channel + " on " + p.net.name + " is strict, and others would read what is said there", nil
		}
	}
	if !c.isStrict(n, channel) {
		return "", nil
	}
	if len(places) > 0 {
		return channel + " is strict, and others would read what is said there", nil
	}
	return c.tooOpen(ctx, room)
}

// isSameAs reports whether two networks of the configuration are one.
func (n *network) isSameAs(other *network) bool {
	if n.cfg.Address == other.cfg.Address {
		return true
	}
	name, otherName := n.announced.Load(), other.announced.Load()
	return name != nil && otherName != nil && *name != "" && *name == *otherName
}

// spot is a channel of a room. Its portal is the channel's own, which for a further channel has no room.
type spot struct {
	net     *network
	portal  *bridgev2.Portal
	channel string
	first   bool // the room's portal is this one
}

// placesOf are the channels of a room, the first one first.
func (c *Connector) placesOf(ctx context.Context, room id.RoomID) ([]spot, error) {
	var places []spot
	first, err := c.br.GetPortalByMXID(ctx, room)
	if err != nil {
		return nil, fmt.Errorf("portal of %s: %w", room, err)
	}
	add := func(portal *bridgev2.Portal, first bool) {
		name, channel, _ := splitID(string(portal.ID))
		if n := c.networks[name]; n != nil {
			if portal.Name != "" {
				channel = portal.Name
			}
			places = append(places, spot{net: n, portal: portal, channel: channel, first: first})
		}
	}
	if first != nil {
		add(first, true)
	}
	for _, id := range c.links.furtherOf(room) {
		portal, err := c.br.GetPortalByKey(ctx, networkid.PortalKey{ID: id})
		if err != nil {
			return nil, fmt.Errorf("portal %s: %w", id, err)
		}
		add(portal, false)
	}
	return places, nil
}

// end ends a link. Where the room has other channels, ghosts and people of this one leave it; else the whole room is unbridged.
// It returns when that will be done, whatever happens.
func (ls *links) end(ctx context.Context, link bridges.Link, why string) error {
	others := slices.DeleteFunc(ls.inRoom(link.Room), func(l bridges.Link) bool {
		return l.Portal == link.Portal || l.State != bridges.LinkStanding
	})
	if !ls.isFurther(link.Portal) && len(others) == 0 {
		return ls.conn.host.Unbridge(ctx, link.Room, why)
	}
	link.State = bridges.LinkEnding
	if err := ls.conn.host.SetLink(ctx, link); err != nil {
		return err
	}
	ls.put(link)
	name, channel, _ := splitID(string(link.Portal))
	ls.conn.say(link.Room, "This room is no longer connected with "+channel+" on "+name+": "+why+".")
	ls.ring()
	return nil
}

// withdraw takes one of several channels from a room: its people part, another channel takes its place if it was the first, and its
// ghosts leave. Each step can be done again.
func (ls *links) withdraw(ctx context.Context, link bridges.Link) error {
	c := ls.conn
	portal, err := c.br.GetPortalByKey(ctx, networkid.PortalKey{ID: link.Portal})
	if err != nil {
		return err
	}
	n, channel := c.channelOf(ctx, link.Portal)
	if n != nil {
		if err := c.partAll(ctx, n, portal, "The room is no longer connected with the channel"); err != nil {
			return err
		}
		n.botPart(channel, "the room is no longer connected with the channel")
	}
	first, err := c.br.GetPortalByMXID(ctx, link.Room)
	if err != nil {
		return err
	}
	if first == nil || first.ID == link.Portal {
		if err := ls.promote(ctx, portal, link); err != nil {
			return err
		}
	}
	if err := ls.withdrawGhosts(ctx, link); err != nil {
		return err
	}
	return ls.forget(ctx, link)
}

// promote makes another channel the first of a room. What was said by the old one cannot be replied to any more.
func (ls *links) promote(ctx context.Context, portal *bridgev2.Portal, link bridges.Link) error {
	if err := portal.RemoveMXID(ctx); err != nil {
		return fmt.Errorf("take the room from %s: %w", portal.ID, err)
	}
	for _, other := range ls.inRoom(link.Room) {
		if other.Portal == link.Portal || other.State != bridges.LinkStanding {
			continue
		}
		n, _ := ls.conn.channelOf(ctx, other.Portal)
		next, err := ls.conn.br.GetPortalByKey(ctx, networkid.PortalKey{ID: other.Portal})
		if err != nil || n == nil {
			return err
		}
		if err := next.UpdateMatrixRoomID(ctx, link.Room, bridgev2.UpdateMatrixRoomIDParams{ChatInfoSource: n.login}); err != nil {
			return fmt.Errorf("give the room to %s: %w", other.Portal, err)
		}
		return ls.place(ctx, other)
	}
	return nil
}

// withdrawGhosts has the ghosts of a network leave a room, one after the other.
func (ls *links) withdrawGhosts(ctx context.Context, link bridges.Link) error {
	network, _, _ := splitID(string(link.Portal))
	members, err := ls.conn.br.Matrix.GetMembers(ctx, link.Room)
	if err != nil {
		return fmt.Errorf("list the members of %s: %w", link.Room, err)
	}
	for user, member := range members {
		ghost, ok := ls.conn.br.Matrix.ParseGhostMXID(user)
		name, _, _ := splitID(string(ghost))
		if !ok || name != network || member.Membership != event.MembershipJoin {
			continue
		}
		if err := ls.conn.host.Leave(ctx, link.Room, user); err != nil {
			return err
		}
		select {
		case <-time.After(ghostPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// partAll has everybody leave a channel who is there by its room.
func (c *Connector) partAll(ctx context.Context, n *network, portal *bridgev2.Portal, reason string) error {
	rows, err := c.br.DB.UserPortal.GetAllInPortal(ctx, portal.PortalKey)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := c.userLeft(ctx, n, portal, row.UserMXID, reason); err != nil {
			return err
		}
	}
	return nil
}

// renameLink lets what is kept of a channel follow its new name. It reports true when the room is not the bridge's own, and keeps the
// name that it has.
func (l *lane) renameLink(ctx context.Context, to string) (linked bool, err error) {
	c, old := l.net.conn, l.called()
	from, key := l.net.ids.portal(old), l.net.ids.portal(to)
	if c.isStrict(l.net, old) {
		c.strict.choose(ctx, c.br.DB, key.ID, true) // whatever pattern the new name fits
	}
	link, linked := c.links.of(from.ID)
	if !linked {
		return false, nil
	}
	isFurther := c.links.isFurther(from.ID)
	if from != key {
		if err := c.host.RenameLink(ctx, from.ID, key.ID); err != nil {
			return true, err
		}
		result, _, err := c.br.ReIDPortal(ctx, from, key)
		if err != nil {
			return true, fmt.Errorf("move the portal of %s (%v): %w", old, result, err)
		}
		c.links.rename(link, key.ID, isFurther)
	}
	l.renamed.Store(&to)
	portal, err := c.br.GetPortalByKey(ctx, key)
	if err != nil {
		return true, err
	}
	portal.Name = to
	return true, portal.Save(ctx)
}

// rename gives a link the new ID of its channel.
func (ls *links) rename(link bridges.Link, to networkid.PortalID, further bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.displace(link)
	delete(ls.byPortal, link.Portal)
	link.Portal = to
	ls.byPortal[to] = link
	if further {
		ls.further[link.Room] = append(ls.further[link.Room], to)
	}
}
