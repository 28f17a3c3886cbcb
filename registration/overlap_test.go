package registration

import (
	"regexp"
	"strings"
	"testing"
)

func TestOverlap(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       string // an example that is expected, "" for none, "?" for any
	}{
		{"the same", `@irc_.*`, `@irc_.*`, "@irc_:a"},
		{"apart from the start", `@irc_.*`, `@xmpp_.*`, ""},
		{"one in the other", `@_.*`, `@_irc_.*`, "?"},
		{"open end", `@irc`, `@irc_bot:hs`, "@irc_bot:hs"},
		{"end marked", `@irc:hs$`, `@irc_.*`, ""},
		{"servers apart", `@.*:one\.example$`, `@.*:two\.example$`, ""},
		{"servers that look alike", `@irc_.*:a.c$`, `@irc_.*:a\.c$`, "?"},
		{"wild at the start", `@.*_bot:hs$`, `@irc_.*:hs$`, "@irc_bot:hs"},
		{"wild, but apart", `@.*_bot:hs$`, `@irc_[0-9]*:hs$`, ""},
		{"classes apart", `@[a-m]+:hs$`, `@[n-z]+:hs$`, ""},
		{"classes that touch", `@[a-m]+:hs$`, `@[m-z]+:hs$`, "@m:hs"},
		{"folded case", `(?i)@IRC_.*`, `@irc_x.*`, "?"},
		{"folded case of an odd letter", `@(?i)K:hs$`, `@k:hs$`, "@k:hs"},
		{"counted", `@a{3}:hs$`, `@a{4}:hs$`, ""},
		{"counted ranges", `@a{2,5}:hs$`, `@a{5,9}:hs$`, "@aaaaa:hs"},
		{"alternatives", `@(foo|bar):hs$`, `@(baz|bar):hs$`, "@bar:hs"},
		{"word borders apart", `@irc\b:hs$`, `@irc\B:hs$`, ""},
		{"word border", `@irc\b.*`, `@irc-.*`, "?"},
		{"only in what is no user", `@a\nb.*`, `@a.*`, ""},
		{"lines", `(?m)@a.*$\n`, `@a.*`, ""},
		{"nothing matches", `@a[^\x00-\x{10FFFF}]`, `@a.*`, ""},
		{"everything", `.*`, `.*`, "?"},
		{"empty", ``, `@a:hs$`, "@a:hs"},
		{"begin in the middle", `@a^b`, `@ab`, ""},
		{"even against odd", `@(aa)+:hs$`, `@a(aa)*:hs$`, ""},
		{"threes and fives", `@(aaa)+:hs$`, `@(aaaaa)+:hs$`, "@aaaaaaaaaaaaaaa:hs"},
		{"beyond ASCII", `#é.*`, `#[^a-z]ü.*`, "#éü:a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			kind := "users"
			if strings.HasPrefix(test.a, "#") {
				kind = "aliases"
			}
			for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
				got := overlap(grammars[kind], mustAutomaton(pair[0]), mustAutomaton(pair[1]))
				if !got.decided {
					t.Fatal("was not decided")
				}
				if got.found != (test.want != "") || test.want != "?" && got.example != test.want {
					t.Errorf("got %v %q, want %q", got.found, got.example, test.want)
				}
			}
		})
	}
}

func TestOverlapGivesUp(t *testing.T) {
	// To tell these apart takes the sets of all subsets of forty positions.
	a := `@(x|y)*x(x|y){40}:a$`
	b := `@(x|y)*y(x|y){40}:b$`
	if got := overlap(grammars["users"], mustAutomaton(a), mustAutomaton(b)); got.decided {
		t.Errorf("got %+v, want it undecided", got)
	}
	one := Generate("one", "", a)
	two := Generate("two", "", b)
	faults, warnings := conflicts([]*Registration{one, two})
	if len(faults) != 0 || len(warnings) != 1 || !strings.Contains(warnings[0].Message, "too intricate") {
		t.Errorf("got %v and %v, want one warning", faults, warnings)
	}
}

// FuzzOverlap holds the verdict against package regexp: an example must match,
// and where there is none no text may.
func FuzzOverlap(f *testing.F) {
	f.Add(`@irc_.*`, `@.*_bot:hs$`, "@irc__bot:hs")
	f.Add(`(?i)@k\b`, `@[[:alpha:]]\B`, "@K")
	f.Add(`\Aa|^b$`, `(?m)^a$`, "a\nb")
	f.Add(`a*?(b|\z)`, `(?s).`, "ab")
	f.Add(`\pL+`, `[^\d]{2,4}`, "ßé")
	f.Fuzz(func(t *testing.T, a, b, text string) {
		if len(a) > 40 || len(b) > 40 {
			return
		}
		treeA, errA := parseExpression(a)
		treeB, errB := parseExpression(b)
		if errA != nil || errB != nil {
			return
		}
		reA, errA := regexp.Compile(anchored(treeA))
		reB, errB := regexp.Compile(anchored(treeB))
		if errA != nil || errB != nil {
			return
		}
		got := overlap(automaton{treeA, true}, automaton{treeB, true})
		switch {
		case !got.decided:
		case got.found && !(reA.MatchString(got.example) && reB.MatchString(got.example)):
			t.Fatalf("%q does not match both %q and %q", got.example, a, b)
		case !got.found && reA.MatchString(text) && reB.MatchString(text):
			t.Fatalf("%q matches both %q and %q", text, a, b)
		}
		// The shortcut by prefix must not turn matches away.
		if m, _ := compile(a); m.matches(text) != reA.MatchString(text) {
			t.Fatalf("%q: got %v for %q with prefix %q", a, m.matches(text), text, m.prefix)
		}
	})
}
