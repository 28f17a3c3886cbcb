package irc

import (
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// A message is done when the server has answered the PING after it, not before.
func TestDoneAfterPong(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "@carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	w.hs.AwaitAcknowledged()

	w.hs.Say(alice, room, "hello")
	conn.Expect("PRIVMSG #c :hello")
	ping := conn.Expect("PING :*")
	if w.hs.Acknowledged() {
		t.Error("the message was acknowledged before the server had answered")
	}
	conn.Send(":irc.test PONG irc.test :%s", strings.TrimPrefix(ping, "PING :"))
	w.hs.AwaitAcknowledged()

	conn.Send("PING :are you there")
	conn.Expect("PONG :are you there")
}

// What the server has not confirmed is sent again when the connection breaks, in its order.
func TestSentAgainAfterBreak(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	w.hs.AwaitAcknowledged()
	w.hs.Say(alice, room, "one")
	conn.Expect("PRIVMSG #c :one")
	conn.Pong()
	w.hs.Say(alice, room, "two")
	conn.Expect("PRIVMSG #c :two")
	conn.Close()

	conn = ircd.Accept()
	w.hs.Say(alice, room, "three")
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	conn.Expect("PRIVMSG #c :two")
	for line := conn.Read(); line != "PRIVMSG #c :three"; line = conn.Read() {
		conn.Send(":irc.test PONG irc.test :%s", strings.TrimPrefix(line, "PING :"))
	}
	conn.Pong()
	w.hs.AwaitAcknowledged()
}

// A message that waits when the bridge stops is sent by the next one, once.
func TestSentAgainAfterStop(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice := hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Expect("JOIN #c") // and never an answer
	hs.Say(alice, room, "patience")
	w.stop()
	conn.Close()

	start(t, hs, dir, testNetwork(ircd.Address))
	conn = ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	conn.Expect("PRIVMSG #c :patience")
	conn.Pong()
	hs.AwaitAcknowledged()
}

// The leader dies with lines in its socket that it has not read, and with lines delivered that the other has not
// seen: each line still comes once.
func TestLeaderDies(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#c")
	a := ircd.Accept()
	a.Welcome("alice")
	a.Joined("alice", "#c", "carol")
	w.join(bob, "#c")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Expect("JOIN #c")
	a.Send(":bob!bob@host.test JOIN #c") // the others hear of it first
	b.Enter("bob", "#c", "alice carol")

	say := func(to *bridgetest.IRCConn, text string) { to.Send(":carol!c@host.test PRIVMSG #c :%s", text) }
	say(a, "1")
	say(b, "1")
	say(a, "2") // delivered by alice; bob is behind
	w.hs.AwaitText(room, "2")
	say(b, "2")
	say(b, "3") // alice dies before she reads it
	say(b, "3") // and it is said twice
	b.Send("PING :sync")
	b.Expect("PONG :sync")
	if got := w.fromIRC(room); len(got) != 2 {
		t.Errorf("got %q, want what the leader saw only", got)
	}
	a.Close()
	say(b, "4")
	w.hs.AwaitText(room, "4")
	want := []string{"carol: 1", "carol: 2", "carol: 3", "carol: 3", "carol: 4"}
	if got := w.fromIRC(room); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Our own people never come back as ghosts, also when their nicks change while the others do not know it yet.
func TestNoEcho(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	room := w.join(w.hs.User("alice"), "#c")
	a := ircd.Accept()
	a.Welcome("alice")
	a.Joined("alice", "#c", "")
	w.join(w.hs.User("bob"), "#c")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Expect("JOIN #c")
	a.Send(":bob!bob@host.test JOIN #c")
	b.Enter("bob", "#c", "alice")
	a.Send(":bob!bob@host.test PRIVMSG #c :echo 1")
	// The server renames bob; alice's connection hears of it first.
	a.Send(":bob!bob@host.test NICK guest7")
	a.Send(":guest7!bob@host.test PRIVMSG #c :echo 2")
	b.Send(":bob!bob@host.test NICK guest7")
	// Somebody else takes his nick.
	a.Send(":bob!other@elsewhere.test JOIN #c")
	a.Send(":bob!other@elsewhere.test PRIVMSG #c :I am another bob")
	if e := w.hs.AwaitText(room, "I am another bob"); e.Sender != w.ghost("bob") {
		t.Errorf("got sender %s, want the ghost of the other bob", e.Sender)
	}
	a.Send(":guest7!bob@host.test QUIT :bye")
	a.Send(":carol!c@host.test JOIN #c")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	if got, want := w.fromIRC(room), []string{"bob: I am another bob"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if slices.Contains(w.hs.Joined(room), w.ghost("guest7")) {
		t.Error("got a ghost of our own bob")
	}
}

// A connection of ours that is dead and does not know it yet does not lend its nick to who takes it; when only the network was
// split, it is ours again.
func TestNickOfTheDead(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	room := w.join(w.hs.User("alice"), "#c")
	a := ircd.Accept()
	a.Welcome("alice")
	a.Joined("alice", "#c", "")
	w.join(w.hs.User("bob"), "#c")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Expect("JOIN #c")
	a.Send(":bob!bob@host.test JOIN #c")
	b.Enter("bob", "#c", "alice")
	// Alice sees bob go, and come back after the split.
	a.Send(":bob!bob@host.test QUIT :a.test b.test")
	a.Send(":bob!bob@host.test JOIN #c")
	a.Send(":bob!bob@host.test PRIVMSG #c :echo")
	// Now he is dead, and somebody else is called bob.
	a.Send(":bob!bob@host.test QUIT :Ping timeout")
	a.Send(":bob!other@elsewhere.test JOIN #c")
	w.hs.AwaitMembership(room, w.ghost("bob"), "join")
	a.Send(":bob!other@elsewhere.test PRIVMSG #c :I am another bob")
	if e := w.hs.AwaitText(room, "I am another bob"); e.Sender != w.ghost("bob") {
		t.Errorf("got sender %s", e.Sender)
	}
	if got, want := w.fromIRC(room), []string{"bob: I am another bob"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Errors of the server are told to the person they concern, in the room.
func TestServerErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		play func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID)
		want string // of the notice
	}{
		{"404", func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
			conn.Joined("alice", "#c", "")
			w.hs.Say(alice, room, "x")
			conn.Expect("PRIVMSG #c :x")
			conn.Send(":irc.test 404 alice #c :Cannot send to channel")
			conn.Pong()
		}, "was not bridged: net says: Cannot send to channel"},
		{"banned from the channel", func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
			conn.Expect("JOIN #c")
			conn.Send(":irc.test 474 alice #c :Cannot join channel (+b)")
		}, "You could not join #c on net: Cannot join channel (+b)"},
		{"message to a channel that refuses", func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
			conn.Expect("JOIN #c")
			w.hs.Say(alice, room, "x")
			conn.Send(":irc.test 473 alice #c :Cannot join channel (+i)")
		}, "you could not join #c on net: Cannot join channel (+i)"},
		{"full", func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
			conn.Expect("JOIN #c")
			conn.Send(":irc.test 471 alice #c :Cannot join channel (+l)")
		}, "Cannot join channel (+l)"},
		{"key", func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
			conn.Expect("JOIN #c")
			conn.Send(":irc.test 475 alice #c :Cannot join channel (+k)")
		}, "Cannot join channel (+k)"},
		{"no such channel", func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
			conn.Expect("JOIN #c")
			conn.Send(":irc.test 403 alice #c :No such channel")
		}, "No such channel"},
		{"banned from the network", func(w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
			conn.Expect("JOIN #c")
			conn.Send(":irc.test 465 alice :You are banned from this server- spam")
			conn.Send("ERROR :Closing Link: alice (K-Lined)")
			conn.Close()
			w.awaitNotice(room, "net has banned you (Closing Link: alice (K-Lined)); the bridge does not try again")
			w.hs.Say(alice, room, "x")
		}, "net has banned you"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ircd := bridgetest.NewIRCServer(t)
			w := startNew(t, testNetwork(ircd.Address))
			alice := w.hs.User("alice")
			room := w.join(alice, "#c")
			conn := ircd.Accept()
			conn.Welcome("alice")
			test.play(w, conn, alice, room)
			w.awaitNotice(room, test.want)
			w.hs.AwaitAcknowledged()
		})
	}
}

func TestNicksAtRegistration(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	user := w.hs.User("christopher.robin.long")
	room := w.join(user, "#c")
	conn := ircd.Accept()
	conn.Expect("CAP LS 302")
	conn.Expect("NICK christopher_robi")
	conn.Expect("USER *")
	conn.Send(":irc.test 432 * christopher_robi :Nickname too long")
	conn.Expect("NICK christoph")
	conn.Send(":irc.test 433 * christoph :Nickname already in use")
	conn.Expect("NICK christop_")
	conn.Send(":irc.test 433 * christop_ :Nickname already in use")
	conn.Expect("NICK christop2")
	conn.Greet("christop2")
	conn.Joined("christop2", "#c", "")
	w.hs.Say(user, room, "at last")
	conn.Expect("PRIVMSG #c :at last")
	conn.Pong()
	w.hs.AwaitAcknowledged()
}

func TestPassword(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	cfg.Password, cfg.RealName = "secret word", "{mxid} via a bridge"
	w := startNew(t, cfg)
	w.join(w.hs.User("alice"), "#c")
	conn := ircd.Accept()
	conn.Expect("CAP LS 302")
	conn.Expect("PASS :secret word")
	conn.Expect("NICK alice")
	conn.Expect("USER alice 0 * :@alice:hs.test via a bridge")
}

// A forward to another channel is no joining of the one that was asked for.
func TestForward(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	w.join(alice, "#d") // or the connection would end with #c
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#d", "")
	room := w.join(alice, "#c")
	conn.Expect("JOIN #c")
	conn.Send(":irc.test 470 alice #c ##c :Forwarding to another channel")
	conn.Send(":alice!alice@host.test JOIN ##c")
	conn.Expect("PART ##c :not wanted")
	w.awaitNotice(room, "Forwarding to another channel")
	w.hs.AwaitMembership(room, alice, "leave")
}

// A long message is cut, and its sender knows.
func TestLongMessageIsCut(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	w.hs.Say(alice, room, strings.Repeat("x\n", maxLinesPerMessage+7))
	lines := 0
	for line := conn.Read(); !strings.HasPrefix(line, "PING"); line = conn.Read() {
		if lines++; lines == maxLinesPerMessage+1 && line != "PRIVMSG #c :… 7 more lines not sent" {
			t.Errorf("got last line %q", line)
		}
	}
	conn.Send(":irc.test PONG irc.test :cw-1")
	if lines != maxLinesPerMessage+1 {
		t.Errorf("got %d lines, want %d", lines, maxLinesPerMessage+1)
	}
	w.awaitNotice(room, "7 lines of it were not sent")
}

func TestAliasErrors(t *testing.T) {
	w := startNew(t, testNetwork(bridgetest.FreeAddress(t)))
	for _, test := range []struct{ name, alias, want string }{
		{"unknown network", "#irc_other_#c:hs.test", `There is no IRC network \"other\" here; there is net`},
		{"no channel", "#irc_net:hs.test", "is not of the form"},
		{"no prefix", "#irc_net_c:hs.test", "is not the name of an IRC channel"},
		{"space", "#irc_net_#a b:hs.test", "is not the name of an IRC channel"},
		{"line end", "#irc_net_#a\r\nQUIT:hs.test", "is not the name of an IRC channel"},
		{"other server", "#irc_net_#c:other.test", "is not an alias of the IRC bridge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := w.hs.QueryAlias(id.RoomAlias(test.alias))
			if status != 404 || !strings.Contains(body, test.want) {
				t.Errorf("got %d %s, want 404 and %s", status, body, test.want)
			}
		})
	}
}

// Spellings of one channel lead to one room.
func TestAliases(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	room := w.join(w.hs.User("alice"), "#Go[lang]")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#Go[lang]", "")
	if got := w.join(w.hs.User("bob"), "#go{lang}"); got != room {
		t.Errorf("got room %s for another spelling, want %s", got, room)
	}
	if e := w.hs.State(room, "m.room.canonical_alias", ""); e == nil || e.Content["alias"] != "#irc_net_#Go[lang]:hs.test" {
		t.Errorf("got canonical alias %v", e)
	}
	if e := w.hs.State(room, "m.room.name", ""); e == nil || e.Content["name"] != "#Go[lang]" {
		t.Errorf("got name %v", e)
	}
	if e := w.hs.State(room, "m.room.join_rules", ""); e == nil || e.Content["join_rule"] != "public" {
		t.Errorf("got join rules %v", e)
	}
	e := w.hs.State(room, "m.room.history_visibility", "")
	if e == nil || e.Content["history_visibility"] != "joined" {
		t.Errorf("got history visibility %v, want joined", e)
	}
}

// A user leaves while the server still works on the join.
func TestLeaveWhileJoining(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Expect("JOIN #c")
	w.hs.SetMember(alice, room, alice, "leave", "changed my mind")
	conn.Expect("PART #c :changed my mind")
	w.join(alice, "#c") // and again
	w.hs.AwaitAcknowledged()
	conn.Send(":alice!alice@host.test JOIN #c")
	conn.Send(":irc.test 366 alice #c :End of NAMES")
	conn.Send(":alice!alice@host.test PART #c :changed my mind")
	conn.Joined("alice", "#c", "carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
}
