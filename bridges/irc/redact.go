package irc

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
)

const redactionCap = "draft/message-redaction"

// onRedact takes back a line. IRCv3, "draft/message-redaction": the server has checked that whoever does it may.
func (c *client) onRedact(m message) {
	nick, msgid := m.Nick(), m.Params[1]
	ms, ok := c.conversation(m)
	if !ok || !c.has(redactionCap) || msgid == "" || len(msgid) > maxMsgID || c.isMe(nick) ||
		nick != "" && c.occupantOf(ms, nick, m.Source).puppet != nil {
		return
	}
	it := redactItem{nick: nick, target: c.net.idOf(msgid)}
	c.observe(ms, sighting[*client, item]{key: "REDACT\x00" + msgid, item: it})
}

// redactItem is a line that is taken back, with all that it is part of.
type redactItem struct {
	nick   string
	target networkid.MessageID
}

func (r redactItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	target, err := l.net.conn.message(ctx, portal, r.target)
	if err != nil || target == nil {
		return err
	}
	if l.isFurther() && l.net.msgIDOf(target.ID) == "" {
		return nil // an operator removes a copy, whose original is not of their channel
	}
	// Whoever is not its author acts by the power of the network, which here is the bot's.
	var sender bridgev2.EventSender
	if r.nick != "" && target.SenderID == l.ghostID(r.nick) {
		sender.Sender = target.SenderID
	}
	l.net.recent.forget(target.ID)
	if err := l.net.conn.host.ForgetLines(ctx, target.ID); err != nil {
		return err
	}
	return l.queue(ctx, &simplevent.MessageRemove{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessageRemove, PortalKey: portal.PortalKey, Sender: sender,
		},
		TargetMessage: target.ID,
	})
}

// onFail is a failure that says which command and what it was about. IRCv3, "standard replies".
func (c *client) onFail(m message) {
	switch m.Params[0] {
	case "REDACT", "BATCH", "PRIVMSG", "RELAYMSG", "NOTICE", "TAGMSG":
	default:
		return
	}
	for _, p := range m.Params[2 : len(m.Params)-1] {
		if isChannel(p) {
			c.rejected(c.net.ids.fold.Fold(p), last(m))
			return
		}
	}
	if len(c.unacked) > 0 {
		c.rejected(c.unacked[0].key, last(m))
	}
}
