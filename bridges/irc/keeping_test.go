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
	stopHolder(t, dir)
	return startHolding(t, hs, dir, cfg, holderOf)
}

// stopHolder has the holder end with the test: it is nobody's child.
func stopHolder(t *testing.T, dir string) {
	t.Cleanup(func() {
		if err := (&holder.Dialer{Path: holder.SocketIn(dir)}).End(context.Background(), "the test ends"); err != nil {
			t.Error(err)
		}
	})
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

// A conversation goes on, with what was said meanwhile once, also by somebody who had never written before.
func TestUpgradeConversation(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := startKept(t, hs, dir, keep(ircd.Address))
	carol, dave := bridgetest.DialIRC(t, ircd.Address, "carol"), bridgetest.DialIRC(t, ircd.Address, "dave")
	carol.Join("#talk")
	users, _ := w.puppets("#talk", carol, 1)
	carol.Say("p0", "before")
	room := w.ownRoom(users[0], "carol")
	w.enter(users[0], room)
	hs.AwaitText(room, "before")
	w.stop()
	carol.Say("p0", "meanwhile")
	dave.Say("p0", "hello")
	w = startHolding(t, hs, dir, keep(ircd.Address), holderOf)
	hs.AwaitText(room, "meanwhile")
	hs.AwaitText(w.ownRoom(users[0], "dave"), "hello")
	carol.Say("p0", "after")
	hs.AwaitText(room, "after")
	hs.Say(users[0], room, "an answer")
	carol.Await("the answer", saidTo("carol", "p0"))
	if got, want := w.fromIRC(room), []string{"carol: before", "carol: meanwhile", "carol: after"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
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

// When the holder is killed, connections are made anew as after any break, by a new holder.
func TestHolderKilled(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	holders := make(chan *exec.Cmd, 10)
	stopHolder(t, dir)
	w := startHolding(t, hs, dir, keep(ircd.Address), func(socket string) *exec.Cmd {
		cmd := holderOf(socket)
		holders <- cmd
		return cmd
	})
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#talk")
	users, room := w.puppets("#talk", carol, 2)
	hs.AwaitAcknowledged()
	if err := (<-holders).Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for i := range users {
		nick := fmt.Sprintf("p%d", i)
		carol.AwaitCommand("QUIT", nick, "")
		carol.AwaitCount(nick+" again", 2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == nick })
	}
	hs.Say(users[0], room, "back")
	carol.Await("a line", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == "back" })
	carol.Say("#talk", "welcome")
	hs.AwaitText(room, "welcome")
	if len(holders) != 1 {
		t.Errorf("got %d new holders, want 1", len(holders))
	}
}

// Who is started without handover has those say goodbye that were left.
func TestHandoverOff(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := startKept(t, hs, dir, keep(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#talk")
	w.puppets("#talk", carol, 1)
	hs.AwaitAcknowledged()
	w.stop()
	start(t, hs, dir, testNetwork(ircd.Address))
	carol.AwaitCommand("QUIT", "p0", "")
	carol.AwaitCount("the puppet again", 2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "p0" })
	if got, err := (&holder.Dialer{Path: holder.SocketIn(dir)}).List(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v, want nothing held", got, err)
	}
}

// Labels, echoes, identities, texts of several lines and accounts of an IRCv3 server go on over a restart, and its
// history, which would tell everything again, is not asked for.
func TestUpgradeIRCv3(t *testing.T) {
	const rounds = 5
	ircd := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	cfg := keep(ircd.Address)
	n := cfg.Networks["net"]
	n.Casemapping = ASCII
	cfg.Networks["net"] = n
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := startKept(t, hs, dir, cfg)
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#talk")
	users, room := w.puppets("#talk", carol, 3)
	hs.AwaitAcknowledged()
	came := len(carol.Lines(cameOrQuit))
	said := 0
	var want []string
	talk := func() {
		for range rounds {
			carol.Say("#talk", fmt.Sprintf("carol %d", said))
			text := fmt.Sprintf("p0 %d", said)
			hs.Say(users[0], room, text+"\nand more")
			want = append(want, text, "and more")
			said++
		}
	}
	for range 3 {
		talk()
		w.stop()
		carol.Say("#talk", fmt.Sprintf("carol %d", said))
		said++
		w = startHolding(t, hs, dir, cfg, holderOf)
		talk()
	}
	hs.AwaitAcknowledged()
	hs.Await("the lines of carol", func() bool { return len(w.fromIRC(room)) >= said })
	w.checkCounted(room, "carol", said)
	got := bridgetest.Texts(carol.AwaitCount("lines of p0", len(want), bridgetest.Said("#talk", "p0")))
	if !slices.Equal(got, want) {
		t.Errorf("lines of p0: %s", firstDifference(got, want))
	}
	if got := carol.Lines(cameOrQuit)[came:]; len(got) > 0 {
		t.Errorf("on IRC was seen %v", got)
	}
}
