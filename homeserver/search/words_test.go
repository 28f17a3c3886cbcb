package search

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWords(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"Hello, World!", "hello world"},
		{"don't e-mail me@example.org", "don t e mail me example org"},
		{"v1.10 3,14 n°5 x²", "v1 10 3 14 n 5 x2"},
		{"Café CAFE\u0301 Ｃａｆé naïve", "cafe cafe cafe naive"},
		{"Größe GRÖSSE STRAẞE", "grosse grosse strasse"},
		{"İstanbul ISTANBUL ıssız", "istanbul istanbul issiz"},
		{"ΟΔΥΣΣΕΎΣ οδυσσεύς", "οδυσσευσ οδυσσευσ"},
		{"Ёлка елка ЙОД йод иод", "елка елка йод йод иод"},
		{"ﬁne ½ Ⅷ", "fine 1 2 viii"},
		{"हिन्दी עִבְרִית", "हिन्दी עִבְרִית"},
		{"日本語です。abc日本", "日本語です abc 日本"},
		{"ｶﾞｰﾄﾞ ガード", "ガード ガード"},
		{"한국어를 ไทย", "한국어를 ไทย"},
		{"a\x00b \"quoted\" AND OR NOT * ^x NEAR(", "a b quoted and or not x near"},
		{"👍 ❤️ …", ""},
		{"\u0301\u0301", ""},
		{strings.Repeat("é", 100), strings.Repeat("e", 64)},
		{strings.Repeat("ж", 100), strings.Repeat("ж", 32)},
	} {
		var got []string
		words(test.text, func(w word) bool { got = append(got, w.folded); return true })
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%q: got %q, want %q", test.text, s, test.want)
		}
	}
}

func TestTerms(t *testing.T) {
	collect := func(text string, of func(word, func(string))) (all []string) {
		words(text, func(w word) bool { of(w, func(s string) { all = append(all, s) }); return true })
		return all
	}
	for _, test := range []struct{ text, terms, wanted string }{
		{"Hi you", "hi you", "hi you"},
		{"日本語", "日本 本語 日 本 語", "日本 本語"},
		{"本", "本", "本"},
		{"日a", "日 a", "日 a"},
	} {
		if got := strings.Join(collect(test.text, word.terms), " "); got != test.terms {
			t.Errorf("%q: terms %q, want %q", test.text, got, test.terms)
		}
		if got := strings.Join(collect(test.text, word.wanted), " "); got != test.wanted {
			t.Errorf("%q: wanted %q, want %q", test.text, got, test.wanted)
		}
	}
}

// What is asked for is found in the text that it was taken from, whatever it is.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"Hello wörld", "日本語abcガー", "İß½ﷺ", "\xff\x00a\u0301", "\u0e33\u1109"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var have []string
		words(text, func(w word) bool {
			if w.folded == "" || !utf8.ValidString(w.folded) || !w.run && len(w.folded) > maxWordBytes {
				t.Errorf("word %q of %q", w.folded, text)
			}
			w.terms(func(s string) { have = append(have, s) })
			return true
		})
		words(text, func(w word) bool {
			w.wanted(func(s string) {
				if !slices.Contains(have, s) {
					t.Errorf("%q of %q is not in the index", s, text)
				}
			})
			return true
		})
	})
}
