package irc

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// minNamed is the length from which a nick in the midst of a text is taken for somebody's. Shorter ones are words too
	// often; they count at the beginning, before a colon or comma.
	minNamed = 3
	// maxNamed bounds the people whom one line mentions.
	maxNamed = 50
)

// isNameByte reports whether a byte can be part of a nick, here or on networks that allow more than letters of ASCII.
func isNameByte(c byte) bool { return isNickByte(c) || c >= utf8.RuneSelf }

// nextWord returns the next piece of a text, from start on, that could be a nick. The middle of an address is none.
func nextWord(text string, start int) (from, to int) {
	for from = start; from < len(text); from = to {
		if !isNameByte(text[from]) {
			to = from + 1
			continue
		}
		to = from
		for to < len(text) && isNameByte(text[to]) {
			to++
		}
		if strings.HasPrefix(text[to:], "://") {
			for to < len(text) && text[to] != ' ' {
				to++
			}
			continue
		}
		if from > 0 && strings.IndexByte("/#@&=?%.", text[from-1]) >= 0 || to < len(text) && strings.IndexByte("/@", text[to]) >= 0 {
			continue // part of a path, an address, the name of a channel
		}
		return from, to
	}
	return len(text), len(text)
}

// candidates are the nicks that a word may be: itself, and without the signs around it.
func candidates(word string) []string {
	list := []string{word}
	isSign := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	if bare := strings.TrimFunc(word, isSign); bare != word && bare != "" {
		list = append(list, bare)
	}
	return list
}

// isNamed reports whether a nick at this place of a text is meant for somebody.
func isNamed(text string, from, to int) bool {
	if utf8.RuneCountInString(text[from:to]) >= minNamed {
		return true
	}
	return from == 0 && to < len(text) && (text[to] == ':' || text[to] == ',')
}

// namesIn adds to found the words of a line that are nicks of people there, as written, with whoever they are.
func (c *client) namesIn(ms *membership, line string, found map[string]occupant) map[string]occupant {
	text := stripCodes(line)
	for from, to := nextWord(text, 0); from < len(text) && len(found) < maxNamed; from, to = nextWord(text, to) {
		if !isNamed(text, from, to) {
			continue
		}
		for _, word := range candidates(text[from:to]) {
			who, ok := ms.names.get(c.net.ids.fold.Fold(word))
			if c.isMe(word) {
				who, ok = occupant{nick: c.nick, puppet: c}, true
			}
			if ok {
				if found == nil {
					found = map[string]occupant{}
				}
				found[word] = who
				break
			}
		}
	}
	return found
}

// nextName returns where the next of these words stands in a text by itself, or -1.
func nextName(text string, people map[string]id.UserID) (at int, word string) {
	for from, to := nextWord(text, 0); from < len(text); from, to = nextWord(text, to) {
		for _, name := range candidates(text[from:to]) {
			if _, ok := people[name]; ok {
				return from + strings.Index(text[from:to], name), name
			}
		}
	}
	return -1, ""
}

// replaceNames puts nicks for display names that stand by themselves in a plain text, the longest first.
func replaceNames(text string, nicks map[string]string) string {
	names := slices.SortedFunc(maps.Keys(nicks), func(a, b string) int { return len(b) - len(a) })
	var b strings.Builder
	for i := 0; i < len(text); {
		name := ""
		if i == 0 || !isNameByte(text[i-1]) {
			name = nameAt(text[i:], names)
		}
		if name == "" {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteString(nicks[name])
		i += len(name)
	}
	return b.String()
}

// nameAt is the first of some names with which a text begins and after which it does not go on as a word.
func nameAt(text string, names []string) string {
	for _, name := range names {
		rest, ok := strings.CutPrefix(text, name)
		if ok && name != "" && (rest == "" || !isNameByte(rest[0])) {
			return name
		}
	}
	return ""
}

// mentioned are the users whom a message says that it mentions.
func mentioned(content *event.MessageEventContent) []id.UserID {
	if content.Mentions == nil {
		return nil
	}
	return content.Mentions.UserIDs[:min(len(content.Mentions.UserIDs), maxNamed)]
}
