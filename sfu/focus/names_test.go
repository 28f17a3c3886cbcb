package focus

import (
	"encoding/json"
	"strings"
	"testing"
)

// The test vectors of MSC4195's appendix.
func TestNames(t *testing.T) {
	for _, test := range []struct{ name, got, want string }{
		{"alias", Alias("!roomid:example.com", "slot1234"), "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"},
		{"with random bits", hash("!roomid:example.com", "slot123", "random123"), "IMeDd+K3MIqJTI20EXBIrepKkhhORvf3q8fx3rlrhTk"},
		{"identity", Identity("@alice:example.com", "DEVICE123", "memberABC"), "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
		{"older identity", LegacyIdentity("@alice:example.com", "DEVICE123"), "@alice:example.com:DEVICE123"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, test.got, test.want)
		}
	}
}

// What is joined in different ways has different names.
func TestNamesAreNotConfused(t *testing.T) {
	seen := map[string]string{}
	for _, parts := range [][]string{{"a", "b"}, {"ab", ""}, {"", "ab"}, {`a","b`}, {"a", "b", ""}, {`a\`, `b`}, {`a`, `\b`}, {"a\nb"}, {`a\nb`}} {
		h := hash(parts...)
		text, _ := json.Marshal(parts)
		if before, ok := seen[h]; ok {
			t.Errorf("%s and %s have the same hash", before, text)
		}
		seen[h] = string(text)
	}
}

// FuzzQuote compares the canonical JSON of strings with what a parser reads in it.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "<&>\u2028\x7f", "\x00\x1f\b\f\n\r\t\"\\/", "é😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b strings.Builder
		quote(&b, s)
		var back string
		if err := json.Unmarshal([]byte(b.String()), &back); err != nil || named(s) && back != s {
			t.Fatalf("%q became %s and %q (%v)", s, b.String(), back, err)
		}
	})
}
