package irc

import (
	"context"
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
	text    string
	at      time.Time
}

func (m messageItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	ghost, err := l.ghost(ctx, m.nick)
	if err != nil {
		return err
	}
	err = m.send(l, portal, ghost)
	if !isFinal(err) {
		return err
	}
	// Somebody on Matrix has removed the ghost, and it enters again; if it may not, that is final.
	if err := l.net.conn.host.ForgetMembership(ctx, portal.MXID, ghost.Intent.GetMXID()); err != nil {
		return err
	}
	return m.send(l, portal, ghost)
}

func (m messageItem) send(l *lane, portal *bridgev2.Portal, ghost *bridgev2.Ghost) error {
	return l.net.login.QueueRemoteEvent(&simplevent.PreConvertedMessage{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessage, PortalKey: portal.PortalKey, Timestamp: m.at,
			Sender: bridgev2.EventSender{Sender: ghost.ID},
		},
		ID: m.id,
		Data: &bridgev2.ConvertedMessage{Parts: []*bridgev2.ConvertedMessagePart{{
			Type: event.EventMessage, Content: &event.MessageEventContent{MsgType: m.msgType, Body: m.text},
		}}},
	}).Error
}

// joinItem is somebody who came.
type joinItem struct{ nick string }

func (j joinItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	l.setStand(stand{nick: j.nick})
	if l.scene.splits.comeBack(l.net.ids.fold.Fold(j.nick), time.Now()) || l.net.shows(l.called()) != showAll {
		return nil
	}
	return l.enter(ctx, portal, j.nick)
}

// leaveItem is somebody who left, quit or was kicked.
type leaveItem struct {
	nick, reason string
	kicked       bool
}

func (i leaveItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	l.setStand(stand{nick: i.nick})
	if l.net.shows(l.called()) == showNone && !i.kicked {
		return nil
	}
	return l.leave(ctx, portal, i.nick, i.reason)
}

// nickItem is somebody who changed their nick. A ghost is a nick, so the new one's ghost enters and the old one's
// leaves, saying who it is now; if only capitals changed, it is the same ghost with another name.
type nickItem struct{ from, to, rank string }

func (n nickItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	l.setStand(stand{nick: n.to, rank: n.rank})
	there, err := l.isIn(ctx, portal, n.from)
	if err != nil {
		return err
	}
	if there || l.net.shows(l.called()) == showAll {
		if err := l.enter(ctx, portal, n.to); err != nil {
			return err
		}
	}
	if l.net.ids.ghost(n.from) == l.net.ids.ghost(n.to) {
		return nil
	}
	l.setStand(stand{nick: n.from})
	return l.leave(ctx, portal, n.from, "is now known as "+n.to)
}

// topicItem is the channel's topic; nick set it, or is empty when it is news to us only.
type topicItem struct {
	nick, topic string
	at          time.Time // when it was set, zero for now
}

func (t topicItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	var sender bridgev2.EventSender
	show := t.nick != "" && !l.net.isPuppet(t.nick)
	if show && !t.at.IsZero() {
		there, err := l.isIn(ctx, portal, t.nick)
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
	return l.net.login.QueueRemoteEvent(&simplevent.ChatInfoChange{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventChatInfoChange, PortalKey: portal.PortalKey, Sender: sender,
			Timestamp: t.at,
		},
		ChatInfoChange: &bridgev2.ChatInfoChange{ChatInfo: &bridgev2.ChatInfo{Topic: &t.topic}},
	}).Error
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
}

func (k kickItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	return l.net.conn.host.Kick(ctx, portal.MXID, k.user, k.reason)
}
