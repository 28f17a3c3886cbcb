package irc_test

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
	"causeway/bridges/irc"
	"causeway/homeserver/storetest"
)

// Who has a double puppet sees as their own what they say on IRC with another client of the same connection, on a channel and in a
// conversation; and nobody on IRC hears it a second time.
func TestOwnLinesByDoublePuppet(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	r := startReal(t, storetest.New(t), irc.Config{Networks: map[string]irc.NetworkConfig{"net": realNetwork(ircd.Address)}})
	alice := r.person("alice")
	chat := alice.createRoom(map[string]any{"invite": []id.UserID{r.bridge.Bot()}, "is_direct": true})
	alice.await("the welcome", func(e realEvent) bool { return e.Room == chat && e.Type == "m.room.message" })
	alice.say(chat, "join net #own")
	conn := ircd.Accept()
	conn.Capable("alice", "message-tags batch echo-message znc.in/self-message")
	conn.Joined("alice", "#own", "carol")
	room := alice.enter("#own")
	alice.say(chat, "login-matrix "+alice.Token)
	alice.await("the double puppet", func(e realEvent) bool {
		return e.Room == chat && strings.Contains(e.text(), "Successfully switched puppets")
	})

	conn.Send("@msgid=e1 :alice!a@h PRIVMSG #own :from my telephone")
	if e := alice.awaitText(room, "from my telephone"); e.Sender != alice.ID {
		t.Errorf("got sender %s, want herself", e.Sender)
	}
	conn.Send("@msgid=e2 :alice!a@h PRIVMSG dave :hi dave")
	dm := alice.await("the conversation", func(e realEvent) bool { return e.Type == "m.room.message" && e.text() == "hi dave" })
	if dm.Sender != alice.ID || dm.Room == room {
		t.Errorf("got sender %s in %s, want herself in a room with dave", dm.Sender, dm.Room)
	}
	// What is said from here is the next that IRC hears.
	alice.say(room, "from here")
	for {
		line := conn.Read()
		if !strings.HasPrefix(line, "PRIVMSG ") {
			continue
		}
		if line != "PRIVMSG #own :from here" {
			t.Errorf("got %q", line)
		}
		break
	}
	conn.Send("@msgid=e3 :alice!a@h PRIVMSG #own :from here")
	conn.Send("@msgid=e4 :carol!c@h PRIVMSG #own :end")
	if e := alice.awaitText(room, "end"); !strings.HasPrefix(string(e.Sender), "@irc_net_carol:") {
		t.Errorf("got sender %s", e.Sender)
	}
	var texts []string
	for _, e := range alice.seen {
		if e.Room == room && e.Type == "m.room.message" {
			texts = append(texts, e.text())
		}
	}
	if got, want := strings.Join(texts, ", "), "from my telephone, from here, end"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// enter joins the room of a name that the person is asked into.
func (p *person) enter(name string) id.RoomID {
	p.t.Helper()
	room := p.await("an invitation to "+name, func(e realEvent) bool { return e.Type == "m.room.name" && e.Content["name"] == name }).Room
	p.OK("POST", "/_matrix/client/v3/join/"+string(room), p.Token, "{}", nil)
	p.await("herself in it", func(e realEvent) bool { return e.Room == room && isMember(p.ID, "join")(e) })
	return room
}
