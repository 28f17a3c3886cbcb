package irc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// talked is the line of a bot's answer to a command.
func (w *world) command(user id.UserID, room id.RoomID, text string) {
	w.t.Helper()
	w.hs.Say(user, room, "!irc "+text)
}

// private makes a room for a user and the bot.
func (w *world) private(user id.UserID) id.RoomID {
	w.t.Helper()
	w.hs.Await("the bot", func() bool { return w.bridge.Bot() != "" })
	room := id.RoomID("!chat-" + user.Localpart() + ":" + w.hs.ServerName)
	w.hs.SendState(user, room, "m.room.create", "", map[string]any{})
	w.hs.SetMember(user, room, user, "join", "")
	w.hs.SetMember(user, room, w.bridge.Bot(), "invite", "")
	w.hs.AwaitMembership(room, w.bridge.Bot(), "join")
	return room
}

// ownRoom waits for a room into which a user is asked and that has this portal.
func (w *world) ownRoom(user id.UserID, name string) id.RoomID {
	w.t.Helper()
	var room id.RoomID
	w.hs.Await("a room of one's own for "+name, func() bool {
		n := w.conn.networks["net"]
		portal, err := w.conn.br.GetExistingPortalByKey(w.conn.ctx, n.ids.own(user, name))
		if err != nil || portal == nil || portal.MXID == "" {
			return false
		}
		room = portal.MXID
		e := w.hs.State(room, "m.room.member", string(user))
		return e != nil && (e.Membership() == "invite" || e.Membership() == "join")
	})
	return room
}

// enter lets a user accept an invitation.
func (w *world) enter(user id.UserID, room id.RoomID) {
	w.t.Helper()
	w.hs.SetMember(user, room, user, "join", "")
	w.hs.AwaitAcknowledged()
}

func saidTo(nick, from string) func(m ircmsg.Message) bool {
	return func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && m.Nick() == from && strings.EqualFold(m.Params[0], nick)
	}
}

// Somebody on IRC writes to a person on Matrix, who answers.
func TestPrivateMessages(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	carol.Say("alice", "psst")
	room := w.ownRoom(alice, "carol")
	e := w.hs.AwaitText(room, "psst")
	if e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	w.enter(alice, room)
	w.hs.Say(alice, room, "what?")
	carol.Await("the answer", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "what?" })
	carol.Send("PRIVMSG alice :\x01ACTION whispers\x01")
	if e := w.hs.AwaitText(room, "whispers"); e.MsgType() != "m.emote" {
		t.Errorf("got %s", e.MsgType())
	}
	carol.Send("AWAY :lunch")
	carol.Await("away", func(m ircmsg.Message) bool { return m.Command == "306" })
	for i := range 3 {
		w.hs.Say(alice, room, fmt.Sprint("hungry ", i))
	}
	carol.AwaitCount("three lines", 3, func(m ircmsg.Message) bool {
		return saidTo("carol", "alice")(m) && strings.HasPrefix(m.Params[1], "hungry")
	})
	w.awaitNotice(room, "Carol is away: lunch")
	w.hs.AwaitAcknowledged()
	notices := w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == room && strings.Contains(e.Text(), "is away") })
	if len(notices) != 1 {
		t.Errorf("got %d notices that she is away, want 1", len(notices))
	}
	if members := w.hs.Joined(room); len(members) != 3 {
		t.Errorf("got members %v, want alice, the ghost and the bot", members)
	}
}

func TestMsgCommand(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	chat := w.private(alice)
	w.command(alice, chat, "msg net carol hello there")
	carol.Await("the text", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "hello there" })
	room := w.ownRoom(alice, "carol")
	w.hs.AwaitText(room, "hello there")
	w.command(alice, chat, "msg net nobody hello")
	w.awaitNotice(chat, "nobody on net is called nobody at the moment")
	w.command(alice, chat, "start-chat carol on net")
	w.awaitNotice(chat, "Carol")
	w.enter(alice, room)
	carol.Quit("bye")
	w.hs.Await("a failure", func() bool { return true })
}
