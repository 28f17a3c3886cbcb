package bridgetest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ergochat/irc-go/ircmsg"
)

// v3channel is a channel of an IRCv3; the server's lock guards it.
type v3channel struct {
	name, topic string
	members     map[*v3conn]*v3member
	flags       map[byte]bool // i, m, n, t
	key         string
	limit       string
	bans        []string
	invited     map[*v3conn]bool
	history     []v3past
}

type v3member struct{ op, voice bool }

// signs are the signs of rank, all of them or the highest.
func (m *v3member) signs(all bool) string {
	signs := ""
	if m.op {
		signs += "@"
	}
	if m.voice {
		signs += "+"
	}
	if !all && len(signs) > 1 {
		signs = signs[:1]
	}
	return signs
}

func (c *v3conn) onJoin(m ircmsg.Message) {
	keys := []string{}
	if len(m.Params) > 1 {
		keys = strings.Split(m.Params[1], ",")
	}
	for i, name := range strings.Split(m.Params[0], ",") {
		key := ""
		if i < len(keys) {
			key = keys[i]
		}
		c.join(name, key)
	}
}

func (c *v3conn) join(name, key string) {
	if len(name) < 2 || name[0] != '#' || strings.ContainsAny(name, " ,\x07") {
		c.numeric("403", name, "No such channel")
		return
	}
	ch, exists := c.s.channels[v3fold(name)]
	if !exists {
		ch = &v3channel{
			name: name, members: map[*v3conn]*v3member{}, flags: map[byte]bool{'n': true, 't': true}, invited: map[*v3conn]bool{},
		}
		c.s.channels[v3fold(name)] = ch
	}
	if ch.members[c] != nil {
		return
	}
	if code, why := ch.refuses(c, key); code != "" {
		c.numeric(code, ch.name, why)
		return
	}
	delete(ch.invited, c)
	ch.members[c] = &v3member{op: len(ch.members) == 0}
	at := c.showJoin(ch, nil)
	ch.remember(c.s, at.line, at.at, c)
	if ch.topic != "" {
		c.numeric("332", ch.name, ch.topic)
	}
	c.names(ch)
}

// refuses returns the numeric and the reason for which somebody may not enter.
func (ch *v3channel) refuses(c *v3conn, key string) (code, why string) {
	switch {
	case ch.invited[c]:
	case ch.banned(c):
		return "474", "Cannot join channel (+b) - you are banned"
	case ch.flags['i']:
		return "473", "Cannot join channel (+i) - you must be invited"
	case ch.key != "" && ch.key != key:
		return "475", "Cannot join channel (+k) - bad key"
	case ch.limit != "" && itoa(len(ch.members)) >= ch.limit && len(itoa(len(ch.members))) >= len(ch.limit):
		return "471", "Cannot join channel (+l) - channel is full"
	}
	return "", ""
}

func (ch *v3channel) banned(c *v3conn) bool {
	return slices.ContainsFunc(ch.bans, func(mask string) bool {
		ok, err := path.Match(v3fold(mask), v3fold(c.mask()))
		return ok && err == nil
	})
}

// showJoin tells a channel that somebody is there, with more for those who asked for extended-join and away-notify.
func (c *v3conn) showJoin(ch *v3channel, tags map[string]string) v3past {
	plain := ircmsg.MakeMessage(maps.Clone(tags), c.mask(), "JOIN", ch.name)
	at := c.s.stamp(&plain, c)
	account := c.account
	if account == "" {
		account = "*"
	}
	extended := ircmsg.MakeMessage(plain.AllTags(), c.mask(), "JOIN", ch.name, account, c.realName)
	for peer := range ch.members {
		if !c.s.reaches(c, peer) || tags != nil && peer.far == c.far {
			continue
		}
		if peer.caps["extended-join"] {
			peer.send(extended)
		} else {
			peer.send(plain)
		}
		if c.away != "" && peer != c && peer.caps["away-notify"] {
			peer.send(ircmsg.MakeMessage(nil, c.mask(), "AWAY", c.away))
		}
	}
	return v3past{line: plain, at: at}
}

// on returns a channel that the client is on, or says that it is not.
func (c *v3conn) on(name string) *v3channel {
	ch := c.s.channels[v3fold(name)]
	switch {
	case ch == nil:
		c.numeric("403", name, "No such channel")
		return nil
	case ch.members[c] == nil:
		c.numeric("442", ch.name, "You're not on that channel")
		return nil
	}
	return ch
}

// operates is on for what takes an operator.
func (c *v3conn) operates(name string) *v3channel {
	ch := c.on(name)
	if ch != nil && !ch.members[c].op {
		c.numeric("482", ch.name, "You're not channel operator")
		return nil
	}
	return ch
}

// shown stamps a line about a channel, sends it to all there and remembers it.
func (c *v3conn) shown(ch *v3channel, m ircmsg.Message) {
	at := c.s.stamp(&m, c)
	ch.remember(c.s, m, at, c)
	for peer := range ch.members {
		if c.s.reaches(c, peer) {
			peer.send(m)
		}
	}
}

func (c *v3conn) onPart(m ircmsg.Message) {
	for name := range strings.SplitSeq(m.Params[0], ",") {
		if ch := c.on(name); ch != nil {
			c.shown(ch, ircmsg.MakeMessage(nil, c.mask(), "PART", append([]string{ch.name}, m.Params[1:]...)...))
			delete(ch.members, c)
		}
	}
}

func (c *v3conn) onKick(m ircmsg.Message) {
	ch := c.operates(m.Params[0])
	if ch == nil {
		return
	}
	victim := c.s.nicks[v3fold(m.Params[1])]
	if victim == nil || ch.members[victim] == nil {
		c.numeric("441", m.Params[1], ch.name, "They aren't on that channel")
		return
	}
	reason := c.nick
	if len(m.Params) > 2 {
		reason = m.Params[2]
	}
	c.shown(ch, ircmsg.MakeMessage(nil, c.mask(), "KICK", ch.name, victim.nick, reason))
	delete(ch.members, victim)
}

func (c *v3conn) onTopic(m ircmsg.Message) {
	ch := c.on(m.Params[0])
	switch {
	case ch == nil:
	case len(m.Params) == 1 && ch.topic == "":
		c.numeric("331", ch.name, "No topic is set")
	case len(m.Params) == 1:
		c.numeric("332", ch.name, ch.topic)
	case ch.flags['t'] && !ch.members[c].op:
		c.numeric("482", ch.name, "You're not channel operator")
	default:
		ch.topic = m.Params[1]
		c.shown(ch, ircmsg.MakeMessage(nil, c.mask(), "TOPIC", ch.name, ch.topic))
	}
}

func (c *v3conn) onInvite(m ircmsg.Message) {
	ch := c.on(m.Params[1])
	if ch == nil {
		return
	}
	guest := c.s.nicks[v3fold(m.Params[0])]
	switch {
	case guest == nil:
		c.numeric("401", m.Params[0], "No such nick")
		return
	case ch.flags['i'] && !ch.members[c].op:
		c.numeric("482", ch.name, "You're not channel operator")
		return
	}
	ch.invited[guest] = true
	c.numeric("341", guest.nick, ch.name)
	invite := ircmsg.MakeMessage(nil, c.mask(), "INVITE", guest.nick, ch.name)
	guest.send(invite)
	for peer, member := range ch.members {
		if peer != c && member.op && peer.caps["invite-notify"] {
			peer.send(invite)
		}
	}
}

func (c *v3conn) onNames(m ircmsg.Message) {
	ch := c.s.channels[v3fold(m.Params[0])]
	if ch == nil || ch.members[c] == nil {
		c.numeric("366", m.Params[0], "End of /NAMES list")
		return
	}
	c.names(ch)
}

// names lists who is on a channel, a few in each line.
func (c *v3conn) names(ch *v3channel) {
	line := ""
	for peer, member := range ch.members {
		if !c.s.reaches(c, peer) {
			continue
		}
		name := peer.nick
		if c.caps["userhost-in-names"] {
			name = peer.mask()
		}
		name = member.signs(c.caps["multi-prefix"]) + name
		if len(line)+len(name) > v3CapLine {
			c.numeric("353", "=", ch.name, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + name)
	}
	if line != "" {
		c.numeric("353", "=", ch.name, line)
	}
	c.numeric("366", ch.name, "End of /NAMES list")
}
