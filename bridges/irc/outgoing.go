package irc

import (
	"fmt"
	"strings"
)

// lines are the lines of an entry in their order.
func (e entry) lines() []string {
	if len(e.more) == 0 {
		return []string{e.line}
	}
	return append([]string{e.line}, e.more...)
}

// entriesOf makes the lines of a message: what it builds itself, one text of several lines where the network has that, or
// pieces that fit into lines.
func (c *client) entriesOf(s *send, m *membership) ([]entry, error) {
	if s.build != nil {
		return s.build(c, m)
	}
	if s.plan != nil {
		var entries []entry
		for _, line := range s.plan(c, m) {
			entries = append(entries, entry{line: c.cutBytes(withoutLineEnds(line))})
		}
		return entries, nil
	}
	if entries, ok := c.multiline(s, m); ok {
		return entries, nil
	}
	var lines []string
	for _, text := range c.withPrefix(s) {
		lines = append(lines, c.compose(s, m.name, c.fitting(m, text))...)
	}
	if s.left = len(lines) - maxLinesPerMessage; s.left > 0 {
		rest := c.compose(s, m.name, leftOut(s.left))
		lines = append(lines[:maxLinesPerMessage:maxLinesPerMessage], rest...)
	} else {
		s.left = 0
	}
	entries := make([]entry, len(lines))
	for i, line := range lines {
		_, text, _ := strings.Cut(line, " :")
		entries[i] = entry{line: line, text: text}
	}
	if len(entries) > 0 {
		entries[0].line = withTags(entries[0].line, c.replyTags(s)...)
	}
	return entries, nil
}

// leftOut says on IRC that a message was too long.
func leftOut(lines int) string { return fmt.Sprintf("… %d more lines not sent", lines) }

// fitting is a line as the channel takes it.
func (c *client) fitting(m *membership, line string) string {
	line = c.charset().sent(line)
	if !m.noColours || strings.IndexFunc(line, isCode) < 0 {
		return line
	}
	return writeCodes(parseCodes(line), paletteNone)
}

// replyTags refer to the line that a message answers, under the name of the standard and of the draft, which is what most
// clients know. IRCv3, "+reply".
func (c *client) replyTags(s *send) []string {
	if s.reply == "" || !c.mayTag("reply") && !c.mayTag("draft/reply") {
		return nil
	}
	return []string{"+reply", s.reply, "+draft/reply", s.reply}
}

// mayTag reports whether a client-only tag, named without its plus, reaches anybody.
func (c *client) mayTag(name string) bool { return c.has("message-tags") && !c.deniedTags.denies(name) }

// deniedTags is what the server says that it does not pass on. IRCv3, "message-tags", CLIENTTAGDENY.
type deniedTags struct{ value string }

func (d *deniedTags) learn(token string) {
	if value, ok := strings.CutPrefix(token, "CLIENTTAGDENY="); ok {
		d.value = value
	}
}

func (d *deniedTags) denies(name string) bool {
	denied := false
	for rule := range strings.SplitSeq(d.value, ",") {
		switch rule {
		case "*", name:
			denied = true
		case "-" + name:
			return false
		}
	}
	return denied
}

// watchColours learns whether a channel takes colours, from its modes: MODE #channel +c and RPL_CHANNELMODEIS.
func (c *client) watchColours(m message) {
	at := 0
	switch m.Command {
	case "MODE":
	case "324": // RPL_CHANNELMODEIS, after our nick
		at = 1
	default:
		return
	}
	if len(m.Params) < at+2 {
		return
	}
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[at])]
	if !ok {
		return
	}
	on := true
	for _, mode := range m.Params[at+1] {
		switch mode {
		case '+', '-':
			on = mode == '+'
		case 'c':
			ms.noColours = on
		}
	}
}

// noteRefusal learns from an error that a channel takes no colours: 408 of some servers, and others say it in words.
func (c *client) noteRefusal(key string, m message) {
	text := strings.ToLower(last(m))
	if ms := c.channels[key]; ms != nil && (m.Command == "408" || m.Command == "404") &&
		(strings.Contains(text, "colour") || strings.Contains(text, "color")) {
		ms.noColours = true
	}
}
