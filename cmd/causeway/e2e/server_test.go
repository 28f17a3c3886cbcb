package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"causeway/homeserver/storetest"
)

// serverName is the homeserver's name in all tests: no one resolves it.
const serverName = "causeway.test"

// engines are the databases on which what stores something is tested.
var engines = []struct {
	name     string
	database func(*testing.T) string // the value of "database" in the configuration
}{
	{"SQLite", func(*testing.T) string { return "" }},
	{"PostgreSQL", func(t *testing.T) string { return storetest.PostgresURL(t) }},
}

// onEngines runs a test on each database.
func onEngines(t *testing.T, test func(t *testing.T, database string)) {
	t.Helper()
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) { test(t, engine.database(t)) })
	}
}

// causeway is an installation of the binary under test: a configuration and a
// data directory, on which it may run several times.
type causeway struct {
	t       *testing.T
	dir     string
	config  string   // path of the configuration file
	address string   // host:port
	binary  string   // the program
	env     []string // more of its environment
	*process
}

// options are the differences between installations.
type options struct {
	database string // "" for SQLite in the data directory
	networks string // the YAML of bridges.irc.networks, each line with its indentation
	guests   bool   // whether everybody may be a guest
	extra    string // more YAML, at the top level
	closed   bool   // registration takes a token
	rules    string // more YAML below registration, with its indentation
}

// configTemplate has no rate limits: they are tested on their own, and here they
// would only make the tests slow.
const configTemplate = `server_name: %s
listen: %s
data_dir: %s
database: %q
registration:
  open: %t
  guests: %t
%sappservices:
  dir: %s
rate_limits:
  enabled: false
log:
  level: debug
  format: text
bridges:
  irc:
    networks:%s
%s`

// install writes the configuration of a server, which does not run yet.
func install(t *testing.T, o options) *causeway {
	t.Helper()
	dir := t.TempDir()
	c := &causeway{t: t, dir: dir, config: filepath.Join(dir, "causeway.yaml"), address: freePort(t), binary: causewayBinary}
	networks := " {}"
	if o.networks != "" {
		networks = "\n" + o.networks
	}
	registrations := filepath.Join(dir, "registration")
	if err := os.Mkdir(registrations, 0o700); err != nil {
		t.Fatal(err)
	}
	config := fmt.Appendf(nil, configTemplate, serverName, c.address, filepath.Join(dir, "data"), o.database,
		!o.closed, o.guests, o.rules, registrations, networks, o.extra)
	if err := os.WriteFile(c.config, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// command is the binary with arguments, in a directory and an environment with
// nothing that the person who runs the tests may have set.
func (c *causeway) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.binary, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "TMPDIR=" + os.Getenv("TMPDIR")}
	cmd.Env = append(cmd.Env, c.env...)
	return cmd
}

// launch starts the server without waiting until it serves.
func (c *causeway) launch() {
	c.t.Helper()
	c.process = startProcess(c.t, "causeway", c.command("serve", "--config", c.config), nil)
}

// start starts the server and returns when it accepts connections.
func (c *causeway) start() {
	c.t.Helper()
	c.launch()
	c.awaitListener(c.t, c.address)
	c.awaitServing()
}

// awaitServing checks that the server answers, and correctly.
func (c *causeway) awaitServing() {
	c.t.Helper()
	response, err := http.Get(c.url("/_matrix/client/versions"))
	if err != nil {
		c.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		c.t.Fatalf("GET /_matrix/client/versions is %s", response.Status)
	}
}

// startServer installs and starts a server.
func startServer(t *testing.T, o options) *causeway {
	t.Helper()
	c := install(t, o)
	c.start()
	return c
}

// url is the address of a path on the server.
func (c *causeway) url(path string) string { return "http://" + c.address + path }

// account is a user of this server, who may be registered yet or not.
func (c *causeway) account(name string) account {
	return account{BaseURL: "http://" + c.address, Username: name, Password: "correct horse " + name}
}

// register makes an account and a client that follows /sync and may send.
func (c *causeway) register(n *nodeHost, name string) *matrixClient {
	c.t.Helper()
	return c.registerWithLimit(n, name, talkerLimit)
}

// registerWithLimit is register with a limit of events as start has it.
func (c *causeway) registerWithLimit(n *nodeHost, name string, limit int) *matrixClient {
	c.t.Helper()
	client, err := n.register(c.account(name))
	if err != nil {
		c.t.Fatalf("register %s: %v", name, err)
	}
	client.start(limit)
	return client
}
