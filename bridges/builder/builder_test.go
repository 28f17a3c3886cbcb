package builder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseConnector(t *testing.T) {
	for _, test := range []struct {
		text string
		want Connector
		bad  string // part of the error
	}{
		{text: "go.mau.fi/mautrix-gmessages", want: Connector{ID: "gmessages", Path: "go.mau.fi/mautrix-gmessages"}},
		{text: "a.b/mautrix-x/v2@v2.1.0", want: Connector{ID: "x", Path: "a.b/mautrix-x/v2", Version: "v2.1.0"}},
		{text: "a.b/x/pkg/connector.XConnector", want: Connector{ID: "x", Path: "a.b/x/pkg/connector", Type: "XConnector"}},
		{text: "gopkg.in/net.v3", want: Connector{ID: "netv3", Path: "gopkg.in/net.v3"}},
		{text: "y:a.b/x=../x", want: Connector{ID: "y", Path: "a.b/x", Replacement: "../x"}},
		{text: "a.b/x@v1.0.0=c.d/x@v1.1.0", want: Connector{ID: "x", Path: "a.b/x", Version: "v1.0.0", Replacement: "c.d/x@v1.1.0"}},
		{text: "", bad: "path of a Go module"},
		{text: "a.b/x=", bad: "follow the ="},
		{text: "a.b/x@", bad: "follow the @"},
		{text: "-modfile", bad: "path of a Go module"},
		{text: "./x", bad: "path of a Go module"},
		{text: "a.b/mautrix-irc", bad: "of its own"},
		{text: "a.b/9", bad: "must match"},
	} {
		got, err := ParseConnector(test.text)
		if test.bad != "" {
			if err == nil || !strings.Contains(err.Error(), test.bad) {
				t.Errorf("%q: got %v, want an error with %q", test.text, err, test.bad)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%q: got %+v, %v, want %+v", test.text, got, err, test.want)
		}
	}
}

func TestNewer(t *testing.T) {
	for _, test := range []struct {
		version, than string
		want          bool
	}{
		{"v0.32.0", "v0.31.0", true}, {"v0.31.1-0.20260101000000-abcdefabcdef", "v0.31.0", true}, {"v0.31.0", "v0.31.0", false},
		{"v0.9.0", "v0.31.0", false}, {"v1.0.0", "v0.31.0", true}, {"main", "v0.31.0", false},
	} {
		if got := newer(test.version, test.than); got != test.want {
			t.Errorf("%s newer than %s: got %t", test.version, test.than, got)
		}
	}
}

func TestLicences(t *testing.T) {
	for text, want := range map[string]string{
		"GNU AFFERO GENERAL PUBLIC\n   LICENSE Version 3 … the GNU General Public License": "AGPL-3.0",
		"GNU GENERAL PUBLIC LICENSE … the GNU Affero General Public License":               "GPL",
		"Mozilla Public License Version 2.0 … GNU General Public License":                  "MPL-2.0",
		"Permission is hereby granted, free of charge, to any person":                      "MIT",
		"All rights reserved.": "",
	} {
		if got := recognise(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := verdict(map[string][]string{"AGPL-3.0": {"a.b/x"}, "GPL": {"c.d/y"}}); !strings.Contains(got, "AGPL-3.0, because of a.b/x.") {
		t.Errorf("got %q", got)
	}
}

func TestConnectorsIn(t *testing.T) {
	methods := func(typ string) string {
		var text strings.Builder
		for _, m := range connectorMethods {
			text.WriteString("func (" + typ + ") " + m + "() {}\n")
		}
		return text.String()
	}
	for _, test := range []struct{ name, source, named, want string }{
		{"plain", "type X struct{}\n" + methods("*X"), "", "X new(network.X)"},
		{"with a maker", "type X struct{}\nfunc NewX() *X { return nil }\n" + methods("x *X"), "", "X network.NewX()"},
		{"a maker that asks", "type X struct{}\nfunc NewX(int) *X { return nil }\n" + methods("x *X"), "", "X new(network.X)"},
		{"not exported", "type x struct{}\n" + methods("*x"), "", ""},
		{"named", "type X struct{ Y }\ntype Y struct{}", "X", "X new(network.X)"},
		{"something else", "type X struct{}\nfunc (*X) GetName() {}", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte("package x\n"+test.source), 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := connectorsIn(goPackage{Dir: dir, ImportPath: "a.b/x", Name: "x", GoFiles: []string{"x.go"}}, test.named)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range found {
				got += f.typ + " " + f.make
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
