package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

// pureSQLite is what takes the place of the driver for the example bot's database, which is in C: what mautrix-go makes of that one.
const pureSQLite = `package sqlite3

import (
	"context"
	"database/sql"

	"modernc.org/sqlite"
)

func init() {
	driver := new(sqlite.Driver)
	driver.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, _ string) error {
		_, err := conn.ExecContext(context.Background(), "PRAGMA busy_timeout=5000; PRAGMA foreign_keys=ON; PRAGMA journal_mode=WAL", nil)
		return err
	})
	sql.Register("sqlite3-fk-wal", driver)
}
`

// exampleBot builds the example bot of mautrix-go, as it is in the module, and returns its path.
func exampleBot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program, mod, driver := filepath.Join(dir, "example"), filepath.Join(dir, "go.mod"), filepath.Join(dir, "sqlite3")
	source, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(content))
	}
	if err := os.Mkdir(driver, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(driver, "go.mod"), "module github.com/mattn/go-sqlite3\n\ngo 1.26\n")
	write(t, filepath.Join(driver, "sqlite3.go"), pureSQLite)
	for _, args := range [][]string{
		{"mod", "edit", "-require=github.com/chzyer/readline@v1.5.1", "-replace=github.com/mattn/go-sqlite3=" + driver, mod},
		{"build", "-modfile=" + mod, "-mod=mod", "-tags", "goolm,nocrypto", "-o", program, "maunium.net/go/mautrix/example"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			failedToBuild(t, err, string(out), "github.com/chzyer/readline")
		}
	}
	return program
}

// TestExampleBot has the example bot of mautrix-go, which nobody here has written, talk to IRC through a room that is encrypted between it and
// the bridge.
func TestExampleBot(t *testing.T) {
	program := exampleBot(t)
	irc := startNgircd(t)
	server := startServer(t, options{networks: ircNetwork(network, irc.address), extra: "  encryption: {allow: true, default: true, require: true}\n"})
	ian := connectIRC(t, irc.address, "ian")
	ian.join(channel)
	mary := server.registerHTTP(t, "mary")
	server.registerHTTP(t, "golem")
	golem := server.account("golem")
	bot := startProcess(t, "example bot", exec.Command(program, "-homeserver", server.url(""), "-username", golem.Username,
		"-password", golem.Password, "-database", filepath.Join(t.TempDir(), "golem.db")), nil)
	bot.output.await(t, 0, "the bot's start", func(line string) bool { return strings.Contains(line, "Now running") })

	var joined struct {
		RoomID id.RoomID `json:"room_id"`
	}
	awaitTrue(t, "the room of the channel", func() bool {
		a := server.do(t, "POST", "/_matrix/client/v3/join/"+url.PathEscape(channelAlias(network, channel)), mary, map[string]any{})
		if a.status == 200 {
			a.decode(t, &joined)
		}
		return joined.RoomID != ""
	})
	room := "/_matrix/client/v3/rooms/" + url.PathEscape(string(joined.RoomID))
	botID := "@" + golem.Username + ":" + serverName
	server.do(t, "POST", room+"/invite", mary, map[string]any{"user_id": botID}).decode(t, &struct{}{})
	puppet := ian.awaitPuppet(0, "golem")
	bot.output.await(t, 0, "that it has joined", func(line string) bool { return strings.Contains(line, "Joined room after invite") })

	ian.say(channel, "do you hear me?")
	bot.output.await(t, 0, "what ian says", func(line string) bool {
		return strings.Contains(line, "Received message") && strings.Contains(line, `"do you hear me?"`)
	})
	for n := range 3 {
		text := fmt.Sprint("line ", n)
		if _, err := fmt.Fprintln(bot.stdin, text); err != nil {
			t.Fatal(errors.Join(err, bot.exit))
		}
		ian.awaitFrom(0, puppet, "PRIVMSG", channel, text)
	}
	var page struct {
		Chunk []struct {
			Type, Sender string
		}
	}
	server.do(t, "GET", room+"/messages?dir=b&limit=100", mary, nil).decode(t, &page)
	encrypted := map[string]int{}
	for _, e := range page.Chunk {
		switch e.Type {
		case "m.room.message":
			t.Errorf("%s has said something that is not encrypted", e.Sender)
		case "m.room.encrypted":
			encrypted[e.Sender]++
		}
	}
	if encrypted[botID] != 3 || encrypted[string(ghost("ian"))] != 1 {
		t.Errorf("got %v encrypted messages, want 3 of the bot and 1 of ian", encrypted)
	}
}
