package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBuildRefuses(t *testing.T) {
	connector := writeConnector(t, "v0.31.0")
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "go.mod"), []byte("module parrot.test/mautrix-parrot\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := writeConnector(t, "v0.31.0")
	if err := os.WriteFile(filepath.Join(broken, "pkg", "more.go"), []byte("package connector\n\nvar x int = \"text\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, with, want string
	}{
		{"nothing", "", "must begin with the path of a Go module"},
		{"own network", "irc:parrot.test/x", "has a network irc of its own"},
		{"no folder", "parrot.test/mautrix-parrot=/nowhere", "neither a folder nor MODULE@VERSION"},
		{"no such version", "parrot.test/mautrix-parrot@v1.0.0", "there is no parrot.test/mautrix-parrot at version v1.0.0 to be had"},
		{"another module", "parrot.test/other=" + connector, "is parrot.test/mautrix-parrot, not parrot.test/other"},
		{"newer mautrix", "parrot.test/mautrix-parrot=" + writeConnector(t, "v0.99.0"), "needs mautrix v0.99.0, and this Causeway is made for mautrix v0.31.0"},
		{"no connector", "parrot.test/mautrix-parrot=" + empty, "there is no connector in it"},
		{"does not compile", "parrot.test/mautrix-parrot=" + broken, "does not compile with mautrix v0.31.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "p")
			output, err := build(t, "--with", test.with, "--output", program)
			if err == nil || !strings.Contains(output, test.want) {
				t.Errorf("got %v\n%s\nwant %q", err, output, test.want)
			}
			if _, err := os.Stat(program); err == nil {
				t.Error("a program was written")
			}
		})
	}
}

// proxyFolder is a module proxy, of files, that knows of modules but has none of them: what it says of them stays in the module cache, so they must
// be none that there are.
func proxyFolder(t *testing.T, modules map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	for path, mod := range modules {
		module, version, _ := strings.Cut(path, "@")
		folder := filepath.Join(dir, filepath.FromSlash(module), "@v")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, version+".mod"), mod)
		write(t, filepath.Join(folder, version+".info"), fmt.Sprintf(`{"Version": %q, "Time": "2026-01-01T00:00:00Z"}`, version))
	}
	return []string{"GOPROXY=file://" + dir, "GONOSUMDB=*"}
}

// TestBuildExplains has connectors for an older mautrix, and one of which a part is not to be had.
func TestBuildExplains(t *testing.T) {
	older := map[string]string{"maunium.net/go/mautrix@v0.0.0-causeway.test": "module maunium.net/go/mautrix\n", "gone.test/gone@v1.0.0": "module gone.test/gone\n"}
	for _, test := range []struct {
		name, more, requires, want string
	}{
		{"an older mautrix", "package connector\n\nvar x int = \"text\"\n", "",
			"does not compile with mautrix v0.31.0, for which this Causeway is made, and parrot.test/mautrix-parrot from"},
		{"a part that is gone", "package connector\n\nimport _ \"gone.test/gone\"\n", "require gone.test/gone v1.0.0\n",
			"not all that the connector is made of is to be had:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			connector := writeConnector(t, "v0.0.0-causeway.test\n\n"+test.requires)
			write(t, filepath.Join(connector, "pkg", "more.go"), test.more)
			program := filepath.Join(t.TempDir(), "p")
			output, err := buildWith(t, proxyFolder(t, older), "--with", "parrot.test/mautrix-parrot="+connector, "--output", program)
			if err == nil || !strings.Contains(output, test.want) || test.requires == "" && !strings.Contains(output, " for v0.0.0-causeway.test;") {
				t.Errorf("got %v\n%s\nwant %q", err, output, test.want)
			}
		})
	}
}
