package bridgetest

import (
	"slices"
	"strings"

	"github.com/ergochat/irc-go/ircmsg"
)

func (c *v3conn) onMode(m ircmsg.Message) {
	if !strings.HasPrefix(m.Params[0], "#") {
		c.numeric("221", "+i") // modes of users do nothing here
		return
	}
	if len(m.Params) == 1 {
		if ch := c.s.channels[v3fold(m.Params[0])]; ch != nil {
			c.numeric("324", append([]string{ch.name}, ch.modes()...)...)
		}
		return
	}
	if strings.Trim(m.Params[1], "+") == "b" && len(m.Params) == 2 {
		if ch := c.on(m.Params[0]); ch != nil {
			for _, mask := range ch.bans {
				c.numeric("367", ch.name, mask)
			}
			c.numeric("368", ch.name, "End of channel ban list")
		}
		return
	}
	if ch := c.operates(m.Params[0]); ch != nil {
		c.setModes(ch, m.Params[1], m.Params[2:])
	}
}

// modes are those of a channel with their parameters.
func (ch *v3channel) modes() []string {
	letters, params := "+", []string{}
	for _, flag := range []byte("imnt") {
		if ch.flags[flag] {
			letters += string(flag)
		}
	}
	if ch.key != "" {
		letters, params = letters+"k", append(params, ch.key)
	}
	if ch.limit != "" {
		letters, params = letters+"l", append(params, ch.limit)
	}
	return append([]string{letters}, params...)
}

// setModes changes what can be changed, and shows that.
func (c *v3conn) setModes(ch *v3channel, letters string, params []string) {
	on := true
	done, used := "", []string{}
	for _, letter := range []byte(letters) {
		if letter == '+' || letter == '-' {
			on = letter == '+'
			continue
		}
		param := ""
		if strings.IndexByte("ovb", letter) >= 0 || letter == 'k' || letter == 'l' && on {
			if len(params) == 0 {
				continue
			}
			param, params = params[0], params[1:]
		}
		if !c.setMode(ch, letter, on, param) {
			continue
		}
		sign := "-"
		if on {
			sign = "+"
		}
		done += sign + string(letter)
		if param != "" {
			used = append(used, param)
		}
	}
	if done != "" {
		c.shown(ch, ircmsg.MakeMessage(nil, c.mask(), "MODE", append([]string{ch.name, done}, used...)...))
	}
}

// setMode changes one mode and reports whether that was possible.
func (c *v3conn) setMode(ch *v3channel, letter byte, on bool, param string) bool {
	switch letter {
	case 'o', 'v':
		who := c.s.nicks[v3fold(param)]
		if who == nil || ch.members[who] == nil {
			c.numeric("441", param, ch.name, "They aren't on that channel")
			return false
		}
		if letter == 'o' {
			ch.members[who].op = on
		} else {
			ch.members[who].voice = on
		}
	case 'b':
		ch.bans = slices.DeleteFunc(ch.bans, func(mask string) bool { return v3fold(mask) == v3fold(param) })
		if on {
			ch.bans = append(ch.bans, param)
		}
	case 'k':
		ch.key = ""
		if on {
			ch.key = param
		}
	case 'l':
		ch.limit = ""
		if on {
			ch.limit = param
		}
	case 'i', 'm', 'n', 't':
		ch.flags[letter] = on
	default:
		c.numeric("472", string(letter), "is unknown mode char to me")
		return false
	}
	return true
}

// tell sends a line to those on the client's channels who asked for such lines.
func (c *v3conn) tell(capability string, m ircmsg.Message) {
	c.s.stamp(&m, c)
	for peer := range c.s.peers(c) {
		if peer.caps[capability] {
			peer.send(m)
		}
	}
	if c.caps[capability] && capability != "away-notify" {
		c.send(m)
	}
}

func (c *v3conn) onAway(m ircmsg.Message) {
	c.away = ""
	line := ircmsg.MakeMessage(nil, c.mask(), "AWAY")
	if len(m.Params) > 0 && m.Params[0] != "" {
		c.away = m.Params[0]
		line = ircmsg.MakeMessage(nil, c.mask(), "AWAY", c.away)
		c.numeric("306", "You have been marked as being away")
	} else {
		c.numeric("305", "You are no longer marked as being away")
	}
	c.tell("away-notify", line)
}

func (c *v3conn) onWhois(m ircmsg.Message) {
	nick := m.Params[len(m.Params)-1]
	who := c.s.nicks[v3fold(nick)]
	if who == nil || !c.s.reaches(c, who) {
		c.numeric("401", nick, "No such nick/channel")
		c.numeric("318", nick, "End of /WHOIS list")
		return
	}
	c.numeric("311", who.nick, who.user, who.host, "*", who.realName)
	c.numeric("312", who.nick, who.server(), "test server")
	if who.away != "" {
		c.numeric("301", who.nick, who.away)
	}
	if who.account != "" {
		c.numeric("330", who.nick, who.account, "is logged in as")
	}
	c.numeric("318", who.nick, "End of /WHOIS list")
}

// onWho lists the members of a channel. WHOX (%…) is answered with the fields that are asked for, in its order.
func (c *v3conn) onWho(m ircmsg.Message) {
	target := m.Params[0]
	if ch := c.s.channels[v3fold(target)]; ch != nil && ch.members[c] != nil {
		for peer, member := range ch.members {
			if !c.s.reaches(c, peer) {
				continue
			}
			state := "H"
			if peer.away != "" {
				state = "G"
			}
			state += member.signs(true)
			if len(m.Params) > 1 && strings.HasPrefix(m.Params[1], "%") {
				c.numeric("354", peer.whox(ch.name, state, m.Params[1][1:])...)
			} else {
				c.numeric("352", ch.name, peer.user, peer.host, peer.server(), peer.nick, state, "0 "+peer.realName)
			}
		}
	}
	c.numeric("315", target, "End of /WHO list")
}

// whox are the fields of one answer. IRCv3, "WHOX".
func (c *v3conn) whox(channel, state, fields string) []string {
	fields, token, _ := strings.Cut(fields, ",")
	account := c.account
	if account == "" {
		account = "0"
	}
	values := map[byte]string{
		't': token, 'c': channel, 'u': c.user, 'i': c.host, 'h': c.host, 's': c.server(), 'n': c.nick, 'f': state, 'd': "0",
		'l': "0", 'a': account, 'o': "n/a", 'r': c.realName,
	}
	var out []string
	for _, field := range []byte("tcuihsnfdlaor") {
		if strings.IndexByte(fields, field) >= 0 {
			out = append(out, values[field])
		}
	}
	return out
}
