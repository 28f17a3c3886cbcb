package irc

import (
	"context"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/id"
)

// maxReaction bounds a reaction, in bytes.
const maxReaction = 100

// idOf is the ID under which a line of the network's is known, of its identity there.
func (n *network) idOf(msgid string) networkid.MessageID {
	return networkid.MessageID(n.name + "/" + msgid)
}

// idIn is the ID of a line in a room. A channel may be in a shared room and in those of some of its people, and bridgev2 takes a message
// for known when the shared room has one of its ID: in a room of one's own the owner is added.
func idIn(portal networkid.PortalKey, id networkid.MessageID) networkid.MessageID {
	if kindOf(portal) != bouncer {
		return id
	}
	return id + ownMark + networkid.MessageID(strings.TrimPrefix(string(ownerOf(portal)), "@"))
}

// ownMark is before the owner. No server gives identities with spaces.
const ownMark = " @"

// lineIn is the inverse of idIn.
func lineIn(id networkid.MessageID) networkid.MessageID {
	if at := strings.LastIndex(string(id), ownMark); at >= 0 {
		return id[:at]
	}
	return id
}

// msgIDOf is the inverse of idOf and idIn, and "" for a message whose identity on the network is not known.
func (n *network) msgIDOf(id networkid.MessageID) string {
	msgid, ok := strings.CutPrefix(string(lineIn(id)), n.name+"/")
	if !ok || isMade(msgid) {
		return ""
	}
	return msgid
}

// repliedTo is what a line answers, or "". IRCv3, "+reply".
func (c *client) repliedTo(m message) networkid.MessageID {
	for _, tag := range []string{"+reply", "+draft/reply"} {
		if _, msgid := m.GetTag(tag); msgid != "" && len(msgid) <= maxMsgID && c.has("message-tags") {
			return c.net.idOf(msgid)
		}
	}
	return ""
}

// reactionOf is the reaction that a line is, and whether it is taken back; "" when it is none. IRCv3, "+draft/react".
func (c *client) reactionOf(m message) (key string, remove bool) {
	for _, tag := range []string{"+draft/react", "+draft/unreact"} {
		_, value := m.GetTag(tag)
		if value = cleanText(value); strings.TrimSpace(value) != "" && len(value) <= maxReaction && c.repliedTo(m) != "" {
			return value, tag == "+draft/unreact"
		}
	}
	return "", false
}

// isReactionInWords reports whether a text only says again what reaction its tags are.
func (c *client) isReactionInWords(m message) bool {
	key, _ := c.reactionOf(m)
	return key != "" && strings.TrimSpace(stripCodes(last(m))) == key
}

// onTagMsg takes what clients tell each other beside texts: reactions, and who is typing.
func (c *client) onTagMsg(m message) {
	nick := m.Nick()
	ms, ok := c.conversation(m)
	if !ok || nick == "" || c.isMe(nick) || !validNick(nick) || c.occupantOf(ms, nick, m.Source).puppet != nil {
		return
	}
	if key, remove := c.reactionOf(m); key != "" {
		c.observe(ms, sightTags(m, reactionItem{
			nick: nick, target: c.repliedTo(m), key: key, remove: remove, at: c.saidAt(m), present: c.present(ms),
		}))
	}
	if timeout, ok := typingTimeout(m); ok && c.replay == nil && c.net.cfg.Content.receivesTyping() && ms.state == joined && ms.ch.leads(c) {
		ms.ch.lane.offer(typingItem{nick: nick, timeout: timeout, present: c.present(ms)})
	}
}

// sightTags is sight for a line whose content is in its tags.
func sightTags(m message, it item) sighting[*client, item] {
	s := sight(m, it)
	if msgID(m) != "" {
		s.key = "\x00" + msgID(m)
		return s
	}
	for _, tag := range []string{"+reply", "+draft/reply", "+draft/react", "+draft/unreact"} {
		_, value := m.GetTag(tag)
		s.key += "\x00" + value
	}
	return s
}

// reactionItem is a reaction, or that it is taken back.
type reactionItem struct {
	nick   string
	target networkid.MessageID
	key    string
	remove bool
	at     time.Time
	// present is as in messageItem.
	present map[id.UserID]bool
}

func (r reactionItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	if held, err := l.holdsBack(ctx, portal, r.present); held || err != nil {
		return err
	}
	ghost, err := l.ghost(ctx, r.nick)
	if err != nil {
		return err
	}
	target, err := l.net.conn.message(ctx, portal, r.target)
	if err != nil || target == nil {
		return err
	}
	kind := bridgev2.RemoteEventReaction
	if r.remove {
		kind = bridgev2.RemoteEventReactionRemove
	}
	return l.queue(ctx, &simplevent.Reaction{
		EventMeta: simplevent.EventMeta{
			Type: kind, PortalKey: portal.PortalKey, Timestamp: r.at, Sender: bridgev2.EventSender{Sender: ghost.ID},
		},
		TargetMessage: target.ID, EmojiID: networkid.EmojiID(r.key), Emoji: r.key,
	})
}

// message finds a message of a room by the ID of its line or of one of its further lines, or returns nil.
func (c *Connector) message(ctx context.Context, portal *bridgev2.Portal, id networkid.MessageID) (*database.Message, error) {
	found, err := c.messageIn(ctx, portal, idIn(portal.PortalKey, id))
	if found == nil && err == nil && kindOf(portal.PortalKey) == bouncer {
		return c.messageIn(ctx, portal, id) // of an earlier version
	}
	return found, err
}

// messageIn is message for an ID in the room.
func (c *Connector) messageIn(ctx context.Context, portal *bridgev2.Portal, id networkid.MessageID) (*database.Message, error) {
	found, err := c.br.DB.Message.GetFirstPartByID(ctx, portal.Receiver, id)
	if err == nil && found == nil {
		var whole networkid.MessageID
		if whole, err = c.host.LineOf(ctx, id); err == nil && whole != "" {
			found, err = c.br.DB.Message.GetFirstPartByID(ctx, portal.Receiver, whole)
		}
	}
	if err == nil && found == nil && c.Taps(portal.MXID) {
		if whole, lookup := c.host.LineOf(ctx, id); lookup == nil && whole != "" {
			id = whole
		}
		copied, lookup := c.host.CopyOf(ctx, id)
		if err = lookup; err == nil && copied != "" {
			found, err = c.br.DB.Message.GetPartByMXID(ctx, copied)
		}
	}
	if err != nil || found == nil || found.Room != portal.PortalKey {
		return nil, err
	}
	return found, nil
}
