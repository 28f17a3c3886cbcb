package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// screenshots is where the pictures of the last run are kept, below this folder. It is in .gitignore.
const screenshots = "output/pages"

// TestPages has people use the server's own pages in Chromium (testdata/pages), and the SDK sign in by them.
func TestPages(t *testing.T) {
	if err := os.RemoveAll(screenshots); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Abs(screenshots)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("account", func(t *testing.T) {
		server := startServer(t, options{})
		server.runNode(t, nil, "pages/main.mjs", server.url(""), folder)
	})
	t.Run("networks", func(t *testing.T) {
		irc := startNgircd(t)
		server := installTelegraph(t, options{networks: ircNetwork(network, irc.address)})
		server.start()
		server.runNode(t, nil, "pages/networks.mjs", server.url(""), folder, irc.address)
	})
	t.Run("calls", func(t *testing.T) { callsPage(t, folder) })
	t.Run("mail", func(t *testing.T) {
		box := startMailbox(t)
		server := startServer(t, options{extra: box.yaml(), rules: "  email_required: true\n" + terms + box.captcha()})
		closed := install(t, options{closed: true, extra: "support:\n  contacts:\n  - {role: m.role.admin, email_address: admin@causeway.test}\n"})
		make := closed.command("user", "create", "--config", closed.config, "mary", "--password", closed.account("mary").Password)
		if code, output := startProcess(t, "causeway user create", make, nil).awaitExit(t); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, output)
		}
		closed.start()
		server.runNode(t, nil, "pages/mail.mjs", server.url(""), folder, box.site, closed.url(""))
	})
}

// installTelegraph is an installation of a program that has the tests' own network, with a way to sign in for each kind of step. It runs in
// a process of its own.
func installTelegraph(t *testing.T, o options) *causeway {
	t.Helper()
	source, module := filepath.Join("..", "..", "..", "bridges", "bridgetest", "telegraph"), t.TempDir()
	if err := os.CopyFS(filepath.Join(module, "telegraph"), os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"go.mod":  "module telegraph.test/telegraph\n\ngo 1.26\n\nrequire maunium.net/go/mautrix v0.31.0\n",
		"LICENSE": "Mozilla Public License Version 2.0\n",
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "with-telegraph")
	if output, err := build(t, "--with", "telegraph.test/telegraph="+module, "--output", program); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c := install(t, o)
	config, err := os.ReadFile(c.config)
	if err == nil {
		err = os.WriteFile(c.config, append(config, "  telegraph: {enabled: true, isolation: process}\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.binary = program
	return c
}

// terms are a document to accept, below registration.
const terms = `  terms:
    privacy_policy:
      version: "1.0"
      languages:
        en: {name: Privacy Policy, url: "https://causeway.test/privacy"}
`
