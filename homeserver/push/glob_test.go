package push

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		whole, words  bool
	}{
		{"lunc?*", "Lunch plans", true, true},
		{"lunc?*", "LUNCH", true, true},
		{"lunc?*", " lunch", false, true},
		{"lunc?*", "lunc", false, false},
		{"ex*ple", "An example event.", false, true},
		{"ex*ple", "exple", true, true},
		{"ex*ple", "An exciting triple-whammy", false, true},
		{"ex*ple", "complexples", false, false},
		{"cake", "cakes", false, false},
		{"cake", "cake_", false, false},
		{"cake", "CAKE!", false, true},
		{"cake", "cakes and a cake", false, true},
		{"@room", "hey@room", false, true},
		{"@room", "@roommate", false, false},
		{"@room", "hello @room!", false, true},
		{"", "", true, true},
		{"", "x", false, true},
		{"*", "", true, true},
		{"?", "é", true, true},
		{"?", "", false, false},
		{"b*", "a b", false, true},
		{"*b", "a b", true, true},
		{"*b", "ab", true, true},
		{"a*a", "a", false, false},
		{"a*b*a", "aba", true, true},
		{"*a?", "aab", true, true},
		{"é", "É", true, true},
		{"foo bar", "a foo bar b", false, true},
	} {
		g := newGlob(test.pattern)
		steps := maxSteps
		if got := g.whole(strings.ToLower(test.text), &steps); got != test.whole {
			t.Errorf("%q, all of %q: got %v, want %v", test.pattern, test.text, got, test.whole)
		}
		if got := g.words(strings.ToLower(test.text), &steps); got != test.words {
			t.Errorf("%q, words of %q: got %v, want %v", test.pattern, test.text, got, test.words)
		}
	}
}

// TestGlobIsBounded: no pattern holds up the messages of a room.
func TestGlobIsBounded(t *testing.T) {
	body := strings.Repeat("a ", 32<<10)
	for _, pattern := range []string{
		strings.Repeat("?a", 500) + "b", strings.Repeat("*?a", 300) + "b", strings.Repeat("*a", 500) + "b", strings.Repeat("a ", 500) + "b", "*?b",
	} {
		g := newGlob(pattern)
		steps, start := maxSteps, time.Now()
		if g.words(body, &steps) || g.whole(body, &steps) {
			t.Errorf("%.20q… matches", pattern)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%.20q… took %v", pattern, took)
		}
	}
}

// TestGlobInOneLongWord finds the pattern at each letter, and never at the end of a word.
func TestGlobInOneLongWord(t *testing.T) {
	body := strings.Repeat("a", 60<<10) + "b"
	g := newGlob("a")
	steps := maxSteps
	if g.words(body, &steps) {
		t.Error("it matches")
	}
	if steps > 0 || steps < -len(body) {
		t.Errorf("%d steps are left: it went on when they were used up, or did not count them", steps)
	}
}

// TestNothingRunsWithoutSteps: once a person's rules have used up what they may, none of the others is tried.
func TestNothingRunsWithoutSteps(t *testing.T) {
	ran := 0
	spend := func(f *facts, _ *person) (bool, error) {
		ran++
		f.steps = -1
		return false, nil
	}
	rule := ownRule{tests: []test{spend}}
	j := &bench{facts: &facts{steps: maxSteps}}
	if _, found, err := j.judgeKind(nil, rankOverride, &compiled{own: [ranks][]ownRule{rankOverride: {rule, rule, rule}}}); found || err != nil || ran != 1 {
		t.Errorf("got %v, %v, and %d rules were tried; want 1", found, err, ran)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("ex*ple", "an example")
	f.Add("a?c*", "abcd")
	f.Add("*?*", "é")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(text) || len(pattern) > 60 || len(text) > 200 {
			return
		}
		for _, r := range pattern + text {
			// What the two take for the same letter is left to each.
			if r > 0x7f && (unicode.ToLower(r) != r || unicode.ToUpper(r) != r) {
				return
			}
		}
		g := newGlob(pattern)
		steps := maxSteps
		if got, want := g.whole(strings.ToLower(text), &steps), regexp.MustCompile(`(?is)\A`+refGlob(pattern)+`\z`).MatchString(text); got != want {
			t.Errorf("all of %q by %q: got %v, want %v", text, pattern, got, want)
		}
		if got, want := g.words(strings.ToLower(text), &steps), refWords(pattern, text); got != want {
			t.Errorf("words of %q by %q: got %v, want %v", text, pattern, got, want)
		}
	})
}
