package irc

import (
	"slices"
	"strings"
)

// onMode is a change of a channel's modes, or of our own, which do not matter.
func (c *client) onMode(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[0])]
	if !ok || ms.names == nil {
		return
	}
	before := ms.settings(c)
	item := modesItem{}
	for _, ch := range c.isupport.parseModes(m.Params[1:]) {
		switch {
		case ch.rank:
			if s, ok := c.rerank(ms, ch); ok {
				item.stands = append(item.stands, s)
			}
		case ch.list:
			if l, ok := c.setList(ms, ch); ok {
				item.lists = append(item.lists, l)
			}
		default:
			if ms.setMode(ch); ch.mode == 'k' {
				c.sawKey(ms, ch)
			}
		}
	}
	if now := ms.settings(c); ms.modesKnown && now != before {
		item.settings = &now
	}
	if len(item.stands)+len(item.lists) > 0 || item.settings != nil {
		c.observe(ms, sight(m, item))
	}
}

// rerank changes the rank of somebody in a channel, and returns what it is now.
func (c *client) rerank(ms *membership, ch change) (stand, bool) {
	if c.isMe(ch.arg) {
		ms.rank = c.isupport.withRank(ms.rank, ch)
		c.changeOwn(ms, func(o *occupant) { o.rank = ms.rank })
		return c.ownStand(ms), true
	}
	key := c.net.ids.fold.Fold(ch.arg)
	o, there := ms.names.get(key)
	if !there {
		return stand{}, false
	}
	o.rank = c.isupport.withRank(o.rank, ch)
	ms.names.set(key, o)
	return o.stand(), true
}

// withRank is a rank after a change.
func (s *isupport) withRank(rank string, ch change) string {
	rank = strings.ReplaceAll(rank, string(ch.mode), "")
	if ch.on {
		rank = s.sortRank(rank + string(ch.mode))
	}
	return rank
}

// stand is what an occupant's rank is.
func (o occupant) stand() stand {
	if o.puppet != nil {
		s := stand{user: o.puppet.user, rank: o.rank, account: o.account}
		if o.userHost != "" {
			s.mask = o.nick + "!" + o.userHost
		}
		return s
	}
	return stand{nick: o.nick, rank: o.rank}
}

// setMode takes note of a mode of the channel that is neither a rank nor a list. Its argument is not kept.
func (ms *membership) setMode(ch change) {
	ms.flags = slices.DeleteFunc(ms.flags, func(c byte) bool { return c == ch.mode })
	if ch.on {
		ms.flags = append(ms.flags, ch.mode)
	}
}

// settings are the modes that a room shows. A letter that is a list or takes an argument on this server is another mode.
func (ms *membership) settings(c *client) settings {
	has := func(mode byte) bool {
		return slices.Contains(ms.flags, mode) && strings.IndexByte(c.isupport.flags, mode) >= 0
	}
	return settings{
		moderated: has('m'), inviteOnly: has('i'), topicLocked: has('t'), secret: has('s') || has('p'),
		keyed: slices.Contains(ms.flags, 'k') && strings.IndexByte(c.isupport.always, 'k') >= 0,
	}
}

// onModeIs is the state of a channel's modes, which the leader has asked for.
func (c *client) onModeIs(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[1])]
	if !ok || ms.names == nil {
		return
	}
	ms.flags, ms.modesKnown = nil, true
	for _, ch := range c.isupport.parseModes(m.Params[2:]) {
		if !ch.rank && !ch.list {
			ms.setMode(ch)
		}
	}
	if ms.state == joined && ms.ch.leads(c) {
		now := ms.settings(c)
		ms.ch.put(modesItem{settings: &now})
	}
}

// inspect asks for the state of a channel that NAMES does not tell. It does not hurry.
func (c *client) inspect(ms *membership) {
	c.leisurely("MODE", ms.name)
	for _, list := range []byte{'b', 'q', c.isupport.excepts} {
		if list != 0 && strings.IndexByte(c.isupport.lists, list) >= 0 {
			c.leisurely("MODE", ms.name, string(list))
		}
	}
}

// ownStand is our own rank in a channel.
func (c *client) ownStand(ms *membership) stand {
	return stand{user: c.user, rank: ms.rank, mask: c.mask(), account: c.login.account}
}

// stands are the ranks of all who have one, and of all of us.
func (ms *membership) stands(c *client) []stand {
	list := []stand{c.ownStand(ms)}
	for o := range ms.names.all() {
		if o.puppet != c && (o.puppet != nil || o.rank != "") {
			list = append(list, o.stand())
		}
	}
	return list
}
