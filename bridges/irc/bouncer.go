package irc

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
)

// ownPrefix begins the ID of a ghost that stands for what a user has said elsewhere, with another client of the same
// connection, where the bridge cannot speak as themselves: "NETWORK/own NICK". As with accounts, no nick is like that.
const ownPrefix = "own "

// ownGhost is the ID of that ghost.
func (i ids) ownGhost(nick string) networkid.UserID {
	return networkid.UserID(i.network + "/" + ownPrefix + i.fold.Fold(nick))
}

// onOwnText is a line of our own nick that is not one of ours: another client of the same account or bouncer has said it
// (echo-message of a server with several clients at one nick, or znc.in/self-message). It belongs into the rooms of the
// user's own; in others they speak by the bridge alone.
func (c *client) onOwnText(m message, lines []string) {
	if c.isServiceTalk(m) || isBlank(lines) {
		return
	}
	ms := c.ownConversation(m.Params[0])
	if ms == nil || !ms.mine || ms.state != joined {
		return
	}
	msgType, first, ok := readMessage(m.Command, lines[0])
	lines[0] = first
	if !ok || isBlank(lines) {
		return
	}
	c.observe(ms, sight(m, ownItem{messageItem{
		id: c.messageID(m), nick: c.nick, msgType: msgType, lines: lines, replyTo: c.repliedTo(m), at: c.saidAt(m),
	}}))
}

// renamedOwn leaves a channel of a room of our own that is called otherwise from now on: its room must not become that of
// another channel, which others may share.
func (c *client) renamedOwn(ms *membership, to string) {
	if validChannel(to) {
		c.command("PART", to, "the channel is called otherwise")
		ms.ch.lane.put(noticeItem{
			text: ms.name + " is called " + to + " now. Say `!irc join " + c.net.name + " " + to + "` to the bot to go there.", to: c.user,
		})
	}
	for _, s := range ms.waiting {
		s.done(failure("the channel is called otherwise now"))
	}
	ms.waiting, ms.again = nil, false
	c.leftChannel(ms)
}

// ownConversation is where a line of our own was said; to somebody new, that begins a conversation.
func (c *client) ownConversation(target string) *membership {
	if isChannel(target) {
		return c.channels[c.net.ids.fold.Fold(target)]
	}
	if !validDirect(target) || c.isMe(target) {
		return nil
	}
	if ms := c.directOf(target); ms != nil {
		return ms
	}
	if c.directs() >= maxDirects {
		return nil
	}
	key := c.net.ids.fold.Fold(target)
	if account := c.accountOfNick(target); account != "" {
		key = accountPrefix + c.net.ids.fold.Fold(account)
	}
	ms := c.newMembership(joinRequest{channel: key, nick: target, mine: true, direct: true}, key)
	c.channels[key] = ms
	c.openDirect(ms)
	return ms
}

// ownItem is what the owner of a room has said elsewhere.
type ownItem struct{ messageItem }

func (o ownItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	name := o.nick + " (you)"
	ghost, err := l.net.conn.br.GetGhostByID(ctx, l.net.ids.ownGhost(o.nick))
	if err != nil {
		return err
	}
	l.net.conn.names.set(ctx, ghost, name, nil)
	content := contentOf(o.msgType, o.lines, nil)
	return l.queue(ctx, &simplevent.PreConvertedMessage{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessage, PortalKey: portal.PortalKey, Timestamp: o.at,
			Sender: bridgev2.EventSender{IsFromMe: true, SenderLogin: portal.Receiver, Sender: ghost.ID},
		},
		ID: idIn(portal.PortalKey, o.id), Data: &bridgev2.ConvertedMessage{Parts: []*bridgev2.ConvertedMessagePart{{Type: event.EventMessage, Content: content}}},
	})
}

// notIn is why a message goes nowhere.
func (c *client) notIn(s *send) error {
	if s.mine && isChannel(s.channel) {
		return failure("you are not in %s on %s; say `!irc join %s %s` to the bot to go there again", s.channel, c.net.name, c.net.name, s.channel)
	}
	return failure("you are not in %s on %s; leave this room and join it again", s.channel, c.net.name)
}
