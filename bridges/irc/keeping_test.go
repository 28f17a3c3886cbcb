package irc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
	"causeway/bridges/irc/holder"
)

// holderEnv makes the test's binary a holder.
const holderEnv = "CAUSEWAY_TEST_HOLDER"

func TestMain(m *testing.M) {
	socket := os.Getenv(holderEnv)
	if socket == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := RunHolder(ctx, socket, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// keep is a configuration that hands connections over.
func keep(address string) Config {
	return Config{Handover: time.Minute, Networks: map[string]NetworkConfig{"net": testNetwork(address)}}
}

// holderOf runs the test's binary as a holder.
func holderOf(socket string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = []string{holderEnv + "=" + socket}
	return cmd
}

// startKept is startConfig with a holder.
func startKept(t *testing.T, hs *bridgetest.Homeserver, dir string, cfg Config) *world {
	t.Helper()
	t.Cleanup(func() {
		if err := (&holder.Dialer{Path: holder.SocketIn(dir)}).End(context.Background(), "the test ends"); err != nil {
			t.Error(err)
		}
	})
	return startHolding(t, hs, dir, cfg, holderOf)
}

// puppets lets some people enter a channel, and waits until carol has seen them.
func (w *world) puppets(room string, carol *bridgetest.IRCClient, count int) (users []id.UserID, matrix id.RoomID) {
	w.t.Helper()
	for i := range count {
		user := w.hs.User(fmt.Sprintf("p%d", i))
		matrix = w.join(user, room)
		users = append(users, user)
	}
	for i := range count {
		carol.AwaitCommand("JOIN", fmt.Sprintf("p%d", i), room)
	}
	return users, matrix
}

// Twenty people talk while the bridge is stopped and started: nobody on IRC sees anybody quit or come, and every line comes
// once and in order, both ways.
func TestUpgrade(t *testing.T) {
	const count, rounds, restarts = 20, 4, 3
	ircd := bridgetest.StartNGIRCd(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := startKept(t, hs, dir, keep(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#talk")
	users, room := w.puppets("#talk", carol, count)
	hs.AwaitAcknowledged()
	came := len(carol.Lines(cameOrQuit))

	said, want := 0, map[string][]string{}
	talk := func(matrix bool) {
		for range rounds {
			carol.Say("#talk", fmt.Sprintf("carol %d", said))
			for i, user := range users {
				if text := fmt.Sprintf("%d of %d", said, i); matrix {
					hs.Say(user, room, text)
					nick := fmt.Sprintf("p%d", i)
					want[nick] = append(want[nick], text)
				}
			}
			said++
		}
	}
	talk(true)
	for range restarts {
		talk(true)
		w.stop()
		talk(false)
		w = startHolding(t, hs, dir, keep(ircd.Address), holderOf)
		talk(true)
	}
	hs.AwaitAcknowledged()
	hs.Await("carol's lines", func() bool { return len(w.fromIRC(room)) >= said })
	w.checkCounted(room, "carol", said)
	for nick, lines := range want {
		heard := carol.AwaitCount("lines of "+nick, len(lines), bridgetest.Said("#talk", nick))
		if got := bridgetest.Texts(heard); !slices.Equal(got, lines) {
			t.Errorf("lines of %s: %s", nick, firstDifference(got, lines))
		}
	}
	if got := carol.Lines(cameOrQuit)[came:]; len(got) > 0 {
		t.Errorf("on IRC was seen %v", got)
	}
	for _, user := range hs.Joined(room) {
		if strings.HasPrefix(string(user), "@irc_net_p") {
			t.Errorf("got ghost %s of one of our own", user)
		}
	}
}

func cameOrQuit(m ircmsg.Message) bool {
	return slices.Contains([]string{"JOIN", "PART", "QUIT", "NICK"}, m.Command)
}

// startHolding is startWith with a holder.
func startHolding(t *testing.T, hs *bridgetest.Homeserver, dir string, cfg Config, command func(string) *exec.Cmd) *world {
	t.Helper()
	conn, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetHolder(command)
	return startConnector(t, hs, dir, conn, zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel))
}

// Connections whose people have left meanwhile end, and so do those that nobody takes up.
func TestUpgradeUnwanted(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := startKept(t, hs, dir, keep(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#a")
	carol.Join("#b")
	users, _ := w.puppets("#a", carol, 2)
	b := w.join(users[0], "#b")
	carol.AwaitCommand("JOIN", "p0", "#b")
	hs.AwaitAcknowledged()
	w.stop()
	hs.SetMember(users[0], b, users[0], "leave", "")
	startHolding(t, hs, dir, keep(ircd.Address), holderOf)
	carol.AwaitCommand("PART", "p0", "#b")
}
