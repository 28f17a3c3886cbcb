package irc

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// What goes to the further channels of a room beside what is said. A ghost is of one channel, so that to kick, ban, invite or raise
// it is for that one. The topic and who types go to all, each by the connection of who has done it there. The other way, the room
// has the topic, the modes and the ranks of its first channel; topics of others are told. Who is kicked from one of the channels
// leaves the room, as nobody reads what is said on a channel that has sent them away.

// isFurther reports whether the room of a lane has another first channel.
func (l *lane) isFurther() bool { return l.net.conn.links.isFurther(l.net.ids.portal(l.called()).ID) }

// elsewhere are the further channels of a room.
func (c *Connector) elsewhere(ctx context.Context, room id.RoomID) ([]spot, error) {
	if !c.Taps(room) {
		return nil, nil
	}
	places, err := c.placesOf(ctx, room)
	if err != nil || len(places) == 0 || !places[0].first {
		return nil, err
	}
	return places[1:], nil
}

// furtherOf is the account of the same person on the network of a ghost, with the channel of that network, if it is a further one of
// the room.
func (a *account) furtherOf(ctx context.Context, portal *bridgev2.Portal, ghost networkid.UserID) (*account, *bridgev2.Portal, error) {
	network, _, _ := splitID(string(ghost))
	if network == a.net.name {
		return nil, nil, nil
	}
	places, err := a.connector.elsewhere(ctx, portal.MXID)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range places {
		if p.net.name != network || !a.connector.br.Config.Permissions.Get(a.login.UserMXID).Login {
			continue
		}
		login, err := a.connector.login(ctx, p.net, a.login.UserMXID)
		if err != nil {
			return nil, nil, err
		}
		return login.Client.(*account), p.portal, nil
	}
	return nil, nil, nil
}

// inChannel is a message as the channel of a portal knows it, where it may have come from another.
func (a *account) inChannel(ctx context.Context, portal *bridgev2.Portal, message *database.Message) (*database.Message, error) {
	if message == nil || !a.connector.Taps(portal.MXID) {
		return message, nil
	}
	return a.connector.asCopied(ctx, message, portal.ID)
}

// typeElsewhere tells further channels that somebody types.
func (a *account) typeElsewhere(ctx context.Context, msg *bridgev2.MatrixTyping) error {
	places, err := a.connector.elsewhere(ctx, msg.Portal.MXID)
	for _, p := range places {
		client := p.net.running(a.login.UserMXID)
		if client != nil && p.net.cfg.Content.sendsTyping() && a.connector.modeOf(p.net, p.portal) != modeRelay {
			client.box.add(typingRequest{channel: p.channel, on: msg.IsTyping})
		}
	}
	return err
}

// topicElsewhere sets the topic of further channels to what somebody has set in the room.
func (c *Connector) topicElsewhere(ctx context.Context, evt *event.Event, topic string) {
	places, err := c.elsewhere(ctx, evt.RoomID)
	if err != nil {
		c.br.Log.Err(err).Stringer("event_id", evt.ID).Msg("set the topic of further channels")
	}
	for _, p := range places {
		release := c.host.Defer(evt.ID)
		s := &send{verb: "TOPIC", lines: []string{topic}, channel: p.channel, event: evt.ID}
		s.done = func(err error) {
			defer release()
			if err != nil {
				c.say(evt.RoomID, "The topic of "+p.channel+" on "+p.net.name+" was not set: "+err.Error(), evt.Sender)
			}
		}
		client := p.net.running(evt.Sender)
		unknown := c.readersOf(ctx, p.net, p.channel, evt.RoomID, s)
		switch {
		case unknown != nil:
			s.done(unknown)
		case c.modeOf(p.net, p.portal) == modeRelay:
			s.done(failure("there one connection speaks for all, and only passes on what they say"))
		case client == nil:
			s.done(failure("you are not connected to %s", p.net.name))
		case !client.box.add(s):
			s.done(failure("too many messages are waiting"))
		}
	}
}

// ranksElsewhere gives ghosts of further channels the ranks of their new levels.
func (a *account) ranksElsewhere(ctx context.Context, msg *bridgev2.MatrixPowerLevelChange) error {
	for user := range msg.Users {
		ghost, ours := a.connector.br.Matrix.ParseGhostMXID(user)
		if !ours {
			continue
		}
		other, further, err := a.furtherOf(ctx, msg.Portal, ghost)
		if err != nil {
			return err
		}
		if other == nil {
			continue
		}
		wishes := other.wishes(msg, further, func(id id.UserID) bool { return id == user })
		if err := other.grant(ctx, further, msg.Event, wishes, nil); err != nil {
			return err
		}
	}
	return nil
}
