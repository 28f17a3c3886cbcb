package irc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// Two people on Matrix and two on IRC talk in one channel: every line arrives once, in order, with the right
// sender.
func TestConversation(t *testing.T) {
	const count = 200
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#talk")
	dave := bridgetest.DialIRC(t, ircd.Address, "dave")
	dave.Join("#talk")

	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#talk")
	w.join(bob, "#talk")
	carol.AwaitCommand("JOIN", "alice", "#talk")
	carol.AwaitCommand("JOIN", "bob", "#talk")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")

	var fromMatrix []string
	for i := range count {
		user, name := alice, "alice"
		if i%3 == 0 {
			user, name = bob, "bob"
		}
		text := fmt.Sprintf("matrix %d", i)
		w.hs.Say(user, room, text)
		fromMatrix = append(fromMatrix, name+": "+text)
		carol.Say("#talk", fmt.Sprintf("carol %d", i))
		dave.Say("#talk", fmt.Sprintf("dave %d", i))
	}
	for _, listener := range []*bridgetest.IRCClient{carol, dave} {
		lines := listener.AwaitCount("lines from Matrix", count, func(m ircmsg.Message) bool {
			return m.Command == "PRIVMSG" && (m.Nick() == "alice" || m.Nick() == "bob")
		})
		got := make([]string, len(lines))
		for i, m := range lines {
			got[i] = m.Nick() + ": " + m.Params[1]
		}
		if !slices.Equal(got, fromMatrix) {
			t.Errorf("lines from Matrix for %s: %s", listener.Nick, firstDifference(got, fromMatrix))
		}
	}
	w.hs.Await("all lines from IRC", func() bool { return len(w.fromIRC(room)) >= 2*count })
	w.checkCounted(room, "carol", count)
	w.checkCounted(room, "dave", count)
	w.hs.AwaitAcknowledged()
	for _, user := range w.hs.Joined(room) {
		if user == w.ghost("alice") || user == w.ghost("bob") {
			t.Errorf("got ghost %s of one of our own", user)
		}
	}
}

// checkCounted checks that a nick's lines "nick 0", "nick 1" … are in a room, all and in order.
func (w *world) checkCounted(room id.RoomID, nick string, count int) {
	w.t.Helper()
	var got, want []string
	for i := range count {
		want = append(want, fmt.Sprintf("%s: %s %d", nick, nick, i))
	}
	for _, text := range w.fromIRC(room) {
		if strings.HasPrefix(text, nick+":") {
			got = append(got, text)
		}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("lines of %s on Matrix: %s", nick, firstDifference(got, want))
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("got %d, want %d; first difference at %d:\n got %q\nwant %q", len(got), len(want), i,
				got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
		}
	}
	return "none"
}

// meet lets Carol on IRC and alice on Matrix enter a channel.
func meet(t *testing.T, channel string) (w *world, carol *bridgetest.IRCClient, alice id.UserID, room id.RoomID) {
	t.Helper()
	ircd := bridgetest.StartNGIRCd(t)
	w = startNew(t, testNetwork(ircd.Address))
	carol = bridgetest.DialIRC(t, ircd.Address, "Carol")
	carol.Join(channel)
	alice = w.hs.User("alice")
	room = w.join(alice, channel)
	carol.AwaitCommand("JOIN", "alice", channel)
	return w, carol, alice, room
}

func TestKindsFromIRC(t *testing.T) {
	w, carol, _, room := meet(t, "#kinds")
	for _, test := range []struct {
		name, line    string
		msgType, text string
	}{
		{"text", "PRIVMSG #kinds :plain", "m.text", "plain"},
		{"action", "PRIVMSG #kinds :\x01ACTION waves\x01", "m.emote", "waves"},
		{"notice", "NOTICE #kinds :look", "m.notice", "look"},
		{"formatting", "PRIVMSG #kinds :\x02bold\x02 \x0304red\x03 \x1ditalic\x1d", "m.text", "bold red italic"},
		{"not UTF-8", "PRIVMSG #kinds :caf\xe9", "m.text", "café"},
		{"capitals", "PRIVMSG #KINDS :loud", "m.text", "loud"},
	} {
		t.Run(test.name, func(t *testing.T) {
			carol.Send("%s", test.line)
			e := w.hs.AwaitText(room, test.text)
			if e.MsgType() != test.msgType || e.Sender != w.ghost("carol") {
				t.Errorf("got %s by %s, want %s by %s", e.MsgType(), e.Sender, test.msgType, w.ghost("carol"))
			}
		})
	}
	if got := w.hs.DisplayName(w.ghost("carol")); got != "Carol" {
		t.Errorf("got display name %q, want the nick as written", got)
	}
}

func TestKindsToIRC(t *testing.T) {
	w, carol, alice, room := meet(t, "#kinds")
	carol.Say("#kinds", "reply to this")
	heard := w.hs.AwaitText(room, "reply to this")
	for _, test := range []struct {
		name    string
		content map[string]any
		want    []string // command and text
	}{
		{"text", map[string]any{"msgtype": "m.text", "body": "plain too"}, []string{"PRIVMSG plain too"}},
		{"emote", map[string]any{"msgtype": "m.emote", "body": "waves back"}, []string{"PRIVMSG \x01ACTION waves back\x01"}},
		{"notice", map[string]any{"msgtype": "m.notice", "body": "seen"}, []string{"NOTICE seen"}},
		{"formatted", map[string]any{"msgtype": "m.text", "body": "**b**", "format": "org.matrix.custom.html",
			"formatted_body": "<b>b</b>"}, []string{"PRIVMSG \x02b"}},
		{"lines", map[string]any{"msgtype": "m.text", "body": "one\n\ntwo\r\nthree"}, []string{"PRIVMSG one", "PRIVMSG two", "PRIVMSG three"}},
		{"injection", map[string]any{"msgtype": "m.text", "body": "a\r\nQUIT :b\x00\x01VERSION\x01"},
			[]string{"PRIVMSG a", "PRIVMSG QUIT :bVERSION"}},
		{"colon", map[string]any{"msgtype": "m.text", "body": ":) :("}, []string{"PRIVMSG :) :("}},
		{"image", map[string]any{"msgtype": "m.image", "body": "cat.png", "url": "mxc://hs.test/abc"},
			[]string{"PRIVMSG sent an image: cat.png mxc://hs.test/abc"}},
		{"caption", map[string]any{"msgtype": "m.file", "filename": "a.pdf", "body": "read this", "url": "mxc://hs.test/d"},
			[]string{"PRIVMSG sent a file: a.pdf mxc://hs.test/d", "PRIVMSG read this"}},
		{"reply", map[string]any{"msgtype": "m.text", "body": "indeed",
			"m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": heard.ID}}}, []string{"PRIVMSG <Carol> \"reply to this\": indeed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(carol.Lines(bridgetest.Said("#kinds", "alice")))
			w.hs.Send(alice, room, "m.room.message", test.content)
			lines := carol.AwaitCount(test.name, before+len(test.want), bridgetest.Said("#kinds", "alice"))[before:]
			var got []string
			for _, m := range lines {
				got = append(got, m.Command+" "+m.Params[1])
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEdit(t *testing.T) {
	w, carol, alice, room := meet(t, "#edit")
	first := w.hs.Say(alice, room, "teh")
	w.hs.AwaitAcknowledged()
	w.hs.Send(alice, room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "* the",
		"m.new_content": map[string]any{"msgtype": "m.text", "body": "the"},
		"m.relates_to":  map[string]any{"rel_type": "m.replace", "event_id": first.ID}})
	carol.Await("the edit", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == "* the" })
}

// People come, go and change their names.
func TestMembership(t *testing.T) {
	w, op, alice, room := meet(t, "#m")
	dave := bridgetest.DialIRC(t, op.Address(), "dave")
	dave.Join("#m")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	dave.Send("NICK david")
	w.hs.AwaitMembership(room, w.ghost("david"), "join")
	gone := func(nick, reason string) {
		t.Helper()
		e := w.hs.AwaitMembership(room, w.ghost(nick), "leave")
		if got := fmt.Sprint(e.Content["reason"]); !strings.Contains(got, reason) {
			t.Errorf("%s left with reason %q, want %q", nick, got, reason)
		}
	}
	gone("dave", "is now known as david")
	dave.Send("NICK DAVID")
	w.hs.Await("the name in capitals", func() bool { return w.hs.DisplayName(w.ghost("david")) == "DAVID" })
	dave.Send("PART #m :for lunch")
	gone("david", "for lunch")
	dave.Join("#m")
	w.hs.AwaitMembership(room, w.ghost("david"), "join")
	op.Send("KICK #m DAVID :enough")
	gone("david", "kicked by Carol: enough")
	dave.Join("#m")
	w.hs.AwaitMembership(room, w.ghost("david"), "join")
	dave.Quit("good night")
	gone("david", "good night")

	w.hs.SetMember(alice, room, alice, "leave", "")
	op.AwaitCommand("PART", "alice", "#m")
	op.AwaitAbsent("alice") // with her last room went the connection
}

func TestTopic(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	op := bridgetest.DialIRC(t, ircd.Address, "op")
	op.Join("#t")
	op.Send("TOPIC #t :first topic")
	op.AwaitCommand("TOPIC", "op", "#t")
	alice := w.hs.User("alice")
	room := w.join(alice, "#t")
	topic := func(text string) *bridgetest.Event {
		return w.hs.AwaitEvent("topic "+text, func(e *bridgetest.Event) bool {
			return e.Room == room && e.Type == "m.room.topic" && e.Content["topic"] == text
		})
	}
	topic("first topic")
	op.Send("TOPIC #t :second topic")
	if e := topic("second topic"); e.Sender != w.ghost("op") {
		t.Errorf("the topic was set by %s, want %s", e.Sender, w.ghost("op"))
	}
	w.hs.SendState(alice, room, "m.room.topic", "", map[string]any{"topic": "from Matrix"})
	if m := op.AwaitCommand("TOPIC", "alice", "#t"); m.Params[1] != "from Matrix" {
		t.Errorf("got topic %q, want %q", m.Params[1], "from Matrix")
	}
	op.Send("MODE #t +t")
	op.AwaitCommand("MODE", "op", "#t")
	w.hs.SendState(alice, room, "m.room.topic", "", map[string]any{"topic": "not allowed"})
	w.awaitNotice(room, "The topic was not set")
	w.hs.Await("the topic of before", func() bool {
		return w.hs.State(room, "m.room.topic", "").Content["topic"] == "from Matrix"
	})
}

// A user who is kicked from the channel is removed from the room, and comes back by joining it.
func TestKicked(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	op := bridgetest.DialIRC(t, ircd.Address, "op")
	op.Join("#k")
	alice := w.hs.User("alice")
	room := w.join(alice, "#k")
	op.AwaitCommand("JOIN", "alice", "#k")
	op.Send("KICK #k alice :out")
	if e := w.hs.AwaitMembership(room, alice, "leave"); !strings.Contains(fmt.Sprint(e.Content["reason"]), "op: out") {
		t.Errorf("got reason %v, want who kicked and why", e.Content["reason"])
	}
	w.join(alice, "#k")
	op.AwaitCount("alice again", 2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" })
	w.hs.Say(alice, room, "back")
	op.Await("her message", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == "back" })
}

// Kicks from Matrix reach IRC, if the server allows them.
func TestKickFromMatrix(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#k") // the first in the channel is its operator
	dave := bridgetest.DialIRC(t, ircd.Address, "dave")
	dave.AwaitOccupant("#k", "alice")
	dave.Join("#k")
	dave.Say("#k", "hello")
	w.hs.AwaitText(room, "hello")
	w.hs.SetMember(alice, room, w.ghost("dave"), "leave", "bye")
	if m := dave.AwaitCommand("KICK", "alice", "#k"); m.Params[2] != "bye" {
		t.Errorf("got reason %q, want %q", m.Params[2], "bye")
	}
}

// A ghost that somebody on Matrix removed, while it stays on IRC, is there again when it speaks.
// A user ID that unescapes to more than a nick is no ghost, and adds no command to that of its removal.
func TestKickOfNoNick(t *testing.T) {
	w, carol, alice, room := meet(t, "#k")
	w.hs.SetMember(alice, room, w.ghost("x=0d=0aprivmsg=20=23k=20=3ainjected=0d=0a"), "ban", "")
	w.hs.SetMember(alice, room, w.ghost("x=20y"), "ban", "")
	w.hs.Say(alice, room, "hello")
	carol.Await("a line of Alice's", bridgetest.Said("#k", "alice"))
	w.hs.AwaitAcknowledged()
	if got := bridgetest.Texts(carol.Lines(bridgetest.Said("#k", "alice"))); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("got %q on IRC", got)
	}
}

// Who logs out and comes again is heard again, and holds nobody up meanwhile.
func TestLogout(t *testing.T) {
	w, carol, alice, room := meet(t, "#l")
	bob := w.hs.User("bob")
	w.join(bob, "#l")
	carol.AwaitCommand("JOIN", "bob", "#l")
	w.conn.br.GetCachedUserLoginByID(loginID("net", alice)).Logout(t.Context())
	carol.AwaitAbsent("alice")
	w.hs.SetMember(alice, room, alice, "leave", "")
	w.hs.SetMember(alice, room, alice, "join", "")
	w.hs.Say(alice, room, "back")
	w.hs.Say(bob, room, "welcome")
	carol.Await("Alice", bridgetest.Said("#l", "alice"))
	carol.Await("Bob", bridgetest.Said("#l", "bob"))
	w.hs.AwaitAcknowledged()
}

func TestGhostRemoved(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	dave := bridgetest.DialIRC(t, ircd.Address, "dave")
	dave.Join("#k")
	alice := w.hs.User("alice")
	room := w.join(alice, "#k")
	dave.AwaitCommand("JOIN", "alice", "#k")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	w.hs.SetMember(alice, room, w.ghost("dave"), "leave", "not here")
	w.awaitNotice(room, "dave was not kicked")
	dave.Say("#k", "still here")
	if e := w.hs.AwaitText(room, "still here"); e.Sender != w.ghost("dave") {
		t.Errorf("got sender %s, want %s", e.Sender, w.ghost("dave"))
	}
}

// The server goes away and comes back: everybody joins again, who left meanwhile leaves, and what was said on
// Matrix meanwhile arrives.
func TestReconnect(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#r")
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#r")
	w.join(bob, "#r")
	carol.AwaitCommand("JOIN", "bob", "#r")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")

	ircd.Stop()
	w.awaitNotice(room, "net cannot be reached")
	w.hs.Say(alice, room, "said meanwhile")
	ircd.Start()
	eve := bridgetest.DialIRC(t, ircd.Address, "eve")
	eve.Join("#r")
	w.hs.AwaitMembership(room, w.ghost("eve"), "join")
	w.hs.AwaitMembership(room, w.ghost("carol"), "leave")
	w.hs.Say(bob, room, "bob is back")
	eve.Await("bob", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == "bob is back" })
	w.hs.AwaitAcknowledged()
	eve.Say("#r", "hello again")
	w.hs.AwaitText(room, "hello again")
}

func TestNickTaken(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	other := bridgetest.DialIRC(t, ircd.Address, "alice")
	other.Join("#n")
	alice := w.hs.User("alice")
	room := w.join(alice, "#n")
	other.AwaitCommand("JOIN", "alice_", "#n")
	w.hs.AwaitMembership(room, w.ghost("alice"), "join")
	w.hs.Say(alice, room, "me")
	other.Await("message", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Nick() == "alice_" })
	other.Say("#n", "me too")
	if e := w.hs.AwaitText(room, "me too"); e.Sender != w.ghost("alice") {
		t.Errorf("got sender %s, want the ghost of the other alice", e.Sender)
	}
	watcher := bridgetest.DialIRC(t, ircd.Address, "watcher")
	watcher.Join("#n")
	other.Quit("bye")
	w.hs.AwaitMembership(room, w.ghost("alice"), "leave")
	watcher.AwaitCommand("NICK", "alice_", "alice") // it is free now, and she takes it
	watcher.Say("#n", "done")
	w.hs.AwaitText(room, "done")
	if slices.Contains(w.hs.Joined(room), w.ghost("alice")) {
		t.Error("got a ghost of our own alice")
	}
}

// Long lines arrive whole, in pieces that the server has not cut.
func TestLongLines(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#long")
	alice := w.hs.User("alice")
	room := w.join(alice, "#long")
	carol.AwaitCommand("JOIN", "alice", "#long")
	for _, test := range []struct{ name, text, join string }{
		{"words", strings.TrimSpace(strings.Repeat("seven letters ", 200)), " "},
		{"no spaces", strings.Repeat("x", 3000), ""},
		{"two bytes", strings.Repeat("é", 1500), ""},
		{"four bytes", strings.Repeat("\U0001F600", 700), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(carol.Lines(bridgetest.Said("#long", "alice")))
			w.hs.Say(alice, room, test.text)
			end := w.hs.Say(alice, room, "end of "+test.name)
			carol.Await("the end", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == end.Text() })
			pieces := bridgetest.Texts(carol.Lines(bridgetest.Said("#long", "alice"))[before:])
			got := strings.Join(pieces[:len(pieces)-1], test.join)
			if got != test.text {
				t.Errorf("got %d bytes in %d pieces, want %d bytes unchanged", len(got), len(pieces)-1, len(test.text))
			}
		})
	}
}

// A restart joins again by itself; what was handled before is not sent again.
func TestRestart(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#s")
	alice := hs.User("alice")
	room := w.join(alice, "#s")
	first := hs.Say(alice, room, "before")
	carol.Await("the first", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == "before" })
	hs.AwaitAcknowledged()
	w.stop()
	carol.AwaitCommand("QUIT", "alice", "")
	hs.SetBridge(nil, "", "")
	hs.Say(alice, room, "while down")

	start(t, hs, dir, testNetwork(ircd.Address))
	if status := hs.Put("again", first); status != 200 {
		t.Errorf("got status %d, want 200", status)
	}
	hs.Say(alice, room, "after")
	hs.AwaitAcknowledged()
	lines := carol.AwaitCount("all", 3, bridgetest.Said("#s", "alice"))
	if got, want := bridgetest.Texts(lines), []string{"before", "while down", "after"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	carol.Say("#s", "welcome back")
	hs.AwaitText(room, "welcome back")
}

// Lines go on arriving when the member that feeds the room leaves.
func TestHandOver(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#h")
	users := []string{"alice", "bob", "chris"}
	room := w.join(w.hs.User("alice"), "#h")
	carol.AwaitCommand("JOIN", "alice", "#h")
	for _, name := range users[1:] {
		w.join(w.hs.User(name), "#h")
		carol.AwaitCommand("JOIN", name, "#h")
	}
	var want []string
	say := func(i int) {
		text := fmt.Sprint("line ", i)
		carol.Say("#h", text)
		want = append(want, "carol: "+text)
	}
	for i := range 300 {
		if i == 100 || i == 200 {
			user := w.hs.User(users[i/100-1])
			w.hs.SetMember(user, room, user, "leave", "")
		}
		say(i)
	}
	carol.AwaitCommand("PART", "bob", "#h")
	say(300)
	w.hs.Await("all lines", func() bool { return len(w.fromIRC(room)) >= len(want) })
	if got := w.fromIRC(room); !slices.Equal(got, want) {
		t.Error(firstDifference(got, want))
	}
}
