package irc

import (
	"html"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// maxContentBytes is the most that body and formatted body of an event have together; an event has room for 65536 bytes
// in all.
const maxContentBytes = 60000

// contentOf makes a Matrix message of lines of IRC. people are those whose nicks occur, by the word as it is written.
func contentOf(msgType event.MessageType, lines []string, people map[string]id.UserID) *event.MessageEventContent {
	content := &event.MessageEventContent{MsgType: msgType, Mentions: &event.Mentions{}}
	var plain, rich strings.Builder
	formatted := false
	for i, line := range lines {
		if i > 0 {
			plain.WriteByte('\n')
			rich.WriteString("<br/>")
		}
		spans := parseCodes(line)
		plain.WriteString(textOf(spans))
		formatted = formatted || !isPlain(spans)
		for n, s := range spans {
			named := writeSpan(&rich, s, people, n == 0)
			formatted = formatted || len(named) > 0
			for _, user := range named {
				content.Mentions.Add(user)
			}
		}
	}
	content.Body = truncate(plain.String(), maxContentBytes)
	if formatted && len(content.Body)+rich.Len() <= maxContentBytes {
		content.Format, content.FormattedBody = event.FormatHTML, rich.String()
	}
	return content
}

// truncate cuts a text between characters.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}

// writeSpan writes a span as HTML, with links to the people whose nicks are in it, and returns those. Each span is closed
// where it ends, so nothing is ever left open.
func writeSpan(b *strings.Builder, s span, people map[string]id.UserID, first bool) (named []id.UserID) {
	before, after := tags(s.style)
	b.WriteString(before)
	if s.style.mono {
		writeText(b, s.text, first)
		b.WriteString(after)
		return nil
	}
	rest := s.text
	for len(people) > 0 {
		at, word := nextName(rest, people)
		if at < 0 {
			break
		}
		writeText(b, rest[:at], first && len(rest) == len(s.text))
		user := people[word]
		b.WriteString(`<a href="` + html.EscapeString(user.URI().MatrixToURL()) + `">` + html.EscapeString(word) + `</a>`)
		named = append(named, user)
		rest = rest[at+len(word):]
	}
	writeText(b, rest, first && len(rest) == len(s.text))
	b.WriteString(after)
	return named
}

// writeText writes text such that a browser keeps its spaces: what is drawn with characters lives by them.
func writeText(b *strings.Builder, text string, atStart bool) {
	text = html.EscapeString(text)
	text = strings.ReplaceAll(text, "\t", "    ")
	text = strings.ReplaceAll(text, "  ", " \u00a0")
	if atStart && strings.HasPrefix(text, " ") {
		text = "\u00a0" + text[1:]
	}
	b.WriteString(text)
}

// tags are what stands around text of a style. Client-Server API, m.room.message msgtypes: the attributes of span.
func tags(s style) (before, after string) {
	if s.reverse {
		s.fg, s.bg = s.bg, s.fg
		if s.fg == "" && s.bg == "" {
			s.fg, s.bg = "ffffff", "000000"
		}
	}
	wrap := func(on bool, start, end string) {
		if on {
			before, after = before+start, end+after
		}
	}
	wrap(s.spoiler, `<span data-mx-spoiler>`, `</span>`)
	var colours string
	if s.fg != "" {
		colours = ` data-mx-color="#` + s.fg + `"`
	}
	if s.bg != "" {
		colours += ` data-mx-bg-color="#` + s.bg + `"`
	}
	wrap(colours != "", `<span`+colours+`>`, `</span>`)
	wrap(s.bold, `<strong>`, `</strong>`)
	wrap(s.italic, `<em>`, `</em>`)
	wrap(s.underline, `<u>`, `</u>`)
	wrap(s.strike, `<del>`, `</del>`)
	wrap(s.mono, `<code>`, `</code>`)
	return before, after
}
