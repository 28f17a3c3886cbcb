package irc

import (
	"strings"
	"unicode/utf8"
)

// The codes of formatting. modern.ircdocs.horse/formatting, Characters.
const (
	codeBold      = '\x02'
	codeColour    = '\x03'
	codeHexColour = '\x04'
	codeReset     = '\x0f'
	codeMono      = '\x11'
	codeReverse   = '\x16'
	codeItalic    = '\x1d'
	codeStrike    = '\x1e'
	codeUnderline = '\x1f'
)

// toggles are the codes that switch one thing on and off.
var toggles = []struct {
	code byte
	of   func(s *style) *bool
}{
	{codeBold, func(s *style) *bool { return &s.bold }},
	{codeItalic, func(s *style) *bool { return &s.italic }},
	{codeUnderline, func(s *style) *bool { return &s.underline }},
	{codeStrike, func(s *style) *bool { return &s.strike }},
	{codeMono, func(s *style) *bool { return &s.mono }},
	{codeReverse, func(s *style) *bool { return &s.reverse }},
}

// parseCodes reads a line of IRC.
func parseCodes(line string) []span {
	var spans []span
	var look style
	for line != "" {
		at := strings.IndexFunc(line, isCode)
		if at < 0 {
			at = len(line)
		}
		spans = appendSpan(spans, cleanText(line[:at]), asSeen(look))
		if line = line[at:]; line == "" {
			break
		}
		code := line[0]
		line = line[1:]
		switch code {
		case codeReset:
			look = style{}
		case codeColour:
			line = takeColours(line, &look, takeNumber)
		case codeHexColour:
			line = takeColours(line, &look, takeHex)
		default:
			for _, t := range toggles {
				if t.code == code {
					on := t.of(&look)
					*on = !*on
				}
			}
		}
	}
	return spans
}

// asSeen is a style as people see it: text in the colour of its background is hidden.
func asSeen(s style) style {
	if s.fg != "" && s.fg == s.bg {
		s.fg, s.bg, s.spoiler = "", "", true
	}
	return s
}

func isCode(r rune) bool {
	switch r {
	case codeBold, codeColour, codeHexColour, codeReset, codeMono, codeReverse, codeItalic, codeStrike, codeUnderline:
		return true
	}
	return false
}

// takeColours reads what follows a code of colour: nothing, which ends the colours, or the text's, or that and the
// background's after a comma.
func takeColours(line string, look *style, take func(string) (colour string, length int)) string {
	fg, n := take(line)
	if n == 0 {
		look.fg, look.bg = "", ""
		return line
	}
	look.fg = fg
	line = line[n:]
	if !strings.HasPrefix(line, ",") {
		return line
	}
	if bg, n := take(line[1:]); n > 0 {
		look.bg = bg
		line = line[1+n:]
	}
	return line
}

// takeNumber reads a colour of one or two digits; 99 is none.
func takeNumber(line string) (colour string, length int) {
	number := 0
	for length < 2 && length < len(line) && line[length] >= '0' && line[length] <= '9' {
		number = 10*number + int(line[length]-'0')
		length++
	}
	if length > 0 && number < len(colourTable) {
		colour = colourTable[number]
	}
	return colour, length
}

// takeHex reads a colour of six hexadecimal digits.
func takeHex(line string) (colour string, length int) {
	const digits = 6
	if len(line) < digits || !isHex(line[:digits]) {
		return "", 0
	}
	return strings.ToLower(line[:digits]), digits
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F')
	})
}

// codeWriter writes spans as a line of IRC.
type codeWriter struct {
	b   strings.Builder
	now style
	pal palette
}

// write adds text in a style. It writes codes only where the style changes; a line ends whatever is on at its end.
func (w *codeWriter) write(text string, look style) {
	if text == "" {
		return
	}
	w.b.WriteString(w.change(look, text))
	w.b.WriteString(text)
	w.now = look
}

// change is the codes that lead from the style that is on to another one, before a text.
func (w *codeWriter) change(look style, text string) string {
	if look == w.now {
		return ""
	}
	var codes strings.Builder
	from := w.now
	have, want := w.pal.code(from), w.pal.code(look)
	// A colour's end, with no digit to follow, could swallow digits of the text: reset and begin anew.
	if have != "" && want == "" || w.pal.hasBackground(from) && !w.pal.hasBackground(look) {
		codes.WriteByte(codeReset)
		from, have = style{}, ""
	}
	for _, t := range toggles {
		if *t.of(&from) != *t.of(&look) {
			codes.WriteByte(t.code)
		}
	}
	if want != have {
		codes.WriteString(want)
		if text[0] == ',' && !w.pal.hasBackground(look) {
			codes.WriteString("\x02\x02") // so that the comma is not read as one before a background
		}
	}
	return codes.String()
}

// writeCodes is a line of spans as IRC has it.
func writeCodes(spans []span, pal palette) string {
	w := codeWriter{pal: pal}
	for _, s := range spans {
		w.write(s.text, s.style)
	}
	return w.b.String()
}

// stripCodes takes formatting and control characters out of a line.
func stripCodes(line string) string { return textOf(parseCodes(line)) }

// splitCodes is splitText for a line with formatting, which goes on in the next piece. Each piece stands for itself.
func (cs charset) splitCodes(line string, limit int) []string {
	if cs.size(line) <= limit {
		if line == "" {
			return nil
		}
		return []string{line}
	}
	if strings.IndexFunc(line, isCode) < 0 {
		return cs.splitText(line, limit)
	}
	return cs.splitSpans(line, limit, false)
}

// splitSpans splits a line. The spaces at which it cuts are dropped, or kept at the end of the piece.
func (cs charset) splitSpans(line string, limit int, keep bool) []string {
	pal := palette99
	if strings.ContainsRune(line, codeHexColour) {
		pal = paletteHex
	}
	var pieces []string
	for spans := parseCodes(line); len(spans) > 0; {
		var piece string
		piece, spans = cs.firstPiece(spans, limit, pal, keep)
		if piece != "" {
			pieces = append(pieces, piece)
		}
	}
	return pieces
}

// place is somewhere in a line: before this byte of this span.
type place struct{ span, byte int }

// firstPiece writes as much of the spans as fits, and returns the rest. It cuts after a space if there is one in the
// second half, as splitText does.
func (cs charset) firstPiece(spans []span, limit int, pal palette, keep bool) (piece string, rest []span) {
	w := codeWriter{pal: pal}
	var space place
	spaceLen, used, spaceUsed := -1, 0, -1 // used and spaceUsed are as they are written
	for i, s := range spans {
		for at := 0; at < len(s.text); {
			_, size := utf8.DecodeRuneInString(s.text[at:])
			char := s.text[at : at+size]
			adds := len(w.change(s.style, char)) + cs.size(char)
			if used+adds > limit {
				if spaceUsed >= limit/2 {
					return w.b.String()[:spaceLen], after(spans, space)
				}
				if i == 0 && at == 0 { // not even one character fits: it goes without its looks
					return char, after(spans, place{0, size})
				}
				if char == " " && !keep {
					at++
				}
				return w.b.String(), after(spans, place{i, at})
			}
			isSpace := char == " "
			if isSpace && !keep {
				space, spaceLen, spaceUsed = place{i, at + 1}, w.b.Len(), used
			}
			w.write(char, s.style)
			used += adds
			at += size
			if isSpace && keep {
				space, spaceLen, spaceUsed = place{i, at}, w.b.Len(), used
			}
		}
	}
	return w.b.String(), nil
}

// after is what comes from a place on. It takes the spans over.
func after(spans []span, p place) []span {
	if p.byte >= len(spans[p.span].text) {
		return spans[p.span+1:]
	}
	spans[p.span].text = spans[p.span].text[p.byte:]
	return spans[p.span:]
}
