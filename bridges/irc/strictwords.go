package irc

import (
	"context"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
)

// What is said in a strict channel beside its lines. The state of a room is for everybody who comes to it, also before they are on
// the channel, and its topic for who only looks at the directory: so no words of people are put there. That somebody has
// left, was kicked or is away is shown without what was said about it, in both directions, whoever is there. The topic is told
// as a line, which is held back as others are, and told again when everybody is there; the room itself has none.

// wordless are the commands that go to a strict channel while somebody is missing, because they have no words there.
var wordless = []string{"MODE", "KICK", "INVITE", "REDACT"}

// keepsWords reports whether what is shown of the channel has to do without words, where others than who was there could read them. In a
// room of somebody's own they cannot.
func (l *lane) keepsWords() bool { return l.owner == "" && l.net.conn.isStrict(l.net, l.called()) }

// reason is how somebody has left, and what was said about it.
func (l *lane) reason(how, words string) string {
	switch {
	case words == "" || l.keepsWords():
		return how
	case how == "":
		return words
	}
	return how + ": " + words
}

// reasonElse is a reason, or another where it would be words of people.
func (l *lane) reasonElse(reason, other string) string {
	if l.keepsWords() {
		return other
	}
	return reason
}

// wordsFor is what somebody on Matrix has said about a kick, a ban or the removal of a message, as far as the channel hears it.
func (a *account) wordsFor(portal *bridgev2.Portal, words string) string {
	if kindOf(portal.PortalKey) == shared && a.connector.isStrict(a.net, portal.Name) {
		return ""
	}
	return oneLine(words)
}

// tellKicked tells somebody who was kicked from a strict channel what was said about it, which its room does not.
func (c *client) tellKicked(ms *membership, left leaveItem) {
	if left.words != "" && ms.ch.lane.keepsWords() {
		c.toStatus("You were " + left.how + " on " + ms.name + ": " + left.words)
	}
}

// strictTopic tells the topic of a strict channel if everybody is there, and takes it out of the room's state.
func (l *lane) strictTopic(ctx context.Context, portal *bridgev2.Portal, t topicItem) error {
	if err := l.clearTopic(ctx, portal); err != nil || t.restored {
		return err
	}
	if t.topic == l.strict.topic && (l.strict.topicSaid || t.topic == "") {
		return nil
	}
	held, err := l.holdsBack(ctx, portal, t.present)
	if err != nil {
		return err
	}
	text := "The topic of " + l.called() + " is: " + t.topic
	switch {
	case !held && t.topic == "":
		text = l.whoSet(t.nick) + " has taken away the topic of " + l.called() + "."
	case !held && t.live:
		text = l.whoSet(t.nick) + " has set the topic of " + l.called() + ": " + t.topic
	case held && t.live:
		text = l.whoSet(t.nick) + " has changed the topic of " + l.called() + "."
	}
	if !held || t.live {
		if err := l.net.conn.host.Notify(ctx, portal.MXID, text); err != nil {
			return err
		}
	}
	l.strict.topic, l.strict.topicSaid = t.topic, !held
	return nil
}

// whoSet is who has done something, for people.
func (l *lane) whoSet(nick string) string {
	if nick == "" {
		return "Somebody"
	}
	return nick
}

// tellHeldTopic tells a topic that was held back, when everybody is there.
func (l *lane) tellHeldTopic(ctx context.Context, portal *bridgev2.Portal, open bool) error {
	if !open || l.strict.topicSaid || l.strict.topic == "" {
		return nil
	}
	l.strict.topicSaid = true
	return l.net.conn.host.Notify(ctx, portal.MXID, "The topic of "+l.called()+" is: "+l.strict.topic)
}

// topicNow is what is said of the topic when everybody is there, some of whom may not have been when it was told.
func (v *strictView) topicNow() string {
	if v.topic == "" {
		return ""
	}
	v.topicSaid = true
	return " The topic is: " + v.topic
}

// clearTopic takes away a topic that the bridge, or somebody in the room, has put into its state.
func (l *lane) clearTopic(ctx context.Context, portal *bridgev2.Portal) error {
	return l.queue(ctx, &simplevent.ChatInfoChange{
		EventMeta: simplevent.EventMeta{Type: bridgev2.RemoteEventChatInfoChange, PortalKey: portal.PortalKey},
		ChatInfoChange: &bridgev2.ChatInfoChange{ChatInfo: &bridgev2.ChatInfo{ExtraUpdates: func(ctx context.Context, portal *bridgev2.Portal) bool {
			if portal.Topic == "" {
				return false // and one that the room had before it was the channel's is its own
			}
			err := l.net.conn.host.SetState(ctx, portal.MXID, event.StateTopic.Type, "", &event.TopicEventContent{})
			if err != nil {
				l.log.Err(err).Msg("take the topic of a strict channel out of its room")
				return false
			}
			portal.Topic = ""
			return true
		}}},
	})
}

// askTopic has the leader of a channel ask for its topic.
func (ch *channel) askTopic() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.feed.lead != nil {
		ch.feed.lead.member.box.add(topicRequest{channel: ch.lane.called()})
	}
}

// topicRequest asks a leader for the topic of a channel.
type topicRequest struct{ channel string }

func (r topicRequest) apply(c *client) {
	if m := c.membershipOf(r.channel); m != nil && m.ch.leads(c) {
		c.leisurely("TOPIC", m.name)
	}
}

// isInStrict reports whether a ghost is in the room of a strict channel, whose members see its presence.
func (n *network) isInStrict(ctx context.Context, ghost networkid.UserID) (bool, error) {
	for _, l := range n.lanes() {
		if !l.keepsWords() {
			continue
		}
		portal, err := l.portal(ctx)
		if err != nil {
			return true, err
		}
		if !n.conn.hasRoom(portal) {
			continue
		}
		if there, err := l.isIn(ctx, portal, ghost); there || err != nil {
			return true, err
		}
	}
	return false, nil
}

// hush shows somebody without the words that they have left when they went away, if any were shown, because they have come to a strict
// channel.
func (p *presences) hush(n *network, nick string) {
	key := n.ids.fold.Fold(nick)
	p.mu.Lock()
	defer p.mu.Unlock()
	due, waits := p.due[key]
	if state, shown := p.shown[key]; !waits && shown {
		due = presenceDue{state, time.Now()}
	}
	if due.words == "" {
		return
	}
	due.words = ""
	p.due[key] = due
	select {
	case p.bell <- struct{}{}:
	default:
	}
}
