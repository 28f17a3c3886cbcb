package irc

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSplitText(t *testing.T) {
	for _, test := range []struct {
		name  string
		text  string
		limit int
		want  []string
	}{
		{"short", "hello", 10, []string{"hello"}},
		{"exact", "1234567890", 10, []string{"1234567890"}},
		{"one more", "12345678901", 10, []string{"1234567890", "1"}},
		{"at a space", "12345 78901 3", 10, []string{"12345", "78901 3"}},
		{"space just after", "1234567890 23", 10, []string{"1234567890", "23"}},
		{"space too early", "12 4567890123", 10, []string{"12 4567890", "123"}},
		{"two bytes", "ééééé", 5, []string{"éé", "éé", "é"}},
		{"four bytes", "😀😀", 7, []string{"😀", "😀"}},
		{"two spaces", "123456789  2", 10, []string{"123456789 ", "2"}},
		{"empty", "", 10, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := plainly.splitText(test.text, test.limit); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Pieces fit, are valid UTF-8, and nothing but spaces is lost.
func FuzzSplitText(f *testing.F) {
	f.Add("some words to be split", 8)
	f.Add(strings.Repeat("😀é ", 40), 64)
	f.Add("\xff\xfe", 4)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 4 + int(uint(limit)%600)
		for _, line := range textLines(text) {
			if strings.ContainsAny(line, "\r\n\x00\x01") {
				t.Errorf("line %q holds a control character", line)
			}
			pieces := plainly.splitText(line, limit)
			for _, p := range pieces {
				if len(p) > limit || !utf8.ValidString(p) {
					t.Errorf("piece %q of %d bytes with limit %d", p, len(p), limit)
				}
			}
			got := strings.ReplaceAll(strings.Join(pieces, ""), " ", "")
			if want := strings.ReplaceAll(line, " ", ""); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestRoom(t *testing.T) {
	for _, test := range []struct{ name, nick, userHost, target string }{
		{"known", "alice", "~alice@host.test", "#channel"},
		{"unknown", "alice", "", "#channel"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := plainly.room(test.nick, test.userHost, "PRIVMSG", test.target)
			userHost := test.userHost
			if userHost == "" {
				userHost = strings.Repeat("x", maxUserHost)
			}
			line := ":" + test.nick + "!" + userHost + " PRIVMSG " + test.target + " :" + strings.Repeat("x", got) + "\r\n"
			if len(line) != maxLineBytes {
				t.Errorf("got a line of %d bytes, want %d", len(line), maxLineBytes)
			}
		})
	}
}

func TestReadMessage(t *testing.T) {
	for _, test := range []struct {
		name, command, text string
		msgType, want       string
		ok                  bool
	}{
		{"text", "PRIVMSG", "hi", "m.text", "hi", true},
		{"notice", "NOTICE", "hi", "m.notice", "hi", true},
		{"action", "PRIVMSG", "\x01ACTION sits\x01", "m.emote", "sits", true},
		{"action without end", "PRIVMSG", "\x01ACTION sits", "m.emote", "sits", true},
		{"other CTCP", "PRIVMSG", "\x01VERSION\x01", "", "", false},
		{"CTCP reply", "NOTICE", "\x01VERSION x\x01", "", "", false},
		{"only formatting", "PRIVMSG", "\x02\x0304\x0f", "m.text", "", false},
		{"control characters", "PRIVMSG", "a\x07\tb\x7f", "m.text", "a\tb", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			msgType, text, ok := readMessage(test.command, test.text)
			text = stripCodes(text)
			ok = ok && text != ""
			if ok != test.ok || ok && (string(msgType) != test.msgType || text != test.want) {
				t.Errorf("got %s %q %v, want %s %q %v", msgType, text, ok, test.msgType, test.want, test.ok)
			}
		})
	}
}

// No line is longer than others receive it whole, whatever is around and in it, and room is not wasted.
func TestLinesFit(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	const source = ":alice!alice@host.test "
	for _, test := range []struct {
		name    string
		content map[string]any
		full    bool // the first line fills all there is
	}{
		{"text", map[string]any{"msgtype": "m.text", "body": strings.Repeat("x", 900)}, true},
		{"emote", map[string]any{"msgtype": "m.emote", "body": strings.Repeat("x", 900)}, true},
		{"notice", map[string]any{"msgtype": "m.notice", "body": strings.Repeat("é", 900)}, false},
		{"formatted", map[string]any{"msgtype": "m.emote", "body": "x", "format": "org.matrix.custom.html",
			"formatted_body": strings.Repeat(`<b>x</b><font color="#ff0000">é</font>`, 200)}, false},
	} {
		m.hs.Send(m.alice, m.room, "m.room.message", test.content)
		lines := 0
		for text := ""; len(text) < 900 && lines < 20; lines++ {
			line := m.next()
			if line.Command == "BATCH" {
				if strings.HasPrefix(line.Params[0], "-") {
					break
				}
				continue
			}
			got := len(source + line.Command + " #c :" + line.Params[1] + "\r\n")
			if got > maxLineBytes || test.full && text == "" && got < maxLineBytes-1 {
				t.Errorf("%s: got a line of %d bytes", test.name, got)
			}
			text += strings.TrimSuffix(strings.TrimPrefix(line.Params[1], "\x01ACTION "), "\x01")
			if !utf8.ValidString(text) {
				t.Errorf("%s: got half a character in %q", test.name, text)
			}
		}
		if lines < 2 {
			t.Errorf("%s: got %d lines", test.name, lines)
		}
		m.settleAll()
	}
}
