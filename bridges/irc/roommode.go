package irc

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/id"
)

// The ways in which the people of a room are on its channel.
const (
	modeTransparent = "transparent" // each by a connection of their own
	modeRelay       = "relay"       // all by one
	modeBouncer     = "bouncer"     // only in rooms of their own
)

// RoomsConfig is how the people of a room are on its channel.
type RoomsConfig struct {
	// Mode is transparent (the default): each has a connection of their own; relay: one connection speaks for all; or bouncer:
	// people only have rooms of their own, by `!irc join`.
	Mode string `yaml:"mode,omitempty"`
	// Channels are exceptions by the name of a channel, in which * stands for anything. The longest that fits counts.
	Channels map[string]string `yaml:"channels,omitempty"`
}

func (r RoomsConfig) validate(field string) error {
	modes := []string{modeTransparent, modeRelay, modeBouncer}
	if r.Mode != "" && !slices.Contains(modes, r.Mode) {
		return fmt.Errorf("%s.mode: %q is none of %s", field, r.Mode, strings.Join(modes, ", "))
	}
	for _, pattern := range slices.Sorted(maps.Keys(r.Channels)) {
		switch _, err := path.Match(literal(pattern), "#"); {
		case !validChannel(pattern) && pattern != "*" || err != nil:
			return fmt.Errorf("%s.channels: %q is not the name of a channel", field, pattern)
		case !slices.Contains(modes, r.Channels[pattern]):
			return fmt.Errorf("%s.channels.%s: %q is none of %s", field, pattern, r.Channels[pattern], strings.Join(modes, ", "))
		}
	}
	return nil
}

// literal has path.Match take everything but * as it is, and * also for a slash.
func literal(pattern string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "?", `\?`, "/", "\x00").Replace(pattern)
}

// modeFor is what the configuration says about a channel.
func (n *network) modeFor(channel string) string {
	mode, longest := n.cfg.Rooms.Mode, -1
	folded := strings.ReplaceAll(n.ids.fold.Fold(channel), "/", "\x00")
	for pattern, its := range n.cfg.Rooms.Channels {
		if ok, _ := path.Match(literal(n.ids.fold.Fold(pattern)), folded); ok && len(pattern) > longest {
			mode, longest = its, len(pattern)
		}
	}
	if mode == "" {
		return modeTransparent
	}
	return mode
}

// portalMeta is what is stored with a portal, beside what bridgev2 stores itself. One that a portal has is not changed any
// more: Connector.changePortal replaces it.
type portalMeta struct {
	// Mode is how the people of the room are on its channel, where the configuration does not say it.
	Mode string `json:"mode,omitempty"`
}

// portalMetaOf returns what is stored with a portal, as a copy.
func (c *Connector) portalMetaOf(portal *bridgev2.Portal) portalMeta {
	c.metaMu.Lock()
	defer c.metaMu.Unlock()
	if meta, ok := portal.Metadata.(*portalMeta); ok && meta != nil {
		return *meta
	}
	return portalMeta{}
}

// changePortal stores a change of what belongs to a portal.
func (c *Connector) changePortal(ctx context.Context, portal *bridgev2.Portal, f func(meta *portalMeta)) error {
	next := c.portalMetaOf(portal)
	f(&next)
	c.metaMu.Lock()
	before := portal.Metadata
	portal.Metadata = &next
	c.metaMu.Unlock()
	if err := portal.Save(ctx); err != nil {
		c.metaMu.Lock()
		portal.Metadata = before
		c.metaMu.Unlock()
		return fmt.Errorf("store the mode of a room: %w", err)
	}
	return nil
}

// modeOf is how the people of a room are on its channel.
func (c *Connector) modeOf(n *network, portal *bridgev2.Portal) string {
	if mode := c.portalMetaOf(portal).Mode; mode != "" {
		return mode
	}
	return n.modeFor(portal.Name)
}

// cmdRoom shows or changes the mode of the room in which it is said. Its sender may change the room's power levels, or is an
// administrator of the bridge.
func (c *Connector) cmdRoom(ce *commands.Event) {
	name, _, _ := splitID(string(ce.Portal.ID))
	n, known := c.networks[name]
	if !known || kindOf(ce.Portal.PortalKey) != shared {
		ce.Reply("This is not the room of a channel that people share")
		return
	}
	now := c.modeOf(n, ce.Portal)
	if len(ce.Args) != 1 {
		ce.Reply("The mode of this room is %s. Usage: `$cmdprefix room transparent`, `relay` or `bouncer`", now)
		return
	}
	mode := strings.ToLower(ce.Args[0])
	switch {
	case !slices.Contains([]string{modeTransparent, modeRelay, modeBouncer}, mode):
		ce.Reply("It is one of transparent, relay and bouncer")
		return
	case mode == now:
		ce.Reply("It is so already")
		return
	}
	if err := c.switchMode(ce.Ctx, n, ce.Portal, mode); err != nil {
		ce.Reply("That did not work: %v", err)
		return
	}
	ce.Reply("%s", map[string]string{
		modeTransparent: "Everybody here has a connection of their own from now on.",
		modeRelay:       "One connection speaks for everybody here from now on.",
		modeBouncer:     "This room is not connected any more. Join the channel in a room of your own, by `$cmdprefix join`.",
	}[mode])
}

// switchMode stores the mode first, so that whatever comes meanwhile, or after a crash, follows it.
func (c *Connector) switchMode(ctx context.Context, n *network, portal *bridgev2.Portal, mode string) error {
	before := c.modeOf(n, portal)
	if err := c.changePortal(ctx, portal, func(meta *portalMeta) { meta.Mode = mode }); err != nil {
		return err
	}
	rows, err := c.br.DB.UserPortal.GetAllInPortal(ctx, portal.PortalKey)
	if err != nil {
		return err
	}
	const why = "the room is bridged otherwise from now on"
	if before == modeRelay {
		c.relayPart(n, portal, why)
	}
	for _, row := range rows {
		if n.isBot(row.UserMXID) {
			continue
		}
		if client := n.running(row.UserMXID); before == modeTransparent && client != nil {
			client.box.add(partRequest{channel: portal.Name, reason: why})
		}
		if mode == modeTransparent {
			if err := n.ask(row.UserMXID, c.requestFor(ctx, n, row.UserMXID, portal)); err != nil {
				return err
			}
		}
	}
	if mode == modeRelay {
		return c.relayJoin(ctx, n, portal)
	}
	return nil
}

// enterBy lets somebody who has entered a channel's room be on the channel, as the room's mode has it, and reports whether
// that is done: in a transparent room they join by themselves.
func (c *Connector) enterBy(ctx context.Context, n *network, portal *bridgev2.Portal, user id.UserID) (done bool, err error) {
	switch c.modeOf(n, portal) {
	case modeRelay:
		if !c.br.Config.Permissions.Get(user).SendEvents {
			return true, nil
		}
		login, err := c.login(ctx, n, user)
		if err != nil {
			return true, err
		}
		if _, err := c.br.DB.UserPortal.GetOrCreate(ctx, login.UserLogin, portal.PortalKey); err != nil {
			return true, err
		}
		return true, c.relayJoin(ctx, n, portal)
	case modeBouncer:
		n.channel(portal.Name).lane.put(noticeItem{
			text: "This room is not connected to IRC. Say `!irc join " + n.name + " " + portal.Name + "` to the bot for a room of your own.",
			to:   user,
		})
		return true, nil
	}
	return false, nil
}

// leaveBy is enterBy for somebody who has left. The relay leaves with the last of them.
func (c *Connector) leaveBy(ctx context.Context, n *network, portal *bridgev2.Portal) (done bool, err error) {
	if kindOf(portal.PortalKey) != shared || c.modeOf(n, portal) != modeRelay {
		return false, nil
	}
	there, err := c.relayed(ctx, n, portal)
	if err == nil && !there {
		c.relayPart(n, portal, "nobody is in the room any more")
	}
	return true, err
}
