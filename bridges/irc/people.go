package irc

import (
	"strings"
	"time"
)

func (c *client) onJoin(m message) {
	nick, channel := m.Nick(), m.Params[0]
	ms, ok := c.channels[c.net.ids.fold.Fold(channel)]
	if c.isMe(nick) {
		if _, userHost, found := strings.Cut(m.Source, "!"); found {
			c.userHost = userHost
		}
		switch {
		case !ok && validChannel(channel):
			// Somebody put us there (a forward, a forced join); no room is for it.
			c.command("PART", channel, "not wanted")
		case ok && ms.state == parting:
			// JOIN was under way when the user left; PART follows it.
			ms.ch.join(c)
			ms.begin()
		case ok:
			ms.enteredAt = c.saidAt(m)
			c.enteredChannel(ms)
		}
		return
	}
	if !ok || !validNick(nick) {
		return
	}
	o := occupant{nick: nick, account: c.joinAccount(m)}
	o.puppet = c.puppetOn(ms, nick, m.Source)
	_, o.userHost, _ = strings.Cut(m.Source, "!")
	if ms.names != nil {
		ms.names.set(c.net.ids.fold.Fold(nick), o)
	}
	c.observe(ms, cameOrWent(m, o, true, joinItem{nick: nick, account: c.ghostAccount(o), told: c.has("extended-join")}))
}

func (c *client) onPart(m message) {
	reason := ""
	if len(m.Params) > 1 {
		reason = plainText(m.Params[1])
	}
	c.gone(m, m.Nick(), m.Params[0], leaveItem{words: reason})
}

// gone takes somebody out of one channel.
func (c *client) gone(m message, nick, channel string, left leaveItem) {
	ms, ok := c.channels[c.net.ids.fold.Fold(channel)]
	if !ok {
		return
	}
	if c.isMe(nick) {
		c.leftChannel(ms)
		return
	}
	o := c.occupantOf(ms, nick, m.Source)
	ms.names.remove(c.net.ids.fold.Fold(nick))
	left.nick = nick
	c.observe(ms, cameOrWent(m, o, false, left))
}

func (c *client) onQuit(m message) {
	nick := m.Nick()
	key := c.net.ids.fold.Fold(nick)
	c.partnerGone(nick, nick+" has quit")
	for _, ms := range c.channels {
		o, there := ms.names.get(key)
		if !there || o.puppet == c {
			continue
		}
		ms.names.remove(key)
		if o.puppet != nil {
			c.net.puppetQuit(o.puppet, nick, m.Source)
		}
		var left item = leaveItem{nick: nick, how: "Quit", words: plainText(last(m))}
		if link, ok := c.netsplitOf(m); ok {
			left = splitItem{nick: nick, link: link, reason: plainText(last(m))}
		}
		c.observe(ms, cameOrWent(m, o, false, left))
	}
	if !c.net.cfg.Away.HideFromMatrix && validNick(nick) {
		c.net.presences.quit(c.net, nick)
	}
	if !c.nextNick.IsZero() && key == c.net.ids.fold.Fold(c.wantedNick()) {
		c.nextNick = time.Now()
	}
}

func (c *client) onNick(m message) {
	from, to := m.Nick(), m.Params[0]
	if c.isMe(from) {
		for _, ms := range c.channels {
			c.changeOwn(ms, func(o *occupant) { o.nick = to })
		}
		c.nick = to
		c.showNick(to)
		c.tellMask()
		c.tellName()
		if to == c.wantedNick() {
			c.nextNick = time.Time{}
		}
		return
	}
	if from == "" || !validNick(to) {
		return
	}
	c.partnerRenamed(from, to)
	for _, ms := range c.channels {
		o, there := ms.names.get(c.net.ids.fold.Fold(from))
		if !there {
			continue
		}
		ms.names.remove(c.net.ids.fold.Fold(from))
		o.nick = to
		ms.names.set(c.net.ids.fold.Fold(to), o)
		if o.puppet == nil {
			c.observe(ms, sight(m, nickItem{from: from, to: to, rank: o.rank}))
		} else {
			// Its own connection may not know yet, and its old nick may be somebody else's next.
			c.net.renamePuppet(o.puppet, from, to, "")
		}
	}
}

func (c *client) onKick(m message) {
	channel, nick := m.Params[0], m.Params[1]
	ms, ok := c.channels[c.net.ids.fold.Fold(channel)]
	if !ok {
		return
	}
	left := leaveItem{how: "kicked by " + m.Nick(), kicked: true}
	if len(m.Params) > 2 && m.Params[2] != nick {
		left.words = plainText(m.Params[2])
	}
	if !c.isMe(nick) {
		c.gone(m, nick, channel, left)
		return
	}
	for _, s := range ms.waiting {
		s.done(failure("you were %s", ms.ch.lane.reason(left.how, left.words)))
	}
	ms.waiting, ms.again = nil, false
	// To the lane past the feed: nobody else's view of it matters.
	if c.isBot() {
		c.botKicked(ms, left)
	} else {
		c.tellKicked(ms, left)
		ms.ch.lane.put(kickItem{user: c.user, reason: left.how, words: left.words})
	}
	c.leftChannel(ms)
}

// onNames takes part of the list of who is in a channel. Each nick may have signs of rank before it.
func (c *client) onNames(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[2])]
	if !ok || ms.names == nil {
		return
	}
	for nick := range strings.FieldsSeq(m.Params[3]) {
		rank, nick := c.isupport.rankOf(nick)
		nick = strings.TrimLeft(nick, "~&@%+!*") // of a server that does not announce its signs
		nick, userHost, _ := strings.Cut(nick, "!")
		if c.isMe(nick) {
			ms.rank = rank
			ms.names.set(c.net.ids.fold.Fold(nick), occupant{nick: nick, puppet: c, rank: rank, userHost: userHost})
			continue
		}
		if !validNick(nick) {
			continue
		}
		key := c.net.ids.fold.Fold(nick)
		o, known := ms.names.get(key)
		if !known {
			o = occupant{nick: nick, puppet: c.puppetOn(ms, nick, "")}
		}
		if o.rank = rank; userHost != "" {
			o.userHost = userHost
		}
		ms.names.set(key, o)
	}
}

// onEndOfNames gives the list to Matrix, if it is ours that counts.
func (c *client) onEndOfNames(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[1])]
	if ok {
		ms.names.settle()
	}
	if ok && ms.state == joined {
		ms.listed = true
		c.askOperators(ms)
	}
	switch {
	case !ok || ms.state != joined:
	case ms.ch.leads(c):
		c.putList(ms)
		c.inspect(ms)
	default:
		c.putTopic(ms) // which is for the leader's channel only, and is old when we lead
		// Who we are nobody knows better, but our rank is the leader's to say, who may have seen it change already.
		own := c.ownStand(ms)
		own.unranked = true
		ms.ch.put(modesItem{stands: []stand{own}})
	}
}
