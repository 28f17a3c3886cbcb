package irc

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/unicode/norm"
)

const (
	// defaultCharset is what most of those write who do not write UTF-8. It has all of ISO 8859-1, and quotes, dashes and the euro
	// where that has control characters.
	defaultCharset = "windows-1252"
	// unencodable stands for what a character set does not have.
	unencodable = "?"
)

// charset is how a network's lines are bytes. The zero value reads defaultCharset and writes UTF-8.
type charset struct {
	enc  encoding.Encoding // of what is not UTF-8; nil for the default
	send bool              // it is also what we write
}

// findCharset returns a character set by one of the names of the Encoding Standard (https://encoding.spec.whatwg.org/), if it can be
// on IRC: its ASCII is that of IRC's commands.
func findCharset(name string) (encoding.Encoding, error) {
	if name == "" {
		name = defaultCharset
	}
	enc, err := htmlindex.Get(name)
	if err != nil || enc == nil {
		return nil, fmt.Errorf("%q is no character set that is known, such as windows-1252, iso-8859-15, koi8-r or gbk", name)
	}
	for c := range byte(utf8.RuneSelf) {
		text, err := enc.NewDecoder().Bytes([]byte{c})
		if err != nil || string(text) != string(rune(c)) {
			return nil, fmt.Errorf("%q cannot be used on IRC, because it does not extend ASCII", name)
		}
	}
	return enc, nil
}

func validateCharset(name, field string) error {
	if _, err := findCharset(name); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// newCharset makes the charset of a configuration that has been checked.
func newCharset(cfg NetworkConfig) charset {
	enc, err := findCharset(cfg.Charset)
	if err != nil {
		return charset{}
	}
	return charset{enc: enc, send: cfg.CharsetSend}
}

// encoding is enc, or the default.
func (cs charset) encoding() encoding.Encoding {
	if cs.enc != nil {
		return cs.enc
	}
	enc, _ := findCharset(defaultCharset)
	return enc
}

// read is the text of a line from a server. Tags are UTF-8 always (IRCv3, "Message Tags"), and the rest is where it is valid: nothing
// that is written in another way is so by accident, if it has more than a few characters.
func (cs charset) read(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	tags := ""
	if len(raw) > 0 && raw[0] == '@' {
		before, after, found := strings.Cut(string(raw), " ")
		tags = strings.ToValidUTF8(before, string(utf8.RuneError))
		if !found {
			return tags
		}
		tags, raw = tags+" ", []byte(after)
	}
	if whole, ok := cutShort(raw); ok {
		return tags + whole
	}
	text, err := cs.encoding().NewDecoder().Bytes(raw)
	if err != nil {
		text = raw
	}
	return tags + strings.ToValidUTF8(string(text), string(utf8.RuneError))
}

// cutShort recognises UTF-8 whose last character lacks its end, because a server has cut the line at its limit, and returns what is
// whole. Where no other character is one of UTF-8 there is no telling.
func cutShort(raw []byte) (string, bool) {
	if utf8.Valid(raw) {
		return string(raw), true
	}
	for n := 1; n < utf8.UTFMax && n < len(raw); n++ {
		rest := raw[len(raw)-n:]
		if !utf8.RuneStart(rest[0]) {
			continue
		}
		whole := raw[:len(raw)-n]
		if utf8.FullRune(rest) || !utf8.Valid(whole) || utf8.RuneCount(whole) == len(whole) {
			break
		}
		return string(whole), true
	}
	return "", false
}

// bytes is what is written for a line. What the character set does not have is replaced; tags stay UTF-8.
func (cs charset) bytes(line string) string {
	if !cs.send || isASCII(line) {
		return line
	}
	tags := ""
	if strings.HasPrefix(line, "@") {
		before, after, _ := strings.Cut(line, " ")
		tags, line = before+" ", after
	}
	return tags + cs.encode(line)
}

// encode is a text without tags as bytes.
func (cs charset) encode(text string) string {
	e := cs.encoding().NewEncoder()
	if whole, err := e.String(text); err == nil {
		return whole
	}
	var b strings.Builder
	for _, r := range text {
		b.WriteString(cs.encodeRune(e, r))
	}
	return b.String()
}

func (cs charset) encodeRune(e *encoding.Encoder, r rune) string {
	if r < utf8.RuneSelf {
		return string(r)
	}
	e.Reset()
	if char, err := e.String(string(r)); err == nil && r != utf8.RuneError {
		return char
	}
	return unencodable
}

// sent is what others read of a text that is written: the text, but for what the character set does not have.
func (cs charset) sent(text string) string {
	if !cs.send || isASCII(text) {
		return text
	}
	e := cs.encoding().NewEncoder()
	var b strings.Builder
	for _, r := range norm.NFC.String(text) { // a letter with its accent is one character there
		if cs.encodeRune(e, r) == unencodable && r != '?' {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// size is the number of bytes that are written for a text.
func (cs charset) size(text string) int {
	if !cs.send || isASCII(text) {
		return len(text)
	}
	return len(cs.encode(text))
}

// fit is how many bytes of a text, in whole characters and at least one of them, are written as at most limit.
func (cs charset) fit(text string, limit int) int {
	if cs.send && !isASCII(text) {
		used := 0
		for at, r := range text {
			if used += cs.size(string(r)); used > limit && at > 0 {
				return at
			}
		}
		return len(text)
	}
	if len(text) <= limit {
		return len(text)
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	if cut == 0 { // no character ends here: the text is not UTF-8
		cut = limit
	}
	return cut
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// charset is how the lines of the connection are bytes. A server that takes UTF-8 only says so (IRCv3, "UTF8ONLY").
func (c *client) charset() charset {
	cs := c.net.charset
	cs.send = cs.send && !c.isupport.utf8Only
	return cs
}

// room is charset.room for what we say.
func (c *client) room(verb, target string) int {
	return c.charset().room(c.nick, c.userHost, verb, target)
}
