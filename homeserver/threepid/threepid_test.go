package threepid

import (
	netmail "net/mail"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func TestEmail(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"alice@example.org", "alice@example.org"},
		{"Alice@EXAMPLE.org", "alice@example.org"},
		{"Strauß@Example.com", "strauss@example.com"}, // Appendices, "E-Mail"
		{"jose\u0301@example.org", "josé@example.org"},
		{"a+b.c@sub.example.org", "a+b.c@sub.example.org"},
		{"a@BÜCHER.example", "a@bücher.example"},
		{"a@localhost", "a@localhost"},
		{"", ""}, {"a", ""}, {"@", ""}, {"a@", ""}, {"@b", ""}, {"a@b@c", ""}, {"a b@c", ""}, {"a@b c", ""}, {".a@b", ""}, {"a.@b", ""}, {"a..b@c", ""},
		{"a@b..c", ""}, {"a@.b", ""}, {"a@b.", ""}, {"a@-b", ""}, {"a@b-", ""}, {"<a@b>", ""}, {"A <a@b>", ""}, {"mailto:a@b", ""}, {`"a"@b`, ""},
		{"a@[127.0.0.1]", ""}, {"a,b@c", ""}, {"a;b@c", ""}, {"a@b\r\nBcc: c@d", ""}, {"a\n@b", ""}, {"a\x00@b", ""}, {"a@b\u200b", ""}, {"a@\u202eb", ""},
		{"a\u00a0b@c", ""}, {"a@b\u2028c", ""}, {"a\xff@b", ""}, {strings.Repeat("a", 65) + "@b", ""}, {"a@" + strings.Repeat("b", 64), ""},
		{"a@" + strings.Repeat("b.", 130) + "c", ""},
		{"a@\uff45xample.org", ""}, {"a@example\u3002org", ""}, {"a@\u2147xample.org", ""}, {"a@xn--a", ""}, // others than they look
		{"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"}, {"\u212aate@EXAMPLE.or\uff27", ""}, {"\u212aate@\u212a.org", "kate@k.org"},
	} {
		got, err := Email(c.in)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q: got %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct{ country, number, want string }{
		{"CH", "044 668 18 00", "41446681800"},
		{"ch", "0446681800", "41446681800"},
		{"US", "+41 44 668 18 00", "41446681800"},
		{"GB", "07911 123456", "447911123456"},
		{"US", "(202) 456-1111", "12024561111"},
		{"", "+12024561111", "12024561111"},
		{"", "2024561111", ""}, {"CH", "12", ""}, {"CH", "", ""}, {"XX", "0446681800", ""}, {"CHE", "0446681800", ""}, {"CH", "044\r\n6681800x", ""},
		{"CH", strings.Repeat("1", 100), ""}, {"CH", "+", ""}, {"CH", "\xff", ""},
	} {
		got, err := Number(c.country, c.number)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s %q: got %q, %v, want %q", c.country, c.number, got, err, c.want)
		}
	}
	if got, err := Normal("msisdn", "41446681800"); got != "41446681800" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Normal("fax", "1"); err == nil {
		t.Error("there is a medium fax")
	}
}

// A canonical address stays what it is, is an address to others too, and holds nothing that would mean anything in a header.
func FuzzEmail(f *testing.F) {
	for _, seed := range []string{"alice@example.org", "Strauß@Example.com", "a@b\r\nBcc: c@d", "ǰ@example.org", "İ@x", "a@ẞ.example", "\u0345a@b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Email(s)
		if err != nil {
			return
		}
		if again, err := Email(got); err != nil || again != got {
			t.Errorf("%q becomes %q, and that %q (%v)", s, got, again, err)
		}
		if len(got) > maxEmail || !norm.NFC.IsNormalString(got) || strings.ContainsFunc(got, unicode.IsControl) || strings.ContainsFunc(got, unicode.IsSpace) {
			t.Errorf("%q becomes %q", s, got)
		}
		if parsed, err := netmail.ParseAddress(got); err != nil || parsed.Address != got {
			t.Errorf("%q is not an address to net/mail: %v", got, err)
		}
	})
}

// A canonical number is digits, and stays what it is.
func FuzzNumber(f *testing.F) {
	f.Add("CH", "044 668 18 00")
	f.Add("", "+12024561111")
	f.Add("US", "(202) 456-1111 ext. 5")
	f.Fuzz(func(t *testing.T, country, number string) {
		got, err := Number(country, number)
		if err != nil {
			return
		}
		if got == "" || len(got) > 15 || strings.Trim(got, "0123456789") != "" {
			t.Errorf("%s %q becomes %q", country, number, got)
		}
		if again, err := Number("", "+"+got); err != nil || again != got {
			t.Errorf("%q becomes %q, and that %q (%v)", number, got, again, err)
		}
	})
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{"alice@example.org": "a...@e...", "é@ü.example": "é...@ü...", "a@b": "a...@b..."} {
		if got := Redacted(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		link, allowed string
		want          bool
	}{
		{"https://a.example/x", "https://a.example", true},
		{"https://A.example/x", "https://a.example/", true},
		{"https://a.example/x/y?z#w", "https://a.example/x", true},
		{"https://a.example/x", "https://a.example/x", true},
		{"https://a.example/xy", "https://a.example/x", false},
		{"https://a.example/x/../y", "https://a.example/x", false},
		{"https://a.example/x/%2e%2e/y", "https://a.example/x", false},
		{"https://a.example:8443/x", "https://a.example", false},
		{"https://a.example.evil/x", "https://a.example", false},
		{"https://u@a.example/x", "https://a.example", false},
		{`https://a.example\@evil/x`, "https://a.example", false},
		{"https:a.example/x", "https://a.example", false},
		{"//a.example/x", "https://a.example", false},
		{"javascript:x", "https://a.example", false},
		{"https://a.example/x\r\nSet-Cookie: y", "https://a.example", false},
		{"", "https://a.example", false},
	} {
		if got := below(c.link, c.allowed); got != c.want {
			t.Errorf("%q below %q: got %t", c.link, c.allowed, got)
		}
	}
}
