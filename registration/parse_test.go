package registration

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/id"
)

// specExample is that of the specification (Application Service API, Registration).
const specExample = `id: "IRC Bridge"
url: "http://127.0.0.1:1234"
as_token: "30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46"
hs_token: "312df522183efd404ec1cd22d2ffa4bbc76a8c1ccf541dd692eef281356bb74e"
sender_localpart: "_irc_bot" # Will result in @_irc_bot:example.org
namespaces:
  users:
    - exclusive: true
      regex: "@_irc_bridge_.*"
  aliases:
    - exclusive: false
      regex: "#_irc_bridge_.*"
  rooms: []
`

// bridgeExample is of the form that mautrix bridges write.
const bridgeExample = `id: whatsapp
url: null
as_token: 1234567890123456
hs_token: abcdefghijklmnopqrstuvwxyz
sender_localpart: "12345"
rate_limited: false
namespaces:
    users:
        - regex: ^@whatsappbot:example\.com$
          exclusive: true
        - regex: ^@whatsapp_.*:example\.com$
          exclusive: true
          group_id: +x:y
de.sorunome.msc2409.push_ephemeral: true
receive_ephemeral: false
org.matrix.msc3202: yes
io.element.msc4190: true
protocols: [whatsapp, &p signal, *p]
com.example.other: 1
`

func TestParse(t *testing.T) {
	r, err := Parse("irc.yaml", []byte(specExample))
	if err != nil {
		t.Fatal(err)
	}
	want := &Registration{
		ID: "IRC Bridge", URL: "http://127.0.0.1:1234",
		ASToken:         "30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46",
		HSToken:         "312df522183efd404ec1cd22d2ffa4bbc76a8c1ccf541dd692eef281356bb74e",
		SenderLocalpart: "_irc_bot", RateLimited: true,
		Namespaces: Namespaces{
			Users:   []Namespace{{Regex: "@_irc_bridge_.*", Exclusive: true}},
			Aliases: []Namespace{{Regex: "#_irc_bridge_.*"}},
		},
	}
	if !r.Equal(want) || len(r.Warnings) != 0 {
		t.Errorf("got %+v, want %+v", r, want)
	}

	r, err = Parse("whatsapp.yaml", []byte(bridgeExample))
	if err != nil {
		t.Fatal(err)
	}
	want = &Registration{
		ID: "whatsapp", ASToken: "1234567890123456", HSToken: "abcdefghijklmnopqrstuvwxyz",
		SenderLocalpart: "12345",
		Namespaces: Namespaces{Users: []Namespace{
			{Regex: `^@whatsappbot:example\.com$`, Exclusive: true},
			{Regex: `^@whatsapp_.*:example\.com$`, Exclusive: true},
		}},
		Protocols:        []string{"whatsapp", "signal", "signal"},
		ReceiveEphemeral: true, MSC3202: true, MSC4190: true,
	}
	if !r.Equal(want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
	if got := r.Warnings.Error(); got != "whatsapp.yaml:19: com.example.other: is not a field that is known here" {
		t.Errorf("got warnings %s", got)
	}
}

// file returns specExample with replacements, given in pairs.
func file(replacements ...string) string {
	return strings.NewReplacer(replacements...).Replace(specExample)
}

func TestParseFaults(t *testing.T) {
	const asToken = `"30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46"`
	namespaces := specExample[strings.Index(specExample, "namespaces"):]
	tests := []struct {
		name string
		file string
		want []string // parts of the faults, in order
	}{
		{"empty", "", []string{"f.yaml: is empty"}},
		{"only a comment", "# nothing\n", []string{"f.yaml: is empty"}},
		{"a list", "- id: x", []string{"f.yaml:1: must be a mapping"}},
		{"no YAML", "id: x\n\turl: y", []string{"f.yaml:2: is not YAML: found "}},
		{"two documents", "id: x\n---\nid: y", []string{"f.yaml:2: a file holds one registration"}},
		{"too large", strings.Repeat("#", maxFileBytes+1), []string{"is larger than 1048576 bytes"}},
		{"nothing but an id", "id: x", []string{
			"f.yaml: url: is missing", "as_token: is missing", "hs_token: is missing", "sender_localpart: is missing", "namespaces: is missing",
		}},
		{"null", file(asToken, "null", `"IRC Bridge"`, "~"), []string{":1: id: must be text", ":3: as_token: must be text"}},
		{"empty texts", file(asToken, `""`, `"IRC Bridge"`, `" "`), []string{":1: id: is missing", ":3: as_token: is missing"}},
		{"a field twice", specExample + "id: again\n", []string{"f.yaml:14: id: is there twice"}},
		{"mapping for text", file(asToken, "{a: b}"), []string{":3: as_token: must be text"}},
		{"token with a space", file(asToken, "a b c"), []string{"as_token: must consist of visible ASCII"}},
		{"sender with sigil", file(`"_irc_bot"`, `"@irc"`), []string{":5: sender_localpart: must be what stands between"}},
		{"sender with server", file(`"_irc_bot"`, `irc:hs`), []string{"sender_localpart: must be what stands between"}},
		{"sender with a space", file(`"_irc_bot"`, `I RC`), []string{"sender_localpart: may hold only"}},
		{"sender too long", file(`"_irc_bot"`, strings.Repeat("x", 253)), []string{"sender_localpart: is too long"}},
		{"URL of another kind", file("http://127.0.0.1:1234", "ftp://x"), []string{":2: url: must begin with http://"}},
		{"URL without scheme", file("http://127.0.0.1:1234", "localhost:1234"), []string{"url: must begin"}},
		{"URL with a bad port", file("http://127.0.0.1:1234", "http://localhost:port"), []string{"url: is not a URL"}},
		{"URL without host", file("http://127.0.0.1:1234", "http://:80"), []string{"url: has no host"}},
		{"URL with a query", file("http://127.0.0.1:1234", "http://x/?a=b"), []string{"url: must have no user, query"}},
		{"socket without path", file("http://127.0.0.1:1234", "unix://run/x.sock"), []string{"url: must hold the absolute path"}},
		{"relative socket", file("http://127.0.0.1:1234", "unix:x.sock"), []string{"url: must hold the absolute path"}},
		{"text for a flag", specExample + "rate_limited: \"true\"\n", []string{":14: rate_limited: must be true or false"}},
		{"text for a list", specExample + "protocols: irc\n", []string{":14: protocols: must be a list"}},
		{"null in a list", specExample + "protocols:\n- irc\n-\n", []string{":16: protocols[1]: must be text"}},
		{"namespaces a list", file(namespaces, "namespaces: []\n"), []string{":6: namespaces: must be a mapping"}},
		{"users a mapping", file(namespaces, "namespaces: {users: {regex: a}}\n"), []string{":6: namespaces.users: must be a list"}},
		{"namespace a text", file(namespaces, "namespaces: {users: ['@.*']}\n"), []string{":6: namespaces.users[0]: must be a mapping"}},
		{"namespace without fields", file(namespaces, "namespaces: {users: [{}]}\n"), []string{"users[0].regex: is missing", "users[0].exclusive: is missing"}},
		{"empty expression", file(`"@_irc_bridge_.*"`, `""`), []string{":9: namespaces.users[0].regex: is missing"}},
		{"open parenthesis", file(`"@_irc_bridge_.*"`, `"@(x"`), []string{":9: namespaces.users[0].regex: does not compile: missing closing ): @(x"}},
		{"lookahead", file(`"@_irc_bridge_.*"`, `"@(?!bot).*"`), []string{"regex: uses a negative lookahead ((?!), which RE2 expressions do not have"}},
		{"lookbehind", file(`"@_irc_bridge_.*"`, `"@.*(?<=bot)"`), []string{"regex: uses a lookbehind ((?<=bot))"}},
		{"back reference", file(`"@_irc_bridge_.*"`, `'@(a)\1'`), []string{`regex: uses a back reference (\1)`}},
		{"end of text of Python", file(`"@_irc_bridge_.*"`, `'@a\Z'`), []string{`regex: uses \Z, which is \z`}},
		{"possessive", file(`"@_irc_bridge_.*"`, `'@a++'`), []string{`regex: repeats a repetition (++)`}},
		{"too large a repetition", file(`"@_irc_bridge_.*"`, `'@((a{100}){100}){100}'`), []string{`regex: does not compile: `}},
		{"too long an expression", file(`"@_irc_bridge_.*"`, `'@`+strings.Repeat("a", maxRegexBytes)+`'`), []string{"is longer than 4096 bytes"}},
		{"faults everywhere", file(asToken, "[]", `"_irc_bot"`, "Ä", `"#_irc_bridge_.*"`, `"#["`), []string{
			":3: as_token: must be text", ":5: sender_localpart: may hold only", ":12: namespaces.aliases[0].regex: does not compile",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := Parse("f.yaml", []byte(test.file))
			faults, ok := errors.AsType[Faults](err)
			if !ok || r != nil {
				t.Fatalf("got %v %v, want Faults", r, err)
			}
			if len(faults) != len(test.want) {
				t.Fatalf("got %d faults, want %d:\n%v", len(faults), len(test.want), faults)
			}
			for i, want := range test.want {
				if got := faults[i].Error(); !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	many := func(n int, item string) string { return strings.Repeat(item+", ", n) }
	for name, text := range map[string]string{
		"namespaces": file("rooms: []", "rooms: ["+many(maxNamespaces+1, "{exclusive: false, regex: '!a'}")+"]"),
		"protocols":  specExample + "protocols: [" + many(maxProtocols+1, "a") + "]\n",
	} {
		if _, err := Parse("f.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "has more than 1000 entries") {
			t.Errorf("%s: got %v, want a limit", name, err)
		}
	}
	var fields strings.Builder
	for i := range maxFields {
		fmt.Fprintf(&fields, "x%d: 1\n", i)
	}
	if _, err := Parse("f.yaml", []byte(specExample+fields.String())); err == nil || !strings.Contains(err.Error(), "more than 100 fields") {
		t.Errorf("got %v, want a limit on fields", err)
	}
}

func TestParseWarnings(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"short token", file(`"30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46"`, "short"),
			"f.yaml:3: as_token: is shorter than 16 characters and may be guessed"},
		{"tokens alike", file("30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46", "312df522183efd404ec1cd22d2ffa4bbc76a8c1ccf541dd692eef281356bb74e"),
			"f.yaml:4: hs_token: is the same as as_token; either side can then pose as the other"},
		{"sigil left out", file(`"@_irc_bridge_.*"`, `"irc_.*"`),
			"f.yaml:9: namespaces.users[0].regex: matches nothing, as users look like @name:server"},
		{"alias with a user's sigil", file(`"#_irc_bridge_.*"`, `"@irc_.*"`),
			"f.yaml:12: namespaces.aliases[0].regex: matches nothing, as aliases look like #name:server"},
		{"unknown field of a namespace", file("exclusive: true", "exclusive: true\n      note: x"),
			"f.yaml:9: namespaces.users[0].note: is not a field that is known here"},
		{"unknown kind of namespaces", file("rooms:", "room:"),
			"f.yaml:13: namespaces.room: is not a field that is known here"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := Parse("f.yaml", []byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Warnings.Error(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Bridges within this process bring registrations of the mautrix library.
func TestParseWhatMautrixWrites(t *testing.T) {
	limited := false
	theirs := appservice.CreateRegistration()
	theirs.ID, theirs.SenderLocalpart, theirs.RateLimited = "irc", "ircbot", &limited
	theirs.EphemeralEvents, theirs.SoruEphemeralEvents, theirs.MSC3202, theirs.MSC4190 = true, true, true, true
	theirs.Namespaces.UserIDs.Register(regexp.MustCompile(`@irc_.*:example\.org`), true)
	text, err := theirs.YAML()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse("irc", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &Registration{
		ID: "irc", ASToken: theirs.AppToken, HSToken: theirs.ServerToken, SenderLocalpart: "ircbot",
		Namespaces:       Namespaces{Users: []Namespace{{Regex: `@irc_.*:example\.org`, Exclusive: true}}},
		ReceiveEphemeral: true, MSC3202: true, MSC4190: true,
	}
	if !r.Equal(want) || len(r.Warnings) != 0 {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestParseURLs(t *testing.T) {
	for _, url := range []string{
		"null", "~", `""`, "http://localhost:29318", "https://x.example/bridge/", "http://[::1]:80",
		"unix:///run/bridge.sock", "unix:/run/bridge.sock",
	} {
		if _, err := Parse("f.yaml", []byte(file(`"http://127.0.0.1:1234"`, url))); err != nil {
			t.Errorf("%s: got %v, want it accepted", url, err)
		}
	}
}

// FuzzParse wants no panic, and of what is accepted that it survives Marshal and
// Parse, and that its expressions can be used.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		specExample, bridgeExample, "", "[]", "id: &a [*a]", "? [a]\n: b", "<<: {id: x}", "id: !!binary YQ==",
		"a: &a {b: c}\nnamespaces: {users: [*a, *a]}", "---\n---\n", "id: \"\\u0000\"", "\xff\xfe", "%YAML 1.1\n---\nid: x",
		file(`"@_irc_bridge_.*"`, `'@\Qa(b'`), file(`"IRC Bridge"`, `"\u2028é'\\"`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse("f.yaml", data)
		if err != nil {
			if faults, ok := errors.AsType[Faults](err); !ok || len(faults) == 0 || r != nil {
				t.Fatalf("got %v and %T %v, want Faults", r, err, err)
			}
			return
		}
		r.MatchesUser(id.UserID("@a:b"))
		r.MatchesAlias(id.RoomAlias("#a:b"))
		again, err := Parse("f.yaml", r.Marshal())
		if err != nil || !again.Equal(r) {
			t.Fatalf("got %v after a round trip of\n%s", err, r.Marshal())
		}
		if _, err := NewSet(r); err != nil {
			t.Fatal(err)
		}
	})
}
