package irc

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"causeway/bridges/bridgetest"
	"causeway/bridges/irc/holder"
)

// plainly is the charset of a network that says nothing about it.
var plainly charset

// charsetOf is the charset of a configuration.
func charsetOf(name string, send bool) charset {
	return newCharset(NetworkConfig{Charset: name, CharsetSend: send})
}

func TestCharsetRead(t *testing.T) {
	for _, test := range []struct{ charset, raw, want string }{
		{"", "caf\xc3\xa9 \xe2\x82\xac", "café €"},
		{"", "caf\xe9", "café"},
		{"", "\x93quoted\x94 \x96 5 \x80", "“quoted” – 5 €"},
		{"iso-8859-1", "\x80", "€"}, // as the standard has it
		{"iso-8859-15", "5 \xa4", "5 €"},
		{"windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"},
		{"gbk", "\xc4\xe3\xba\xc3", "你好"},
		{"utf-8", "caf\xe9", "caf\ufffd"},
		// Tags are UTF-8 whatever the rest is, and the other way round.
		{"", "@+draft/react=\xe2\x82\xac :a!b@c PRIVMSG #c :caf\xe9", "@+draft/react=€ :a!b@c PRIVMSG #c :café"},
		{"", "@t=\xe9 :a!b@c PRIVMSG #c :caf\xc3\xa9", "@t=\ufffd :a!b@c PRIVMSG #c :café"},
		{"", "@t=\xe9", "@t=\ufffd"},
		// A server has cut the last character; but one lonely letter is no UTF-8.
		{"", "\xe2\x82\xac \xe2\x82", "€ "},
		{"", "\xe2\x82\xac \xf0\x9f\x98", "€ "},
		{"", "5 \xe2", "5 â"},
		{"", "\xc3\xa9\xe9\xe9", "Ã©éé"},
		{"", "\xe9", "é"},
	} {
		if got := charsetOf(test.charset, false).read([]byte(test.raw)); got != test.want {
			t.Errorf("%s %q: got %q, want %q", test.charset, test.raw, got, test.want)
		}
	}
}

func TestCharsetWrite(t *testing.T) {
	for _, test := range []struct{ charset, text, want string }{
		{"", "5 € “for” café", "5 \x80 \x93for\x94 caf\xe9"},
		{"", "a 😀 Привет", "a ? ??????"},
		{"", "cafe\u0301", "caf\xe9"},
		{"koi8-r", "Привет, café", "\xf0\xd2\xc9\xd7\xc5\xd4, caf?"},
		{"gbk", "你好 €", "\xc4\xe3\xba\xc3 \x80"},
		{"gb18030", "ä😀", "\x81\x30\x8a\x31\x94\x39\xfc\x36"},
		{"shift_jis", "日本", "\x93\xfa\x96\x7b"},
		{"utf-8", "é😀", "é😀"},
		{"", "why?", "why?"},
	} {
		cs := charsetOf(test.charset, true)
		text := cs.sent(test.text)
		if got := cs.bytes(text); got != test.want || cs.size(text) != len(got) {
			t.Errorf("%s %q: got %q of size %d, want %q", test.charset, test.text, got, cs.size(text), test.want)
		}
		if got := charsetOf(test.charset, false); got.bytes(test.text) != test.text || got.sent(test.text) != test.text {
			t.Errorf("%s: got another text of %q where UTF-8 is written", test.charset, test.text)
		}
	}
	if got, want := charsetOf("", true).bytes("@+draft/react=€ TAGMSG #café"), "@+draft/react=€ TAGMSG #caf\xe9"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCharsetNames(t *testing.T) {
	for _, name := range []string{"", "windows-1252", "Latin1", "utf-8", "big5", "euc-kr"} {
		if _, err := findCharset(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"utf-16le", "iso-2022-jp", "replacement", "hz-gb-2312", "cp850x", "ebcdic"} {
		if _, err := findCharset(name); err == nil {
			t.Errorf("%q passes for a character set of IRC", name)
		}
	}
}

// What is read is text without more control characters than there were, and what is written of it is one line of a size that is known.
func FuzzCharset(f *testing.F) {
	for _, seed := range []string{"caf\xe9", "@a=\xe2\x82 b\xe2\x82\xac \xe2\x82", "\x80\x81\x9d", "\x81\x30\x8a\x31", "\xff\xfe\x00", "日本 é"} {
		f.Add([]byte(seed))
	}
	sets := map[string]charset{}
	for _, name := range []string{"", "gb18030", "shift_jis", "koi8-u", "big5", "euc-kr", "utf-8", "x-user-defined"} {
		sets[name] = charsetOf(name, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > maxLineBytes {
			return
		}
		for name, cs := range sets {
			text := cs.read(raw)
			if !utf8.ValidString(text) {
				t.Fatalf("%s: got %q of %q", name, text, raw)
			}
			for _, c := range []byte("\r\n\x00\x01 :") {
				if n := strings.Count(text, string(rune(c))); n > bytes.Count(raw, []byte{c}) {
					t.Fatalf("%s: got %q of %q, with a %q that nobody has sent", name, text, raw, c)
				}
			}
			line := withoutLineEnds(cs.sent(text))
			written := cs.bytes(line)
			if strings.ContainsAny(written, "\r\n\x00") {
				t.Fatalf("%s: got %q written", name, written)
			}
			if !strings.HasPrefix(line, "@") && cs.size(line) != len(written) {
				t.Fatalf("%s: got size %d of %q", name, cs.size(line), written)
			}
			rest := ""
			for _, piece := range cs.splitText(line, 8) {
				if rest += piece; cs.size(piece) > 8 {
					t.Fatalf("%s: got a piece %q of %d bytes", name, piece, cs.size(piece))
				}
			}
			if strings.ReplaceAll(rest, " ", "") != strings.ReplaceAll(line, " ", "") {
				t.Fatalf("%s: got %q of %q", name, rest, line)
			}
		}
	})
}

// A channel where people write in an old character set reads and is read; what others have of a line fits, and is what Matrix shows.
func TestCharsetOnIRC(t *testing.T) {
	w, conn, alice, room := scripted(t, func(n *NetworkConfig) { n.Charset, n.CharsetSend = "windows-1251", true }, "", "carol")
	conn.Send(":carol!c@h PRIVMSG #c :\xcf\xf0\xe8\xe2\xe5\xf2")
	w.hs.AwaitText(room, "Привет")
	conn.Send(":carol!c@h PRIVMSG #c :\xd0\x9f\xd0\xbe")
	w.hs.AwaitText(room, "По")

	w.hs.Say(alice, room, "Привет 😀")
	conn.Expect("PRIVMSG #c :\xcf\xf0\xe8\xe2\xe5\xf2 ?")
	conn.Pong()
	long := strings.Repeat("я", 600)
	w.hs.Say(alice, room, long)
	first := conn.Read()
	if got := len(":alice!alice@host.test " + first + "\r\n"); got != maxLineBytes {
		t.Errorf("got a line of %d bytes, want %d", got, maxLineBytes)
	}
	text := strings.TrimPrefix(first, "PRIVMSG #c :") + strings.TrimPrefix(conn.Read(), "PRIVMSG #c :")
	if text != strings.Repeat("\xff", 600) {
		t.Errorf("got %q", text)
	}
	conn.Pong()
	// A server that takes nothing but UTF-8 is written to so.
	conn.Send(":irc.test 005 alice UTF8ONLY :are supported")
	conn.Handled()
	w.hs.Say(alice, room, "é😀")
	conn.Expect("PRIVMSG #c :é😀")
	conn.Pong()
	w.hs.AwaitAcknowledged()
}

// In a batch, too, what counts is what is written.
func TestCharsetMultiline(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	cfg.Charset, cfg.CharsetSend = "gb18030", true
	w := startNew(t, cfg)
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Capable("alice", "batch message-tags draft/multiline=max-bytes=1000")
	conn.Joined("alice", "#c", "")
	w.hs.Say(alice, room, strings.Repeat("ä", 240)+"\nend") // four bytes each there, two in UTF-8
	var sizes []int
	for line := conn.Read(); !strings.HasPrefix(line, "PING"); line = conn.Read() {
		if _, text, ok := strings.Cut(line, " PRIVMSG #c :"); ok {
			sizes = append(sizes, len(text))
			if got := len(":alice!alice@host.test PRIVMSG #c :" + text + "\r\n"); got > maxLineBytes {
				t.Errorf("got a line of %d bytes", got)
			}
		}
	}
	if len(sizes) != 4 || sizes[0]+sizes[1]+sizes[2] != 960 {
		t.Errorf("got lines of %v bytes, want 960 in three, and the end", sizes)
	}
}

// A channel whose name is in an old character set is the same after a restart, when its connection is taken up.
func TestCharsetUpgrade(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	cfg := keep(ircd.Address)
	n := cfg.Networks["net"]
	n.CharsetSend = true
	cfg.Networks["net"] = n
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := startKept(t, hs, dir, cfg)
	alice := hs.User("alice")
	room := w.join(alice, "#café")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#caf\xe9", "carol")
	conn.Send(":carol!c@h PRIVMSG #caf\xe9 :one \x80")
	hs.AwaitText(room, "one €")
	hs.AwaitAcknowledged()
	w.stop()
	conn.Send(":carol!c@h PRIVMSG #caf\xe9 :two")
	startHolding(t, hs, dir, cfg, holderOf)
	hs.AwaitText(room, "two")
	hs.Say(alice, room, "three €")
	for line := conn.Read(); line != "PRIVMSG #caf\xe9 :three \x80"; line = conn.Read() {
		if token, ping := strings.CutPrefix(line, "PING :"); ping {
			conn.Send(":irc.test PONG irc.test :%s", token)
		} else if line != "NAMES #caf\xe9" {
			t.Fatalf("got line %q", line)
		}
	}
	conn.Pong()
	hs.AwaitAcknowledged()
}

// A connection that is held leads its channels on, and is known by its nick, in whatever character set their names are.
func TestHeldNames(t *testing.T) {
	cfg := quick
	cfg.Charset, cfg.CharsetSend = "koi8-r", true
	n := bareNetwork(cfg)
	c := newClient(n, "@alice:hs.test")
	ch := newChannel(&lane{net: n, name: "#Привет"})
	n.channels["#Привет"] = ch
	raw := func(text string) string { // as the holder tells it
		name := "\x00"
		for _, b := range []byte(n.charset.bytes(text)) {
			name += string(rune(b))
		}
		return name
	}
	n.expectClient(c, holder.Listed{Nick: raw("Вася"), Channels: []string{raw("#Привет")}, Leads: []string{"#Привет"}})
	if got := c.currentNick(); got != "Вася" {
		t.Errorf("got nick %q", got)
	}
	if ch.feed.reserved == nil || *ch.feed.reserved != c {
		t.Error("somebody else may lead the channel")
	}
}
