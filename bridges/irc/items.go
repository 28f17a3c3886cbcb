package irc

import (
	"context"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// messageItem is a line that somebody said. Its ID is unique, so that offering it again does not double it.
type messageItem struct {
	id      networkid.MessageID
	nick    string
	msgType event.MessageType
	lines   []string // with their codes
	people  map[string]occupant
	replyTo networkid.MessageID
	at      time.Time
	// present is whom of us the server showed in the channel, if it is strict.
	present map[id.UserID]bool
}

func (m messageItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	if held, err := l.holdsBack(ctx, portal, m.present); held || err != nil {
		return err
	}
	ghost, err := l.ghost(ctx, m.nick)
	if err != nil {
		return err
	}
	if m.replyTo != "" {
		// What is not known here, or is of another room, is nothing to refer to.
		target, err := l.net.conn.message(ctx, portal, m.replyTo)
		if err != nil {
			return err
		}
		if m.replyTo = ""; target != nil {
			m.replyTo = target.ID
		}
	}
	err = m.send(ctx, l, portal, ghost)
	if !isFinal(err) {
		return err
	}
	// Somebody on Matrix has removed the ghost, and it enters again; if it may not, that is final.
	if err := l.net.conn.host.ForgetMembership(ctx, portal.MXID, ghost.Intent.GetMXID()); err != nil {
		return err
	}
	return m.send(ctx, l, portal, ghost)
}

func (m messageItem) send(ctx context.Context, l *lane, portal *bridgev2.Portal, ghost *bridgev2.Ghost) error {
	people := map[string]id.UserID{}
	for word, who := range m.people {
		people[word] = l.userOf(who)
	}
	content := contentOf(m.msgType, m.lines, people)
	message := &bridgev2.ConvertedMessage{Parts: []*bridgev2.ConvertedMessagePart{{
		Type: event.EventMessage, Content: content,
	}}}
	if m.replyTo != "" {
		message.ReplyTo = &networkid.MessageOptionalPartID{MessageID: m.replyTo}
	}
	key := idIn(portal.PortalKey, m.id)
	l.net.recent.put(key, said{nick: m.nick, lines: strings.Split(content.Body, "\n")})
	return l.queue(ctx, &simplevent.PreConvertedMessage{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessage, PortalKey: portal.PortalKey, Timestamp: m.at,
			Sender: bridgev2.EventSender{Sender: ghost.ID},
		},
		ID: key, Data: message,
	})
}

// userOf is the Matrix user of somebody in the channel: the person whose connection it is, or the ghost.
func (l *lane) userOf(o occupant) id.UserID {
	if o.puppet != nil {
		return o.puppet.user
	}
	return l.net.conn.br.Matrix.FormatGhostMXID(l.ghostID(o.nick))
}

// joinItem is somebody who came. told is that the network says with it who has no account.
type joinItem struct {
	nick, account string
	told          bool
}

func (j joinItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	if err := l.notTheSame(ctx, portal, j); err != nil {
		return err
	}
	l.know(j.nick, j.account)
	l.setStand(stand{nick: j.nick})
	if l.scene.splits.comeBack(l.net.ids.fold.Fold(j.nick), time.Now()) || l.net.shows(l.called()) != showAll {
		return nil
	}
	return l.enter(ctx, portal, j.nick)
}

// leaveItem is somebody who left, quit or was kicked: how ("Quit", "kicked by carol"), and what was said about it.
type leaveItem struct {
	nick, how, words string
	kicked           bool
}

func (i leaveItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	l.setStand(stand{nick: i.nick})
	if l.net.shows(l.called()) == showNone && !i.kicked {
		l.know(i.nick, "")
		return nil
	}
	return l.leave(ctx, portal, i.nick, l.reason(i.how, i.words))
}

// nickItem is somebody who changed their nick. Who has an account stays the same ghost, by another name. Else a ghost is a
// nick, so the new one's ghost enters and the old one's leaves, saying who it is now; if only capitals changed, it is the
// same ghost with another name.
type nickItem struct{ from, to, rank string }

func (n nickItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	before := l.ghostID(n.from)
	there, err := l.isIn(ctx, portal, before)
	if err != nil {
		return err
	}
	l.rename(n.from, n.to)
	l.setStand(stand{nick: n.to, rank: n.rank})
	if l.net.ids.ghost(n.from) != l.net.ids.ghost(n.to) {
		l.setStand(stand{nick: n.from})
	}
	if there || l.net.shows(l.called()) == showAll {
		if err := l.enter(ctx, portal, n.to); err != nil {
			return err
		}
	}
	if before == l.ghostID(n.to) {
		return nil
	}
	return l.leaveAs(ctx, portal, before, n.from, l.reasonElse("is now known as "+n.to, "has another nick now"))
}

// topicItem is the channel's topic; nick set it, or is empty when it is news to us only.
type topicItem struct {
	nick, topic string
	at          time.Time // when it was set, zero for now
	// live tells that it was set at this moment, and restored that the room only shows again what it did before.
	live, restored bool
	// present is as in messageItem.
	present map[id.UserID]bool
}

func (t topicItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	switch {
	case l.isFurther():
		return l.tellTopic(ctx, portal, t) // a room has one topic
	case l.keepsWords():
		return l.strictTopic(ctx, portal, t)
	}
	var sender bridgev2.EventSender
	show := t.nick != "" && !l.isOurs(t.nick)
	if show && !t.at.IsZero() {
		there, err := l.isIn(ctx, portal, l.ghostID(t.nick))
		if err != nil {
			return err
		}
		show = there
	}
	if show {
		ghost, err := l.ghost(ctx, t.nick)
		if err != nil {
			return err
		}
		sender.Sender = ghost.ID
	}
	return l.queue(ctx, &simplevent.ChatInfoChange{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventChatInfoChange, PortalKey: portal.PortalKey, Sender: sender,
			Timestamp: t.at,
		},
		ChatInfoChange: &bridgev2.ChatInfoChange{ChatInfo: &bridgev2.ChatInfo{Topic: &t.topic}},
	})
}

// noticeItem is a word of the bot to somebody in the room.
type noticeItem struct {
	text string
	to   id.UserID
}

func (n noticeItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	return l.net.conn.host.Notify(ctx, portal.MXID, n.text, n.to)
}

// kickItem removes a person from the room who was kicked from the channel.
type kickItem struct {
	user   id.UserID
	reason string
	words  string // what whoever kicked them has said
}

func (k kickItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	k.reason = l.reason(k.reason, k.words)
	if l.net.isBot(k.user) {
		return noticeItem{text: "The relay is not on " + l.called() + " any more: " + k.reason}.deliver(ctx, l, portal)
	}
	if l.owner != "" { // nobody is removed from what is their own
		return noticeItem{text: "You are not on " + l.called() + " any more: " + k.reason, to: k.user}.deliver(ctx, l, portal)
	}
	err := l.net.conn.host.Kick(ctx, portal.MXID, k.user, k.reason)
	if !isFinal(err) {
		return err
	}
	member, err := l.net.conn.br.Matrix.GetMemberInfo(ctx, portal.MXID, k.user)
	if err != nil || member == nil || member.Membership != event.MembershipJoin {
		return err
	}
	// In a room of others the bot may have no power.
	text := k.user.String() + " is not on " + l.called() + " on " + l.net.name + " (" + k.reason + "), but I may not remove them from this room, where they read on."
	return noticeItem{text: text, to: k.user}.deliver(ctx, l, portal)
}
