package irc

import (
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

const foreign = id.RoomID("!foreign")

// foreignRoom makes a room of alice's in which bob is a member without power, and the bot.
func (w *world) foreignRoom(visibility string) (alice, bob id.UserID) {
	w.t.Helper()
	alice, bob = w.hs.User("alice"), w.hs.User("bob")
	w.foreignRoomAs(foreign, visibility, alice, bob)
	return alice, bob
}

func (w *world) foreignRoomAs(room id.RoomID, visibility string, people ...id.UserID) {
	w.t.Helper()
	owner := people[0]
	w.hs.SendState(owner, room, "m.room.create", "", map[string]any{"room_version": "11", "creator": owner})
	for _, user := range people {
		w.hs.SetMember(user, room, user, "join", "")
	}
	w.hs.SendState(owner, room, "m.room.power_levels", "", map[string]any{"users": map[string]any{string(owner): 100}})
	w.hs.SendState(owner, room, "m.room.history_visibility", "", map[string]any{"history_visibility": visibility})
	w.hs.SetMember(owner, room, w.bridge.Bot(), "invite", "")
	w.hs.AwaitMembership(room, w.bridge.Bot(), "join")
}

// reads returns the next line that begins so; others are left out.
func reads(conn *bridgetest.IRCConn, prefix string) string {
	line := conn.Read()
	for !strings.HasPrefix(line, prefix) {
		line = conn.Read()
	}
	return line
}

// code is the code in what the bot asks an operator.
func code(conn *bridgetest.IRCConn, nick string) string {
	line := reads(conn, "PRIVMSG "+nick+" :To allow it: ")
	_, rest, _ := strings.Cut(line, " yes ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

// ask has alice ask for #c, of which carol is an operator and dave is not, and returns the bot's connection and the code.
func (w *world) ask(ircd *bridgetest.IRCServer, alice id.UserID) (*bridgetest.IRCConn, string) {
	w.t.Helper()
	w.hs.Say(alice, foreign, "!irc plumb net #c")
	bot := ircd.Accept()
	bot.Welcome("matrix")
	bot.Joined("matrix", "#c", "@carol dave")
	code := code(bot, "carol")
	w.awaitNotice(foreign, "Asked carol on net")
	return bot, code
}

// Who makes a room, invites the bot and then the others, has a room to connect, and not a private chat with the bot.
func TestPlumbRoomThatWasNew(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	w.hs.Await("the bot", func() bool { return w.bridge.Bot() != "" })
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	w.foreignRoomAs(foreign, "shared", alice)
	w.awaitText(foreign, "marked as your management room")
	w.hs.Say(alice, foreign, "plumb net #c")
	w.awaitNotice(foreign, "This is our private chat")
	w.hs.SetMember(bob, foreign, bob, "join", "")
	w.hs.AwaitAcknowledged()
	w.ask(ircd, alice)
	w.hs.Say(alice, foreign, "hello") // which is no command any more
	w.hs.AwaitAcknowledged()
	if got := w.hs.Events(func(e *bridgetest.Event) bool {
		return e.Room == foreign && strings.Contains(e.Text(), "Unknown command")
	}); len(got) != 0 {
		t.Error("what is said in the room is taken for commands")
	}
}

// An operator allows it: the people of the room enter the channel, both talk, levels of the room stay as they are, and who
// has allowed it can end it.
func TestPlumb(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, bob := w.foreignRoom("shared")
	bot, code := w.ask(ircd, alice)
	bot.Send(":carol!c@host.test PRIVMSG matrix :yes %s", code)
	reads(bot, "PRIVMSG carol :Thank you")
	people := map[string]*bridgetest.IRCConn{}
	for range 2 {
		conn := ircd.Accept()
		conn.Expect("CAP LS 302")
		nick := strings.TrimPrefix(conn.Expect("NICK *"), "NICK ")
		conn.Expect("USER *")
		conn.Greet(nick)
		conn.Joined(nick, "#c", "@carol dave matrix")
		bot.Send(":%s!%s@host.test JOIN #c", nick, nick)
		people[nick] = conn
	}
	if people["alice"] == nil || people["bob"] == nil {
		t.Fatalf("got %v", people)
	}
	e := w.awaitNotice(foreign, "This room is connected with #c on net")
	if !strings.Contains(e.Text(), "carol!c@host.test") {
		t.Errorf("got %q, which does not tell who has allowed it", e.Text())
	}
	w.hs.AwaitMembership(foreign, w.ghost("carol"), "join")
	bot.Send(":carol!c@host.test PRIVMSG #c :welcome")
	if e := w.hs.AwaitText(foreign, "welcome"); e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	w.hs.Say(bob, foreign, "hello")
	reads(people["bob"], "PRIVMSG #c :hello")
	if got := w.hs.State(foreign, "m.room.power_levels", ""); got.Sender != alice {
		t.Errorf("the power levels were set by %s", got.Sender)
	}
	for _, kind := range []string{"m.room.join_rules", "m.room.name"} {
		if got := w.hs.State(foreign, kind, ""); got != nil {
			t.Errorf("got %s %v", kind, got.Content)
		}
	}

	// The code was for once.
	bot.Send(":carol!c@host.test PRIVMSG matrix :yes %s", code)
	reads(bot, "PRIVMSG carol :There is no question with that code")
	w.hs.Say(alice, foreign, "!irc plumb net #C")
	w.awaitNotice(foreign, "connected with `#C` on net already")
	status, _ := w.hs.QueryAlias("#irc_net_#c:hs.test")
	if status != 200 {
		t.Errorf("got %d for the alias", status)
	}

	// An operator ends it.
	bot.Send(":dave!d@host.test PRIVMSG matrix :unplumb #c")
	reads(bot, "PRIVMSG dave :I take that only from operators")
	bot.Send(":carol!c@host.test PRIVMSG matrix :unplumb #c")
	reads(people["alice"], "PART #c :")
	w.hs.AwaitMembership(foreign, w.ghost("carol"), "leave")
	w.hs.AwaitMembership(foreign, w.bridge.Bot(), "leave")
	if got := w.hs.Joined(foreign); !slices.Equal(got, []id.UserID{alice, bob}) {
		t.Errorf("got members %v", got)
	}
	if _, linked := w.conn.links.of("net/#c"); linked {
		t.Error("the link is there still")
	}
}

// What does not count as consent.
func TestNoConsent(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, bob := w.foreignRoom("shared")
	w.hs.Say(bob, foreign, "!irc plumb net #c")
	w.awaitNotice(foreign, "That is for those in this room to decide")
	w.hs.Say(bob, foreign, "!irc bridge net/#c")
	bot, code := w.ask(ircd, alice)
	say := func(who, text, answer string) {
		t.Helper()
		bot.Send(":%s PRIVMSG matrix :%s", who, text)
		nick, _, _ := strings.Cut(who, "!")
		reads(bot, "PRIVMSG "+nick+" :"+answer)
	}
	const no = "I take that only from operators of #c"
	say("dave!d@host.test", "yes "+code, no)
	say("stranger!s@host.test", "yes "+code, no) // not on the channel
	say("carol!c@host.test", "yes wrongcode", "There is no question with that code")
	// Who was an operator, and who has their nick.
	bot.Send(":carol!c@host.test MODE #c -o carol")
	say("carol!c@host.test", "yes "+code, no)
	bot.Send(":irc.test MODE #c +o carol")
	bot.Send(":carol!c@host.test QUIT :gone")
	bot.Send(":carol!evil@elsewhere.test JOIN #c")
	say("carol!evil@elsewhere.test", "yes "+code, no)
	if len(w.conn.links.inRoom(foreign)) != 0 {
		t.Error("got a link")
	}
	w.hs.Say(alice, foreign, "!irc plumb net #c")
	w.awaitNotice(foreign, "That has been asked already")
}

// A refusal ends the question.
func TestRefused(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, _ := w.foreignRoom("shared")
	bot, code := w.ask(ircd, alice)
	bot.Send(":carol!c@host.test PRIVMSG matrix :no %s", code)
	w.awaitNotice(foreign, "carol, an operator of #c on net, does not want")
	for line := bot.Read(); line != "PART #c :not needed here any more"; line = bot.Read() {
	}
}

// Who has asked and may not decide any more gets nothing, however late the consent is.
func TestPowerLost(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, _ := w.foreignRoom("shared")
	bot, code := w.ask(ircd, alice)
	w.hs.SendState(alice, foreign, "m.room.power_levels", "", map[string]any{"users": map[string]any{}})
	bot.Send(":carol!c@host.test PRIVMSG matrix :yes %s", code)
	w.awaitNotice(foreign, "may not do so any more")
	if _, linked := w.conn.links.of("net/#c"); linked {
		t.Error("got a link")
	}
}

// A channel into which the bot may not come is asked when an operator has invited it.
func TestBotInvited(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, _ := w.foreignRoom("shared")
	w.hs.Say(alice, foreign, "!irc plumb net #c")
	bot := ircd.Accept()
	bot.Welcome("matrix")
	bot.Expect("JOIN #c")
	bot.Send(":irc.test 473 matrix #c :Cannot join channel (+i)")
	w.awaitNotice(foreign, "An operator there can invite it")
	bot.Send(":eve!e@host.test INVITE matrix #other")
	bot.Send(":carol!c@host.test INVITE matrix #c")
	bot.Joined("matrix", "#c", "@carol")
	code(bot, "carol")
}

// A question holds over a restart.
func TestQuestionAfterRestart(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice, _ := w.foreignRoom("shared")
	bot, code := w.ask(ircd, alice)
	w.hs.AwaitAcknowledged()
	w.stop()
	bot.Close()
	w = start(t, hs, dir, testNetwork(ircd.Address))
	bot = ircd.Accept()
	bot.Welcome("matrix")
	bot.Joined("matrix", "#c", "@carol")
	bot.Send(":carol!c@host.test PRIVMSG matrix :YES %s", strings.ToUpper(code))
	reads(bot, "PRIVMSG carol :Thank you")
	w.awaitNotice(foreign, "This room is connected with #c on net")
	late := []*bridgetest.IRCConn{ircd.Accept(), ircd.Accept()} // alice and bob
	w.stop()
	bot.Close()
	for _, conn := range late {
		conn.Close()
	}

	// And so does the link.
	start(t, hs, dir, testNetwork(ircd.Address))
	nicks := map[string]bool{}
	for range 3 {
		conn := ircd.Accept()
		conn.Expect("CAP LS 302")
		nick := strings.TrimPrefix(conn.Expect("NICK *"), "NICK ")
		conn.Expect("USER *")
		conn.Greet(nick)
		conn.Expect("JOIN #c")
		nicks[nick] = true
	}
	if !nicks["matrix"] || !nicks["alice"] || !nicks["bob"] {
		t.Errorf("got %v", nicks)
	}
}

// A channel that has a room, a network that is closed to it, and an administrator where they are trusted.
func TestPlumbPolicies(t *testing.T) {
	for _, test := range []struct{ policy, want string }{
		{plumbOff, "cannot be connected with channels"},
		{plumbAdmins, "for administrators of the bridge"},
	} {
		t.Run(test.policy, func(t *testing.T) {
			cfg := testNetwork(bridgetest.FreeAddress(t))
			cfg.Plumb = test.policy
			w := startNew(t, cfg)
			alice, _ := w.foreignRoom("shared")
			w.hs.Say(alice, foreign, "!irc plumb net #c")
			w.awaitNotice(foreign, test.want)
		})
	}
	w := startNew(t, testNetwork(bridgetest.FreeAddress(t)))
	w.join(w.hs.User("dora"), "#c")
	alice, _ := w.foreignRoom("shared")
	w.hs.Say(alice, foreign, "!irc plumb net #c")
	w.awaitNotice(foreign, "`#c` on net has a room already")
	w.hs.Say(alice, foreign, "!irc bridge net/#c")
	w.awaitNotice(foreign, "Usage: `!irc plumb")
}
