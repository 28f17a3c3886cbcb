package bridgetest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
)

// v3past is one thing that happened on a channel. line is a message's head when message is set.
type v3past struct {
	line    ircmsg.Message
	message *v3message
	at      time.Time
	// side is the server that saw it, if that was during a netsplit; empty is both.
	side string
}

func (p v3past) id() string { _, id := p.line.GetTag("msgid"); return id }

// remember keeps what happened. The line keeps its tags.
func (ch *v3channel) remember(s *IRCv3, m ircmsg.Message, at time.Time, by *v3conn) {
	ch.keep(s, v3past{line: v3clone(m), at: at}, by)
}

func (ch *v3channel) rememberMessage(s *IRCv3, x v3message, head ircmsg.Message, at time.Time, by *v3conn) {
	ch.keep(s, v3past{line: v3clone(head), message: &x, at: at}, by)
}

func (ch *v3channel) keep(s *IRCv3, p v3past, by *v3conn) {
	p.line.DeleteTag("batch")
	p.line.DeleteTag("label")
	if s.split {
		p.side = by.server()
	}
	if ch.history = append(ch.history, p); len(ch.history) > 2*s.opts.HistoryKept {
		ch.history = slices.Clone(ch.history[len(ch.history)-s.opts.HistoryKept:])
	}
}

// onHistory is CHATHISTORY. IRCv3, "chathistory". There is none of private messages.
func (c *v3conn) onHistory(m ircmsg.Message) {
	if c.s.holdsHistory {
		if c.s.historyLeft == 0 {
			c.s.asked = append(c.s.asked, v3asked{c, func() { c.answerHistory(m) }})
			return
		}
		c.s.historyLeft--
	}
	c.answerHistory(m)
}

func (c *v3conn) answerHistory(m ircmsg.Message) {
	sub := strings.ToUpper(m.Params[0])
	if !c.s.offers("draft/chathistory") {
		c.numeric("421", m.Command, "Unknown command")
		return
	}
	if sub == "TARGETS" {
		c.historyTargets(m)
		return
	}
	params := map[string]int{"BEFORE": 4, "AFTER": 4, "LATEST": 4, "AROUND": 4, "BETWEEN": 5}[sub]
	if params == 0 {
		c.failed("CHATHISTORY", "INVALID_PARAMS", m.Params[0], "Unknown command")
		return
	}
	if len(m.Params) != params {
		c.failed("CHATHISTORY", "INVALID_PARAMS", sub, "Wrong number of parameters")
		return
	}
	ch := c.s.channels[v3fold(m.Params[1])]
	if ch == nil || ch.members[c] == nil {
		c.failed("CHATHISTORY", "INVALID_TARGET", sub, m.Params[1], "Messages could not be retrieved")
		return
	}
	limit, err := strconv.Atoi(m.Params[params-1])
	if err != nil || limit < 1 {
		c.failed("CHATHISTORY", "INVALID_PARAMS", sub, m.Params[params-1], "Invalid limit")
		return
	}
	visible := ch.visibleTo(c)
	bounds := make([]v3bound, 0, 2)
	for _, ref := range m.Params[2 : params-1] {
		b, ok := findBound(visible, ref, sub == "LATEST")
		if !ok {
			c.failed("CHATHISTORY", "MESSAGE_ERROR", sub, ch.name, "Messages could not be retrieved")
			return
		}
		bounds = append(bounds, b)
	}
	c.sendHistory(ch, selectHistory(visible, sub, bounds, min(limit, c.s.opts.HistoryPage)))
}

// visibleTo is what a client may see of a channel, and understands.
func (ch *v3channel) visibleTo(c *v3conn) []v3past {
	var visible []v3past
	for _, p := range ch.history[max(0, len(ch.history)-c.s.opts.HistoryKept):] {
		if p.side != "" && p.side != c.server() {
			continue
		}
		event := p.message == nil || p.message.command == "TAGMSG"
		if !event || c.caps["draft/event-playback"] {
			visible = append(visible, p)
		}
	}
	return visible
}

// v3bound is a place between two lines: those before first lie before it, those from next on after it.
type v3bound struct{ first, next int }

// findBound finds a reference. An unknown message is none; "*" is the beginning.
func findBound(visible []v3past, ref string, star bool) (v3bound, bool) {
	kind, value, _ := strings.Cut(ref, "=")
	switch {
	case ref == "*" && star:
		return v3bound{0, 0}, true
	case kind == "msgid":
		i := slices.IndexFunc(visible, func(p v3past) bool { return p.id() == value })
		return v3bound{i, i + 1}, i >= 0
	case kind == "timestamp":
		at, err := time.Parse("2006-01-02T15:04:05.000Z", value)
		if err != nil {
			return v3bound{}, false
		}
		// Times are compared as clients see them.
		first, _ := slices.BinarySearchFunc(visible, at, func(p v3past, at time.Time) int {
			return p.at.Truncate(time.Millisecond).Compare(at)
		})
		next := first
		for next < len(visible) && !visible[next].at.Truncate(time.Millisecond).After(at) {
			next++
		}
		return v3bound{first, next}, true
	}
	return v3bound{}, false
}

// selectHistory is what a subcommand gives.
func selectHistory(visible []v3past, sub string, b []v3bound, limit int) []v3past {
	switch sub {
	case "BEFORE":
		return visible[max(0, b[0].first-limit):b[0].first]
	case "AFTER":
		return visible[b[0].next:min(len(visible), b[0].next+limit)]
	case "LATEST":
		return visible[max(b[0].next, len(visible)-limit):]
	case "AROUND":
		from := max(0, b[0].first-limit/2)
		return visible[from:min(len(visible), from+limit)]
	}
	if b[0].first <= b[1].first {
		list := visible[min(b[0].next, b[1].first):b[1].first]
		return list[:min(limit, len(list))]
	}
	list := visible[min(b[1].next, b[0].first):b[0].first]
	return list[max(0, len(list)-limit):]
}

// sendHistory sends lines in a batch, if the client knows batches.
func (c *v3conn) sendHistory(ch *v3channel, list []v3past) {
	id := c.s.nextID()
	if c.caps["batch"] {
		c.send(ircmsg.MakeMessage(nil, c.server(), "BATCH", "+"+id, "chathistory", ch.name))
	}
	for _, p := range list {
		head := v3clone(p.line)
		head.SetTag("batch", id)
		if p.message != nil {
			c.hear(*p.message, head)
		} else {
			c.send(head)
		}
	}
	if c.caps["batch"] {
		c.send(ircmsg.MakeMessage(nil, c.server(), "BATCH", "-"+id))
	}
}

// historyTargets lists the client's channels with the time of the last line of each.
func (c *v3conn) historyTargets(m ircmsg.Message) {
	if len(m.Params) != 4 {
		c.failed("CHATHISTORY", "INVALID_PARAMS", "TARGETS", "Wrong number of parameters")
		return
	}
	id := c.s.nextID()
	c.send(ircmsg.MakeMessage(nil, c.server(), "BATCH", "+"+id, "draft/chathistory-targets"))
	for _, ch := range c.s.channels {
		if visible := ch.visibleTo(c); ch.members[c] != nil && len(visible) > 0 {
			last := v3time(visible[len(visible)-1].at)
			c.send(ircmsg.MakeMessage(map[string]string{"batch": id}, c.server(), "CHATHISTORY", "TARGETS", ch.name, last))
		}
	}
	c.send(ircmsg.MakeMessage(nil, c.server(), "BATCH", "-"+id))
}

// onRedact takes a message out of the history. Who said it may, and operators. IRCv3, "message-redaction".
func (c *v3conn) onRedact(m ircmsg.Message) {
	if !c.caps["draft/message-redaction"] {
		c.numeric("421", m.Command, "Unknown command")
		return
	}
	ch := c.s.channels[v3fold(m.Params[0])]
	if ch == nil || ch.members[c] == nil {
		c.failed("REDACT", "INVALID_TARGET", m.Params[0], "You cannot delete messages from "+m.Params[0])
		return
	}
	i := slices.IndexFunc(ch.history, func(p v3past) bool { return p.message != nil && p.id() == m.Params[1] })
	if i < 0 {
		c.failed("REDACT", "UNKNOWN_MSGID", ch.name, m.Params[1], "This message does not exist or is too old")
		return
	}
	source := ch.history[i].line.Nick()
	if v3fold(source) != v3fold(c.nick) && !ch.members[c].op {
		c.failed("REDACT", "REDACT_FORBIDDEN", ch.name, m.Params[1], "You are not authorised to delete this message")
		return
	}
	ch.history = slices.Delete(ch.history, i, i+1)
	redact := ircmsg.MakeMessage(nil, c.mask(), "REDACT", append([]string{ch.name}, m.Params[1:]...)...)
	c.s.stamp(&redact, c)
	for peer := range ch.members {
		if peer.caps["draft/message-redaction"] && c.s.reaches(c, peer) && (peer != c || c.caps["echo-message"]) {
			peer.send(redact)
		}
	}
}
