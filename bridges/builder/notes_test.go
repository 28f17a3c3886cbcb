package builder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	agplText = "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3"
	gplText  = "GNU GENERAL PUBLIC LICENSE\nVersion 3"
	mitText  = "MIT License\n\nPermission is hereby granted, free of charge, to any person"
	oddText  = "All rights reserved."
)

// What is said of the licence of the whole, by the files of its parts.
func TestSayLicence(t *testing.T) {
	for _, test := range []struct {
		name  string
		parts map[string]string // texts of licences by module, "" for none
		want  string
	}{
		{"permissive", map[string]string{"a.b/x": mitText, "a.b/y": mitText},
			"Licence: nothing in the program puts the whole under a licence other than Causeway's own.\n"},
		{"copyleft", map[string]string{"a.b/x": agplText, "a.b/y": mitText, "a.b/z": gplText},
			"Licence: the program as a whole is under the AGPL-3.0, because of a.b/x. Whoever uses it over a network must be offered its source.\n"},
		{"a weaker one", map[string]string{"a.b/x": gplText}, "Licence: the program as a whole is under the GPL, because of a.b/x.\n"},
		{"not recognised", map[string]string{"a.b/x": oddText, "a.b/y": ""},
			"Licence: nothing whose licence was recognised puts the whole under another than Causeway's own.\n" +
				"The licence of these was not recognised, so look yourself: a.b/x, a.b/y\n"},
		{"copyleft, and not recognised", map[string]string{"a.b/x": agplText, "a.b/y": oddText},
			"Licence: the program as a whole is under the AGPL-3.0, because of a.b/x. Whoever uses it over a network must be offered its source.\n" +
				"The licence of these was not recognised, so look yourself: a.b/y\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var said strings.Builder
			var parts []module
			for _, path := range []string{"a.b/x", "a.b/y", "a.b/z"} {
				text, is := test.parts[path]
				if !is {
					continue
				}
				part := module{Path: path, Dir: t.TempDir()}
				if text != "" {
					write(t, filepath.Join(part.Dir, "LICENSE"), text)
				}
				parts = append(parts, part)
			}
			(&build{Options: Options{Log: &said}}).sayLicence(parts)
			if said.String() != test.want {
				t.Errorf("got\n%swant\n%s", &said, test.want)
			}
		})
	}
}

// All that a connector's go.mod replaces is named, and what is a version of a module is taken over.
func TestReplacementsAreNamed(t *testing.T) {
	source, theirs, dir := t.TempDir(), t.TempDir(), t.TempDir()
	const own = "module causeway\n\ngo 1.26\n\nrequire a.b/shared v1.0.0\n"
	write(t, filepath.Join(source, "go.mod"), own)
	write(t, filepath.Join(dir, "go.mod"), own)
	write(t, filepath.Join(theirs, "go.mod"), `module a.b/connector

go 1.26

require `+MautrixModule+` v0.31.0

replace (
	a.b/plain => c.d/fork v1.2.3
	a.b/one v1.0.0 => c.d/one v1.0.1
	a.b/shared => c.d/shared v1.1.0
	a.b/folder => ../folder
)
`)
	var said strings.Builder
	b := &build{Options: Options{Source: source, Log: &said}, dir: dir, goTool: "go", mautrix: "v0.31.0"}
	mautrix, err := b.takeReplacements(t.Context(), module{Path: "a.b/connector", GoMod: filepath.Join(theirs, "go.mod")})
	if err != nil || mautrix != "v0.31.0" {
		t.Fatalf("got mautrix %q, %v", mautrix, err)
	}
	const want = `Note: a.b/connector replaces a.b/plain by c.d/fork v1.2.3
Note: a.b/connector replaces a.b/one v1.0.0 by c.d/one v1.0.1
Note: a.b/connector replaces a.b/shared, which Causeway uses too, by c.d/shared v1.1.0
Note: a.b/connector replaces a.b/folder by a folder of its own, ../folder, which is left out
`
	if said.String() != want {
		t.Errorf("got\n%swant\n%s", &said, want)
	}
	got, err := b.declared(t.Context(), filepath.Join(dir, "go.mod"))
	if err != nil || len(got.Replace) != 3 || got.Replace[0].New.Path != "c.d/fork" {
		t.Errorf("the go.mod that is used replaces %+v, %v", got.Replace, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
