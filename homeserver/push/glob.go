package push

import (
	"strings"
	"unicode/utf8"
)

// maxSteps bounds the characters that the conditions of one user may look at of one event. What is left when it is used up does not
// match: nobody may hold up the messages of a room with their rules.
const maxSteps = 1 << 21

// maxEventSteps is the same for all users of one event together: nobody may do so with many accounts either.
const maxEventSteps = 64 * maxSteps

// glob is a pattern in which * stands for any text and ? for any one character (appendices, "Glob-style matching"). Letters count
// alike in either case.
type glob struct {
	pieces []piece // what is between the stars
}

// piece is a part of a pattern without stars, in lower case.
type piece struct {
	text string
	wild bool // it has a question mark
	size int  // in characters
}

func newGlob(pattern string) glob {
	var g glob
	for part := range strings.SplitSeq(strings.ToLower(pattern), "*") {
		g.pieces = append(g.pieces, piece{part, strings.Contains(part, "?"), utf8.RuneCountInString(part)})
	}
	return g
}

// prefix returns the length of the text at the start of s that the piece matches, or -1.
func (p *piece) prefix(s string, steps *int) int {
	if !p.wild {
		*steps--
		if strings.HasPrefix(s, p.text) {
			return len(p.text)
		}
		return -1
	}
	at := 0
	for _, want := range p.text {
		*steps--
		if at >= len(s) || *steps < 0 {
			return -1
		}
		have, size := utf8.DecodeRuneInString(s[at:])
		if want != '?' && want != have {
			return -1
		}
		at += size
	}
	return at
}

// find returns where in s, from position from on, the piece matches first, and the end of that; -1 for nowhere.
func (p *piece) find(s string, from int, steps *int) (start, end int) {
	if !p.wild {
		if *steps -= 1 + (len(s)-from)/16; *steps <= 0 {
			return -1, -1
		}
		if i := strings.Index(s[from:], p.text); i >= 0 {
			return from + i, from + i + len(p.text)
		}
		return -1, -1
	}
	for at := from; at <= len(s) && *steps > 0; {
		if n := p.prefix(s[at:], steps); n >= 0 {
			return at, at + n
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += max(1, size)
	}
	return -1, -1
}

// whole tells whether the pattern matches all of s, which is in lower case.
func (g *glob) whole(s string, steps *int) bool {
	first, last := &g.pieces[0], &g.pieces[len(g.pieces)-1]
	at := first.prefix(s, steps)
	if at < 0 {
		return false
	}
	if len(g.pieces) == 1 {
		return at == len(s)
	}
	for i := 1; i < len(g.pieces)-1; i++ { // each may as well be found as early as possible
		if _, at = g.pieces[i].find(s, at, steps); at < 0 {
			return false
		}
	}
	start := tail(s, last.size)
	return start >= at && last.prefix(s[start:], steps) == len(s)-start
}

// tail returns where the last n characters of s begin, -1 when it has not as many.
func tail(s string, n int) int {
	at := len(s)
	for ; n > 0; n-- {
		if at == 0 {
			return -1
		}
		_, size := utf8.DecodeLastRuneInString(s[:at])
		at -= size
	}
	return at
}

// words tells whether the pattern matches a part of s, which is in lower case, that begins and ends at a boundary of words.
// Client-Server API, Conditions, event_match.
func (g *glob) words(s string, steps *int) bool {
	// A star takes in what comes after it: the first place where the first piece can stand serves as well as any.
	first := &g.pieces[0]
	for from := 0; from <= len(s); {
		start, at := first.find(s, from, steps)
		if start < 0 {
			return false
		}
		if boundary(s, start) {
			if len(g.pieces) > 1 {
				return g.wordsFrom(s, at, steps)
			}
			if boundary(s, at) {
				return true
			}
		}
		_, size := utf8.DecodeRuneInString(s[start:])
		from = start + max(1, size)
	}
	return false
}

// wordsFrom tells whether all pieces but the first can be found in s from a position on, the last up to a boundary.
func (g *glob) wordsFrom(s string, at int, steps *int) bool {
	last := len(g.pieces) - 1
	for i := 1; i < last; i++ {
		if _, at = g.pieces[i].find(s, at, steps); at < 0 {
			return false
		}
	}
	for from := at; from <= len(s); {
		start, end := g.pieces[last].find(s, from, steps)
		if start < 0 {
			return false
		}
		if boundary(s, end) || g.pieces[last].text == "" {
			return true
		}
		_, size := utf8.DecodeRuneInString(s[start:])
		from = start + max(1, size)
	}
	return false
}

// boundary tells whether a word may begin or end at a position: "the start or end of the value, or any character not in the sets
// [A-Z], [a-z], [0-9] or _", on either side of it.
func boundary(s string, at int) bool {
	return at == 0 || at == len(s) || !inWord(s[at-1]) || !inWord(s[at])
}

func inWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
