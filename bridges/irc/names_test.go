package irc

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestFold(t *testing.T) {
	for _, test := range []struct {
		mapping  Casemapping
		in, want string
	}{
		{RFC1459, `Nick[]\~`, `nick{}|^`},
		{RFC1459Strict, `Nick[]\~`, `nick{}|~`},
		{ASCII, `Nick[]\~`, `nick[]\~`},
		{RFC1459, "#Ünï", "#Ünï"},
		{RFC1459, "", ""},
	} {
		t.Run(string(test.mapping)+" "+test.in, func(t *testing.T) {
			if got := test.mapping.Fold(test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestValidChannel(t *testing.T) {
	for _, test := range []struct {
		name string
		want bool
	}{
		{"#go", true}, {"##c", true}, {"&local", true}, {"+modeless", true}, {"!ABCDEsafe", true}, {"#ünï", true},
		{"", false}, {"#", false}, {"go", false}, {"#a b", false}, {"#a,b", false}, {"#a:b", false}, {"#a\x07", false},
		{"#a\r\nQUIT", false}, {"#" + strings.Repeat("x", maxChannelBytes), false}, {"#a\x00", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := validChannel(test.name); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestSplitAlias(t *testing.T) {
	for _, test := range []struct {
		in, network, channel string
		ok                   bool
	}{
		{"libera.chat_#go-nuts", "libera.chat", "#go-nuts", true},
		{"net_#with_underscore", "net", "#with_underscore", true},
		{"net_", "", "", false},
		{"net#c", "", "", false},
		{"Net_#c", "", "", false},
		{"_#c", "", "", false},
	} {
		t.Run(test.in, func(t *testing.T) {
			network, channel, ok := splitAlias(test.in)
			if ok != test.ok || ok && (network != test.network || channel != test.channel) {
				t.Errorf("got %q, %q, %v; want %q, %q, %v", network, channel, ok, test.network, test.channel, test.ok)
			}
		})
	}
}

func TestEscapeLocalpart(t *testing.T) {
	for _, test := range []struct{ nick, want string }{
		{"alice", "alice"},
		{"a_b-c", "a_b-c"},
		{"{}|^`", "=7b=7d=7c=5e=60"},
		{"a=b", "a=3db"},
		{"ü", "=c3=bc"},
	} {
		t.Run(test.nick, func(t *testing.T) {
			got := escapeLocalpart(test.nick)
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if err := id.ValidateUserLocalpart(got); err != nil {
				t.Error(err)
			}
			if back, ok := unescapeLocalpart(got); !ok || back != test.nick {
				t.Errorf("got back %q, %v; want %q", back, ok, test.nick)
			}
		})
	}
	for _, bad := range []string{"=", "=7", "=7B", "=61", "a{", "A"} {
		if got, ok := unescapeLocalpart(bad); ok {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

// Whatever a nick is, its ghost is a valid user ID, found again, and of nobody else.
func FuzzEscapeLocalpart(f *testing.F) {
	for _, nick := range []string{"alice", "[Bob]^", "a=5f", "ünïcode", "\xff"} {
		f.Add(nick)
	}
	f.Fuzz(func(t *testing.T, nick string) {
		folded := RFC1459.Fold(strings.ToValidUTF8(nick, "?"))
		if folded == "" {
			return
		}
		escaped := escapeLocalpart(folded)
		if err := id.ValidateUserLocalpart(escaped); err != nil {
			t.Error(err)
		}
		if back, ok := unescapeLocalpart(escaped); !ok || back != folded {
			t.Errorf("got back %q, want %q", back, folded)
		}
	})
}

func TestNicks(t *testing.T) {
	for _, test := range []struct{ name, template, user, want string }{
		{"plain", "{localpart}", "@alice:hs.test", "alice"},
		{"template", "{localpart}[m]", "@alice:hs.test", "alice[m]"},
		{"dots", "{localpart}", "@a.b/c=d+e:hs.test", "a_b_c_d_e"},
		{"digit first", "{localpart}", "@007:hs.test", "_007"},
		{"dash first", "{localpart}", "@-x:hs.test", "_-x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := makeNick(test.template, id.UserID(test.user)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	for _, test := range []struct {
		nick       string
		try, limit int
		want       string
	}{
		{"alice", 0, 16, "alice"}, {"alice", 1, 16, "alice_"}, {"alice", 2, 16, "alice2"}, {"alice", 12, 16, "alice12"},
		{"christopher", 0, 9, "christoph"}, {"christopher", 1, 9, "christop_"}, {"christopher", 10, 9, "christo10"},
	} {
		if got := nickVariant(test.nick, test.try, test.limit); got != test.want {
			t.Errorf("variant %d of %s: got %q, want %q", test.try, test.nick, got, test.want)
		}
	}
	for user, want := range map[id.UserID]string{
		"@alice:x": "alice", "@Very.Long.Name:x": "verylongn", "@...:x": "matrix",
	} {
		if got := username(user); got != want {
			t.Errorf("user name of %s: got %q, want %q", user, got, want)
		}
	}
}
