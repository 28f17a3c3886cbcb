package irc

import (
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"
)

const (
	// maxMultilineLines is how many lines of one Matrix message go out where the network takes them together.
	maxMultilineLines = 100
	// concatTag marks a line that goes on with the one before it.
	concatTag = "draft/multiline-concat"
)

// multilineLimits are what a server takes in one batch; lines is 0 when it does not say.
type multilineLimits struct{ bytes, lines int }

// parseMultiline reads the value of the capability. IRCv3, "draft/multiline", Capabilities: max-bytes must be there.
func parseMultiline(value string) (multilineLimits, bool) {
	var l multilineLimits
	for token := range strings.SplitSeq(value, ",") {
		key, number, _ := strings.Cut(token, "=")
		n, err := strconv.Atoi(number)
		if err != nil || n <= 0 {
			continue
		}
		switch key {
		case "max-bytes":
			l.bytes = n
		case "max-lines":
			l.lines = n
		}
	}
	return l, l.bytes > 0
}

// wantsMultiline is whether the network says what it takes, and has what the capability rests on.
func (c *client) wantsMultiline() bool {
	_, batch := c.caps.offered["batch"]
	_, tags := c.caps.offered["message-tags"]
	_, valid := parseMultiline(c.caps.offered["draft/multiline"])
	return batch && tags && valid
}

// canMultiline returns the limits when lines can go out together now.
func (c *client) canMultiline() (multilineLimits, bool) {
	if !c.has("draft/multiline") || !c.has("batch") || !c.has("message-tags") {
		return multilineLimits{}, false
	}
	l, ok := parseMultiline(c.caps.offered["draft/multiline"])
	if l.lines == 0 || l.lines > maxMultilineLines {
		l.lines = maxMultilineLines
	}
	return l, ok
}

// mlLine is one line of a batch.
type mlLine struct {
	text   string
	concat bool
}

// multiline makes one batch of a message, or several if it is more than the network takes in one. Fewer than two lines
// need none.
func (c *client) multiline(s *send, m *membership) (entries []entry, ok bool) {
	limits, ok := c.canMultiline()
	if !ok || s.action || s.speaker != nil || s.verb != "PRIVMSG" && s.verb != "NOTICE" {
		return nil, false
	}
	lines := c.multilineLines(s, m, limits)
	if len(lines) < 2 {
		return nil, false
	}
	if s.left = len(lines) - maxMultilineLines; s.left > 0 {
		lines = append(lines[:maxMultilineLines:maxMultilineLines], mlLine{text: leftOut(s.left)})
	} else {
		s.left = 0
	}
	for len(lines) > 0 {
		n := limits.fill(c.charset(), lines)
		entries = append(entries, c.batchEntry(s, m, lines[:n]))
		if lines = lines[n:]; len(lines) > 0 {
			lines[0].concat = false
		}
	}
	return entries, true
}

// multilineLines splits the lines of a message. The space at a split stays at the end of the first piece, as the
// specification recommends.
func (c *client) multilineLines(s *send, m *membership, limits multilineLimits) []mlLine {
	limit := min(c.room(s.verb, m.name)-1, limits.bytes)
	var lines []mlLine
	for _, text := range c.withPrefix(s) {
		text = c.fitting(m, text)
		if text == "" {
			if len(lines) > 0 {
				lines = append(lines, mlLine{})
			}
			continue
		}
		pieces := []string{text}
		if c.charset().size(text) > limit {
			pieces = c.charset().splitSpans(text, limit, true)
		}
		for i, piece := range pieces {
			lines = append(lines, mlLine{piece, i > 0})
		}
	}
	for len(lines) > 0 && lines[len(lines)-1].text == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// fill is how many lines go into one batch, at least one.
func (l multilineLimits) fill(cs charset, lines []mlLine) int {
	bytes := 0
	for i, line := range lines {
		bytes += cs.size(line.text)
		if i > 0 && !line.concat {
			bytes++ // the line feed
		}
		if i > 0 && (bytes > l.bytes || i >= l.lines) {
			return i
		}
	}
	return len(lines)
}

// batchEntry is the lines of one batch. Its tags are on the opening line, as the specification wants them.
func (c *client) batchEntry(s *send, m *membership, lines []mlLine) entry {
	c.labelCount++
	ref := "b" + strconv.FormatUint(c.labelCount, 36)
	e := entry{line: withTags("BATCH +"+ref+" draft/multiline "+m.name, c.replyTags(s)...)}
	var text strings.Builder
	for i, line := range lines {
		tags := []string{"batch", ref}
		if i > 0 && line.concat {
			tags = append(tags, concatTag, "")
		} else if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(line.text)
		e.more = append(e.more, withTags(s.verb+" "+m.name+" :"+line.text, tags...))
	}
	e.more = append(e.more, "BATCH -"+ref)
	e.text = text.String()
	return e
}

// onMultiline takes a text of several lines, which came as one.
func (c *client) onMultiline(b *batch) {
	if len(b.params) == 0 || len(b.lines) == 0 {
		return
	}
	var lines []string
	for i, m := range b.lines {
		if len(m.Params) < 2 || m.Command != b.lines[0].Command || m.Params[0] != b.lines[0].Params[0] {
			return // not well-formed
		}
		if concat, _ := m.GetTag(concatTag); concat && i > 0 {
			lines[len(lines)-1] += m.Params[1]
			continue
		}
		lines = append(lines, m.Params[1])
	}
	// The batch's first line has the tags and the source.
	m := b.open
	m.Command, m.Params = b.lines[0].Command, []string{b.params[0], strings.Join(lines, "\n")}
	line, answers := c.answerTo(m)
	switch {
	case c.isOurs(m):
	case answers && c.answered(m, line):
	case c.isMe(m.Nick()):
		if !c.echo(m) {
			c.onOwnText(m, lines)
		}
	default:
		c.onText(m, lines)
	}
}

// isBlank reports whether lines have nothing that people see.
func isBlank(lines []string) bool {
	for _, line := range lines {
		if strings.TrimSpace(stripCodes(line)) != "" {
			return false
		}
	}
	return true
}

// textType is the type of what is said with a command.
func textType(command string) event.MessageType {
	if command == "NOTICE" {
		return event.MsgNotice
	}
	return event.MsgText
}
