package irc

import (
	"slices"
	"testing"

	"causeway/bridges/bridgetest"
)

// Two networks in one room: what is said on one is heard on the other, by the bot for people of IRC and by their own connections for
// people of the room; nothing comes back to where it was said, and nothing is doubled when it is handed over again.
func TestTwoNetworks(t *testing.T) {
	a, b := bridgetest.NewIRCServer(t), bridgetest.NewIRCServer(t)
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startConfig(t, hs, t.TempDir(), Config{Networks: map[string]NetworkConfig{
		"net": testNetwork(a.Address), "other": testNetwork(b.Address),
	}})
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#c")
	onA := a.Accept()
	onA.Welcome("alice")
	onA.Joined("alice", "#c", "carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	onA.Send(":irc.test MODE #c +o alice")
	w.hs.Await("alice's level", func() bool {
		e := w.hs.State(room, "m.room.power_levels", "")
		users, _ := e.Content["users"].(map[string]any)
		return users[string(alice)] == 50.0
	})

	w.hs.Say(alice, room, "!irc plumb other #d dave")
	bot := b.Accept()
	bot.Welcome("matrix")
	bot.Joined("matrix", "#d", "@dave")
	bot.Send(":dave!d@host.test PRIVMSG matrix :yes %s", code(bot, "dave"))
	onB := b.Accept()
	onB.Welcome("alice")
	onB.Expect("JOIN #d")
	bot.Send(":alice!alice@host.test JOIN #d")
	onB.Enter("alice", "#d", "@dave matrix")
	botA := a.Accept()
	botA.Welcome("matrix")
	botA.Expect("JOIN #c")
	onA.Send(":matrix!matrix@host.test JOIN #c")
	botA.Enter("matrix", "#c", "@alice carol")
	w.awaitNotice(room, "This room is connected with #d on other")
	w.hs.AwaitMembership(room, w.hs.User("irc_other_dave"), "join")

	confirm := func(conn *bridgetest.IRCConn) {
		t.Helper()
		token := reads(conn, "PING :cw-")[len("PING :"):]
		conn.Send(":irc.test PONG irc.test :%s", token)
	}
	// From one network to the other.
	onA.Send(":carol!c@host.test PRIVMSG #c :hello from A")
	reads(bot, "PRIVMSG #d :<carol> hello from A")
	confirm(bot)
	bot.Send(":dave!d@host.test PRIVMSG #d :\x01ACTION waves\x01")
	reads(botA, "PRIVMSG #c :* dave waves")
	confirm(botA)
	// What the bots say is no line of anybody's.
	onA.Send(":matrix!matrix@host.test PRIVMSG #c :* dave waves")
	onB.Send(":matrix!matrix@host.test PRIVMSG #d :<carol> hello from A")
	// What looks like one of them, but is somebody's own, is.
	onA.Send(":carol!c@host.test PRIVMSG #c :<dave> waves")
	reads(bot, "PRIVMSG #d :<carol> <dave> waves")
	confirm(bot)
	// From the room to both.
	said := w.hs.Say(alice, room, "hello all")
	reads(onA, "PRIVMSG #c :hello all")
	confirm(onA)
	reads(onB, "PRIVMSG #d :hello all")
	confirm(onB)
	w.hs.AwaitAcknowledged()
	w.hs.Put("again", said)
	w.hs.Say(alice, room, "next")
	if line := reads(onB, "PRIVMSG"); line != "PRIVMSG #d :next" {
		t.Errorf("got %q after an event was repeated", line)
	}
	confirm(onB)
	reads(onA, "PRIVMSG #c :next")
	confirm(onA)
	// Who enters the room enters both.
	w.hs.SetMember(bob, room, bob, "join", "")
	bobs := []*bridgetest.IRCConn{a.Accept(), b.Accept()}
	for i, channel := range []string{"#c", "#d"} {
		bobs[i].Welcome("bob")
		bobs[i].Joined("bob", channel, "")
	}
	var texts []string
	for _, e := range w.hs.Messages(room, w.bridge.Bot(), alice) {
		texts = append(texts, e.Text())
	}
	if want := []string{"hello from A", "waves", "<dave> waves"}; !slices.Equal(texts, want) {
		t.Errorf("got %q, want %q", texts, want)
	}

	// One of them is taken away, and the other stays.
	w.hs.Say(alice, room, "!irc unplumb")
	reads(onB, "PART #d")
	w.hs.AwaitMembership(room, w.hs.User("irc_other_dave"), "leave")
	w.hs.Say(alice, room, "still here")
	reads(onA, "PRIVMSG #c :still here")
	confirm(onA)
	if !slices.Contains(w.hs.Joined(room), w.ghost("carol")) {
		t.Error("the ghosts of the other channel left too")
	}
}

// One network under two names would hear itself.
func TestSameNetworkTwice(t *testing.T) {
	a := bridgetest.NewIRCServer(t)
	w := startConfig(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), Config{Networks: map[string]NetworkConfig{
		"net": testNetwork(a.Address), "alias": testNetwork(a.Address),
	}})
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	w.hs.SendState(w.bridge.Bot(), room, "m.room.power_levels", "", map[string]any{"users": map[string]any{string(alice): 50}})
	w.hs.Say(alice, room, "!irc plumb alias #c")
	w.awaitNotice(room, "net and alias are the same network")
	w.hs.Say(alice, room, "!irc plumb net #other")
	w.awaitNotice(room, "cannot have two channels of one network")
}
