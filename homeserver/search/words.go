package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWordBytes bounds a word: what is longer is cut, in the index as in what is looked for.
const maxWordBytes = 64

// word is one word of a text.
type word struct {
	raw    string // as it stands in the text
	folded string // by which it is compared
	run    bool   // a run of letters of a script without spaces between words, any part of which may be a word
}

// words calls visit for the words of a text, in order, until it returns false. A word is a run of letters, digits and the marks that go
// with them; all else stands between words. Words are compared without case, without the accents of Latin and Greek letters, and in
// the compatible form of each letter (NFKC), so that "Ｃafé" is "cafe" and "ß" is "ss".
func words(text string, visit func(word) bool) {
	for len(text) > 0 {
		start := strings.IndexFunc(text, isWordRune)
		if start < 0 {
			return
		}
		text = text[start:]
		end := strings.IndexFunc(text, func(r rune) bool { return !isWordRune(r) })
		if end < 0 {
			end = len(text)
		}
		if !fold(text[:end], visit) {
			return
		}
		text = text[end:]
	}
}

func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r))
}

// fold visits the words of what is one word by its letters: scripts with and without spaces may meet in it.
func fold(raw string, visit func(word) bool) bool {
	if folded, ok := foldASCII(raw); ok {
		return visit(word{raw: raw, folded: clip(folded)})
	}
	var (
		b    strings.Builder
		run  bool
		base rune
	)
	end := func() bool {
		folded := norm.NFC.String(b.String())
		b.Reset()
		switch {
		case folded == "":
			return true
		case !run:
			folded = clip(folded)
		}
		return visit(word{raw: raw, folded: folded, run: run})
	}
	for _, r := range norm.NFKD.String(raw) {
		switch {
		case !isWordRune(r): // what NFKD has put in
			if !end() {
				return false
			}
			base = 0
		case unicode.IsMark(r):
			if base != 0 && !isAccent(base, r) {
				b.WriteRune(r)
			}
		default:
			if spaceless := isSpaceless(r); b.Len() > 0 && spaceless != run && r != 'ー' {
				if !end() {
					return false
				}
				run = spaceless
			} else if b.Len() == 0 {
				run = spaceless
			}
			base = r
			if r = unicode.ToLower(unicode.ToUpper(r)); r == 'ß' {
				b.WriteString("ss")
			} else {
				b.WriteRune(r)
			}
		}
	}
	return end()
}

// foldASCII returns an ASCII word in lower case; ok is false when it is not one.
func foldASCII(raw string) (folded string, ok bool) {
	for i := 0; i < len(raw); i++ {
		if raw[i] >= utf8.RuneSelf {
			return "", false
		}
	}
	return strings.ToLower(raw), true
}

// isAccent tells whether a mark is left out after a letter. Those that make another letter of it stay, as in й.
func isAccent(base, mark rune) bool {
	if mark < 0x300 || mark > 0x36F {
		return false
	}
	if unicode.Is(unicode.Cyrillic, base) {
		return mark == 0x301 || mark == 0x300 || mark == 0x308 && (base == 'е' || base == 'Е')
	}
	return unicode.In(base, unicode.Latin, unicode.Greek)
}

// isSpaceless tells whether a letter is of a script that puts no spaces between words, or, as Korean, writes what other languages have
// as words of their own in one with others.
func isSpaceless(r rune) bool {
	return r >= 0xE00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao,
		unicode.Khmer, unicode.Myanmar)
}

// clip cuts a word that is too long.
func clip(s string) string { return clipTo(s, maxWordBytes) }

// clipTo cuts a text to a number of bytes, between two letters.
func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// terms calls visit for what the index has of a word: the word, or of a run each letter and each two letters that stand together.
func (w word) terms(visit func(string)) {
	if !w.run {
		visit(w.folded)
		return
	}
	w.pairs(visit)
	for _, r := range w.folded {
		visit(string(r))
	}
}

// wanted calls visit for what an event must have in the index to have a word: of a run, each two letters that stand together.
func (w word) wanted(visit func(string)) {
	if !w.run || utf8.RuneCountInString(w.folded) == 1 {
		visit(w.folded)
		return
	}
	w.pairs(visit)
}

func (w word) pairs(visit func(string)) {
	last := -1
	for i, r := range w.folded {
		if last >= 0 {
			visit(w.folded[last : i+utf8.RuneLen(r)])
		}
		last = i
	}
}
