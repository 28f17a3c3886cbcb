package irc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// wordsIn are the events in which a text is, but for those of some users.
func (w *world) wordsIn(text string, except ...id.UserID) (list []*bridgetest.Event) {
	return w.hs.Events(func(e *bridgetest.Event) bool {
		for _, user := range except {
			if e.Sender == user {
				return false
			}
		}
		return strings.Contains(fmt.Sprint(e.Content), text)
	})
}

// enterWithTopic lets a nick into a channel that has a topic.
func enterWithTopic(conn *bridgetest.IRCConn, nick, channel, others, topic string) {
	conn.Expect("JOIN " + channel)
	conn.Send(":%s!%s@host.test JOIN %s", nick, nick, channel)
	conn.Send(":irc.test 332 %s %s :%s", nick, channel, topic)
	conn.Send(":irc.test 353 %s = %s :%s %s", nick, channel, nick, others)
	conn.Send(":irc.test 366 %s %s :End of NAMES", nick, channel)
}

// The state of a strict channel's room, which is for everybody who comes, has no words of people: not those with which they leave,
// are kicked, or change their nick, and no topic. The topic is a line that is held back while somebody is missing.
func TestStrictWordsFromIRC(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, strictNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#secret")
	a := ircd.Accept()
	a.Welcome("alice")
	enterWithTopic(a, "alice", "#secret", "@carol dave erin frank grace", "word0")
	w.awaitNotice(room, "The topic of #secret is: word0")
	for _, nick := range []string{"dave", "erin", "frank", "grace"} {
		w.hs.AwaitMembership(room, w.ghost(nick), "join")
	}
	a.Send(":dave!d@h PART #secret :word1")
	a.Send(":erin!e@h QUIT :word1")
	a.Send(":carol!c@h KICK #secret frank :word1")
	a.Send(":grace!g@h NICK gracious")
	for nick, want := range map[string]any{"dave": nil, "erin": "Quit", "frank": "kicked by carol", "grace": "has another nick now"} {
		if got := w.hs.AwaitMembership(room, w.ghost(nick), "leave").Content["reason"]; got != want {
			t.Errorf("%s: got reason %q, want %v", nick, got, want)
		}
	}
	a.Send(":carol!c@h TOPIC #secret :word2")
	w.awaitNotice(room, "carol has set the topic of #secret: word2")

	w.hs.SetMember(bob, room, bob, "join", "")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Expect("JOIN #secret")
	a.Send(":carol!c@h TOPIC #secret :word3")
	w.awaitNotice(room, "carol has changed the topic of #secret.")
	if list := w.wordsIn("word3"); len(list) > 0 {
		t.Errorf("bob, who is not on the channel, reads %v", list[0].Content)
	}
	a.Send(":bob!bob@host.test JOIN #secret")
	enterWithTopic2(b, "bob", "#secret", "alice @carol", "word3")
	w.awaitNotice(room, ": word3") // alone, or with the word that everybody is there
	a.Send(":carol!c@h KICK #secret alice :word4")
	w.hs.AwaitMembership(room, alice, "leave")
	// In the status room they read what was said, which the channel's does not show.
	w.hs.AwaitEvent("the words", func(e *bridgetest.Event) bool {
		return e.Room != room && strings.Contains(e.Text(), "You were kicked by carol on #secret: word4")
	})
	b.Send(":carol!c@h KICK #secret alice :word4")
	b.Send(":carol!c@h PRIVMSG #secret :the last")
	w.hs.AwaitText(room, "the last")
	for _, word := range []string{"word0", "word1", "word2", "word3", "word4"} {
		for _, e := range w.wordsIn(word) {
			if e.Room == room && e.Type != "m.room.redaction" && (e.StateKey != nil || word == "word1" || word == "word4") {
				t.Errorf("got %s with %q: %v", e.Type, word, e.Content)
			}
		}
	}
}

// enterWithTopic2 is enterWithTopic when JOIN was read.
func enterWithTopic2(conn *bridgetest.IRCConn, nick, channel, others, topic string) {
	conn.Send(":%s!%s@host.test JOIN %s", nick, nick, channel)
	conn.Send(":irc.test 332 %s %s :%s", nick, channel, topic)
	conn.Send(":irc.test 353 %s = %s :%s %s", nick, channel, nick, others)
	conn.Send(":irc.test 366 %s %s :End of NAMES", nick, channel)
}

// What people of the room say when they leave, kick or remove a message does not go out, the topic only while everybody is there,
// and it does not stay in the room.
func TestStrictWordsToIRC(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, strictNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#secret")
	a := ircd.Accept()
	a.Capable("alice", "message-tags echo-message draft/message-redaction")
	a.Joined("alice", "#secret", "carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	said := w.hs.Say(alice, room, "hello")
	reads(a, "PRIVMSG #secret :hello")
	a.Send("@msgid=m1 :alice!alice@host.test PRIVMSG #secret :hello")
	confirm(a)
	w.hs.AwaitAcknowledged()

	w.hs.SendState(alice, room, "m.room.topic", "", map[string]any{"topic": "word1"})
	reads(a, "TOPIC #secret :word1")
	a.Send(":alice!alice@host.test TOPIC #secret :word1")
	confirm(a)
	noTopic := func() {
		t.Helper()
		w.hs.Await("the topic goes", func() bool { return w.hs.State(room, "m.room.topic", "").Content["topic"] == "" })
	}
	noTopic()
	w.awaitNotice(room, "Somebody has set the topic of #secret: word1")

	w.hs.SetMember(bob, room, bob, "join", "")
	b := ircd.Accept()
	b.Capable("bob", "message-tags")
	b.Expect("JOIN #secret")
	w.hs.SendState(alice, room, "m.room.topic", "", map[string]any{"topic": "word2"})
	w.awaitNotice(room, "The topic was not set: #secret is strict")
	noTopic()
	// What was said can be taken back at any time.
	w.hs.Send(alice, room, "m.room.redaction", map[string]any{"redacts": said.ID, "reason": "word2"})
	if line := reads(a, "REDACT"); line != "REDACT #secret m1" {
		t.Errorf("got %q", line)
	}
	confirm(a)
	w.hs.SetMember(alice, room, w.ghost("carol"), "leave", "word2")
	if line := reads(a, "KICK"); line != "KICK #secret carol :" {
		t.Errorf("got %q", line)
	}
	confirm(a)
	w.hs.SetMember(alice, room, alice, "leave", "word2")
	if line := reads(a, "PART"); line != "PART #secret :" {
		t.Errorf("got %q", line)
	}
}

// Words about being away are for nobody who could be in the room of a strict channel without being on it, and none of its people
// say any.
func TestStrictAway(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	cfg := strictNetwork(ircd.Address)
	cfg.Away.Delay = time.Millisecond
	w := startNew(t, cfg)
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	open := w.join(bob, "#open")
	b := ircd.Accept()
	b.Capable("bob", "away-notify")
	b.Joined("bob", "#open", "carol dave")
	room := w.join(alice, "#secret")
	a := ircd.Accept()
	a.Capable("alice", "away-notify")
	a.Joined("alice", "#secret", "carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	w.hs.AwaitMembership(open, w.ghost("dave"), "join")
	b.Send(":carol!c@h AWAY :word1")
	b.Send(":dave!d@h AWAY :at lunch")
	w.hs.Await("dave is away", func() bool { return w.hs.Presence(w.ghost("dave")) == "unavailable at lunch" })
	w.hs.Await("carol is away", func() bool { return w.hs.Presence(w.ghost("carol")) == "unavailable " })
	// Who comes to the channel is away without words from then on.
	a.Send(":dave!d@h JOIN #secret")
	w.hs.Await("dave is away without words", func() bool { return w.hs.Presence(w.ghost("dave")) == "unavailable " })

	w.hs.Present(alice, "unavailable", "word2")
	if line := reads(a, "AWAY"); line != "AWAY :away" {
		t.Errorf("got %q", line)
	}
	w.hs.Present(bob, "unavailable", "word3")
	reads(b, "AWAY :word3")
	w.join(bob, "#secret")
	if first, second := reads(b, ""), reads(b, ""); first != "AWAY :away" || second != "JOIN #secret" {
		t.Errorf("got %q, then %q", first, second)
	}
}

// What was said while nobody of us was there stays there, and so do the words with which people left and the topics of then.
func TestStrictHistory(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, strictNetwork(s.Address))
	carol, dave := bridgetest.DialIRC(t, s.Address, "carol"), bridgetest.DialIRC(t, s.Address, "dave")
	carol.Join("#secret")
	dave.Join("#secret")
	room := w.join(hs.User("alice"), "#secret")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	carol.Say("#secret", "before")
	w.hs.AwaitText(room, "before")
	w.hs.AwaitAcknowledged()
	w.stop()
	carol.AwaitAbsent("alice")
	carol.Say("#secret", "word1")
	carol.Send("TOPIC #secret :word2")
	dave.Send("PART #secret :word3")
	carol.AwaitCommand("PART", "dave", "#secret")
	carol.Send("TOPIC #secret :the topic of now")
	carol.Await("the topic", func(m ircmsg.Message) bool { return m.Command == "TOPIC" && m.Params[1] == "the topic of now" })

	w = start(t, hs, dir, strictNetwork(s.Address))
	w.awaitNotice(room, "The topic of #secret is: the topic of now")
	w.hs.AwaitMembership(room, w.ghost("dave"), "leave")
	carol.Say("#secret", "after")
	w.hs.AwaitText(room, "after")
	for _, word := range []string{"word1", "word2", "word3"} {
		if list := w.wordsIn(word); len(list) > 0 {
			t.Errorf("got %s by %s: %v", list[0].Type, list[0].Sender, list[0].Content)
		}
	}
}

// confirm answers the next question whether lines have come.
func confirm(conn *bridgetest.IRCConn) {
	token := reads(conn, "PING :cw-")[len("PING :"):]
	conn.Send(":irc.test PONG irc.test :%s", token)
}
