package irc

import (
	"errors"
	"strings"

	"maunium.net/go/mautrix/bridgev2/commands"
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
	return !c.answered(ce, c.decides(ce.Ctx, ce.User, ce.RoomID))
}

// answered answers a command with why something was not done, and reports false when it was.
func (c *Connector) answered(ce *commands.Event, err error) bool {
	if ce.User.ManagementRoom == ce.RoomID { // in bridgev2's memory, which commands may change: isPrivateChat may have found that it is none
		if stored, dbErr := c.br.DB.User.GetByMXID(ce.Ctx, ce.User.MXID); dbErr == nil && stored != nil {
			ce.User.ManagementRoom = stored.ManagementRoom
		}
	}
	if err == nil {
		return false
	}
	if why, ok := errors.AsType[*refusal](err); ok {
		ce.Reply("%s", why.text)
		return true
	}
	ce.Log.Err(err).Msg("connect a room with a channel, or end that")
	ce.Reply("It did not work; try again later.")
	return true
}

// plumbArgs are the network, channel and nick of a command, or nil after an answer.
func (c *Connector) plumbArgs(ce *commands.Event) (n *network, channel, nick string) {
	if len(ce.Args) < 2 || len(ce.Args) > 3 {
		ce.Reply("Usage: `$cmdprefix plumb NETWORK #CHANNEL`, and the nick of an operator of the channel if you know one. There is %s", c.known())
		return nil, "", ""
	}
	if len(ce.Args) == 3 {
		nick = ce.Args[2]
	}
	n, err := c.plumbTarget(ce.Args[0], ce.Args[1], nick)
	if c.answered(ce, err) {
		return nil, "", ""
	}
	return n, ce.Args[1], nick
}

// cmdPlumb asks for consent, where the configuration wants that, or connects room and channel at once.
func (c *Connector) cmdPlumb(ce *commands.Event) {
	n, channel, nick := c.plumbArgs(ce)
	if n == nil {
		return
	}
	asked, err := c.plumb(ce.Ctx, ce.User, ce.RoomID, n, channel, nick)
	if !c.answered(ce, err) && asked {
		ce.Reply("I am looking for an operator of `%s` on %s, who has to allow this.", channel, n.name)
	}
}

// cmdUnplumb ends a link of the room.
func (c *Connector) cmdUnplumb(ce *commands.Event) {
	if !c.decider(ce) {
		return
	}
	list := c.links.inRoom(ce.RoomID)
	if len(ce.Args) == 2 && c.networks[ce.Args[0]] != nil {
		c.answered(ce, c.unplumb(ce.Ctx, ce.User, ce.RoomID, c.networks[ce.Args[0]], ce.Args[1]))
		return
	}
	switch {
	case len(list) == 0:
		ce.Reply("%s", notPlumbed)
		return
	case len(list) > 1:
		var names []string
		for _, link := range list {
			names = append(names, "`"+strings.Replace(string(link.Portal), "/", " ", 1)+"`")
		}
		ce.Reply("With which one? This room is connected with %s. Say `$cmdprefix unplumb NETWORK #CHANNEL`", strings.Join(names, ", "))
		return
	}
	c.answered(ce, c.links.end(ce.Ctx, list[0], ce.User.MXID.String()+" has ended it"))
}
