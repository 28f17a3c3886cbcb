package irc

import (
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// A channel that gets another name keeps its room, with both aliases, for all of us.
func TestRename(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice, bob := hs.User("alice"), hs.User("bob")
	room := w.join(alice, "#old")
	a := ircd.Accept()
	a.Capable("alice", "draft/channel-rename")
	a.Joined("alice", "#old", "carol")
	w.join(bob, "#old")
	b := ircd.Accept()
	b.Capable("bob", "draft/channel-rename")
	b.Expect("JOIN #old")
	a.Send(":bob!bob@host.test JOIN #old")
	b.Enter("bob", "#old", "alice carol")
	hs.AwaitAcknowledged()
	both := func(line string) {
		a.Send("%s", line)
		b.Send("%s", line)
	}
	both(":carol!c@h PRIVMSG #old :before")
	both(":carol!c@h RENAME #old #new :better")
	both(":carol!c@h PRIVMSG #new :after")
	if e := hs.AwaitText(room, "after"); e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	hs.Await("name", func() bool { return hs.State(room, "m.room.name", "").Content["name"] == "#new" })
	hs.Await("alias", func() bool {
		return hs.State(room, "m.room.canonical_alias", "").Content["alias"] == "#irc_net_#new:hs.test"
	})
	if got := w.join(bob, "#old"); got != room {
		t.Errorf("the old alias leads to %s, want %s", got, room)
	}
	if got := w.join(bob, "#new"); got != room {
		t.Errorf("the new alias leads to %s, want %s", got, room)
	}
	hs.Say(bob, room, "hello")
	b.Expect("PRIVMSG #new :hello")
	b.Pong()
	hs.AwaitAcknowledged()
	a.Close()
	both2 := func(line string) { b.Send("%s", line) }
	both2(":carol!c@h PRIVMSG #new :for the successor")
	hs.AwaitText(room, "for the successor")
	a = ircd.Accept() // alice comes back, and is not to be taken for who comes after the restart
	w.stop()
	a.Close()
	b.Close()

	start(t, hs, dir, testNetwork(ircd.Address))
	for range 2 {
		conn := ircd.Accept()
		conn.Expect("CAP LS 302")
		nick := conn.Read()[len("NICK "):]
		conn.Expect("USER *")
		conn.Greet(nick)
		conn.Joined(nick, "#new", "")
	}
}

// The topic that a channel has is set by who has set it, then, if they are there.
func TestTopicOfBefore(t *testing.T) {
	for _, test := range []struct{ name, who, want string }{
		{"there", "carol!c@h 1700000000", "@irc_net_carol:hs.test"},
		{"gone", "dave 1700000000", "@irc_bot:hs.test"},
		{"nonsense", "dave x", "@irc_bot:hs.test"},
		{"future", "carol 99999999999", "@irc_bot:hs.test"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ircd := bridgetest.NewIRCServer(t)
			w := startNew(t, testNetwork(ircd.Address))
			room := w.join(w.hs.User("alice"), "#c")
			conn := ircd.Accept()
			conn.Welcome("alice")
			conn.Expect("JOIN #c")
			conn.Send(":alice!alice@host.test JOIN #c")
			conn.Send(":irc.test 332 alice #c :Welcome")
			conn.Send(":irc.test 333 alice #c " + test.who)
			conn.Send(":irc.test 353 alice = #c :alice @carol")
			conn.Send(":irc.test 366 alice #c :End")
			e := w.hs.AwaitEvent("topic", func(e *bridgetest.Event) bool {
				return e.Room == room && e.Type == "m.room.topic" && e.Content["topic"] == "Welcome"
			})
			if e.Sender != id.UserID(test.want) {
				t.Errorf("got sender %s, want %s", e.Sender, test.want)
			}
			if old := time.Since(time.UnixMilli(e.TS)) > time.Hour; old != (test.name == "there" || test.name == "gone") {
				t.Errorf("got time %v", time.UnixMilli(e.TS))
			}
			conn.Send(":irc.test 331 alice #c :No topic is set")
			w.hs.Await("no topic", func() bool { return w.hs.State(room, "m.room.topic", "").Content["topic"] == "" })
		})
	}
}
