package irc

import "strings"

const (
	// maxLineBytes is the length of a line with its CR LF, as other clients receive it. RFC 1459, 2.3.
	maxLineBytes = 512
	// maxUserHost is the longest "user@host" that servers form: a tilde, 10 bytes, and 63 of the host.
	maxUserHost = 1 + 10 + 1 + 63
	// minPiece is what is sent of a text in one line even when prefix and target leave less room.
	minPiece = 64
	// maxLinesPerMessage bounds what one Matrix message becomes; one more line says how much was left out, and a
	// notice says it to the sender.
	maxLinesPerMessage = 30
)

// room is the number of bytes that a text may be written as in a line to a target, such that the server need not cut it when it
// prepends the sender: ":nick!user@host VERB target :text". userHost is empty while unknown, which counts as
// the longest there is.
func (cs charset) room(nick, userHost, verb, target string) int {
	long := cs.size(userHost)
	if userHost == "" {
		long = maxUserHost
	}
	used := 1 + cs.size(nick) + 1 + long + 1 + len(verb) + 1 + cs.size(target) + 2 + 2 // ":" "!" " " " " " :" CR LF
	return max(maxLineBytes-used, minPiece)
}

// textLines takes a plain text apart at its line ends, and leaves out what would end or falsify a line, as cleanText does.
// Empty lines have no form in IRC and are left out.
func textLines(text string) []string {
	var lines []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = cleanText(line)
		if strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// oneLine is a text as a single line, for topics and reasons.
func oneLine(text string) string { return strings.Join(textLines(text), " ") }

// splitText cuts a line into pieces that are written as at most limit bytes: after a space if there is one in the second half of
// the piece, otherwise between two characters. A space at a cut is dropped, everything else is kept.
func (cs charset) splitText(line string, limit int) []string {
	var pieces []string
	for cut := cs.fit(line, limit); cut < len(line); cut = cs.fit(line, limit) {
		next := cut
		if line[cut] == ' ' {
			next = cut + 1
		} else if space := strings.LastIndexByte(line[:cut], ' '); space >= 0 && cs.size(line[:space]) >= limit/2 {
			cut, next = space, space+1
		}
		pieces = append(pieces, line[:cut])
		line = line[next:]
	}
	if line != "" {
		pieces = append(pieces, line)
	}
	return pieces
}
