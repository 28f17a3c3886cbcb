package registration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestMatching(t *testing.T) {
	r := &Registration{SenderLocalpart: "irc", Namespaces: Namespaces{
		Users: []Namespace{
			{Regex: `@irc_.*:hs`, Exclusive: true},
			{Regex: `@shared`},
			{Regex: `^@whole:hs$`, Exclusive: true},
			{Regex: `(?i)@FOLD_`},
			{Regex: `@a|@b_`, Exclusive: true},
			{Regex: `@quoted\Q.*`},
		},
		Aliases: []Namespace{{Regex: `#irc_.*`, Exclusive: true}, {Regex: `#open_`}},
		Rooms:   []Namespace{{Regex: `!abc`}},
	}}
	users := []struct {
		user               id.UserID
		matches, exclusive bool
	}{
		{"@irc:hs", true, true},
		{"@irc_a:hs", true, true},
		{"@irc_:hs", true, true},
		{"@ircx:hs", false, false},
		{"@irc_a:other", false, false},
		{"@x@irc_a:hs", false, false},
		{"@shared:hs", true, false},
		{"@shared_more:hs", true, false},
		{"@unshared:hs", false, false},
		{"@whole:hs", true, true},
		{"@whole:hs.example", false, false},
		{"@fold_x:hs", true, false},
		{"@abc:hs", true, true},
		{"@b_c:hs", true, true},
		{"@bc:hs", false, false},
		{"@quoted.*:hs", true, false},
		{"@quotedx:hs", false, false},
		{"@person:hs", false, false},
		{"", false, false},
	}
	for _, registration := range []*Registration{r, r.compiled()} {
		for _, test := range users {
			if got := registration.MatchesUser(test.user); got != test.matches {
				t.Errorf("MatchesUser(%s): got %v, want %v", test.user, got, test.matches)
			}
			if got := registration.ExclusiveUser(test.user); got != test.exclusive {
				t.Errorf("ExclusiveUser(%s): got %v, want %v", test.user, got, test.exclusive)
			}
		}
		if !registration.MatchesAlias("#open_x:hs") || registration.ExclusiveAlias("#open_x:hs") ||
			!registration.ExclusiveAlias("#irc_x:hs") || registration.MatchesAlias("#x:hs") {
			t.Error("aliases: want #open_ matched, and #irc_ exclusively")
		}
		if !registration.MatchesRoom("!abcdef") || registration.MatchesRoom("!xabc") {
			t.Error("rooms: want what begins with !abc")
		}
	}
}

func TestLiteralPrefix(t *testing.T) {
	for expression, want := range map[string]string{
		`@irc_.*`: "@irc_", `^@irc_.*:hs$`: "@irc_", `\A@irc`: "@irc", `@ab*`: "@a", `@(a|b)`: "@",
		`(@a)`: "", `(?i)@a`: "", `@(?i:x)`: "@", `a|b`: "", ``: "", `.*`: "", `@a?b`: "@", `(?:@ab)c`: "@abc",
		`@x{3}`: "@", `@ab|@ac`: "@a", `$@a`: "",
	} {
		tree, err := parseExpression(expression)
		if err != nil {
			t.Fatal(err)
		}
		if got := literalPrefix(tree); got != want {
			t.Errorf("%s: got %q, want %q", expression, got, want)
		}
	}
}

func TestSet(t *testing.T) {
	irc := Generate("irc", "", `@irc_.*`)
	irc.Namespaces.Aliases = []Namespace{{Regex: `#irc_.*`, Exclusive: true}}
	puppet := Generate("puppet", "", `@.*:hs`)
	puppet.Namespaces.Users[0].Exclusive = false
	puppet.Namespaces.Aliases = []Namespace{{Regex: `#.*`}}
	set, err := NewSet(puppet, irc)
	if err != nil {
		t.Fatal(err)
	}
	name := func(r *Registration) string {
		if r == nil {
			return ""
		}
		return r.ID
	}
	tests := []struct {
		name string
		got  *Registration
		want string
	}{
		{"by id", set.ByID("irc"), "irc"},
		{"by no id", set.ByID("xmpp"), ""},
		{"by token", set.ByToken(irc.ASToken), "irc"},
		{"by the token of the other side", set.ByToken(irc.HSToken), ""},
		{"by no token", set.ByToken(""), ""},
		{"exclusive owner", set.ExclusiveOwnerOfUser("@irc_a:hs"), "irc"},
		{"exclusive owner of a sender", set.ExclusiveOwnerOfUser("@_puppet_bot:hs"), "puppet"},
		{"no exclusive owner", set.ExclusiveOwnerOfUser("@alice:hs"), ""},
		{"owner, exclusive before others", set.UserOwner("@irc_a:hs"), "irc"},
		{"owner", set.UserOwner("@alice:hs"), "puppet"},
		{"no owner", set.UserOwner("@alice:elsewhere"), ""},
		{"alias", set.AliasOwner("#irc_a:hs"), "irc"},
		{"alias that is not exclusive", set.AliasOwner("#room:hs"), "puppet"},
		{"exclusive owner of an alias", set.ExclusiveOwnerOfAlias("#room:hs"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := name(test.got); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if all := set.All(); len(all) != 2 || all[0].ID != "puppet" {
		t.Errorf("got %v, want both in order", all)
	}
	puppet.ID = "changed"
	if set.ByID("puppet").ID != "puppet" {
		t.Error("the set changed with what it was made of")
	}
	for _, empty := range []*Set{nil, {}} {
		if empty.ByID("x") != nil || empty.ByToken("x") != nil || empty.UserOwner("@a:b") != nil || empty.All() != nil {
			t.Error("want nothing of an empty set")
		}
	}
}

func TestNewSetFaults(t *testing.T) {
	_, err := NewSet(&Registration{ID: "x"})
	if err == nil || !strings.Contains(err.Error(), `registration "x": as_token: is missing`) {
		t.Errorf("got %v, want the fault named", err)
	}
	_, err = NewSet(Generate("a", "", `@a.*`), Generate("b", "", `@ab.*`))
	if err == nil || !strings.Contains(err.Error(), "both match @ab") {
		t.Errorf("got %v, want the overlap named", err)
	}
}

func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadDir(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"b.yaml": string(Generate("b", "", `@b_.*`).Marshal()), "a.yml": string(Generate("a", "", `@a_.*`).Marshal()),
		".hidden.yaml": "[", "notes.txt": "[", "c.yaml~": "[",
	})
	if err := os.Mkdir(filepath.Join(dir, "folder.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].ID != "a" || all[0].File != "a.yml" || all[1].ID != "b" {
		t.Errorf("got %v, want a and b", all)
	}
	if _, err := LoadDir(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestLoadDirFaults(t *testing.T) {
	one := &Registration{ID: "one", ASToken: "one-as-token-0123456789", HSToken: "one-hs-token-0123456789", SenderLocalpart: "onebot",
		Namespaces: Namespaces{Users: []Namespace{{Regex: `@one_.*`, Exclusive: true}}, Aliases: []Namespace{{Regex: `#one_.*`, Exclusive: true}}}}
	two := *one
	two.Namespaces = Namespaces{Users: []Namespace{{Regex: `@.*_x`, Exclusive: true}}}
	three := *one
	three.ID, three.ASToken, three.HSToken, three.SenderLocalpart = "three", "three-as-token-0123456789", "three-hs-token-0123456789", "one_bot"
	three.Namespaces = Namespaces{
		Users:   []Namespace{{Regex: `@one.*`}, {Regex: `@oneb.*`, Exclusive: true}},
		Aliases: []Namespace{{Regex: `#.*:hs$`, Exclusive: true}},
	}
	dir := writeFiles(t, map[string]string{
		"1.yaml": string(one.Marshal()), "2.yaml": string(two.Marshal()), "3.yaml": string(three.Marshal()),
		"4.yaml": "id: four", "5.yaml": "[", "6.yaml": strings.Repeat("#", maxFileBytes+1),
	})
	_, err := LoadDir(dir)
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("got %v, want Faults", err)
	}
	got := make(map[string][]string)
	for _, fault := range faults {
		message, _, _ := strings.Cut(fault.Message, "; ") // and what to do: see TestFaultsReadAloud
		got[fault.File] = append(got[fault.File], fault.Field+": "+message)
		if fault.Line == 0 && fault.File < "4" {
			t.Errorf("no line: %s", fault)
		}
	}
	for name, want := range map[string][]string{
		"2.yaml": {
			"id: is also that of 1.yaml", "as_token: is also that of 1.yaml", "hs_token: is also that of 1.yaml",
			"sender_localpart: is also that of 1.yaml",
			"namespaces.users[0].regex: is exclusive, as is namespaces.users[0] of 1.yaml, and both match @one_x:a",
		},
		"3.yaml": {
			"sender_localpart: lies in the exclusive namespaces.users[0] of 1.yaml",
			"namespaces.users[1].regex: is exclusive and holds the sender of 1.yaml (onebot)",
			"namespaces.aliases[0].regex: is exclusive, as is namespaces.aliases[0] of 1.yaml, and both match #one_:hs",
			"namespaces.users[1].regex: is exclusive and holds the sender of 2.yaml (onebot)",
			"namespaces.users[1].regex: is exclusive, as is namespaces.users[0] of 2.yaml, and both match @oneb_x:a",
		},
		"6.yaml": {": is larger than 1048576 bytes"},
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got[name], "\n"), strings.Join(want, "\n"))
		}
	}
	if len(got["4.yaml"]) != 5 || len(got["5.yaml"]) != 1 || len(got["1.yaml"]) != 0 {
		t.Errorf("got %d, %d, %d faults in 4, 5, 1, want 5, 1, 0", len(got["4.yaml"]), len(got["5.yaml"]), len(got["1.yaml"]))
	}
	for _, secret := range []string{"one-as-token", "one-hs-token"} {
		if strings.Contains(err.Error(), secret) {
			t.Error("the faults tell a token")
		}
	}
}

func TestGenerateAndWrite(t *testing.T) {
	r := Generate("IRC & Co", "http://localhost:9999", `@irc_'.*:example\.org`)
	r.Protocols = []string{"irc", "it's"}
	r.Namespaces.Rooms = []Namespace{{Regex: "!\u00e9"}}
	if r.SenderLocalpart != "_irc___co_bot" {
		t.Errorf("got sender %s, want _irc___co_bot", r.SenderLocalpart)
	}
	if len(r.ASToken) != 2*tokenBytes || r.ASToken == r.HSToken || r.ASToken == Generate("x", "").ASToken {
		t.Errorf("got tokens %s and %s, want random ones", r.ASToken, r.HSToken)
	}
	name := filepath.Join(t.TempDir(), "irc.yaml")
	if err := r.WriteFile(name); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v %v, want 0600", info.Mode(), err)
	}
	if err := Generate("other", "").WriteFile(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want fs.ErrExist", err)
	}
	all, err := LoadDir(filepath.Dir(name))
	if err != nil || len(all) != 1 || !all[0].Equal(r) {
		t.Errorf("got %v %v, want what was written", all, err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(name)); len(entries) != 1 {
		t.Errorf("got %d files, want no temporary one left", len(entries))
	}
	if len(all) == 1 && len(all[0].Warnings) != 0 {
		t.Errorf("got warnings %v, want none", all[0].Warnings)
	}
}

func BenchmarkExclusiveOwner(b *testing.B) {
	var all []*Registration
	for _, name := range []string{"irc", "xmpp", "email", "slack", "discord"} {
		all = append(all, Generate(name, "", `^@`+name+`_.*:example\.org$`, `^@`+name+`bot:example\.org$`))
	}
	set, err := NewSet(all...)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		set.ExclusiveOwnerOfUser("@alice:example.org")
		set.ExclusiveOwnerOfUser("@discord_1234567890:example.org")
	}
}
