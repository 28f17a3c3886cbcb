package clientapi

import (
	"strings"
	"testing"
)

// FuzzETag reads the headers by which clients say what they have seen.
func FuzzETag(f *testing.F) {
	for _, seed := range []string{`"a"`, `W/"a"`, `*`, `"a", "b"`, `"`, `""`, ``, `"a`, "\xff", `a"b`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, err := ifMatch([]string{header})
		if err == nil && (etag(token) != header || strings.ContainsAny(token, `",`)) {
			t.Errorf("%q is taken for %q", header, token)
		}
		if err == nil && !seen([]string{header}, token) {
			t.Errorf("%q does not name %q", header, token)
		}
		if seen([]string{header}, "ANOTHER") && !strings.Contains(header, "*") && !strings.Contains(header, "ANOTHER") {
			t.Errorf("%q names what is not in it", header)
		}
	})
}
