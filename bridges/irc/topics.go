package irc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
)

// onCurrentTopic comes after JOIN; the leader's counts. Who has set it and when follows where a server tells.
func (c *client) onCurrentTopic(m message) { c.heardTopic(m.Params[1], plainText(m.Params[2])) }

// onNoTopic says that there is none.
func (c *client) onNoTopic(m message) { c.heardTopic(m.Params[1], "") }

func (c *client) heardTopic(channel, topic string) {
	ms, ok := c.channels[c.net.ids.fold.Fold(channel)]
	if !ok || ms.names == nil {
		return
	}
	ms.topic = &topicItem{topic: topic}
	if ms.named {
		c.putTopic(ms)
	}
}

// onTopicWho tells who has set the topic, as nick or nick!user@host, and when, in seconds.
func (c *client) onTopicWho(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[1])]
	if !ok || ms.topic == nil {
		return
	}
	seconds, err := strconv.ParseInt(m.Params[3], 10, 64)
	at := time.Unix(seconds, 0)
	if err != nil || seconds <= 0 || at.After(time.Now()) {
		return
	}
	ms.topic.nick, _, _ = strings.Cut(m.Params[2], "!")
	if ms.topic.at = at; !validNick(ms.topic.nick) {
		ms.topic.nick = ""
	}
}

// putTopic gives the topic to the room when the names are known, so that who has set it is there if they are on the
// channel.
func (c *client) putTopic(ms *membership) {
	ms.named = true
	if ms.topic != nil && ms.state == joined && ms.ch.leads(c) {
		ms.topic.present = c.present(ms)
		ms.ch.put(*ms.topic)
	}
	ms.topic = nil
}

// tellTopic tells a room that the topic of one of its further channels was set by somebody there. The room's own is that of its first
// channel.
func (l *lane) tellTopic(ctx context.Context, portal *bridgev2.Portal, t topicItem) error {
	if !t.live || t.nick == "" || l.isOurs(t.nick) {
		return nil // of old, or what somebody here has set
	}
	if held, err := l.holdsBack(ctx, portal, t.present); held || err != nil {
		return err
	}
	text := t.nick + " has set the topic of " + l.called() + " on " + l.net.name + ": " + t.topic
	if t.topic == "" {
		text = t.nick + " has taken away the topic of " + l.called() + " on " + l.net.name + "."
	}
	return l.net.conn.host.Notify(ctx, portal.MXID, text)
}
