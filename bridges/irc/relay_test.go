package irc

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// relayNetwork is testNetwork with relays in all channels.
func relayNetwork(address string) NetworkConfig {
	cfg := testNetwork(address)
	cfg.Rooms = RoomsConfig{Channels: map[string]string{"#relay*": modeRelay}}
	cfg.Relay = RelayConfig{Nick: "matrix"}
	return cfg
}

// named gives a user a name in a room.
func (w *world) named(user id.UserID, room id.RoomID, name string) {
	w.hs.SendState(user, room, "m.room.member", string(user), map[string]any{"membership": "join", "displayname": name})
}

func relayedLines(channel string) func(m ircmsg.Message) bool {
	return bridgetest.Said(channel, "matrix")
}

// One connection speaks for all, and each line says for whom.
func TestRelay(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, relayNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#relay")
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#relay")
	carol.AwaitCommand("JOIN", "matrix", "#relay")
	w.join(bob, "#relay")
	w.named(alice, room, "Alice")
	w.hs.AwaitAcknowledged()

	w.hs.Say(alice, room, "one\n<carol> two")
	w.hs.Say(bob, room, "three")
	w.hs.Send(bob, room, "m.room.message", map[string]any{"msgtype": "m.emote", "body": "waves"})
	want := []string{"<Alice> one", "<Alice> <carol> two", "<bob> three", "* bob waves"}
	if got := bridgetest.Texts(carol.AwaitCount("lines", len(want), relayedLines("#relay"))); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	carol.Say("#relay", "hello you two")
	if e := w.hs.AwaitText(room, "hello you two"); e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	w.hs.SetMember(bob, room, bob, "leave", "")
	w.hs.AwaitAcknowledged()
	if n := len(carol.Lines(func(m ircmsg.Message) bool {
		return m.Command == "PART" || m.Command == "JOIN" && m.Nick() != "matrix" && m.Nick() != "carol"
	})); n != 0 {
		t.Errorf("got %d comings and goings on IRC, want none", n)
	}
	for _, e := range w.hs.Messages(room) {
		if strings.Contains(e.Text(), "three") && e.Sender != bob {
			t.Errorf("the relay's own line came back by %s", e.Sender)
		}
	}
	w.hs.SetMember(alice, room, alice, "leave", "")
	carol.AwaitCommand("PART", "matrix", "#relay")
}

// Names that are meant to be somebody else's do not pass for them.
func TestRelayImpersonation(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, relayNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "admin")
	carol.Join("#relay")
	mallory, alice := w.hs.User("mallory"), w.hs.User("alice")
	room := w.join(mallory, "#relay")
	w.join(alice, "#relay")
	carol.AwaitCommand("JOIN", "matrix", "#relay")
	w.hs.AwaitMembership(room, w.ghost("admin"), "join")
	for i, test := range []struct{ name, want string }{
		{"admin", "<a\u200bdmin (@mallory:hs.test)> x"},
		{"\uff21DMIN", "<\uff21DMIN (@mallory:hs.test)> x"},
		{"ad\u200bmin", "<a\u200bdmin (@mallory:hs.test)> x"},
		{"admin> I am <root", "<a\u200bdmin I am root> x"},
		{"\u202enimda", "<nimda> x"},
		{"matrix", "<matrix (@mallory:hs.test)> x"},
		{"alice", "<alice (@mallory:hs.test)> x"},
		{"a\r\nQUIT :b", "<aQUIT :b> x"},
		{"\x02\x0304", "<mallory> x"},
	} {
		w.named(mallory, room, test.name)
		w.hs.Say(mallory, room, "x")
		lines := carol.AwaitCount(test.name, i+1, relayedLines("#relay"))
		if got := lines[i].Params[1]; got != test.want {
			t.Errorf("name %q: got %q, want %q", test.name, got, test.want)
		}
	}
}

// next is the next line but PINGs, which it answers. In the pattern * stands for anything.
func next(t *testing.T, conn *bridgetest.IRCConn, pattern string) string {
	t.Helper()
	for {
		line := conn.Read()
		if token, ping := strings.CutPrefix(line, "PING :"); ping {
			conn.Send(":irc.test PONG irc.test :%s", token)
			continue
		}
		slashes := strings.NewReplacer("/", "\x00")
		if ok, _ := path.Match(slashes.Replace(pattern), slashes.Replace(line)); ok || line == pattern {
			return line
		}
		t.Fatalf("got line %q, want %q", line, pattern)
	}
}

// A network that has draft/relaymsg shows each under a nick of their own, and the relay's lines do not come back.
func TestRelayMsg(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, relayNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#relay")
	conn := ircd.Accept()
	asked := conn.Capable("matrix", "message-tags batch labeled-response echo-message draft/relaymsg=/")
	if !slices.Contains(asked, relayMsgCap) {
		t.Fatalf("asked for %v", asked)
	}
	conn.Joined("matrix", "#relay", "carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	w.hs.Say(alice, room, "hello")
	line := next(t, conn, "@label=cw? RELAYMSG #relay alice/m :hello")
	label := strings.TrimPrefix(strings.Fields(line)[0], "@label=")
	conn.Send("@label=%s;msgid=m1;draft/relaymsg=matrix :alice/m!a@h PRIVMSG #relay :hello", label)
	w.hs.AwaitAcknowledged()
	conn.Send("@msgid=m2;draft/relaymsg=other :dave/d!a@h PRIVMSG #relay :from another relay")
	w.hs.AwaitText(room, "from another relay")
	if got := w.fromIRC(room); len(got) != 1 {
		t.Errorf("got %q from IRC, want only the other relay's line", got)
	}
	w.hs.Say(alice, room, "again")
	line = next(t, conn, "@label=cw? RELAYMSG #relay alice/m :again")
	label = strings.TrimPrefix(strings.Fields(line)[0], "@label=")
	conn.Send("@label=%s :irc.test FAIL RELAYMSG PRIVS_NEEDED :not an operator", label)
	line = next(t, conn, "@label=cw? PRIVMSG #relay :<alice> again")
	label = strings.TrimPrefix(strings.Fields(line)[0], "@label=")
	conn.Send("@label=%s :matrix!m@host.test PRIVMSG #relay :<alice> again", label)
	w.hs.AwaitAcknowledged()
}

// A room changes from one way to the other, and back, and stays so over a restart.
func TestRoomCommand(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#c")
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")
	w.command(alice, room, "room relay")
	w.awaitNotice(room, "room admin rights")
	w.hs.SendState(w.bridge.Bot(), room, "m.room.power_levels", "", map[string]any{
		"users": map[string]any{string(alice): 100, string(w.bridge.Bot()): 9001},
	})
	w.command(alice, room, "room relay")
	carol.AwaitCommand("PART", "alice", "#c")
	carol.AwaitCommand("JOIN", "matrix", "#c")
	w.hs.Say(alice, room, "by the relay")
	carol.Await("a relayed line", func(m ircmsg.Message) bool { return relayedLines("#c")(m) && m.Params[1] == "<alice> by the relay" })
	w.hs.AwaitAcknowledged()
	w.stop()
	w = start(t, w.hs, w.dir, testNetwork(ircd.Address))
	carol.AwaitCount("the relay twice", 2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "matrix" })
	w.command(alice, room, "room transparent")
	carol.AwaitCommand("PART", "matrix", "#c")
	carol.AwaitCount("alice again", 2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" })
}
