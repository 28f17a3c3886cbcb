package irc

import "strings"

// style is how a piece of text looks, on either side. The zero value is plain.
type style struct {
	bold, italic, underline, strike, mono, reverse, spoiler bool
	// fg and bg are six hexadecimal digits in lower case, or empty.
	fg, bg string
}

// span is a piece of one line in one style. Its text has no control characters but tabs.
type span struct {
	text  string
	style style
}

// textOf is the text of some spans without its looks.
func textOf(spans []span) string {
	var b strings.Builder
	for _, s := range spans {
		b.WriteString(s.text)
	}
	return b.String()
}

// isPlain reports whether none of the spans has any looks.
func isPlain(spans []span) bool {
	for _, s := range spans {
		if s.style != (style{}) {
			return false
		}
	}
	return true
}

// appendSpan adds text to a line, to the last span if it looks the same.
func appendSpan(spans []span, text string, look style) []span {
	if text == "" {
		return spans
	}
	if n := len(spans); n > 0 && spans[n-1].style == look {
		spans[n-1].text += text
		return spans
	}
	return append(spans, span{text, look})
}

// cleanText takes out what has no business in a line of text: control characters but tabs, and the characters that
// change the direction of what stands around them. The marks that only concern themselves stay (U+200E, U+200F), which is
// what people who write from right to left use.
func cleanText(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0:
			return -1
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // embeddings, overrides, isolates
			return -1
		case r == 0x2028, r == 0x2029: // line and paragraph separator
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
