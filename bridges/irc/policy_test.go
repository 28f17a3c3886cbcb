package irc

import (
	"testing"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
	"causeway/bridges/bridgetest"
)

// Whom a policy list bans quits IRC, and others there read why; they do not come back, and what they say is not sent, until the
// ban is taken back.
func TestPolicy(t *testing.T) {
	const lists id.RoomID = "!lists"
	ircd := bridgetest.NewIRCServer(t)
	hs := bridgetest.NewHomeserver(t, "hs.test")
	admin, alice, bob := hs.User("admin"), hs.User("alice"), hs.User("bob")
	hs.SendState(admin, lists, "m.room.create", "", map[string]any{"room_version": "12"})
	ban := func(user id.UserID, isBan bool) {
		content := map[string]any{}
		if isBan {
			content = map[string]any{"entity": user, "recommendation": "m.ban", "reason": "spam\r\nJOIN #other"}
		}
		hs.SendState(admin, lists, "org.matrix.mjolnir.rule.user", string(user), content)
	}
	ban(bob, true)
	conn, err := New(Config{Networks: map[string]NetworkConfig{"net": testNetwork(ircd.Address)}})
	if err != nil {
		t.Fatal(err)
	}
	w := startConnector(t, hs, t.TempDir(), conn, zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel),
		func(o *bridges.Options) { o.PolicyRooms = bridges.PolicyRooms{string(lists)} })

	room := w.join(bob, "#c")
	w.hs.AwaitMembership(room, bob, "leave")
	w.join(alice, "#c")
	first := ircd.Accept() // nobody's before
	first.Welcome("alice")
	first.Joined("alice", "#c", "carol")
	hs.Say(bob, room, "unheard")
	hs.Say(alice, room, "hello")
	first.Expect("PRIVMSG #c :hello")
	first.Pong()

	ban(alice, true)
	first.Expect("QUIT :banned by a policy list: spam JOIN #other") // on one line
	w.hs.AwaitMembership(room, alice, "leave")
	w.join(alice, "#c")
	hs.Say(alice, room, "unheard")
	w.hs.AwaitAcknowledged()
	if w.conn.networks["net"].running(alice) != nil || w.conn.networks["net"].running(bob) != nil {
		t.Error("who is banned has a connection")
	}
	if err := w.conn.networks["net"].ask(alice, joinRequest{channel: "#c"}); err != nil || w.conn.networks["net"].running(alice) != nil {
		t.Errorf("whatever asks for one gets it: %v", err)
	}

	ban(alice, false)
	w.hs.AwaitAcknowledged()
	w.join(alice, "#c")
	second := ircd.Accept()
	second.Welcome("alice")
	second.Joined("alice", "#c", "carol")
	hs.Say(alice, room, "again")
	second.Expect("PRIVMSG #c :again")
	second.Pong()
	w.hs.AwaitAcknowledged()
}

// Whose ghost a nick is does not depend on who else has private conversations.
func TestGhostBesideConversations(t *testing.T) {
	w, conn, alice := scriptedPM(t, nil, "message-tags")
	conn.Send(":eve!e@h PRIVMSG alice :hello")
	w.hs.AwaitEvent("the conversation", func(e *bridgetest.Event) bool { return e.Sender == w.ghost("eve") && e.Text() == "hello" })
	if len(w.conn.networks["net"].lanes()) < 2 {
		t.Fatalf("%s has no room of a conversation", alice)
	}
	if got, want := w.conn.networks["net"].ghostOf("Carol"), networkid.UserID("net/carol"); got != want {
		t.Errorf("the ghost of Carol is %s, want %s", got, want)
	}
}
