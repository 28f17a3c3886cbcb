package irc

import (
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"

	"causeway/bridges"
)

// addPlumbCommands adds to bridgev2's commands, and takes the place of one of them that asks nobody on IRC.
func (c *Connector) addPlumbCommands() {
	processor, ok := c.br.Commands.(*commands.Processor)
	if !ok {
		return
	}
	row := func(name, args, description string, f func(ce *commands.Event)) *commands.FullHandler {
		return &commands.FullHandler{
			Func: f, Name: name, RequiresLoginPermission: true,
			Help: commands.HelpMeta{Section: helpIRC, Description: description, Args: args},
		}
	}
	processor.AddHandlers(
		row("plumb", "_network_ _#channel_ [_nick_]", "Connect this room with a channel, when an operator of it (or the one with that nick) allows it", c.cmdPlumb),
		row("bridge", "_network_ _#channel_ [_nick_]", "The same as plumb", c.cmdPlumb),
		row("unplumb", "[_network_ _#channel_]", "End that this room is connected with a channel", c.cmdUnplumb),
		row("strict", "[on|off]", "Let nothing pass between this room and its channel while somebody here is not on the channel", c.cmdStrict),
	)
}

// decider answers and reports false when the sender of a command may not decide to which channels the room is bridged.
func (c *Connector) decider(ce *commands.Event) bool {
	if ce.RoomID == ce.User.ManagementRoom && c.isPrivate(ce) {
		ce.Reply("This is our private chat. Invite me to the room that is meant, and say it there. " +
			"If this is that room, say `$cmdprefix set-management-room` to me in another chat before.")
		return false
	}
	may, err := c.mayLink(ce.Ctx, ce.RoomID, ce.User.MXID)
	if err != nil {
		ce.Log.Err(err).Msg("look whether somebody may decide about a room")
		ce.Reply("I cannot see who may decide that here. Am I in this room?")
		return false
	}
	if !may {
		ce.Reply("That is for those in this room to decide who may set its `m.bridge` state, and have at least level %d.", minLinkLevel)
	}
	return may
}

// isPrivate reports whether nobody else is in the sender's management room. bridgev2 takes for that the first room into which they
// invited the bot while they were alone, also one that was only new: with others in it, it is none.
func (c *Connector) isPrivate(ce *commands.Event) bool {
	members, err := c.br.Matrix.GetMembers(ce.Ctx, ce.RoomID)
	if err != nil {
		ce.Log.Err(err).Msg("look who is in a room")
		return true
	}
	for user, member := range members {
		if member.Membership == event.MembershipJoin && user != ce.User.MXID && user != c.br.Bot.GetMXID() {
			ce.User.ManagementRoom = ""
			if err := c.br.DB.User.Update(ce.Ctx, ce.User.User); err != nil {
				ce.Log.Err(err).Msg("store that a room is no private chat")
			}
			return false
		}
	}
	return true
}

// plumbArgs are the network, channel and nick of a command, or nil after an answer.
func (c *Connector) plumbArgs(ce *commands.Event) (n *network, channel, nick string) {
	if len(ce.Args) < 2 || len(ce.Args) > 3 {
		ce.Reply("Usage: `$cmdprefix plumb NETWORK #CHANNEL`, and the nick of an operator of the channel if you know one. There is %s", c.known())
		return nil, "", ""
	}
	n, channel = c.networks[ce.Args[0]], ce.Args[1]
	if len(ce.Args) == 3 {
		nick = ce.Args[2]
	}
	switch {
	case n == nil:
		ce.Reply("There is no network of that name here; there is %s", c.known())
		return nil, "", ""
	case !validChannel(channel) || nick != "" && !validNick(nick):
		ce.Reply("That is not the name of a channel, or no nick")
		return nil, "", ""
	}
	return n, channel, nick
}

// cmdPlumb asks for consent, where the configuration wants that, or connects room and channel at once.
func (c *Connector) cmdPlumb(ce *commands.Event) {
	n, channel, nick := c.plumbArgs(ce)
	if n == nil || !c.decider(ce) || !c.isFree(ce, n, channel) {
		return
	}
	switch {
	case n.cfg.Plumb == plumbOff:
		ce.Reply("On %s rooms cannot be connected with channels. Join `%s` instead.", n.name, c.alias(n, channel))
		return
	case n.cfg.Plumb == plumbAdmins && !ce.User.Permissions.Admin:
		ce.Reply("On %s that is for administrators of the bridge.", n.name)
		return
	}
	if why, err := c.unfit(ce.Ctx, n, channel, ce.RoomID); err != nil {
		ce.Log.Err(err).Msg("look whether a room can be connected with a channel")
		ce.Reply("It did not work; try again later.")
		return
	} else if why != "" {
		ce.Reply("This room cannot be connected with `%s`: %s.", channel, why)
		return
	}
	portal, err := c.br.GetPortalByKey(ce.Ctx, n.ids.portal(channel))
	if err == nil && portal.Name == "" {
		portal.Name = channel
		err = portal.Save(ce.Ctx)
	}
	if err != nil {
		ce.Log.Err(err).Msg("make the portal of a channel")
		ce.Reply("It did not work; try again later.")
		return
	}
	if n.cfg.Plumb == plumbAdmins {
		c.plumbAtOnce(ce, n, channel)
		return
	}
	c.ask(ce, n, channel, nick)
}

// isFree answers and reports false when a channel has a room, or is about to.
func (c *Connector) isFree(ce *commands.Event, n *network, channel string) bool {
	key := n.ids.portal(channel)
	link, linked := c.links.of(key.ID)
	portal, err := c.existing(ce.Ctx, key)
	switch {
	case err != nil:
		ce.Log.Err(err).Msg("look up a channel")
		ce.Reply("It did not work; try again later.")
		return false
	case linked && link.Room == ce.RoomID && link.State != bridges.LinkEnding, portal != nil && portal.MXID == ce.RoomID:
		if err := n.botJoin(channel); err != nil {
			ce.Log.Err(err).Msg("have the bot enter a channel")
		}
		ce.Reply("This room is connected with `%s` on %s already.", channel, n.name)
		return false
	case linked:
		ce.Reply("`%s` on %s is connected with another room already. A channel has one room at most; an operator there, or the administrators of that room, "+
			"can end it.", channel, n.name)
		return false
	case portal != nil && portal.MXID != "":
		ce.Reply("`%s` on %s has a room already, `%s`. A channel has one room at most.", channel, n.name, c.alias(n, channel))
		return false
	}
	return true
}

// plumbAtOnce is what administrators of the bridge do where they are trusted.
func (c *Connector) plumbAtOnce(ce *commands.Event, n *network, channel string) {
	link := bridges.Link{
		Portal: n.ids.portal(channel).ID, Room: ce.RoomID, State: bridges.LinkMaking, AskedBy: ce.User.MXID,
		Consent: "An administrator of the bridge, " + ce.User.MXID.String() + ",", SinceTS: time.Now().UnixMilli(),
	}
	added, err := c.host.AddLink(ce.Ctx, link)
	switch {
	case err != nil:
		ce.Log.Err(err).Msg("store a link")
		ce.Reply("It did not work; try again later.")
	case !added:
		ce.Reply("`%s` on %s is connected with another room already.", channel, n.name)
	default:
		c.links.put(link)
		c.links.ring()
	}
}

// ask asks for consent.
func (c *Connector) ask(ce *commands.Event, n *network, channel, nick string) {
	c.links.asking.Lock() // so that the bounds hold for those who ask at the same moment
	defer c.links.asking.Unlock()
	now := time.Now()
	since := now.Add(-requestsFor).UnixMilli()
	list, err := c.host.Requests(ce.Ctx, since)
	if err != nil {
		ce.Log.Err(err).Msg("read the requests")
		ce.Reply("It did not work; try again later.")
		return
	}
	portal := n.ids.portal(channel).ID
	if why := tooMany(list, portal, ce.RoomID, ce.User.MXID, now); why != "" {
		ce.Reply("%s", why)
		return
	}
	q := &question{net: n, channel: channel}
	q.Request = bridges.Request{
		Portal: portal, Room: ce.RoomID, AskedBy: ce.User.MXID, Whom: nick, AskedTS: now.UnixMilli(), ExpiresTS: now.Add(consentFor).UnixMilli(),
	}
	q.code, q.Code = newCode()
	if err := c.host.AddRequest(ce.Ctx, q.Request, since); err != nil {
		ce.Log.Err(err).Msg("store a request")
		ce.Reply("It did not work; try again later.")
		return
	}
	c.links.reopen(q)
	c.links.ring()
	if err := n.askBot(askRequest{q}); err != nil {
		ce.Reply("It did not work: %v", err)
		return
	}
	ce.Reply("I am looking for an operator of `%s` on %s, who has to allow this.", channel, n.name)
}

// cmdUnplumb ends a link of the room.
func (c *Connector) cmdUnplumb(ce *commands.Event) {
	if !c.decider(ce) {
		return
	}
	list := c.links.inRoom(ce.RoomID)
	if len(ce.Args) == 2 && c.networks[ce.Args[0]] != nil {
		n := c.networks[ce.Args[0]]
		link, linked := c.links.of(n.ids.portal(ce.Args[1]).ID)
		if list = nil; linked && link.Room == ce.RoomID {
			list = []bridges.Link{link}
		}
	}
	switch {
	case len(list) == 0:
		ce.Reply("This room is not connected with such a channel by `plumb`. To end that a room is a channel's own, say `$cmdprefix unbridge`.")
		return
	case len(list) > 1:
		var names []string
		for _, link := range list {
			names = append(names, "`"+strings.Replace(string(link.Portal), "/", " ", 1)+"`")
		}
		ce.Reply("With which one? This room is connected with %s. Say `$cmdprefix unplumb NETWORK #CHANNEL`", strings.Join(names, ", "))
		return
	}
	if err := c.links.end(ce.Ctx, list[0], ce.User.MXID.String()+" has ended it"); err != nil {
		ce.Log.Err(err).Msg("end a link")
		ce.Reply("It did not work; try again later.")
	}
}
