package irc

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// maxSpeaker is the longest name that the relay says, in bytes.
	maxSpeaker = 48
	// wordBreak makes a name of somebody on the channel one at which their client does not ring.
	wordBreak = "\u200b"
	// relayMsgCap is what a network has that shows relayed lines under nicks of their own. Its value is the signs one of
	// which such a nick has, as no other has. IRCv3, "draft/relaymsg".
	relayMsgCap = "draft/relaymsg"
	// relaySuffix comes after the sign.
	relaySuffix = "m"
	// maxRelayNick is the longest such nick without what comes after it, in bytes, and maxRelayNicks how many are known.
	maxRelayNick  = 20
	maxRelayNicks = 10000
)

// unseen are the characters that show nothing: with one of them, a name would look like another one.
var unseen = []*unicode.RangeTable{
	unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point,
}

// blankBraille is a pattern of no dots.
const blankBraille = '\u2800'

// tidyName leaves of a name what can stand between < and >: nothing that ends it, is not seen, or turns the direction.
func tidyName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '<' || r == '>' || unicode.IsControl(r) || unicode.In(r, unseen...):
			return -1
		case unicode.IsSpace(r) || r == blankBraille:
			return ' '
		}
		return r
	}, stripCodes(strings.ToValidUTF8(name, "")))
	name = strings.Join(strings.Fields(name), " ")
	return strings.TrimSpace(truncate(name, maxSpeaker))
}

// skeleton is the same for names that are meant to look alike.
func skeleton(name string) string {
	return strings.ToLower(norm.NFKC.String(strings.ReplaceAll(tidyName(name), " ", "")))
}

// called is what the channel reads of who speaks. Who is called as somebody else in the room, or as somebody on the channel,
// is shown with their Matrix ID; and no name there makes anybody's client ring.
func (who *speaker) called(c *client, m *membership) string {
	name := who.name
	looks := skeleton(name)
	clash := who.also
	for o := range m.names.all() {
		clash = clash || skeleton(o.nick) == looks
	}
	if clash || looks == skeleton(c.nick) || looks == "" {
		name = strings.TrimSpace(name + " (" + tidyID(string(who.user)) + ")")
	}
	return broken(c, m, name)
}

// tidyID is a Matrix ID as it can stand there.
func tidyID(user string) string {
	if len(user) > 2*maxSpeaker {
		user = truncate(user, 2*maxSpeaker) + "…"
	}
	return strings.NewReplacer("<", "", ">", "").Replace(cleanText(user))
}

// broken puts a break into each word of a name that is a nick on the channel.
func broken(c *client, m *membership, name string) string {
	var b strings.Builder
	for from := 0; from < len(name); {
		word, to := false, from
		for to < len(name) && isNameByte(name[to]) {
			word, to = true, to+1
		}
		if !word {
			b.WriteByte(name[from])
			from++
			continue
		}
		first := from
		for _, nick := range candidates(name[from:to]) {
			if o, there := m.names.get(c.net.ids.fold.Fold(nick)); there && o.puppet != c {
				_, size := utf8.DecodeRuneInString(name[from:to])
				b.WriteString(name[from:from+size] + wordBreak)
				first = from + size
				break
			}
		}
		b.WriteString(name[first:to])
		from = to
	}
	return b.String()
}

// relayNick is the nick under which the network shows who speaks. Each has one of their own, for as long as the connection lasts.
func (c *client) relayNick(who *speaker) string {
	if nick, ok := c.relayNicks[string(who.user)]; ok {
		return nick
	}
	if c.relayNicks == nil || len(c.relayNicks) >= 2*maxRelayNicks {
		c.relayNicks = map[string]string{}
	}
	name := who.name
	if name == "" || cleanNick(name) != name {
		name, _, _ = who.user.Parse()
	}
	base := truncate(cleanNick(name), maxRelayNick)
	sign := c.caps.offered[relayMsgCap][:1]
	nick := base
	for n := 2; c.relayNicks["/"+c.net.ids.fold.Fold(nick)] != ""; n++ {
		nick = base + strconv.Itoa(n)
	}
	c.relayNicks["/"+c.net.ids.fold.Fold(nick)] = string(who.user)
	c.relayNicks[string(who.user)] = nick + sign + relaySuffix
	return c.relayNicks[string(who.user)]
}

// canRelayMsg reports whether the network shows relayed lines under nicks of their own.
func (c *client) canRelayMsg(m *membership) bool {
	value := c.caps.offered[relayMsgCap]
	return c.has(relayMsgCap) && value != "" && strings.IndexByte("/|~+", value[0]) >= 0 && !m.noRelayMsg && c.net.cfg.Relay.RelayMsg != "off"
}

// wantsRelayMsg is whether the capability is of use.
func (c *client) wantsRelayMsg() bool { return c.isBot() }

// composeRelayed makes the lines of one line of text that the relay says for somebody. Each of them says who it is of, so that
// nobody can put words into the mouth of somebody else on a line that begins without a name.
func (c *client) composeRelayed(s *send, m *membership, text string) []string {
	verb, target, before, after := s.verb, m.name, "", ""
	if c.canRelayMsg(m) && verb != "NOTICE" {
		verb, target = "RELAYMSG", m.name+" "+c.relayNick(s.speaker)
		if s.action {
			before, after = "\x01ACTION ", "\x01"
		}
	} else if name := s.speaker.called(c, m); s.action {
		before = "* " + name + " "
	} else {
		before = "<" + name + "> "
	}
	cs := c.charset()
	before = cs.sent(before)
	pieces := cs.splitCodes(text, max(c.room(verb, target)-cs.size(before)-len(after), minPiece))
	for i := range pieces {
		pieces[i] = verb + " " + target + " :" + before + pieces[i] + after
	}
	return pieces
}

// isRelayed reports whether a line is one that the relay itself has passed on: the server says for whom it is, and of whom it
// has it.
func (c *client) isRelayed(m message) bool {
	_, by := m.GetTag(relayMsgCap)
	return c.has(relayMsgCap) && by != "" && c.isMe(by)
}

// withoutRelayMsg notes that a channel does not let us relay by RELAYMSG, and sends a message that it has refused for that
// again, in the other way. It reports false for what has ended otherwise.
func (c *client) withoutRelayMsg(s *send) bool {
	m := c.channels[s.key]
	if s.speaker == nil || s.err == nil || s.failed < s.total || m == nil || m.state != joined || c.goodbye || !c.canRelayMsg(m) {
		return false
	}
	m.noRelayMsg = true
	s.written, s.barrier, s.failed, s.err, s.receipts, s.tries = 0, 0, 0, nil, receipts{}, 0
	c.enqueue(s)
	return true
}
