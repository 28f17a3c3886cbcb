package irc

import (
	"context"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

const (
	// maxInvites is how many people on IRC may ask one of us into channels within invitesFor.
	maxInvites = 5
	invitesFor = 10 * time.Minute
	// mercyWait is how long somebody stays in a room whose channel has refused them, while whoever invited them to
	// the room asks for them on IRC.
	mercyWait = 20 * time.Second
)

// onInvite is an invitation. Of others it is told to operators (IRCv3, "invite-notify"), which does not concern the room.
func (c *client) onInvite(m message) {
	nick, channel := m.Params[0], m.Params[1]
	if !c.isMe(nick) || !validChannel(channel) || c.goodbye {
		return
	}
	ms, ok := c.channels[c.net.ids.fold.Fold(channel)]
	if ok && (ms.state == refused || ms.state == joining && !ms.mercy.IsZero()) {
		ms.state, ms.mercy = wanted, time.Time{}
		c.join(ms)
		return
	}
	if c.isBot() {
		return // nobody on Matrix is meant
	}
	now := time.Now()
	if now.Sub(c.invitesSince) > invitesFor {
		c.invitesSince, c.invites = now, 0
	}
	if c.invites++; ok || c.invites > maxInvites {
		if !ok {
			c.toStatus(plainText(m.Nick()) + " invites you to " + channel)
		}
		return
	}
	if c.net.modeFor(channel) == modeBouncer {
		c.toStatus(plainText(m.Nick()) + " invites you to " + channel + "; say `!irc join " + c.net.name + " " + channel + "` to the bot to go there")
		return
	}
	c.net.channel(channel).lane.put(inviteItem{user: c.user, nick: m.Nick()})
}

// inviteItem asks a person on Matrix into the room of a channel, which may have to be made.
type inviteItem struct {
	user id.UserID
	nick string
}

func (i inviteItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	reason := i.nick + " invites you to " + l.called() + " on " + l.net.name
	err := l.net.conn.host.Invite(ctx, portal.MXID, i.user, reason)
	if isFinal(err) { // banned from the room, or not to be asked
		l.log.Info().Err(err).Stringer("user_id", i.user).Msg("pass on an invitation")
		return nil
	}
	return err
}

// makeRoom makes the room of a lane's channel.
func (i inviteItem) makeRoom(ctx context.Context, l *lane) error {
	return l.net.conn.QueryAlias(ctx, l.net.conn.alias(l.net, l.called()))
}

// roomMaker is an item that is delivered also where there is no room yet.
type roomMaker interface {
	makeRoom(ctx context.Context, l *lane) error
}

// invite passes an invitation of somebody on IRC on. For one of us, begMercy does when their connection needs it.
func (a *account) invite(ctx context.Context, msg *bridgev2.MatrixMembershipChange) error {
	user := id.UserID(msg.Event.GetStateKey())
	ghost, ok := msg.Target.(*bridgev2.Ghost)
	if !ok {
		return nil
	}
	nick := a.net.nickOfGhost(msg.Portal.Name, ghost.ID)
	if network, _, _ := splitID(string(ghost.ID)); network != a.net.name || !validNick(nick) {
		return shown(failure("nobody of that name is on %s, as far as the bridge can see", a.net.name))
	}
	s := &send{verb: "INVITE", nick: nick}
	s.plan = func(_ *client, m *membership) []string {
		if _, there := m.names.get(a.net.ids.fold.Fold(nick)); there {
			m.ch.resync() // and its ghost enters
			return nil
		}
		return []string{"INVITE " + nick + " " + m.name}
	}
	return a.submit(ctx, msg.Portal, msg.Event, s, func(_ context.Context, err error) {
		lane := a.laneOf(s)
		if err != nil {
			lane.put(noticeItem{text: nick + " was not invited on IRC: " + err.Error(), to: a.login.UserMXID})
			lane.put(kickItem{user: user, reason: "not invited on IRC"})
		}
	})
}

// nickOfGhost is a nick of a ghost: one in the channel, if there is one, or else in another of ours. Who has an account is
// not looked for by the nick that they had before: it may be somebody else's now.
func (n *network) nickOfGhost(channel string, ghost networkid.UserID) string {
	if nicks := n.channel(channel).lane.nicksOf(ghost); len(nicks) > 0 {
		return nicks[0]
	}
	for _, l := range n.lanes() {
		if nicks := l.nicksOf(ghost); len(nicks) > 0 {
			return nicks[0]
		}
	}
	return ""
}

// ghostOf is whose ghost a nick is in any of our channels. A conversation does not say: whoever speaks in it is the one whom it is with.
func (n *network) ghostOf(nick string) networkid.UserID {
	for _, l := range n.lanes() {
		if _, conversation := l.directGhost(); conversation {
			continue
		}
		if ghost := l.ghostID(nick); ghost != n.ids.ghost(nick) {
			return ghost
		}
	}
	return n.ids.ghost(nick)
}

// lanes are those of all channels.
func (n *network) lanes() []*lane {
	n.mu.Lock()
	defer n.mu.Unlock()
	lanes := make([]*lane, 0, len(n.channels))
	for _, ch := range n.channels {
		lanes = append(lanes, ch.lane)
	}
	return lanes
}

// maxExpected bounds the people who are invited to a room and have not come.
const maxExpected = 1000

// expect remembers who has invited a person to the room.
func (ch *channel) expect(user, inviter id.UserID) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.expected == nil || len(ch.expected) >= maxExpected {
		ch.expected = map[id.UserID]id.UserID{}
	}
	ch.expected[user] = inviter
}

// inviterOf returns who has invited a person, once.
func (ch *channel) inviterOf(user id.UserID) (id.UserID, bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	inviter, ok := ch.expected[user]
	delete(ch.expected, user)
	return inviter, ok
}

// begMercy asks whoever has invited us to the room for an invitation to the channel, which has refused us because it takes
// only who is invited. It reports false when there is nobody to ask.
func (c *client) begMercy(ms *membership, text string) bool {
	inviter, ok := ms.ch.inviterOf(c.user)
	if !ok || ms.state != joining {
		return false
	}
	friend := c.net.running(inviter)
	if friend == nil || !friend.box.add(inviteRequest{channel: ms.name, nick: c.nick}) {
		return false
	}
	ms.mercy, ms.refusal = time.Now().Add(mercyWait), text
	return true
}

// endMercy removes those from a room for whom no invitation came in time.
func (c *client) endMercy(now time.Time) {
	for _, ms := range c.channels {
		if !ms.mercy.IsZero() && !now.Before(ms.mercy) {
			ms.mercy = time.Time{}
			c.refusedChannel(ms, ms.refusal, false)
		}
	}
}

// inviteRequest asks a client to invite one of us.
type inviteRequest struct{ channel, nick string }

func (r inviteRequest) apply(c *client) {
	if m := c.membershipOf(r.channel); m != nil {
		c.command("INVITE", r.nick, m.name)
	}
}
