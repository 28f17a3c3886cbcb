package irc

import (
	"slices"
	"strings"
	"testing"

	"causeway/bridges/bridgetest"
)

// A channel in a room of one's own: nobody else comes in, all others are ghosts, also those of ours, and the room keeps its
// rules whatever the channel's modes are.
func TestBouncer(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#own")
	alice, bob, eve := w.hs.User("alice"), w.hs.User("bob"), w.hs.User("eve")
	public := w.join(bob, "#own")
	carol.AwaitCommand("JOIN", "bob", "#own")
	chat := w.private(alice)
	w.command(alice, chat, "join net #own")
	room := w.ownRoom(alice, "#own")
	carol.AwaitCommand("JOIN", "alice", "#own")
	w.enter(alice, room)
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	w.hs.AwaitMembership(room, w.ghost("bob"), "join")     // who is one of us elsewhere
	w.hs.AwaitMembership(public, w.ghost("alice"), "join") // and she is not in their room

	w.hs.Say(alice, room, "from alice")
	if e := w.hs.AwaitText(public, "from alice"); e.Sender != w.ghost("alice") {
		t.Errorf("got sender %s in the shared room", e.Sender)
	}
	w.hs.Say(bob, public, "from bob")
	if e := w.hs.AwaitText(room, "from bob"); e.Sender != w.ghost("bob") {
		t.Errorf("got sender %s in alice's room", e.Sender)
	}
	carol.Say("#own", "to both")
	w.hs.AwaitText(room, "to both")
	w.hs.AwaitText(public, "to both")

	// Strangers: by invitation of the owner, by themselves, by alias, by command.
	w.hs.SetMember(alice, room, eve, "invite", "")
	w.hs.AwaitMembership(room, eve, "leave")
	w.hs.SetMember(eve, room, eve, "join", "")
	w.hs.AwaitMembership(room, eve, "leave")
	if e := w.hs.State(room, "m.room.join_rules", ""); e == nil || e.Content["join_rule"] != "invite" {
		t.Errorf("got join rules %v", e)
	}
	if got := w.join(eve, "#own"); got == room {
		t.Error("the alias leads to alice's room")
	}
	eveChat := w.private(eve)
	w.command(eve, eveChat, "join net #own")
	w.awaitNotice(eveChat, "that you share with others")
	carol.Send("MODE #own -t")
	w.hs.Await("nothing public", func() bool {
		e := w.hs.State(room, "m.room.join_rules", "")
		return e.Content["join_rule"] == "invite"
	})

	spaces := w.hs.Events(func(e *bridgetest.Event) bool { return e.Type == "m.space.child" && *e.StateKey == string(room) })
	if len(spaces) == 0 {
		w.hs.AwaitEvent("the space", func(e *bridgetest.Event) bool { return e.Type == "m.space.child" && *e.StateKey == string(room) })
	}

	w.command(alice, chat, "part net #own")
	carol.AwaitCommand("PART", "alice", "#own")
	w.hs.AwaitMembership(room, alice, "leave")
}

// What the same user says with another client is shown as theirs, and what the bridge says is not shown twice.
func TestOwnLinesFromElsewhere(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	chat := w.private(alice)
	w.command(alice, chat, "join net #own")
	conn := ircd.Accept()
	conn.Capable("alice", "message-tags batch echo-message znc.in/self-message")
	conn.Joined("alice", "#own", "carol")
	room := w.ownRoom(alice, "#own")
	w.enter(alice, room)
	conn.Send("@msgid=e1 :alice!a@h PRIVMSG #own :from my telephone")
	if e := w.hs.AwaitText(room, "from my telephone"); !strings.HasPrefix(string(e.Sender), "@irc_net_own=20alice:") {
		t.Errorf("got sender %s", e.Sender)
	}
	w.hs.Say(alice, room, "from here")
	next(t, conn, "PRIVMSG #own :from here")
	conn.Send("@msgid=e2 :alice!a@h PRIVMSG #own :from here")
	conn.Send("@msgid=e3 :alice!a@h PRIVMSG dave :hi dave")
	dm := w.ownRoom(alice, "dave")
	w.hs.AwaitText(dm, "hi dave")
	conn.Send("@msgid=e4 :carol!c@h PRIVMSG #own :end")
	w.hs.AwaitText(room, "end")
	if got, want := w.fromIRC(room), []string{"own=20alice: from my telephone", "carol: end"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A channel that gets the name of one that others share does not bring them into one's own room.
func TestOwnRenamed(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	w.command(alice, w.private(alice), "join net #own")
	conn := ircd.Accept()
	conn.Capable("alice", "draft/channel-rename")
	conn.Joined("alice", "#own", "carol")
	room := w.ownRoom(alice, "#own")
	w.enter(alice, room)
	conn.Send(":carol!c@h RENAME #own #public :because")
	next(t, conn, "PART #public :*")
	w.awaitNotice(room, "#own is called #public now")
	if got := w.join(w.hs.User("bob"), "#public"); got == room {
		t.Error("bob has come into alice's room")
	}
}
