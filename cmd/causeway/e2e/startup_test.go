package e2e

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"maunium.net/go/mautrix/id"
	_ "modernc.org/sqlite"
)

// refused runs an installation that must not start and returns what it said.
func (c *causeway) refused(t *testing.T) string {
	t.Helper()
	c.launch()
	code, output := c.awaitExit(t)
	if code == 0 {
		t.Errorf("the exit code is 0:\n%s", output)
	}
	if conn, err := net.Dial("tcp", c.address); err == nil {
		conn.Close()
		t.Errorf("something listens on %s", c.address)
	}
	for _, unwanted := range []string{"panic", "goroutine "} {
		if strings.Contains(output, unwanted) {
			t.Errorf("the output has %q:\n%s", unwanted, output)
		}
	}
	return output
}

// wantAll checks that a text has all of these in it.
func wantAll(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("the output has no %q:\n%s", want, text)
		}
	}
}

func TestWrongConfiguration(t *testing.T) {
	tests := []struct {
		name             string
		old, replacement string // what is replaced in the configuration
		field            string
	}{
		{"listen is no address", "listen: ", "listen: nowhere #", "listen"},
		{"unknown key", "registration:\n", "registrations:\n", "registrations"},
		{"wrong type", "  open: true", "  open: perhaps", "registration.open"},
		{"no such level", "  level: debug", "  level: loud", "log.level"},
		{"not a server name", "server_name: ", "server_name: not a name #", "server_name"},
		{"unknown database", `database: ""`, "database: mysql://localhost/x", "database"},
		{"network without an address", "    networks: {}", "    networks:\n      broken:\n        tls: false", "address"},
		{"no YAML", "server_name: ", "server_name: [", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := install(t, options{})
			raw, err := os.ReadFile(c.config)
			if err != nil {
				t.Fatal(err)
			}
			before, after, found := strings.Cut(string(raw), test.old)
			if !found {
				t.Fatalf("the configuration has no %q:\n%s", test.old, raw)
			}
			if err := os.WriteFile(c.config, []byte(before+test.replacement+after), 0o600); err != nil {
				t.Fatal(err)
			}
			output := c.refused(t)
			wantAll(t, output, c.config, test.field)
			// The line of the key, or one of the next when the fault shows there.
			line := strings.Count(before, "\n") + 1
			where := regexp.MustCompile(regexp.QuoteMeta(filepath.Base(c.config)) + `:(\d+)`).FindStringSubmatch(output)
			if where == nil {
				t.Errorf("the output names no line:\n%s", output)
			} else if !within(where[1], line, line+strings.Count(test.replacement, "\n")+1) {
				t.Errorf("the output names line %s, want %d:\n%s", where[1], line, output)
			}
			if _, err := os.Stat(filepath.Join(c.dir, "data", "causeway.db")); err == nil {
				t.Error("a database was made")
			}
		})
	}
}

func within(number string, low, high int) bool {
	var n int
	_, err := fmt.Sscan(number, &n)
	return err == nil && low <= n && n <= high
}

func TestWrongRegistrationFile(t *testing.T) {
	tests := []struct{ name, old, replacement, field string }{
		{"expression that does not compile", `'@masq_.*`, `'@masq_(`, "namespaces.users"},
		{"no as_token", "as_token: " + asToken, "", "as_token"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := install(t, options{})
			file := filepath.Join(c.dir, "registration", "broken.yaml")
			content := strings.Replace(registrationFile, test.old, test.replacement, 1)
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			wantAll(t, c.refused(t), "broken.yaml", test.field)
		})
	}
}

// TestNewerDatabase starts on a database that claims a later version.
func TestNewerDatabase(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		c := startServer(t, options{database: database})
		c.stop(t)
		driver, source := "pgx", database
		if database == "" {
			driver, source = "sqlite", filepath.Join(c.dir, "data", "causeway.db")
		}
		db, err := sql.Open(driver, source)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("INSERT INTO migrations (number, name, ts) VALUES (9999, 'from the future', 0)"); err != nil {
			t.Fatal(err)
		}
		wantAll(t, c.refused(t), "newer", "9999")
	})
}

// TestSecondProcess starts a second server on the database of a running one.
func TestSecondProcess(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		first := startServer(t, options{database: database})
		second := install(t, options{database: database})
		raw, err := os.ReadFile(second.config)
		if err != nil {
			t.Fatal(err)
		}
		shared := strings.Replace(string(raw), filepath.Join(second.dir, "data"), filepath.Join(first.dir, "data"), 1)
		if err := os.WriteFile(second.config, []byte(shared), 0o600); err != nil {
			t.Fatal(err)
		}
		output := second.refused(t)
		wantAll(t, output, "in use by another process")
		first.awaitServing()
	})
}

func TestUnusableDataDirectory(t *testing.T) {
	tests := []struct {
		name string
		dir  func(t *testing.T, c *causeway) string // makes what is in the way, returns data_dir
	}{
		{"a file in its place", func(t *testing.T, c *causeway) string {
			path := filepath.Join(c.dir, "data")
			if err := os.WriteFile(path, []byte("not a directory"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}},
		{"below a file", func(t *testing.T, c *causeway) string {
			path := filepath.Join(c.dir, "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(path, "data")
		}},
		{"where even root cannot write", func(*testing.T, *causeway) string { return "/proc/causeway-data" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := install(t, options{})
			dir := test.dir(t, c)
			raw, err := os.ReadFile(c.config)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(raw), filepath.Join(c.dir, "data"), dir, 1)
			if err := os.WriteFile(c.config, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			wantAll(t, c.refused(t), dir)
		})
	}
}

var (
	printedAddress = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	printedToken   = regexp.MustCompile(`(?i)token[^\n]*?[:\s]([A-Za-z0-9._~-]{16,64})\b`)
)

// TestFirstStart starts with no argument and no configuration, in an empty
// folder, and registers the first user with the token that was printed.
func TestFirstStart(t *testing.T) {
	c := &causeway{t: t, dir: t.TempDir(), address: freePort(t), binary: causewayBinary}
	command := c.command()
	// 127.0.0.1:8008, the default, may be taken where the tests run.
	command.Env = append(command.Env, "CAUSEWAY_LISTEN="+c.address)
	c.process = startProcess(t, "causeway", command, nil)
	c.awaitListener(t, c.address)
	c.awaitServing()

	printed := c.output.await(t, 0, "registration token in the output", printedToken.MatchString)
	token := printedToken.FindStringSubmatch(printed)[1]
	c.output.await(t, 0, "address in the output", func(line string) bool {
		return printedAddress.FindString(line) == "http://"+c.address
	})
	for _, file := range []string{"causeway.yaml", "causeway.db"} {
		if _, err := os.Stat(filepath.Join(c.dir, "causeway-data", file)); err != nil {
			t.Error(err)
		}
	}

	node := startNode(t)
	if _, err := node.register(account{BaseURL: "http://" + c.address, Username: "notoken", Password: "correct horse"}); err == nil {
		t.Error("an account was made without a token")
	}
	first := account{BaseURL: "http://" + c.address, Username: "operator", Password: "correct horse", Token: token}
	operator, err := node.register(first)
	if err != nil {
		t.Fatalf("register with the printed token: %v", err)
	}
	if want := id.UserID("@operator:localhost"); operator.userID != want {
		t.Errorf("user ID is %s, want %s", operator.userID, want)
	}
	operator.start(talkerLimit)
	if _, err := node.register(account{BaseURL: "http://" + c.address, Username: "second", Password: "correct horse", Token: token}); err == nil {
		t.Error("the token worked twice")
	}
	if _, err := node.login(account{BaseURL: "http://" + c.address, Username: "operator", Password: "correct horse"}); err != nil {
		t.Errorf("login with the new password: %v", err)
	}
	if _, err := node.login(account{BaseURL: "http://" + c.address, Username: "operator", Password: "wrong"}); err == nil {
		t.Error("login with a wrong password worked")
	}
	c.stop(t)
	c.checkAdmin(t, operator.userID, true)
}

// checkAdmin looks up, in the database of a stopped server, whether a user is an
// administrator: no endpoint tells yet.
func (c *causeway) checkAdmin(t *testing.T, user id.UserID, want bool) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(c.dir, "*data", "causeway.db"))
	if err != nil || len(found) != 1 {
		t.Fatalf("databases: %v, %v", found, err)
	}
	db, err := sql.Open("sqlite", found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var got bool
	query := "SELECT admin FROM users JOIN strings ON strings.nid = users.nid WHERE strings.value = ?"
	if err := db.QueryRowContext(t.Context(), query, user).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s is an administrator: %v, want %v", user, got, want)
	}
}

// TestUserCreate makes an account from the command line, on a stopped server.
func TestUserCreate(t *testing.T) {
	c := install(t, options{})
	create := func(args ...string) (int, string) {
		command := c.command(append([]string{"user", "create", "--config", c.config}, args...)...)
		return startProcess(t, "causeway user create", command, nil).awaitExit(t)
	}
	if code, output := create("mary", "--password", c.account("mary").Password, "--admin"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	if code, output := create("mary", "--password", "again"); code == 0 {
		t.Errorf("a second mary was made:\n%s", output)
	}
	c.checkAdmin(t, "@mary:"+serverName, true)
	c.start()
	node := startNode(t)
	mary, err := node.login(c.account("mary"))
	if err != nil {
		t.Fatal(err)
	}
	if want := id.UserID("@mary:" + serverName); mary.userID != want {
		t.Errorf("user ID is %s, want %s", mary.userID, want)
	}
}
