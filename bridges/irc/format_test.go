package irc

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// What lines of IRC are on Matrix.
func TestFromCodes(t *testing.T) {
	people := map[string]id.UserID{"carol": "@irc_net_carol:hs.test", "alice": "@alice:hs.test"}
	link := func(user id.UserID, name string) string {
		return `<a href="` + user.URI().MatrixToURL() + `">` + name + `</a>`
	}
	for _, test := range []struct{ name, line, body, html string }{
		{"plain", "hello", "hello", ""},
		{"markup is text", "<b>&amp;", "<b>&amp;", ""},
		{"markup beside bold", "<i>\x02&\x02</i>", "<i>&</i>", "&lt;i&gt;<strong>&amp;</strong>&lt;/i&gt;"},
		{"bold", "a \x02b\x02 c", "a b c", "a <strong>b</strong> c"},
		{"open at the end", "\x02\x1d\x1fall", "all", "<strong><em><u>all</u></em></strong>"},
		{"crossing", "\x02a\x1db\x02c", "abc", "<strong>a</strong><strong><em>b</em></strong><em>c</em>"},
		{"strike and mono", "\x1egone\x1e \x11code <\x11", "gone code <", "<del>gone</del> <code>code &lt;</code>"},
		{"reset", "\x02\x0304a\x0fb", "ab", `<span data-mx-color="#ff0000"><strong>a</strong></span>b`},
		{"colours", "\x034,12red\x03 none", "red none", `<span data-mx-color="#ff0000" data-mx-bg-color="#0000fc">red</span> none`},
		{"colour of the other table", "\x0352x", "x", `<span data-mx-color="#ff0000">x</span>`},
		{"colour and digits", "\x03041", "1", `<span data-mx-color="#ff0000">1</span>`},
		{"colour and comma", "\x034,x", ",x", `<span data-mx-color="#ff0000">,x</span>`},
		{"default colour", "\x0304a\x0399b", "ab", `<span data-mx-color="#ff0000">a</span>b`},
		{"hexadecimal", "\x04FF8800,000000x\x04y", "xy", `<span data-mx-color="#ff8800" data-mx-bg-color="#000000">x</span>y`},
		{"not hexadecimal", "\x04FF88zzx", "FF88zzx", ""},
		{"reverse", "\x16x", "x", `<span data-mx-color="#ffffff" data-mx-bg-color="#000000">x</span>`},
		{"reversed colours", "\x034,1\x16x", "x", `<span data-mx-color="#000000" data-mx-bg-color="#ff0000">x</span>`},
		{"spoiler", "it is \x031,1him\x03!", "it is him!", `it is <span data-mx-spoiler>him</span>!`},
		{"control characters", "a\x07\x01b\x7f\u0085", "ab", ""},
		{"direction", "a\u202eb\u2066c\u200fd", "abc\u200fd", ""},
		{"spaces", "\x02a\x02  b", "a  b", "<strong>a</strong> \u00a0b"},
		{"nick", "carol: hi", "carol: hi", link("@irc_net_carol:hs.test", "carol") + ": hi"},
		{"nick within", "hi (alice), carols", "hi (alice), carols", "hi (" + link("@alice:hs.test", "alice") + "), carols"},
		{"nick twice", "alice alice", "alice alice", link("@alice:hs.test", "alice") + " " + link("@alice:hs.test", "alice")},
		{"nick in code", "\x11alice", "alice", "<code>alice</code>"},
		{"nick in an address", "http://x/alice alice@x #alice", "http://x/alice alice@x #alice", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := contentOf(event.MsgText, []string{test.line}, people)
			if got.Body != test.body || got.FormattedBody != test.html {
				t.Errorf("got %q\n%q, want %q\n%q", got.Body, got.FormattedBody, test.body, test.html)
			}
		})
	}
}

func TestMentionsFromNicks(t *testing.T) {
	people := map[string]id.UserID{"alice": "@alice:hs.test", "Bob": "@bob:hs.test"}
	got := contentOf(event.MsgText, []string{"alice and \x02Bob\x02", "alice"}, people).Mentions
	if want := []id.UserID{"@alice:hs.test", "@bob:hs.test"}; !slices.Equal(got.UserIDs, want) || got.Room {
		t.Errorf("got %+v, want %v", got, want)
	}
}

func TestManyLines(t *testing.T) {
	got := contentOf(event.MsgText, []string{"\x02a", "", "b"}, nil)
	if got.Body != "a\n\nb" || got.FormattedBody != "<strong>a</strong><br/><br/>b" {
		t.Errorf("got %q %q", got.Body, got.FormattedBody)
	}
	long := contentOf(event.MsgText, []string{strings.Repeat("\x02é\x02<", 20000)}, nil)
	if len(long.Body)+len(long.FormattedBody) > maxContentBytes || !utf8.ValidString(long.Body) {
		t.Error("a long text is too long for an event")
	}
}

// What Matrix HTML is on IRC.
func TestToCodes(t *testing.T) {
	names := namer{
		user: func(user id.UserID) string {
			return map[id.UserID]string{"@alice:hs.test": "alice", "@irc_net_carol:hs.test": "Carol"}[user]
		},
		room: func(alias id.RoomAlias) string {
			return map[id.RoomAlias]string{"#irc_net_#c:hs.test": "#c"}[alias]
		},
	}
	for _, test := range []struct {
		name, html string
		want       []string
	}{
		{"plain", "hello", []string{"hello"}},
		{"entities", "a &lt;b&gt; &amp;amp;", []string{"a <b> &amp;"}},
		{"bold", "a <strong>b</strong> c", []string{"a \x02b\x02 c"}},
		{"nested", "<b>a<i>b</i></b>c", []string{"\x02a\x1db\x02\x1dc"}},
		{"never closed", "<b><i>a", []string{"\x02\x1da"}},
		{"closed too often", "a</b></p></i>b", []string{"ab"}},
		{"strike, underline, code", "<del>a</del><u>b</u><code>c</code>", []string{"\x1ea\x1f\x1eb\x1f\x11c"}},
		{"colour", `<span data-mx-color="#ff0000">a</span>1`, []string{"\x0304a\x0f1"}},
		{"colour and comma", `<font color="#FF0000">,1</font>`, []string{"\x0304\x02\x02,1"}},
		{"background", `<span data-mx-bg-color="#000000">a</span>`, []string{"\x0399,01a"}},
		{"both, then one", `<span data-mx-color="#ffffff" data-mx-bg-color="#000000">a</span><span data-mx-color="#ffffff">b</span>`,
			[]string{"\x0300,01a\x0f\x0300b"}},
		{"two that are one here", `<span data-mx-color="#fe0000" data-mx-bg-color="#ff0000">a</span>`, []string{"\x0399,04a"}},
		{"no colour", `<span data-mx-color="red">a</span>`, []string{"a"}},
		{"spoiler", `<span data-mx-spoiler="why">a</span>!`, []string{"\x0301,01a\x0f!"}},
		{"paragraphs", "<p>a</p>\n<p>b<br>c<br/>d</p>", []string{"a", "b", "c", "d"}},
		{"empty line", "a<br><br>b", []string{"a", "", "b"}},
		{"white space", "  a\n\n b\t<b> c</b> ", []string{"a b \x02c"}},
		{"code block", "<pre><code class=\"language-go\">if x {\n\ty\n}\n</code></pre>", []string{"\x11if x {", "\x11\ty", "\x11}"}},
		{"list", "<ul><li>a</li><li><p>b</p></li></ul><ol><li>c<li>d</ol>", []string{"• a", "• b", "1. c", "2. d"}},
		{"quotation", "<blockquote><p>a</p>b</blockquote>c", []string{"> a", "> b", "c"}},
		{"heading", "<h1>A</h1>b", []string{"\x02A", "b"}},
		{"old reply", "<mx-reply><blockquote>x</blockquote></mx-reply>y", []string{"y"}},
		{"script", "<script>x</script>y", []string{"y"}},
		{"link", `<a href="https://x.org/y">here</a>`, []string{"here (https://x.org/y)"}},
		{"link as it is", `<a href="https://x.org/">x.org</a>`, []string{"x.org"}},
		{"link to nowhere", `<a href="javascript:x">here</a>`, []string{"here"}},
		{"pill", `<a href="https://matrix.to/#/@alice:hs.test">Alice A.</a>: hi`, []string{"alice: hi"}},
		{"pill of a ghost", `hi <a href="https://matrix.to/#/%40irc_net_carol%3Ahs.test">C</a>`, []string{"hi Carol"}},
		{"pill of a stranger", `<a href="https://matrix.to/#/@x:y">X</a>`, []string{"X (https://matrix.to/#/@x:y)"}},
		{"pill of a channel", `<a href="https://matrix.to/#/%23irc_net_%23c%3Ahs.test">room</a>`, []string{"#c"}},
		{"image", `<img alt=":cat:" src="mxc://a/b">`, []string{":cat:"}},
		{"control characters", "a&#2;b\x03c&#1;\x00d", []string{"abcd"}},
		{"table", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", []string{"a b", "c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, line := range readHTML(test.html, names) {
				got = append(got, writeCodes(line, palette16))
			}
			if test.name == "pill of a stranger" { // the link is for people without Matrix as well as it can be
				test.want = []string{"X (https://matrix.to/#/@x:y)"}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestPalettes(t *testing.T) {
	for _, test := range []struct {
		pal  palette
		look style
		want string
	}{
		{palette16, style{fg: "ff0000"}, "\x0304"},
		{palette16, style{fg: "00fc00", bg: "0000fc"}, "\x0309,12"},
		{palette99, style{fg: "ff0098"}, "\x0363"},
		{paletteHex, style{fg: "123456"}, "\x04123456"},
		{paletteHex, style{fg: "123456", bg: "abcdef"}, "\x04123456,abcdef"},
		{paletteHex, style{bg: "000000"}, "\x0399,01"},
		{paletteNone, style{fg: "ff0000", spoiler: true}, ""},
	} {
		if got := test.pal.code(test.look); got != test.want {
			t.Errorf("%s of %+v: got %q, want %q", test.pal, test.look, got, test.want)
		}
	}
	for code, hex := range colourTable {
		if got := palette99.nearest(hex); colourTable[got] != hex {
			t.Errorf("colour %d: got %d", code, got)
		}
	}
}

// The pieces of a formatted line fit, look as the whole does, and lose nothing but spaces.
func TestSplitCodes(t *testing.T) {
	line := "\x02" + strings.Repeat("bold words ", 20) + "\x0304" + strings.Repeat("é", 60) + "\x0f end"
	pieces := plainly.splitCodes(line, 64)
	var all []span
	for _, p := range pieces {
		if len(p) > 64 || !utf8.ValidString(p) {
			t.Errorf("piece %q has %d bytes", p, len(p))
		}
		for _, s := range parseCodes(p) {
			all = appendSpan(all, s.text, s.style)
		}
	}
	squeeze := func(spans []span) string { return strings.ReplaceAll(textOf(spans), " ", "") }
	if squeeze(all) != squeeze(parseCodes(line)) || len(all) < 3 || !all[0].style.bold || all[1].style != (style{bold: true, fg: "ff0000"}) {
		t.Errorf("got %+v", all)
	}
}

// What is read is written such that it is read again as the same, in whatever palette can say it.
func FuzzCodes(f *testing.F) {
	for _, seed := range []string{"a\x02b\x0304,12c\x03d", "\x04ff8800x\x04,y", "\x0301,01s\x0f1", "\x16\x11\x1e\x1d\x1f,", "\xff\x03", "\x0304,\x03,1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		spans := parseCodes(line)
		for _, s := range spans {
			if s.text != cleanText(s.text) || s.text == "" {
				t.Errorf("got span %q", s.text)
			}
		}
		for _, pal := range []palette{paletteHex, palette99, palette16, paletteNone} {
			written := writeCodes(spans, pal)
			again := parseCodes(written)
			if textOf(again) != textOf(spans) {
				t.Errorf("%s: got %q of %q", pal, textOf(again), textOf(spans))
			}
			if writeCodes(again, pal) != written {
				t.Errorf("%s: got %q, want %q", pal, writeCodes(again, pal), written)
			}
		}
		checkHTML(t, contentOf(event.MsgText, []string{line}, map[string]id.UserID{"alice": "@alice:hs.test"}).FormattedBody)
	})
}

// checkHTML fails for what is not balanced, or not of the elements that we write.
func checkHTML(t *testing.T, body string) {
	t.Helper()
	var open []string
	tokens := html.NewTokenizer(strings.NewReader(body))
	for {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%q leaves %v open", body, open)
			}
			return
		case html.StartTagToken:
			name := tokens.Token().Data
			if !slices.Contains([]string{"strong", "em", "u", "del", "code", "span", "a"}, name) {
				t.Errorf("%q has element %s", body, name)
			}
			open = append(open, name)
		case html.EndTagToken:
			name := tokens.Token().Data
			if len(open) == 0 || open[len(open)-1] != name {
				t.Fatalf("%q closes %s, open are %v", body, name, open)
			}
			open = open[:len(open)-1]
		case html.CommentToken, html.DoctypeToken:
			t.Errorf("%q has a comment", body)
		}
	}
}

// Nothing in Matrix HTML ends a line, begins a CTCP or leaves anything on.
func FuzzHTML(f *testing.F) {
	for _, seed := range []string{
		"<b>a<i>b</b>c", "<pre>a\nb</pre>", "<ol><li>x<li>y", `<a href="https://x">y`, "<span data-mx-color=#ff0000>,1", "&#1;&#10;\x01\r\n",
		strings.Repeat("<b>", 100) + "x" + strings.Repeat("</b>", 100), "<mx-reply>", "<blockquote><blockquote>a", "<br><br>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, line := range readHTML(body, namer{}) {
			for _, s := range line {
				if strings.ContainsAny(s.text, "\r\n\x00\x01\x02\x03\x0f") || !utf8.ValidString(s.text) {
					t.Errorf("got %q", s.text)
				}
			}
			written := writeCodes(line, palette16)
			if strings.ContainsAny(written, "\r\n\x00\x01") {
				t.Errorf("got line %q", written)
			}
			for _, piece := range plainly.splitCodes(written, 64) {
				if len(piece) > 64 {
					t.Errorf("piece %q of %d bytes", piece, len(piece))
				}
			}
		}
	})
}

func TestReplaceNames(t *testing.T) {
	nicks := map[string]string{"Alice Smith": "alice", "Alice": "ally", "@bob:hs.test": "bob", "": "x"}
	for _, test := range []struct{ text, want string }{
		{"Alice Smith: hi", "alice: hi"},
		{"Alice and Alice Smithson", "ally and ally Smithson"},
		{"Malice, Alices", "Malice, Alices"},
		{"ask @bob:hs.test", "ask bob"},
	} {
		if got := replaceNames(test.text, nicks); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestEditLines(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, after []string
		unknown       bool
		want          []string
	}{
		{"a word", []string{"I like teh cat"}, []string{"I like the cat"}, false, []string{"s/teh/the/"}},
		{"a word put in", []string{"I like cat food"}, []string{"I like good cat food"}, false, []string{"s/like/like good/"}},
		{"a word put first", []string{"like cat food here"}, []string{"I like cat food here"}, false, []string{"s/like/I like/"}},
		{"a word taken out", []string{"I really like cats"}, []string{"I like cats"}, false, []string{"s/really//"}},
		{"not clear", []string{"a a b c d e f g"}, []string{"a x b c d e f g"}, false, []string{"* a x b c d e f g"}},
		{"with a slash", []string{"see a/b for more"}, []string{"see a/c for more"}, false, []string{"* see a/c for more"}},
		{"nothing in common", []string{"yes"}, []string{"no, not at all"}, false, []string{"* no, not at all"}},
		{"short", []string{"yes"}, []string{"no"}, false, []string{"* no"}},
		{"only the looks", []string{"yes"}, []string{"\x02yes"}, false, nil},
		{"a line of several", []string{"a", "b", "c"}, []string{"a", "\x02x", "c"}, false, []string{"* \x02x"}},
		{"a line more", []string{"a", "b"}, []string{"a", "b", "c"}, false, []string{"* c"}},
		{"a line less", []string{"a", "b"}, []string{"a"}, false, []string{"* a"}},
		{"unknown", nil, []string{"a", "b"}, true, []string{"* a", "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := editLines(test.before, test.after, !test.unknown); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseMultiline(t *testing.T) {
	for _, test := range []struct {
		value string
		want  multilineLimits
		ok    bool
	}{
		{"max-bytes=4096,max-lines=24", multilineLimits{4096, 24}, true},
		{"max-bytes=4096,x=y,z", multilineLimits{bytes: 4096}, true},
		{"max-lines=24", multilineLimits{lines: 24}, false},
		{"max-bytes=-1", multilineLimits{}, false},
		{"", multilineLimits{}, false},
	} {
		if got, ok := parseMultiline(test.value); got != test.want || ok != test.ok {
			t.Errorf("%q: got %v %v, want %v %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

func TestDeniedTags(t *testing.T) {
	for _, test := range []struct {
		token  string
		denied string
	}{
		{"", ""}, {"CLIENTTAGDENY=", ""}, {"CLIENTTAGDENY=*", "reply typing"}, {"CLIENTTAGDENY=*,-reply", "typing"}, {"CLIENTTAGDENY=typing", "typing"},
	} {
		var d deniedTags
		d.learn(test.token)
		var got []string
		for _, tag := range []string{"reply", "typing"} {
			if d.denies(tag) {
				got = append(got, tag)
			}
		}
		if strings.Join(got, " ") != test.denied {
			t.Errorf("%q: got %v, want %s", test.token, got, test.denied)
		}
	}
}
