package irc

import (
	"context"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// addOwnCommands adds what people say to the bot for rooms of their own.
func (c *Connector) addOwnCommands() {
	processor, ok := c.br.Commands.(*commands.Processor)
	if !ok {
		return
	}
	row := func(name, args, description string, f func(ce *commands.Event), aliases ...string) *commands.FullHandler {
		return &commands.FullHandler{
			Func: f, Name: name, Aliases: aliases, RequiresLoginPermission: true,
			Help: commands.HelpMeta{Section: helpIRC, Description: description, Args: args},
		}
	}
	processor.AddHandlers(
		row("msg", "_network_ _nick_ [_text_]", "Begin a conversation with somebody", c.cmdMsg, "query"),
		row("join", "_network_ _#channel_ [_key_]", "Join a channel in a room of your own", c.cmdJoin),
		&commands.FullHandler{
			Func: c.cmdRoom, Name: "room", RequiresPortal: true, RequiresEventLevel: event.StatePowerLevels,
			Help: commands.HelpMeta{
				Section: helpIRC, Args: "[_transparent_|_relay_|_bouncer_]",
				Description: "Show or change how the people of this room are on its channel",
			},
		},
		row("part", "_network_ _#channel_", "Leave a channel that you have joined in a room of your own", c.cmdPart),
	)
}

// networkFirst takes the network off the arguments of a command; where only one is configured, it may be left out.
func (c *Connector) networkFirst(ce *commands.Event) (*network, []string) {
	if len(ce.Args) > 0 {
		if n, ok := c.networks[ce.Args[0]]; ok {
			return n, ce.Args[1:]
		}
	}
	if len(c.networks) == 1 {
		for _, n := range c.networks {
			return n, ce.Args
		}
	}
	ce.Reply("Say which network: there is %s", c.known())
	return nil, nil
}

// cmdMsg begins a conversation. In a channel's room the others would read it.
func (c *Connector) cmdMsg(ce *commands.Event) {
	n, args := c.networkFirst(ce)
	switch {
	case n == nil:
		return
	case len(args) == 0:
		ce.Reply("Usage: `$cmdprefix msg NETWORK NICK [text]`")
		return
	case ce.Portal != nil && len(args) > 1:
		ce.Redact()
		ce.Reply("Others read what is said here. Say it in a chat with `%s`", c.br.Bot.GetMXID())
		return
	}
	portal, err := c.startDirect(ce.Ctx, n, ce.User.MXID, args[0])
	if err != nil {
		ce.Reply("That did not work: %s", plainText(err.Error()))
		return
	}
	if len(args) > 1 {
		c.sayDirect(ce, n, portal, strings.TrimSpace(ce.RawArgs[strings.Index(ce.RawArgs, args[0])+len(args[0]):]))
	}
	ce.Reply("You talk to %s on %s in [a room of its own](%s)", plainText(args[0]), n.name, portal.MXID.URI(c.host.ServerName()).MatrixToURL())
}

// sayDirect sends the text of a command, which has no event of its own in the room.
func (c *Connector) sayDirect(ce *commands.Event, n *network, portal *bridgev2.Portal, text string) {
	name, _ := target(portal)
	lane := n.own(ce.User.MXID, name).lane
	s := &send{channel: name, mine: true, verb: "PRIVMSG", lines: textLines(text)}
	s.done = func(err error) {
		if err != nil {
			lane.put(noticeItem{text: "Your message was not sent: " + err.Error(), to: ce.User.MXID})
			return
		}
		lane.put(ownItem{messageItem{
			id: n.messageID(), nick: n.nickOf(ce.User.MXID), msgType: event.MsgText, lines: s.lines, at: time.Now(),
		}})
	}
	if err := n.ask(ce.User.MXID, s); err != nil {
		s.done(err)
	}
}

// cmdJoin joins a channel as an IRC client does: what it shows is for one user alone.
func (c *Connector) cmdJoin(ce *commands.Event) {
	n, args := c.networkFirst(ce)
	switch {
	case n == nil:
		return
	case len(args) == 0 || len(args) > 2 || !validChannel(args[0]):
		ce.Reply("Usage: `$cmdprefix join NETWORK #CHANNEL [KEY]`")
		return
	case len(args) == 2 && (ce.Portal != nil || !validKey(args[1])):
		ce.Redact()
		ce.Reply("This is no key of a channel, or not the place to tell it.")
		return
	case n.modeFor(args[0]) == modeRelay:
		ce.Reply("On %s everybody here speaks by one connection; enter its room", args[0])
		return
	}
	portal, err := c.joinOwn(ce.Ctx, n, ce.User.MXID, args)
	if err != nil {
		ce.Reply("That did not work: %s", plainText(err.Error()))
		return
	}
	ce.Reply("You are on your way to %s on %s, in [a room of your own](%s)", args[0], n.name, portal.MXID.URI(c.host.ServerName()).MatrixToURL())
}

// joinOwn makes a user's own room of a channel and joins it. With the channel comes its key, if it has one.
func (c *Connector) joinOwn(ctx context.Context, n *network, user id.UserID, channel []string) (*bridgev2.Portal, error) {
	login, err := c.login(ctx, n, user)
	if err != nil {
		return nil, err
	}
	shared, err := c.br.DB.UserPortal.Get(ctx, login.UserLogin, n.ids.portal(channel[0]))
	switch {
	case err != nil:
		return nil, err
	case shared != nil:
		return nil, failure("you are in the room of %s that you share with others; leave that one first", channel[0])
	}
	key := n.ids.own(user, channel[0])
	portal, err := c.br.GetPortalByKey(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := n.own(user, channel[0]).lane.makeRoomFor(ctx, portal, login, n.ownInfo(key, channel[0])); err != nil {
		return nil, err
	}
	if _, err := c.br.DB.UserPortal.GetOrCreate(ctx, login.UserLogin, key); err != nil {
		return nil, err
	}
	r := joinRequest{channel: portal.Name, mine: true, fresh: true}
	if r.key = c.channelKey(ctx, n, user, channel[0]); len(channel) > 1 {
		r.key = channel[1]
	}
	return portal, n.ask(user, r)
}

// cmdPart leaves a channel and its room.
func (c *Connector) cmdPart(ce *commands.Event) {
	n, args := c.networkFirst(ce)
	if n == nil {
		return
	}
	if len(args) == 0 || !validChannel(args[0]) {
		ce.Reply("Usage: `$cmdprefix part NETWORK #CHANNEL`")
		return
	}
	portal, err := c.existing(ce.Ctx, n.ids.own(ce.User.MXID, args[0]))
	if err != nil || portal == nil || portal.MXID == "" {
		ce.Reply("You have no room of your own for %s; leave the one that you share to leave the channel", args[0])
		return
	}
	if err := c.userLeft(ce.Ctx, n, portal, ce.User.MXID, strings.Join(slices.Clip(args[1:]), " ")); err != nil {
		ce.Reply("That did not work: %v", err)
		return
	}
	if err := c.host.Kick(ce.Ctx, portal.MXID, ce.User.MXID, "You have left "+args[0]); err != nil {
		ce.Log.Err(err).Msg("remove a user from a room of their own")
	}
	ce.Reply("You have left %s", args[0])
}
