package irc

import (
	"context"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

const (
	// botTalkBurst and botTalkInterval bound how often the bot answers people on IRC.
	botTalkBurst    = 5
	botTalkInterval = 5 * time.Second
	// maxBotLine bounds one of its lines, in bytes, so that each arrives whole.
	maxBotLine = 380
)

// botState is what only the client of the bot has: a connection of the bridge's own, which is in the channels of rooms that
// people have connected. It asks operators, hears what they say, and speaks for those who have no connection there, and in rooms
// whose mode is relay for all (relay.go).
type botState struct {
	asking map[string][]*question // by folded channel, until the bot sees who is there
	talk   bucket
}

// botUser is the Matrix user whose client the bot's is, or "" in tests without bridgev2.
func (c *Connector) botUser() id.UserID {
	if c.br == nil || c.br.Bot == nil {
		return ""
	}
	return c.br.Bot.GetMXID()
}

// isBot reports whether a user is the bot.
func (n *network) isBot(user id.UserID) bool { return user != "" && user == n.conn.botUser() }

// isBot reports whether the connection is the bot's.
func (c *client) isBot() bool { return c.bot != nil }

// newBotState is that of a new client, nil if it is a person's.
func (n *network) newBotState(user id.UserID) *botState {
	if !n.isBot(user) {
		return nil
	}
	return &botState{asking: map[string][]*question{}, talk: newBucket(botTalkBurst, botTalkInterval, time.Now())}
}

// botJoin has the bot enter a channel and stay.
func (n *network) botJoin(channel string) error { return n.askBot(joinRequest{channel: channel}) }

// askBot gives the bot's client a request. The client is made when it is needed.
func (n *network) askBot(r request) error { return n.request(n.conn.botUser(), r) }

// botPart has the bot leave a channel, if it is there.
func (n *network) botPart(channel, reason string) {
	if c := n.running(n.conn.botUser()); c != nil {
		c.box.add(partRequest{channel: channel, reason: reason})
	}
}

// tellRequest says something to somebody on IRC.
type tellRequest struct{ nick, text string }

func (r tellRequest) apply(c *client) { c.tellNick(r.nick, r.text) }

// tellNick queues a private message.
func (c *client) tellNick(nick, text string) {
	if validNick(nick) && !c.goodbye {
		c.command("PRIVMSG", nick, truncate(oneLine(cleanText(text)), maxBotLine))
	}
}

// heardByBot takes what is said to the bot alone, and reports whether a line is that. Notices are never answered. RFC 1459, 4.4.2.
func (c *client) heardByBot(m message) bool {
	if !c.isBot() || !c.isMe(m.Params[0]) {
		return false
	}
	nick := m.Nick()
	if m.Command != "PRIVMSG" || !validNick(nick) || c.isMe(nick) || !strings.Contains(m.Source, "!") || !c.bot.talk.take(time.Now()) {
		return true
	}
	words := strings.Fields(plainText(m.Params[1]))
	if len(words) == 2 {
		switch strings.ToLower(words[0]) {
		case "yes":
			c.heardAnswer(m, words[1], true)
			return true
		case "no":
			c.heardAnswer(m, words[1], false)
			return true
		case "unplumb":
			c.heardRevocation(m, words[1])
			return true
		}
	}
	c.tellNick(nick, "I connect channels with rooms on Matrix. Operators of a channel say: yes CODE or no CODE, when I have asked them; "+
		"unplumb #channel, to end it.")
	return true
}

// operatorOf is what the bot sees of somebody in a channel at this moment, and false when they are no operator there.
func (c *client) operatorOf(channel, nick string) (occupant, bool) {
	ms := c.membershipOf(channel)
	if ms == nil || !ms.listed {
		return occupant{}, false
	}
	o, there := ms.names.get(c.net.ids.fold.Fold(nick))
	return o, there && c.isupport.isOperator(o.rank)
}

// isOperator reports whether a rank is that of an operator, or above.
func (s *isupport) isOperator(rank string) bool {
	o := strings.IndexByte(s.ranks, 'o')
	return rank != "" && o >= 0 && strings.IndexByte(s.ranks[:o+1], rank[0]) >= 0
}

// witness is somebody on IRC, as it is kept who has allowed something.
func (c *client) witness(m message, o occupant) string {
	words := m.Nick()
	if _, userHost, ok := strings.Cut(m.Source, "!"); ok {
		words += "!" + userHost
	}
	account := o.account
	if c.has("account-tag") {
		_, text := m.GetTag("account")
		account = accountOf(text)
	}
	if account != "" {
		words += " (account " + account + ")"
	}
	return words
}

// botRefused is that the bot may not enter a channel. Nobody is there whom it could be removed with.
func (c *client) botRefused(ms *membership, text string) {
	for _, q := range c.bot.asking[ms.key] {
		q.say(c.net.conn, "The bot cannot enter "+ms.name+" on "+c.net.name+" to ask for consent: "+text+
			". An operator there can invite it: /invite "+c.nick+" "+ms.name)
	}
	c.log.Warn().Str("channel", ms.name).Str("reason", text).Msg("the bot cannot enter a channel")
}

// botKicked tells a room that the bot was removed from its channel, in which it stays away until it is needed anew.
func (c *client) botKicked(ms *membership, left leaveItem) {
	ms.ch.lane.put(noticeItem{text: "The bridge's bot was " + ms.ch.lane.reason(left.how, left.words) + " on " + ms.name + ". It stays away until somebody here says `" +
		c.net.conn.br.Config.CommandPrefix + " plumb`."})
}

// say tells a room something, beside its lane.
func (c *Connector) say(room id.RoomID, text string, to ...id.UserID) {
	c.later(func(ctx context.Context) {
		if err := c.host.Notify(ctx, room, text, to...); err != nil {
			c.br.Log.Err(err).Stringer("room_id", room).Msg("tell a room something")
		}
	})
}
