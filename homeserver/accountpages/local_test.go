package accountpages

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzLocal looks for a link to the pages that leads to another site.
func FuzzLocal(f *testing.F) {
	for _, seed := range []string{"/_causeway/account/", "//evil.example", "/_causeway/oauth2/authorize?state=//x", "/_causeway/..//x", "/_causeway/\\x", "/_causeway/%2e%2e//x"} {
		f.Add(seed)
	}
	base, err := url.Parse("https://here.example/_causeway/account/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		to := local(next)
		u, err := base.Parse(to)
		if err != nil || u.Host != "here.example" || u.Scheme != "https" || !strings.HasPrefix(u.EscapedPath(), "/_causeway/") {
			t.Errorf("%q leads to %s (%v)", next, u, err)
		}
		if strings.ContainsAny(to, "\\\r\n\t") {
			t.Errorf("%q leads to %q, which browsers read otherwise", next, to)
		}
	})
}
