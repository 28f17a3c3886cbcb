package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// connectorSource is a connector of bridgev2 as others write them, in a module of its own. Its network echoes nothing: what
// is tested is that it is there, has its configuration, that its bot answers, and that a chat with a history is imported.
const connectorSource = `package connector

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/util/configupgrade"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
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
func (p *ParrotConnector) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	login.Client = &cage{login}
	return nil
}
func (p *ParrotConnector) GetLoginFlows() []bridgev2.LoginFlow { return []bridgev2.LoginFlow{{ID: "seed", Name: "Seed"}} }
func (p *ParrotConnector) CreateLogin(_ context.Context, user *bridgev2.User, _ string) (bridgev2.LoginProcess, error) {
	return &seed{user}, nil
}

type seed struct{ user *bridgev2.User }

func (s *seed) Cancel() {}
func (s *seed) Start(ctx context.Context) (*bridgev2.LoginStep, error) {
	login, err := s.user.NewLogin(ctx, &database.UserLogin{ID: "polly", RemoteName: "Polly"}, nil)
	if err != nil {
		return nil, err
	}
	login.Client.Connect(ctx)
	return &bridgev2.LoginStep{Type: bridgev2.LoginStepTypeComplete, StepID: "done", Instructions: "fed",
		CompleteParams: &bridgev2.LoginCompleteParams{UserLoginID: login.ID, UserLogin: login}}, nil
}

// cage is a login that sees one chat, in which a parrot has counted to 300.
type cage struct{ login *bridgev2.UserLogin }

func (c *cage) Connect(context.Context) {
	go c.login.QueueRemoteEvent(&simplevent.ChatResync{
		EventMeta:       simplevent.EventMeta{Type: bridgev2.RemoteEventChatResync, PortalKey: networkid.PortalKey{ID: "cage"}, CreatePortal: true},
		LatestMessageTS: time.UnixMilli(1_700_000_300_000),
	})
}
func (c *cage) Disconnect()                                       {}
func (c *cage) IsLoggedIn() bool                                  { return true }
func (c *cage) LogoutRemote(context.Context)                      {}
func (c *cage) IsThisUser(context.Context, networkid.UserID) bool { return false }
func (c *cage) GetCapabilities(context.Context, *bridgev2.Portal) *event.RoomFeatures {
	return &event.RoomFeatures{ID: "parrot.1"}
}
func (c *cage) GetChatInfo(context.Context, *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	me := bridgev2.ChatMember{EventSender: bridgev2.EventSender{IsFromMe: true, SenderLogin: c.login.ID}}
	return &bridgev2.ChatInfo{CanBackfill: true, Members: &bridgev2.ChatMemberList{Members: []bridgev2.ChatMember{me}}}, nil
}
func (c *cage) GetUserInfo(_ context.Context, ghost *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	name := string(ghost.ID)
	return &bridgev2.UserInfo{Name: &name}, nil
}
func (c *cage) HandleMatrixMessage(context.Context, *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	return nil, bridgev2.ErrUnsupportedMessageType
}
func (c *cage) FetchMessages(context.Context, bridgev2.FetchMessagesParams) (*bridgev2.FetchMessagesResponse, error) {
	var said []*bridgev2.BackfillMessage
	for n := range 300 {
		said = append(said, &bridgev2.BackfillMessage{
			ID: networkid.MessageID(fmt.Sprint(n)), Sender: bridgev2.EventSender{Sender: "polly"}, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(n)*1000),
			ConvertedMessage: &bridgev2.ConvertedMessage{Parts: []*bridgev2.ConvertedMessagePart{{
				Type: event.EventMessage, Content: &event.MessageEventContent{MsgType: event.MsgText, Body: fmt.Sprint("squawk ", n)},
			}}},
		})
	}
	return &bridgev2.FetchMessagesResponse{Messages: said, Forward: true}, nil
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
	return buildWith(t, []string{"GOPROXY=off"}, args...) // all that is needed is there: the program under test was built of it
}

// buildWith is build with more environment.
func buildWith(t *testing.T, env []string, args ...string) (output string, err error) {
	t.Helper()
	source, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), causewayBinary, append([]string{"build", "--source", source}, args...)...)
	cmd.Env = append(os.Environ(), env...)
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
	t.Run("history, with the process killed in the middle", func(t *testing.T) { importsAndDies(t, program) })
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
		config = fmt.Appendf(config, "  backfill: {initial: 300}\n  parrot:\n    enabled: true\n    isolation: %s\n    permissions: {%s: user}\n    network:\n      greeting: %s\n",
			isolation, serverName, greeting)
		err = os.WriteFile(c.config, config, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.binary = program
	return c
}

// askForHelp has a user ask a bridge's bot for help, in a room that it returns, and waits for the answer.
func (c *causeway) askForHelp(t *testing.T, token, bot string) (roomID string) {
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
	return room.RoomID
}

// importsAndDies has a bridge in a process of its own import a history, and kills it as soon as the chat's room is there.
func importsAndDies(t *testing.T, program string) {
	c := installParrot(t, program, "process", "polly")
	c.start()
	token := c.registerHTTP(t, "mary")
	c.askForHelp(t, token, "@parrot_bot:"+serverName)
	var synced struct {
		Rooms struct {
			Join   map[string]any
			Invite map[string]any
		}
	}
	c.do(t, "GET", "/_matrix/client/v3/sync", token, nil).decode(t, &synced)
	for room := range synced.Rooms.Join {
		c.do(t, "PUT", "/_matrix/client/v3/rooms/"+room+"/send/m.room.message/2", token, map[string]any{"msgtype": "m.text", "body": "login"}).
			decode(t, &struct{}{})
	}
	pid := c.processOf("parrot").PID
	awaitTrue(t, "the room of the chat", func() bool {
		c.do(t, "GET", "/_matrix/client/v3/sync", token, nil).decode(t, &synced)
		return len(synced.Rooms.Invite) == 1
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for room := range synced.Rooms.Invite {
		c.do(t, "POST", "/_matrix/client/v3/rooms/"+room+"/join", token, map[string]any{}).decode(t, &struct{}{})
		said := func() (texts []string) {
			var page struct {
				Chunk []struct {
					TS      int64 `json:"origin_server_ts"`
					Content struct{ Body string }
				}
			}
			c.do(t, "GET", "/_matrix/client/v3/rooms/"+room+"/messages?dir=f&limit=1000&filter="+url.QueryEscape(`{"types":["m.room.message"]}`), token, nil).decode(t, &page)
			for n, e := range page.Chunk {
				if e.TS == 1_700_000_000_000+int64(n)*1000 && e.Content.Body == fmt.Sprint("squawk ", n) {
					texts = append(texts, e.Content.Body)
				}
			}
			if len(texts) != len(page.Chunk) {
				t.Fatalf("of %d messages %d are in their places: %v", len(page.Chunk), len(texts), page.Chunk)
			}
			return texts
		}
		awaitTrue(t, "all of the history", func() bool { return len(said()) == 300 })
	}
	if got := c.processOf("parrot"); got.PID == pid {
		t.Errorf("the bridge was not killed: %+v", got)
	}
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
