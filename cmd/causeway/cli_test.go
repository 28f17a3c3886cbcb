package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"causeway/registration"
)

// runIn runs a command line in a folder of its own and returns what it wrote.
func runIn(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, streams{in: strings.NewReader(stdin), out: &out, err: &errOut})
	return code, out.String(), errOut.String()
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name, stdin string
		args        []string
		env         map[string]string
		code        int
		out, err    string // must be contained
	}{
		{name: "version", args: []string{"version"}, out: "causeway "},
		{name: "example", args: []string{"config", "example"}, out: "server_name: localhost"},
		{name: "check of the defaults", args: []string{"config", "check"}, out: "is good: server localhost on 127.0.0.1:8008"},
		{name: "check of a page that is not there", args: []string{"config", "check"}, env: map[string]string{"CAUSEWAY_CALLS_PAGE": "nowhere"}, code: 2, err: "causeway: calls.page: "},
		{name: "check of a certificate that is not there", args: []string{"config", "check"},
			env:  map[string]string{"CAUSEWAY_TURN_TLS_LISTEN": "127.0.0.1:0", "CAUSEWAY_TURN_TLS_CERTIFICATE": "nowhere.pem", "CAUSEWAY_TURN_TLS_KEY": "nowhere.key"},
			code: 2, err: "causeway: read the certificate of turn.tls: "},
		{name: "unknown command", args: []string{"sevre"}, code: 2, err: `causeway: unknown command "sevre" for "causeway"; see causeway --help`},
		{name: "unknown flag", args: []string{"serve", "--fast"}, code: 2, err: "causeway: unknown flag: --fast; see causeway serve --help"},
		{name: "group alone", args: []string{"config"}, code: 2, err: "causeway: causeway config needs a sub-command; see causeway config --help"},
		{name: "missing file", args: []string{"--config", "nowhere.yaml"}, code: 2, err: "causeway: there is no configuration file nowhere.yaml"},
		{name: "registration", args: []string{"registration", "generate", "bot", "--url", "http://127.0.0.1:1", "--user", "@bot_.*"}, out: "id: 'bot'"},
		{name: "registration of nothing", args: []string{"registration", "generate", "bot"}, code: 2, err: "causeway: an application service needs a namespace"},
		{name: "registration that does not compile", args: []string{"registration", "generate", "bot", "--alias", "#("}, code: 2, err: "causeway: namespaces.aliases[0].regex: "},
		{name: "user of another server", args: []string{"user", "create", "@a:elsewhere"}, code: 2, err: "causeway: @a:elsewhere is not of this server, which is localhost"},
		{name: "user with a bad name", args: []string{"user", "create", "Alice"}, code: 2, err: `causeway: "Alice" is not a user name: it may hold a-z, 0-9 and ._=-/+`},
		{name: "user without a password", args: []string{"user", "create", "alice"}, stdin: "\n", code: 2, err: "causeway: the password must not be empty"},
		{name: "user without input", args: []string{"user", "create", "alice"}, code: 1, err: "causeway: read the password: EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			code, stdout, stderr := runIn(t, test.stdin, test.args...)
			if code != test.code {
				t.Errorf("got exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(stdout, test.out) || !strings.Contains(stderr, test.err) {
				t.Errorf("got %q and %q, want %q and %q", stdout, stderr, test.out, test.err)
			}
			if test.code != 0 && strings.Count(stderr, "\n") > 1 {
				t.Errorf("got more than a sentence: %q", stderr)
			}
			if entries, _ := os.ReadDir("."); len(entries) != 0 {
				t.Errorf("the command left %v behind", entries)
			}
		})
	}
}

func TestWrongConfigurationNamesEveryLine(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("causeway.yaml", []byte("listen: abc\nlog: {levle: info}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"serve"}, {"config", "check"}, {"user", "create", "a"}} {
		code, _, stderr := runIn(t, "", append(command, "--config", "causeway.yaml")...)
		want := "causeway.yaml:1: listen: \"abc\" is not host:port\n" +
			"causeway.yaml:2: log.levle: is not a known key; did you mean level?\n"
		if code != exitUsage || stderr != want {
			t.Errorf("%s: got %d and\n%swant\n%s", command, code, stderr, want)
		}
	}
}

func TestRegistrationFileIsNotReplaced(t *testing.T) {
	t.Chdir(t.TempDir())
	generate := []string{"registration", "generate", "bot", "--user", "@bot_.*", "--out", "bot.yaml"}
	if code, _, stderr := runIn(t, "", generate...); code != exitOK {
		t.Fatalf("got %d and %s", code, stderr)
	}
	before, err := os.ReadFile("bot.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runIn(t, "", generate...); code != exitFailure || !strings.Contains(stderr, "bot.yaml exists already") {
		t.Errorf("got %d and %s", code, stderr)
	}
	if after, err := os.ReadFile("bot.yaml"); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file was changed: %v", err)
	}
	all, err := registration.LoadDir(".")
	if err != nil || len(all) != 1 || all[0].ID != "bot" {
		t.Errorf("got %v and %v", all, err)
	}
}

func TestFaultsOfRegistrationFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{"causeway.yaml": "", "registration/a.yaml": "id: a\n"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := runIn(t, "", "user", "create", "alice", "--password", "x", "--config", "causeway.yaml")
	for _, want := range []string{filepath.Join(dir, "registration"), "a.yaml: as_token: is missing; write"} {
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("got %d and %q, want %q in it", code, stderr, want)
		}
	}
}

func TestFirstStartWritesTheExample(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	c := &cli{streams: streams{err: &bytes.Buffer{}}}
	cfg, err := c.loadConfig(writeWhenMissing)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "causeway-data"); cfg.DataDir != want {
		t.Errorf("got data directory %s, want %s", cfg.DataDir, want)
	}
	path := filepath.Join(cfg.DataDir, "causeway.yaml")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("got mode %o, want 600", got)
	}
	// The second start reads what the first one wrote, and changes nothing.
	edited := strings.Replace(string(exampleConfig), "server_name: localhost", "server_name: example.org", 1)
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err = c.loadConfig(writeWhenMissing); err != nil || cfg.ServerName != "example.org" {
		t.Errorf("got %v and %v, want the edited file", cfg, err)
	}
}

func TestDataDirectoryThatCannotBeMade(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("causeway-data", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runIn(t, "", "serve")
	if code == exitOK || !strings.Contains(stderr, "causeway-data") {
		t.Errorf("got %d and %q, want an error that names the directory", code, stderr)
	}
}
