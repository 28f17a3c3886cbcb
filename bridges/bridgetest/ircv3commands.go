package bridgetest

import (
	"slices"
	"strings"

	"github.com/ergochat/irc-go/ircmsg"
)

// v3commands is what clients may say. A command with fewer parameters than its row says is answered with 461, and one
// of a client that is not registered with 451, unless the row is early.
var v3commands map[string]v3command

type v3command struct {
	params int
	early  bool
	handle func(c *v3conn, m ircmsg.Message)
}

// init makes the table, which its own handlers use.
func init() {
	v3commands = map[string]v3command{
		"CAP":          {1, true, (*v3conn).onCap},
		"AUTHENTICATE": {1, true, (*v3conn).onAuthenticate},
		"PASS":         {1, true, func(c *v3conn, m ircmsg.Message) { c.pass = m.Params[0] }},
		"NICK":         {1, true, (*v3conn).onNick},
		"USER":         {4, true, (*v3conn).onUser},
		"PING":         {1, true, (*v3conn).onPing},
		"PONG":         {0, true, func(*v3conn, ircmsg.Message) {}},
		"QUIT":         {0, true, (*v3conn).onQuit},

		"JOIN":   {1, false, (*v3conn).onJoin},
		"PART":   {1, false, (*v3conn).onPart},
		"NAMES":  {1, false, (*v3conn).onNames},
		"TOPIC":  {1, false, (*v3conn).onTopic},
		"MODE":   {1, false, (*v3conn).onMode},
		"KICK":   {2, false, (*v3conn).onKick},
		"INVITE": {2, false, (*v3conn).onInvite},
		"AWAY":   {0, false, (*v3conn).onAway},
		"WHOIS":  {1, false, (*v3conn).onWhois},
		"WHO":    {1, false, (*v3conn).onWho},

		"PRIVMSG":     {2, false, (*v3conn).onSay},
		"NOTICE":      {2, false, (*v3conn).onSay},
		"TAGMSG":      {1, false, (*v3conn).onSay},
		"REDACT":      {2, false, (*v3conn).onRedact},
		"BATCH":       {1, false, (*v3conn).onBatch},
		"CHATHISTORY": {2, false, (*v3conn).onHistory},
	}
}

// dispatch handles a line, with its answer under its label if it has one. IRCv3, "Labeled responses".
func (c *v3conn) dispatch(m ircmsg.Message) {
	if !c.s.conns[c] {
		return
	}
	_, label := m.GetTag("label")
	if label == "" || !c.caps["labeled-response"] {
		c.execute(m)
		return
	}
	var answer []ircmsg.Message
	c.answer = &answer
	c.execute(m)
	c.answer = nil
	if m.Command == "BATCH" && len(answer) == 0 {
		return // its answer comes with the end of it
	}
	c.labelled(label, answer)
}

// labelled sends an answer as one logical message.
func (c *v3conn) labelled(label string, answer []ircmsg.Message) {
	switch {
	case len(answer) == 0:
		answer = []ircmsg.Message{ircmsg.MakeMessage(nil, c.server(), "ACK")}
	case len(answer) > 1 && answer[0].Command != "BATCH":
		id := c.s.nextID()
		for i := range answer {
			if !answer[i].HasTag("batch") && answer[i].Command != "BATCH" {
				answer[i].SetTag("batch", id)
			}
		}
		open := ircmsg.MakeMessage(nil, c.server(), "BATCH", "+"+id, "labeled-response")
		answer = append([]ircmsg.Message{open}, append(answer, ircmsg.MakeMessage(nil, c.server(), "BATCH", "-"+id))...)
	}
	answer[0].SetTag("label", label)
	for _, m := range answer {
		c.send(m)
	}
}

func (c *v3conn) execute(m ircmsg.Message) {
	m.Command = strings.ToUpper(m.Command)
	if _, id := m.GetTag("batch"); id != "" && c.batches[id] != nil {
		c.batches[id].lines = append(c.batches[id].lines, m)
		return
	}
	row, known := v3commands[m.Command]
	switch {
	case !known:
		c.numeric("421", m.Command, "Unknown command")
	case !row.early && !c.registered:
		c.numeric("451", "You have not registered")
	case len(m.Params) < row.params:
		c.numeric("461", m.Command, "Not enough parameters")
	default:
		row.handle(c, m)
	}
}

func (c *v3conn) onPing(m ircmsg.Message) {
	if slices.ContainsFunc(c.s.asked, func(a v3asked) bool { return a.by == c }) {
		c.s.asked = append(c.s.asked, v3asked{c, func() { c.pong(m) }})
		return
	}
	c.pong(m)
}

func (c *v3conn) pong(m ircmsg.Message) {
	c.send(ircmsg.MakeMessage(nil, c.server(), "PONG", c.server(), m.Params[0]))
}

func (c *v3conn) onQuit(m ircmsg.Message) {
	reason := "Quit"
	if len(m.Params) > 0 {
		reason = "Quit: " + m.Params[0]
	}
	c.s.forget(c, reason)
	c.fail("Closing Link: " + c.nick)
}

func (c *v3conn) onUser(m ircmsg.Message) {
	if c.user != "" {
		c.numeric("462", "You may not reregister")
		return
	}
	c.user, c.realName = m.Params[0], m.Params[3]
	c.register()
}

func (c *v3conn) onNick(m ircmsg.Message) {
	nick := m.Params[0]
	owner := c.s.nicks[v3fold(nick)]
	switch {
	case nick == "" || len(nick) > v3MaxNick || strings.ContainsAny(nick[:1], "0123456789-") || strings.ContainsAny(nick, " ,*?!@.:#"):
		c.numeric("432", nick, "Erroneous nickname")
	case owner != nil && owner != c:
		c.numeric("433", nick, "Nickname is already in use")
	case !c.registered:
		c.nick = nick
		c.register()
	default:
		c.rename(nick)
	}
}

// rename changes a nick in sight of all.
func (c *v3conn) rename(nick string) {
	change := ircmsg.MakeMessage(nil, c.mask(), "NICK", nick)
	at := c.s.stamp(&change, c)
	for _, ch := range c.s.channels {
		if ch.members[c] != nil {
			ch.remember(c.s, change, at, c)
		}
	}
	peers := c.s.peers(c)
	delete(c.s.nicks, v3fold(c.nick))
	c.nick = nick
	c.s.nicks[v3fold(nick)] = c
	c.send(change)
	for peer := range peers {
		peer.send(change)
	}
}

// register welcomes a client that has said all that is needed.
func (c *v3conn) register() {
	if c.registered || c.negotiating || c.nick == "" || c.user == "" {
		return
	}
	if owner := c.s.nicks[v3fold(c.nick)]; owner != nil {
		nick := c.nick
		c.nick = ""
		c.numeric("433", nick, "Nickname is already in use")
		return
	}
	for _, k := range c.s.klines {
		if k.matches(c) {
			c.numeric("465", "You are banned from this server- "+k.reason)
			c.s.forget(c, "")
			c.fail("Closing Link: " + c.nick + " (K-Lined)")
			return
		}
	}
	c.registered = true
	c.s.nicks[v3fold(c.nick)] = c
	c.numeric("001", "Welcome to the test network, "+c.mask())
	c.numeric("004", c.server(), "bridgetest", "io", "bklimnotv")
	c.numeric("005", append(c.s.supports(), "are supported by this server")...)
	c.numeric("422", "MOTD File is missing")
}

// supports is RPL_ISUPPORT.
func (s *IRCv3) supports() []string {
	tokens := []string{
		"CASEMAPPING=ascii", "NICKLEN=32", "CHANTYPES=#", "PREFIX=(ov)@+", "STATUSMSG=@+", "CHANMODES=b,k,l,imnt",
		"NETWORK=" + s.opts.Network, "LINELEN=512", "BOT=B", "WHOX",
	}
	if s.offers("draft/chathistory") {
		tokens = append(tokens, "CHATHISTORY="+itoa(s.opts.HistoryPage), "MSGREFTYPES=msgid,timestamp")
	}
	return tokens
}

func (s *IRCv3) offers(name string) bool {
	_, known := s.capValues()[name]
	return known && !slices.Contains(s.opts.Without, name)
}
