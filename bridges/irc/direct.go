package irc

import (
	"context"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

const (
	// maxDirects bounds the conversations of a user on one network.
	maxDirects = 1000
	// sureFor is how long somebody with an account is taken to have the nick that they had.
	sureFor = 10 * time.Minute
)

// talk is what a membership of a conversation has beside that of a channel. Its partner is a nick or, where the network says
// who is logged in, an account; the name of the membership is the nick to which lines go.
type talk struct {
	account string // of the partner, folded, or empty
	// sure is when it was last seen that the partner has the nick.
	sure time.Time
	// doubt is why the next message is not sent: whoever has the nick may be somebody else now. The one after it is.
	doubt    string
	userHost string // of whom the last line came
	watched  string // the nick by which the partner is watched, folded; see monitor.go
	away     string // why the partner is away, as the user was told
	told     bool   // and whether they were
}

// newMembership makes a client's place in a channel or conversation.
func (c *client) newMembership(r joinRequest, key string) *membership {
	m := &membership{name: r.channel, key: key, mine: r.mine}
	if !r.mine {
		m.ch = c.net.channel(r.channel)
		c.net.setPrivate(key, c.user, false)
		return m
	}
	m.ch = c.net.own(c.user, r.channel)
	if !r.direct {
		c.net.setPrivate(key, c.user, true)
		return m
	}
	m.direct = &talk{}
	account, isAccount := strings.CutPrefix(key, accountPrefix)
	if isAccount {
		m.direct.account, m.name = account, ""
	}
	if validDirect(r.nick) && (isAccount || c.net.ids.fold.Fold(r.nick) == key) {
		m.name = r.nick
	}
	return m
}

// validDirect reports whether a nick can be written to. One that begins as a channel does, or a list of channels, would not
// be reached.
func validDirect(nick string) bool {
	return validNick(nick) && !isChannel(nick) && !strings.ContainsAny(nick, ",:@!*?$")
}

// elsewhere tells a user who wants a channel twice, in its shared room and in one of their own, that they are there already.
func (c *client) elsewhere(r joinRequest, m *membership) {
	if r.mine {
		c.net.own(c.user, r.channel).lane.put(noticeItem{
			text: "You are on " + m.name + " by the room that you share with others; leave that one first.", to: c.user,
		})
		return
	}
	c.net.channel(r.channel).lane.put(kickItem{
		user: c.user, reason: "You are on " + m.name + " by a room of your own; leave that one first, to come here",
	})
}

// openDirect lets lines go to the partner of a conversation, which needs no JOIN.
func (c *client) openDirect(m *membership) {
	if m.state != wanted || !c.mayJoin() {
		return
	}
	m.begin()
	m.direct.sure, m.direct.told = time.Time{}, false
	c.enteredChannel(m)
	c.watch(m)
}

// conversation is the channel that a line was said on, or the conversation that it is of: with whoever said it to us.
func (c *client) conversation(m message) (*membership, bool) {
	if !c.isMe(m.Params[0]) {
		ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[0])]
		if ok && ms.direct != nil {
			return nil, false // to somebody else
		}
		return ms, ok
	}
	ms, ok := c.channels[c.directKey(m)]
	return ms, ok && ms.state == joined
}

// directKey is the key of the conversation with whoever has said a line.
func (c *client) directKey(m message) string {
	if account := c.accountSaying(m); account != "" {
		return accountPrefix + c.net.ids.fold.Fold(account)
	}
	return c.net.ids.fold.Fold(m.Nick())
}

// accountSaying is the account of who has said a line, if that makes their ghost: by the line's tag, or as it is known from
// a channel.
func (c *client) accountSaying(m message) string {
	switch {
	case !c.tracksAccounts():
		return ""
	case c.has("account-tag"):
		_, text := m.GetTag("account")
		return accountOf(text)
	}
	return c.accountOfNick(m.Nick())
}

// accountOfNick is the account of a nick, as far as the channels know.
func (c *client) accountOfNick(nick string) string {
	key := c.net.ids.fold.Fold(nick)
	for _, ms := range c.channels {
		if o, there := ms.names.get(key); there && o.account != "" && c.tracksAccounts() {
			return o.account
		}
	}
	return ""
}

// hears makes sure that there is a conversation for what somebody says to us, and reports whether their line is shown in
// it. A server's line is no conversation, and strangers have a limit.
func (c *client) hears(m message, lines []string) bool {
	nick := m.Nick()
	if !strings.Contains(m.Source, "!") {
		c.fromServer(m, lines)
		return false
	}
	if !validDirect(nick) || isBlank(lines) || c.isBot() {
		return false
	}
	key := c.directKey(m)
	ms := c.channels[key]
	if ms == nil && m.Command == "NOTICE" && !c.net.cfg.Status.Off {
		c.fromServer(m, lines) // services and bots greet people so
		return false
	}
	if ms == nil {
		if !c.admit(nick, lines) {
			return false
		}
		ms = c.newMembership(joinRequest{channel: key, nick: nick, mine: true, direct: true}, key)
		c.channels[key] = ms
	}
	c.openDirect(ms)
	if ms.state != joined {
		return false
	}
	c.recognise(ms, m)
	return true
}

// recognise takes note of who has said a line in a conversation, and tells the user when they seem to be somebody else
// than before.
func (c *client) recognise(ms *membership, m message) {
	t := ms.direct
	_, userHost, _ := strings.Cut(m.Source, "!")
	if t.account == "" && t.userHost != "" && t.userHost != userHost {
		ms.ch.lane.put(noticeItem{
			text: m.Nick() + " comes from another address now (" + plainText(userHost) + ", before: " + plainText(t.userHost) +
				") and need not be the same person.", to: c.user,
		})
	}
	t.userHost, t.sure, t.doubt = userHost, time.Now(), ""
	ms.name = m.Nick()
	c.watch(ms)
}

// directOf is the conversation in which lines go to a nick, or nil.
func (c *client) directOf(nick string) *membership {
	fold := c.net.ids.fold.Fold
	if ms := c.channels[fold(nick)]; ms != nil && ms.direct != nil {
		return ms
	}
	for _, ms := range c.channels {
		if ms.direct != nil && fold(ms.name) == fold(nick) {
			return ms
		}
	}
	return nil
}

// partnerGone notes that a nick is not any more whom we have talked with: what the user says next is for somebody who
// is not there, or for whoever takes the nick.
func (c *client) partnerGone(nick, why string) {
	ms := c.directOf(nick)
	if ms == nil || ms.direct.sure.IsZero() && ms.direct.userHost == "" {
		return
	}
	t := ms.direct
	t.sure = time.Time{}
	if t.account == "" {
		t.doubt, t.userHost = why, ""
	}
}

// partnerRenamed is partnerGone for somebody who has another nick now; who has an account is the same.
func (c *client) partnerRenamed(from, to string) {
	ms := c.directOf(from)
	if ms == nil {
		return
	}
	if ms.direct.account != "" && validDirect(to) {
		ms.name, ms.direct.sure = to, time.Now()
		c.watch(ms)
		return
	}
	c.partnerGone(from, from+" is called "+to+" now, and "+from+" may soon be somebody else")
}

// mayTell returns why a message does not go to the partner of a conversation, in words for the user.
func (c *client) mayTell(m *membership) error {
	t := m.direct
	if m.name == "" {
		return failure("it is not known what they are called on %s now", c.net.name)
	}
	if t.doubt != "" && c.isGone(m) {
		return failure("%s, and nobody on %s is called so at the moment. It was not sent", t.doubt, c.net.name)
	}
	if t.doubt != "" {
		why := t.doubt
		t.doubt = ""
		return failure("%s. It was not sent; say it again if it is for whoever is %s now", why, m.name)
	}
	return nil
}

// askPartner asks who has the nick of somebody with an account, when that was not seen lately: nobody else is to read what is
// for them.
func (c *client) askPartner(m *membership) []string {
	t := m.direct
	if t == nil || t.account == "" || m.name == "" || time.Since(t.sure) < sureFor {
		return nil
	}
	t.doubt = m.name + " is not logged in to the account of the person you have talked with"
	return []string{"WHOIS " + m.name}
}

// ownRoomItem is an item whose room has to be made first.
type ownRoomItem struct{ item }

func (o ownRoomItem) makeRoom(ctx context.Context, l *lane) error {
	if said, ok := o.item.(messageItem); ok {
		if _, err := l.ghost(ctx, said.nick); err != nil { // with the nick as it is written, which the ghost's ID has not
			return err
		}
	}
	return l.makeOwnRoom(ctx)
}

// directGhost is the ghost that a lane of a conversation is with.
func (l *lane) directGhost() (networkid.UserID, bool) {
	if l.owner == "" || kindOf(l.key()) != direct {
		return "", false
	}
	return networkid.UserID(l.key().ID), true
}

// directInfo is what GetChatInfo says of a room of a user's own.
func (a *account) directInfo(portal *bridgev2.Portal) *bridgev2.ChatInfo {
	name, _ := target(portal)
	if name == "" {
		name = conversationOf(portal)
	}
	return a.net.ownInfo(portal.PortalKey, name)
}
