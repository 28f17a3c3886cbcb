package irc

import (
	"context"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// inClient waits until something holds in the goroutine of a client, which comes by itself.
func inClient(t *testing.T, c *client, holds func(c *client) bool) {
	t.Helper()
	for told := make(chan bool); ; {
		if !c.box.add(runRequest(func(c *client) { told <- holds(c) })) {
			t.Fatal("the client has ended")
		}
		if <-told || t.Context().Err() != nil {
			return
		}
	}
}

// typed waits until a user's client knows that they type on a channel, and whatever follows from that has been decided.
func (w *world) typed(user id.UserID, network, channel string) {
	w.t.Helper()
	c := w.conn.networks[network].running(user)
	inClient(w.t, c, func(c *client) bool { return c.membershipOf(channel).typing.on })
	looked := make(chan bool)
	w.conn.later(func(context.Context) { close(looked) })
	<-looked
	inClient(w.t, c, func(c *client) bool { return len(c.queue) == 0 })
}

// While a strict channel is closed nobody's typing passes, either way.
func TestStrictTyping(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, strictNetwork(ircd.Address))
	alice, dora, bob := w.hs.User("alice"), w.hs.User("dora"), w.hs.User("bob")
	room := w.join(alice, "#secret")
	a := ircd.Accept()
	a.Capable("alice", "message-tags")
	a.Joined("alice", "#secret", "carol")
	w.hs.SetMember(dora, room, dora, "join", "")
	d := ircd.Accept()
	d.Capable("dora", "message-tags")
	d.Expect("JOIN #secret")
	a.Send(":dora!dora@host.test JOIN #secret")
	d.Enter("dora", "#secret", "alice carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")

	w.hs.Typing(room, alice)
	reads(a, "@+typing=active TAGMSG #secret")
	a.Send("@+typing=active :carol!c@h TAGMSG #secret")
	w.hs.Await("carol types", func() bool { return w.hs.Types(w.ghost("carol"), room) })
	a.Send("@+typing=done :carol!c@h TAGMSG #secret")
	w.hs.Await("carol does not type", func() bool { return !w.hs.Types(w.ghost("carol"), room) })

	w.hs.SetMember(bob, room, bob, "join", "")
	b := ircd.Accept()
	b.Capable("bob", "message-tags")
	b.Expect("JOIN #secret")
	w.awaitNotice(room, "Nothing passes between this room and #secret on net")
	a.Send("@+typing=active :carol!c@h TAGMSG #secret")
	a.Send(":erin!e@h JOIN #secret")
	w.hs.AwaitMembership(room, w.ghost("erin"), "join")
	if w.hs.Types(w.ghost("carol"), room) {
		t.Error("bob, who is not on the channel, sees carol type")
	}
	w.hs.Typing(room, alice, dora)
	w.typed(dora, "net", "#secret")
	d.Send("PING :now")
	for line := d.Read(); line != "PONG :now"; line = d.Read() {
		if strings.Contains(line, "TAGMSG") {
			t.Errorf("got %q", line)
		}
	}

	// It passes as soon as everybody is there, while she types.
	for _, conn := range []*bridgetest.IRCConn{a, d} {
		conn.Send(":bob!bob@host.test JOIN #secret")
	}
	b.Enter("bob", "#secret", "alice dora carol erin")
	reads(d, "@+typing=active TAGMSG #secret")
	w.awaitNotice(room, "Everybody here is on #secret on net")
	a.Send("@+typing=active :carol!c@h TAGMSG #secret")
	w.hs.Await("carol types", func() bool { return w.hs.Types(w.ghost("carol"), room) })
}

// A further channel that the configuration has made strict is as strict as any: nothing goes to it or comes from it while somebody of
// the room is not on it, typing as little as words; and what is said on it does not go to the other channels.
func TestStrictFurther(t *testing.T) {
	t.Parallel()
	x := startBoth(t, ContentConfig{})
	x.hs.AwaitAcknowledged()
	x.stop()
	networks := map[string]NetworkConfig{"net": testNetwork(x.carol.Address()), "other": strictNetwork(x.dave.Address())}
	cfg := networks["other"]
	cfg.Strict.Channels = []string{"#d"}
	networks["other"] = cfg
	x.world = startConfig(t, x.hs, x.dir, Config{Networks: networks})
	x.carol.AwaitOccupant("#c", "alice")
	x.dave.AwaitOccupant("#d", "alice")
	x.dave.AwaitOccupant("#d", "matrix")
	open := func(want bool) {
		t.Helper()
		x.hs.Await("the state of #d", func() bool {
			e := x.hs.State(x.room, strictState, "")
			return e != nil && e.Content["open"] == want
		})
	}
	eve := id.UserID("@eve:elsewhere.test") // who may not use the bridge
	x.hs.SetMember(eve, x.room, eve, "join", "")
	open(false)

	x.hs.Typing(x.room, x.alice)
	awaitTag(x.carol, "alice", "+typing", "active", "")
	x.typed(x.alice, "other", "#d")
	x.hs.Say(x.alice, x.room, "not for #d")
	heard(x.carol, "alice", "not for #d")
	x.awaitNotice(x.room, "Your message did not reach #d on other: #d is strict")
	x.carol.Say("#c", "nor this")
	x.hs.AwaitText(x.room, "nor this")
	x.awaitNotice(x.room, "#d on other does not hear what is said in the other channels of this room: #d is strict")
	x.carol.Send("MODE #c +o alice")
	x.carol.AwaitCount("alice is an operator again", 2, func(m ircmsg.Message) bool { return m.Command == "MODE" && m.Nick() == "carol" && m.Params[1] == "+o" })
	x.hs.SendState(x.alice, x.room, "m.room.topic", "", map[string]any{"topic": "nor that"})
	x.awaitNotice(x.room, "The topic of #d on other was not set: #d is strict")
	x.dave.Send("@+typing=active TAGMSG #d")
	x.dave.Say("#d", "not for eve")
	x.dave.Send("TOPIC #d :nor the topic")
	x.dave.Send("NICK dave2")
	x.hs.AwaitMembership(x.room, x.hs.User("irc_other_dave2"), "join")
	x.dave.Send("NICK dave")
	x.hs.AwaitMembership(x.room, x.ghostOfDave, "join")
	if x.hs.Types(x.ghostOfDave, x.room) {
		t.Error("eve sees dave type")
	}
	for _, word := range []string{"not for eve", "nor the topic"} {
		if list := x.wordsIn(word); len(list) > 0 {
			t.Errorf("eve reads %v", list[0].Content)
		}
	}

	x.hs.SetMember(eve, x.room, eve, "leave", "")
	open(true)
	x.hs.Say(x.alice, x.room, "for both")
	heard(x.dave, "alice", "for both")
	heard(x.carol, "alice", "for both")
	x.dave.Say("#d", "for the room")
	x.hs.AwaitText(x.room, "for the room")
	x.awaitNotice(x.room, "#c on net does not hear what is said in the other channels of this room: #d is strict, and others would read what is said there")
	awaitTag(x.dave, "alice", "+typing", "active", "") // who types still
	for _, m := range x.dave.Lines(func(m ircmsg.Message) bool { return len(m.Params) > 1 && m.Nick() != "dave" }) {
		if last := m.Params[len(m.Params)-1]; strings.Contains(last, "not for #d") || strings.Contains(last, "nor th") {
			t.Errorf("#d has heard %v", m)
		}
	}
	tags := x.dave.Lines(func(m ircmsg.Message) bool { return m.Command == "TAGMSG" && m.Nick() == "alice" })
	said := x.dave.Lines(func(m ircmsg.Message) bool {
		return m.Command == "TAGMSG" && m.Nick() == "alice" || bridgetest.Said("#d", "alice")(m)
	})
	if len(tags) > 0 && said[0].Command == "TAGMSG" {
		t.Error("#d has heard alice type while it was closed")
	}
}
