package irc

import (
	"strings"
	"time"
)

const (
	// ctcpBurst and ctcpInterval bound how often questions of others are answered.
	ctcpBurst    = 3
	ctcpInterval = 10 * time.Second
	// maxCTCP is the longest argument that comes back, in bytes.
	maxCTCP = 64
	// ctcpVersion is who we say that we are.
	ctcpVersion = "Causeway, a bridge to Matrix"
)

// ctcpAnswers are the questions that are answered. modern.ircdocs.horse/ctcp.
var ctcpAnswers = map[string]func(argument string) string{
	"CLIENTINFO": func(string) string { return "ACTION CLIENTINFO PING TIME VERSION" },
	"PING":       func(argument string) string { return argument },
	"TIME":       func(string) string { return time.Now().UTC().Format(time.RFC1123) },
	"VERSION":    func(string) string { return ctcpVersion },
}

// onCTCP answers a question that somebody asks of this connection, and reports whether the line is one, or an answer. A
// question to a whole channel is not answered, or each of our users there would.
func (c *client) onCTCP(m message) bool {
	text, ok := strings.CutPrefix(m.Params[1], "\x01")
	if !ok || !c.isMe(m.Params[0]) {
		return false
	}
	command, argument, _ := strings.Cut(strings.TrimSuffix(text, "\x01"), " ")
	command = strings.ToUpper(command)
	if command == "ACTION" {
		return false
	}
	answer, known := ctcpAnswers[command]
	nick := m.Nick()
	if !known || m.Command != "PRIVMSG" || !validNick(nick) || nick[0] == ':' {
		return true
	}
	now := time.Now()
	if c.ctcp.burst == 0 {
		c.ctcp = newBucket(ctcpBurst, ctcpInterval, now)
	}
	if c.ctcp.take(now) {
		said := command + " " + answer(truncate(cleanText(argument), maxCTCP))
		c.queue = append(c.queue, entry{line: "NOTICE " + nick + " :\x01" + said + "\x01"})
	}
	return true
}
