package irc

import (
	"slices"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"

	"causeway/bridges/bridgetest"
)

// A room of one's own has what was said in our absence, and what was said from it once; after one has left, nothing.
func TestOwnCatchUp(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryPage: 7})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	alice := hs.User("alice")
	chat := w.private(alice)
	w.command(alice, chat, "join net #c")
	room := w.ownRoom(alice, "#c")
	w.enter(alice, room)
	carol.AwaitCommand("JOIN", "alice", "#c")
	public := w.join(hs.User("bob"), "#c")
	carol.AwaitCommand("JOIN", "bob", "#c")
	sayNumbers(s, "carol", 0, 5)
	w.checkFromIRC(room, numbers("carol", 0, 5))
	hs.Say(alice, room, "mine\nand more")
	s.AwaitSaid(t, "#c", "alice", 2)
	hs.AwaitAcknowledged()
	hs.AwaitText(public, "mine\nand more")

	w.stop()
	carol.AwaitAbsent("alice")
	sayNumbers(s, "carol", 5, 25)
	w = start(t, hs, dir, testNetwork(s.Address))
	carol.AwaitOccupant("#c", "alice")
	sayNumbers(s, "carol", 25, 30)
	w.checkFromIRC(room, numbers("carol", 0, 30))

	// The confirmation of a line is lost with the process.
	s.Delay(time.Hour)
	hs.Say(alice, room, "mine")
	s.AwaitSaid(t, "#c", "alice", 3)
	w.stop()
	s.Delay(0)
	w = start(t, hs, dir, testNetwork(s.Address))
	hs.AwaitAcknowledged()
	sayNumbers(s, "carol", 30, 31)
	w.checkFromIRC(room, numbers("carol", 0, 31))
	if got, want := s.Said("#c", "alice"), []string{"mine", "and more", "mine"}; !slices.Equal(got, want) {
		t.Errorf("got %q on IRC, want %q", got, want)
	}

	dave := bridgetest.DialIRC(t, s.Address, "dave") // carol hears nothing any more
	dave.Join("#c")
	w.command(alice, chat, "part net #c")
	dave.Await("departure", func(m ircmsg.Message) bool {
		return m.Nick() == "alice" && (m.Command == "PART" || m.Command == "QUIT")
	})
	hs.AwaitMembership(room, alice, "leave")
	hs.AwaitAcknowledged()
	sayNumbers(s, "carol", 31, 32)
	s.AwaitSaid(t, "#c", "carol", 32)
	w.command(alice, chat, "join net #c")
	dave.AwaitCommand("JOIN", "alice", "#c")
	sayNumbers(s, "carol", 32, 33)
	w.checkFromIRC(w.ownRoom(alice, "#c"), []string{"carol: 32"})
}

// What another client of one's own has said meanwhile is shown as theirs, once; others of us are ghosts there.
func TestOwnPast(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	w.command(alice, w.private(alice), "join net #own")
	const caps = "message-tags batch server-time echo-message draft/chathistory"
	conn := ircd.Accept()
	conn.Capable("alice", caps)
	conn.Joined("alice", "#own", "carol")
	room := w.ownRoom(alice, "#own")
	w.enter(alice, room)
	w.hs.Say(alice, room, "from here")
	next(t, conn, "PRIVMSG #own :from here")
	conn.Send("@msgid=e1;" + at(0) + " :alice!alice@host.test PRIVMSG #own :from here")
	conn.Pong()
	w.hs.AwaitAcknowledged()
	conn.Send("@msgid=e2;" + at(0) + " :carol!c@h PRIVMSG #own :hello")
	w.hs.AwaitText(room, "hello")
	conn.Close()

	conn = ircd.Accept()
	conn.Capable("alice", caps)
	conn.Joined("alice", "#own", "carol")
	conn.Expect("CHATHISTORY AFTER #own msgid=e2 100")
	conn.Send(":s BATCH +x chathistory #own")
	conn.Send("@batch=x;msgid=e1;" + at(0) + " :alice!alice@host.test PRIVMSG #own :from here")
	conn.Send("@batch=x;msgid=e3;" + at(0) + " :alice!alice@host.test PRIVMSG #own :from my telephone")
	conn.Send("@batch=x;msgid=e4;" + at(0) + " :bob!bob@host.test PRIVMSG #own :from bob")
	conn.Send("@batch=x;msgid=e3;" + at(0) + " :alice!alice@host.test PRIVMSG #own :from my telephone")
	conn.Send(":s BATCH -x")
	conn.Expect("CHATHISTORY AFTER #own msgid=e4 100")
	conn.Send(":s BATCH +y chathistory #own")
	conn.Send(":s BATCH -y")
	conn.Send("@msgid=e5;" + at(0) + " :carol!c@h PRIVMSG #own :end")
	w.hs.AwaitText(room, "end")
	if got, want := w.fromIRC(room), []string{"carol: hello", "own=20alice: from my telephone", "bob: from bob", "carol: end"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
