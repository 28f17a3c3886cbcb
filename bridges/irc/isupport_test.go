package irc

import (
	"slices"
	"strings"
	"testing"
)

func support(tokens ...string) *isupport {
	s := newISupport()
	for _, token := range tokens {
		s.take(token)
	}
	return &s
}

func TestISupport(t *testing.T) {
	for _, test := range []struct {
		tokens string
		get    func(s *isupport) any
		want   any
	}{
		{"", func(s *isupport) any { return s.ranks + s.signs }, "ov@+"},
		{"PREFIX=(qaohv)~&@%+", func(s *isupport) any { return s.ranks + s.signs }, "qaohv~&@%+"},
		{"PREFIX=", func(s *isupport) any { return s.ranks + s.signs }, ""},
		{"PREFIX=(ov)@", func(s *isupport) any { return s.ranks }, "ov"},
		{"PREFIX=(Yqaohv)!~&@%+ -PREFIX", func(s *isupport) any { return s.ranks }, "ov"},
		{"CHANMODES=eIbq,k,flj,CFLMPQScgimnprstuz", func(s *isupport) any { return s.lists + " " + s.always + " " + s.whenSet }, "eIbq k flj"},
		{"CHANMODES=b,k", func(s *isupport) any { return s.whenSet }, "l"},
		{"MODES", func(s *isupport) any { return s.perLine }, mostModesPerLine},
		{"MODES=4", func(s *isupport) any { return s.perLine }, 4},
		{"MODES=1000000", func(s *isupport) any { return s.perLine }, mostModesPerLine},
		{"MODES=-1", func(s *isupport) any { return s.perLine }, mostModesPerLine},
		{"", func(s *isupport) any { return s.perLine }, maxModesPerLine},
		{"NICKLEN=30 TOPICLEN=390 KICKLEN=255 AWAYLEN=x KEYLEN=32", func(s *isupport) any {
			return []int{s.nickLen, s.topicLen, s.kickLen, s.awayLen, s.keyLen}
		}, []int{30, 390, 255, 0, 32}},
		{"EXTBAN=$,ajrxz", func(s *isupport) any { return s.extbanSign + " " + s.extbans }, "$ ajrxz"},
		{"EXTBAN=,ABC", func(s *isupport) any { return s.extbanSign + " " + s.extbans }, " ABC"},
		{"STATUSMSG=@+", func(s *isupport) any { return s.statusMsg }, "@+"},
		{"CHANTYPES=#", func(s *isupport) any { return s.isChannel("&c") }, false},
		{`NETWORK=Test\x20Net`, func(s *isupport) any { return s.network }, "Test Net"},
		{`NETWORK=a\x0Ab\xZZ\x4`, func(s *isupport) any { return s.network }, `a\x0Ab\xZZ\x4`},
		{"MAXLIST=beI:100,q:50", func(s *isupport) any { return s.maxList['e'] + s.maxList['q'] }, 150},
		{"EXCEPTS", func(s *isupport) any { return s.excepts }, byte('e')},
		{"EXCEPTS=X", func(s *isupport) any { return s.excepts }, byte('X')},
		{"MONITOR=100 WHOX", func(s *isupport) any { return s.hasMonitor && s.whox && s.monitor == 100 }, true},
		{"CASEMAPPING=ascii", func(s *isupport) any { return s.casemapping }, "ascii"},
		{"UNKNOWN=" + strings.Repeat("x", 1000), func(s *isupport) any { return s.ranks }, "ov"},
	} {
		got, want := test.get(support(strings.Fields(test.tokens)...)), test.want
		if list, ok := want.([]int); ok && slices.Equal(got.([]int), list) {
			continue
		} else if !ok && got == want {
			continue
		}
		t.Errorf("%q: got %v, want %v", test.tokens, got, want)
	}
}

func TestParseModes(t *testing.T) {
	s := support("PREFIX=(qaohv)~&@%+", "CHANMODES=beIq,k,lf,imnpst")
	// With q both a rank and a list, which no server has, the rank wins.
	liberal := support("PREFIX=(ov)@+", "CHANMODES=beIq,k,lf,imnpst")
	for _, test := range []struct {
		s    *isupport
		line string
		want string
	}{
		{s, "+o carol", "+o carol"},
		{s, "+ov-h carol dave eve", "+o carol, +v dave, -h eve"},
		{s, "+mi", "+m, +i"},
		{s, "-m+s", "-m, +s"},
		{s, "m", "+m"},
		{s, "+k secret", "+k secret"},
		{s, "-k *", "-k *"},
		{s, "-k", "-k"},
		{s, "+l 5", "+l 5"},
		{s, "-l+o carol", "-l, +o carol"},
		{s, "+b *!*@host", "+b *!*@host"},
		{s, "+b", ""},
		{s, "+o", ""},
		{s, "+bo *!*@host carol", "+b *!*@host, +o carol"},
		{liberal, "+q *!*@host", "+q *!*@host"},
		{liberal, "+qo *!*@host carol", "+q *!*@host, +o carol"},
		{s, "", ""},
		{s, "+-+-o carol", "-o carol"},
	} {
		var got []string
		for _, c := range test.s.parseModes(strings.Fields(test.line)) {
			sign := "-"
			if c.on {
				sign = "+"
			}
			got = append(got, strings.TrimSpace(sign+string(c.mode)+" "+c.arg))
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%q: got %q, want %q", test.line, strings.Join(got, ", "), test.want)
		}
	}
}

func TestModeLines(t *testing.T) {
	s := support("MODES=3")
	got := s.modeLines([]change{
		{on: true, mode: 'o', arg: "a"}, {on: true, mode: 'v', arg: "b"}, {mode: 'o', arg: "c"}, {mode: 'm'}, {on: true, mode: 'b', arg: "*!*@h"},
	})
	want := []string{"+ov-o a b c", "-m+b *!*@h"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever a server says about itself, what we write are lines, and what we read has an end.
func FuzzISupport(f *testing.F) {
	f.Add("PREFIX=(qaohv)~&@%+", "CHANMODES=beI,k,l,imnpst", "+ov-b a b *!*@c")
	f.Add("-PREFIX", "EXCEPTS=", "+k")
	f.Add("MODES=0", `NETWORK=\x00\x0a`, "-")
	f.Fuzz(func(t *testing.T, first, second, modes string) {
		s := support(first, second)
		if len(s.ranks) != len(s.signs) || s.perLine < 1 {
			t.Fatalf("got ranks %q, signs %q, %d changes", s.ranks, s.signs, s.perLine)
		}
		rank, nick := s.rankOf(modes)
		if len(rank)+len(nick) > len(modes) || strings.ContainsAny(s.network, "\r\n\x00") {
			t.Fatalf("got rank %q and nick %q of %q", rank, nick, modes)
		}
		changes := s.parseModes(strings.Fields(modes))
		if len(changes) > maxChanges {
			t.Fatalf("got %d changes", len(changes))
		}
		if n := len(s.modeLines(changes)); n > len(changes) {
			t.Fatalf("got %d lines of %d changes", n, len(changes))
		}
	})
}

func TestNetsplitReason(t *testing.T) {
	for reason, want := range map[string]string{
		"irc.a.example hub.b.example": "irc.a.example <-> hub.b.example",
		"*.net *.split":               "*.net <-> *.split",
		"Quit: a.example b.example":   "",
		"a.example a.example":         "",
		"Ping timeout: 240 seconds":   "",
		"see you":                     "",
		"a.example b.example bye":     "",
		"\"a.example b.example\"":     "",
		strings.Repeat("a.", 100) + "b " + strings.Repeat("c.", 100) + "d": "",
		"": "",
	} {
		if got, _ := netsplit(reason); got != want {
			t.Errorf("%q: got %q, want %q", reason, got, want)
		}
	}
}
