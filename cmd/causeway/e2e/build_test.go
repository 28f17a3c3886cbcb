package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// connectorSource is a connector of bridgev2 as others write them, in a module of its own. Its network echoes nothing: what
// is tested is that it is there, has its configuration, and that its bot answers.
const connectorSource = `package connector

import (
	"context"

	"go.mau.fi/util/configupgrade"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
)

// Config is the network's section.
type Config struct {
	Greeting string ` + "`yaml:\"greeting\"`" + `
}

type ParrotConnector struct {
	br     *bridgev2.Bridge
	Config Config
}

var _ bridgev2.NetworkConnector = (*ParrotConnector)(nil)

func (p *ParrotConnector) Init(br *bridgev2.Bridge) { p.br = br }
func (p *ParrotConnector) Start(context.Context) error {
	if p.Config.Greeting == "die" {
		panic("the parrot is dead")
	}
	p.br.Log.Warn().Str("greeting", p.Config.Greeting).Msg("The parrot is up")
	return nil
}
func (p *ParrotConnector) GetBridgeInfoVersion() (info, capabilities int) { return 1, 1 }
func (p *ParrotConnector) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{DisplayName: "Parrot", NetworkID: "parrot", BeeperBridgeType: "parrot", DefaultPort: 29999}
}
func (p *ParrotConnector) GetDBMetaTypes() database.MetaTypes { return database.MetaTypes{} }
func (p *ParrotConnector) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}
func (p *ParrotConnector) GetConfig() (string, any, configupgrade.Upgrader) {
	return "# What it says first.\ngreeting: hello\n", &p.Config, configupgrade.SimpleUpgrader(func(helper configupgrade.Helper) {
		helper.Copy(configupgrade.Str, "greeting")
	})
}
func (p *ParrotConnector) LoadUserLogin(context.Context, *bridgev2.UserLogin) error { return nil }
func (p *ParrotConnector) GetLoginFlows() []bridgev2.LoginFlow                     { return nil }
func (p *ParrotConnector) CreateLogin(context.Context, *bridgev2.User, string) (bridgev2.LoginProcess, error) {
	return nil, bridgev2.ErrInvalidLoginFlowID
}
`

// writeConnector makes the connector's module, under the licence of most bridges, and returns its folder.
func writeConnector(t *testing.T, mautrix string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":           "module parrot.test/mautrix-parrot\n\ngo 1.26\n\nrequire maunium.net/go/mautrix " + mautrix + "\n",
		"LICENSE":          "                    GNU AFFERO GENERAL PUBLIC LICENSE\n                       Version 3, 19 November 2007\n",
		"pkg/connector.go": connectorSource,
		"main.go":          "package main\n\nfunc main() {}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// build runs the command with which others' networks are put into a program.
func build(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	source, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), causewayBinary, append([]string{"build", "--source", source}, args...)...)
	cmd.Env = append(os.Environ(), "GOPROXY=off") // all that is needed is there: the program under test was built of it
	all, err := cmd.CombinedOutput()
	return string(all), err
}

func TestBuild(t *testing.T) {
	connector := writeConnector(t, "v0.31.0")
	program := filepath.Join(t.TempDir(), "with-parrot")
	output, err := build(t, "--with", "parrot.test/mautrix-parrot="+connector, "--output", program)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	wantAll(t, output, "bridges: {parrot: {enabled: true}}", "the program as a whole is under the AGPL-3.0, because of parrot.test/mautrix-parrot.")
	for _, isolation := range []string{"none", "process"} {
		t.Run("isolation "+isolation, func(t *testing.T) {
			c := installParrot(t, program, isolation, "polly")
			c.start()
			token := c.registerHTTP(t, "mary")
			c.output.await(t, 0, "the connector's start, with its configuration", func(line string) bool {
				return strings.Contains(line, "The parrot is up") && strings.Contains(line, "greeting=polly")
			})
			c.askForHelp(t, token, "@parrot_bot:"+serverName)
		})
	}
	t.Run("crash", func(t *testing.T) {
		c := installParrot(t, program, "process", "die")
		c.start()
		c.output.await(t, 0, "the crash", func(line string) bool {
			return strings.Contains(line, "is started again") && strings.Contains(line, "panic: the parrot is dead")
		})
		if got := c.processOf("parrot"); got.Crashes == 0 || !strings.Contains(got.LastWords, "the parrot is dead") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a key that the connector does not know", func(t *testing.T) {
		c := installParrot(t, program, "none", "x\n      greating: y")
		wantAll(t, c.refused(t), "causeway.yaml:", "bridges.parrot.network.greating: is not a known key of this network")
	})
}

// installParrot is an installation of a program that has the connector.
func installParrot(t *testing.T, program, isolation, greeting string) *causeway {
	t.Helper()
	c := install(t, options{})
	config, err := os.ReadFile(c.config)
	if err == nil {
		config = fmt.Appendf(config, "  parrot:\n    enabled: true\n    isolation: %s\n    permissions: {%s: user}\n    network:\n      greeting: %s\n",
			isolation, serverName, greeting)
		err = os.WriteFile(c.config, config, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.binary = program
	return c
}

// askForHelp has a user ask a bridge's bot for help, and waits for the answer.
func (c *causeway) askForHelp(t *testing.T, token, bot string) {
	t.Helper()
	var room struct {
		RoomID string `json:"room_id"`
	}
	c.do(t, "POST", "/_matrix/client/v3/createRoom", token, map[string]any{"is_direct": true, "preset": "trusted_private_chat", "invite": []string{bot}}).
		decode(t, &room)
	awaitTrue(t, "the bot joins", func() bool {
		return c.do(t, "GET", "/_matrix/client/v3/rooms/"+room.RoomID+"/state/m.room.member/"+bot, token, nil).contains(`"join"`)
	})
	c.do(t, "PUT", "/_matrix/client/v3/rooms/"+room.RoomID+"/send/m.room.message/1", token, map[string]any{"msgtype": "m.text", "body": "help"}).
		decode(t, &struct{}{})
	awaitTrue(t, "the bot answers", func() bool {
		return c.do(t, "GET", "/_matrix/client/v3/rooms/"+room.RoomID+"/messages?dir=b&limit=20", token, nil).contains("list-logins")
	})
}

// contains says whether an answer is good and has a text in it.
func (a answer) contains(text string) bool {
	return a.status == http.StatusOK && strings.Contains(string(a.raw), text)
}

// awaitTrue asks again and again.
func awaitTrue(t *testing.T, what string, is func() bool) {
	t.Helper()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

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
