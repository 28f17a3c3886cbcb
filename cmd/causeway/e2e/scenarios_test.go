package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// gopher builds the client of mautrix-go that takes part in the scenarios, and returns its path.
func gopher(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "gopher")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "goolm,nocrypto", "-o", program, "causeway/cmd/causeway/e2e/gopher")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gopher: %v\n%s", err, out)
	}
	return program
}

// registerService adds the registration of the application service that takes part in the scenarios (testdata/scenarios/services.mjs), which is
// yet to listen, as somebody does who has a bot. It returns it in JSON.
func (c *causeway) registerService(t *testing.T) string {
	t.Helper()
	file := filepath.Join(c.dir, "registration", "bots.yaml")
	// matrix-bot-sdk logs its users in.
	out, err := c.command("registration", "generate", "bots", "--url", "http://"+freePort(t), "--user", "@bot_.*:"+serverName, "--alias", "#bot_.*:"+serverName,
		"--protocol", "bots", "--e2ee", "--devices-by-login", "--out", file).CombinedOutput()
	if err != nil {
		t.Fatalf("registration generate: %v\n%s", err, out)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var registration map[string]any
	if err := yaml.Unmarshal(content, &registration); err != nil {
		t.Fatal(err)
	}
	return string(encode(t, registration))
}

// TestScenarios has matrix-js-sdk do what people do with a client (testdata/scenarios): each scenario is a test of its own.
// CAUSEWAY_TEST_SCENARIO names a part of a name to run those alone.
func TestScenarios(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		server := install(t, options{database: database, guests: true})
		service := server.registerService(t)
		server.start()
		server.runNode(t, []string{"CAUSEWAY_TEST_GOPHER=" + gopher(t), "CAUSEWAY_TEST_SERVICE=" + service}, "scenarios/main.mjs", server.url(""), os.Getenv("CAUSEWAY_TEST_SCENARIO"))
	})
}

// maxAsked is how many requests of the people of a scenario are shown when it fails.
const maxAsked = 200

// asked shows the last requests of people, as the server has logged them: after a scenario that fails, others go on.
func (c *causeway) asked(people []string) string {
	var lines []string
	for _, line := range c.output.all() {
		if slices.ContainsFunc(people, func(user string) bool { return strings.HasSuffix(line, "user_id="+user) }) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-maxAsked):], "\n")
}

// runNode runs a script of testdata, about this server, in Node.js with more environment. Each line that it prints is the result of a test.
func (c *causeway) runNode(t *testing.T, env []string, args ...string) {
	t.Helper()
	node, err := filepath.Abs(filepath.Join("testdata", "node_modules", nodePackages[runtime.GOARCH], "bin", "node"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, args...)
	cmd.Dir = "testdata"
	cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(t.TempDir(), "node.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for lines := bufio.NewScanner(out); lines.Scan(); ran++ {
		var result struct {
			Name, Error, Skip string
			People            []string
		}
		if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
			t.Fatalf("%s printed %q: %v", args[0], lines.Text(), err)
		}
		t.Run(result.Name, func(t *testing.T) {
			if result.Skip != "" {
				t.Skip(result.Skip)
			}
			if result.Error != "" {
				t.Errorf("%s\n%s", result.Error, c.asked(result.People))
			}
		})
	}
	if err := cmd.Wait(); err != nil || ran == 0 {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("%s: %d tests ran: %v\n… %s", args[0], ran, err, text[max(0, len(text)-4000):])
	}
}
