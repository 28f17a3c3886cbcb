package bridgetest

import (
	"strings"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
)

// v3message is something that is said: one line, or the lines of a draft/multiline batch.
type v3message struct {
	command, target string
	lines           []ircmsg.Message
	tags            map[string]string
	multiline       bool
}

// onSay takes PRIVMSG, NOTICE and TAGMSG.
func (c *v3conn) onSay(m ircmsg.Message) {
	if m.Command == "TAGMSG" && !c.caps["message-tags"] {
		c.numeric("421", m.Command, "Unknown command")
		return
	}
	if m.Command != "TAGMSG" && m.Params[1] == "" {
		c.numeric("412", "No text to send")
		return
	}
	c.say(v3message{command: m.Command, target: m.Params[0], lines: []ircmsg.Message{m}, tags: m.ClientOnlyTags()})
}

// say delivers a message to whom it is for, and its echo.
func (c *v3conn) say(x v3message) {
	rank, name := "", x.target
	if strings.HasPrefix(name, "@#") || strings.HasPrefix(name, "+#") {
		rank, name = name[:1], name[1:]
	}
	if !strings.HasPrefix(name, "#") {
		c.sayPrivately(x)
		return
	}
	ch := c.s.channels[v3fold(name)]
	if ch == nil {
		c.numeric("403", name, "No such channel")
		return
	}
	me := ch.members[c]
	switch {
	case me == nil && ch.flags['n'], me == nil && ch.flags['m'], me != nil && ch.flags['m'] && !me.op && !me.voice,
		ch.banned(c) && (me == nil || !me.op && !me.voice):
		c.numeric("404", ch.name, "Cannot send to channel")
		return
	}
	x.target = rank + ch.name
	head, at := c.head(x)
	if rank == "" {
		ch.rememberMessage(c.s, x, head, at, c)
	}
	for peer, member := range ch.members {
		if peer == c || !c.s.reaches(c, peer) || rank == "@" && !member.op || rank == "+" && !member.op && !member.voice {
			continue
		}
		peer.hear(x, head)
	}
	c.echo(x, head)
}

func (c *v3conn) sayPrivately(x v3message) {
	who := c.s.nicks[v3fold(x.target)]
	if who == nil || !c.s.reaches(c, who) {
		c.numeric("401", x.target, "No such nick/channel")
		return
	}
	x.target = who.nick
	head, _ := c.head(x)
	if who.away != "" && x.command == "PRIVMSG" {
		c.numeric("301", who.nick, who.away)
	}
	who.hear(x, head)
	c.echo(x, head)
}

// head is the line that carries the identity of a message.
func (c *v3conn) head(x v3message) (ircmsg.Message, time.Time) {
	head := ircmsg.MakeMessage(nil, c.mask(), x.command, x.target)
	for name, value := range x.tags {
		head.SetTag(name, value)
	}
	at := c.s.stamp(&head, c)
	return head, at
}

// echo shows a message to who said it. IRCv3, "echo-message".
func (c *v3conn) echo(x v3message, head ircmsg.Message) {
	if c.caps["echo-message"] {
		c.hear(x, head)
	}
}

// hear sends a message in the form that a client understands.
func (c *v3conn) hear(x v3message, head ircmsg.Message) {
	for _, m := range c.form(x, head) {
		c.send(m)
	}
}

// form is a message as lines for a client: a batch where it knows multiline, or else one line after the other, without
// blank ones, the first with the identity. IRCv3, "Multiline messages", Fallback.
func (c *v3conn) form(x v3message, head ircmsg.Message) []ircmsg.Message {
	if x.command == "TAGMSG" {
		if !c.caps["message-tags"] {
			return nil
		}
		return []ircmsg.Message{head}
	}
	tags := head.AllTags()
	if x.multiline && c.caps["draft/multiline"] && c.caps["batch"] {
		return x.batch(c, head)
	}
	var all []ircmsg.Message
	for _, line := range x.lines {
		if line.Params[1] == "" {
			continue
		}
		all = append(all, ircmsg.MakeMessage(tags, head.Source, x.command, x.target, line.Params[1]))
		rest := map[string]string{}
		for _, name := range []string{"time", "account", "batch"} {
			if value, ok := tags[name]; ok {
				rest[name] = value
			}
		}
		tags = rest
	}
	return all
}

// batch is the form with multiline. The tags of the head are on its beginning.
func (x v3message) batch(c *v3conn, head ircmsg.Message) []ircmsg.Message {
	id := c.s.nextID()
	all := []ircmsg.Message{ircmsg.MakeMessage(head.AllTags(), head.Source, "BATCH", "+"+id, "draft/multiline", x.target)}
	for _, line := range x.lines {
		m := ircmsg.MakeMessage(map[string]string{"batch": id}, head.Source, x.command, x.target, line.Params[1])
		if line.HasTag("draft/multiline-concat") {
			m.SetTag("draft/multiline-concat", "")
		}
		all = append(all, m)
	}
	return append(all, ircmsg.MakeMessage(nil, c.server(), "BATCH", "-"+id))
}

// v3batch is a batch that a client sends. IRCv3, "Client-initiated batch".
type v3batch struct {
	open  ircmsg.Message
	label string
	lines []ircmsg.Message
}

func (c *v3conn) onBatch(m ircmsg.Message) {
	id := m.Params[0]
	if len(id) < 2 {
		return
	}
	if id[0] == '+' {
		if len(m.Params) != 3 || m.Params[1] != "draft/multiline" || !c.s.offers("draft/multiline") {
			c.failed("BATCH", "UNKNOWN_TYPE", "Unknown batch type")
			return
		}
		_, label := m.GetTag("label")
		c.batches[id[1:]] = &v3batch{open: m, label: label}
		return
	}
	b := c.batches[id[1:]]
	if b == nil {
		return
	}
	delete(c.batches, id[1:])
	var answer []ircmsg.Message
	if b.label != "" && c.caps["labeled-response"] {
		c.answer = &answer
	}
	c.endMultiline(b)
	if c.answer != nil {
		c.answer = nil
		c.labelled(b.label, answer)
	}
}

// endMultiline checks a batch and says what is in it. IRCv3, "Multiline messages", Errors.
func (c *v3conn) endMultiline(b *v3batch) {
	x := v3message{target: b.open.Params[2], lines: b.lines, tags: b.open.ClientOnlyTags(), multiline: true}
	bytes, blank := 0, true
	for i, line := range b.lines {
		concat := line.HasTag("draft/multiline-concat")
		switch {
		case len(line.Params) < 2 || line.Command != "PRIVMSG" && line.Command != "NOTICE",
			i > 0 && line.Command != b.lines[0].Command, concat && line.Params[1] == "":
			c.failed("BATCH", "MULTILINE_INVALID", "Invalid multiline batch")
			return
		case line.Params[0] != x.target:
			c.failed("BATCH", "MULTILINE_INVALID_TARGET", x.target, line.Params[0], "Invalid multiline target")
			return
		}
		bytes += len(line.Params[1])
		if i > 0 && !concat {
			bytes++
		}
		blank = blank && line.Params[1] == ""
	}
	switch {
	case bytes > v3MultilineBytes:
		c.failed("BATCH", "MULTILINE_MAX_BYTES", itoa(v3MultilineBytes), "Multiline batch max-bytes exceeded")
	case len(b.lines) > v3MultilineLines:
		c.failed("BATCH", "MULTILINE_MAX_LINES", itoa(v3MultilineLines), "Multiline batch max-lines exceeded")
	case blank:
		c.failed("BATCH", "MULTILINE_INVALID", "Invalid multiline batch with blank lines only")
	default:
		x.command = b.lines[0].Command
		c.say(x)
	}
}
