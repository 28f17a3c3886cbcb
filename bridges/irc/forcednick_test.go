package irc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"

	"causeway/bridges/bridgetest"
)

// Services give somebody of ours another nick: from then on that is who they are, and the old one is somebody else's to take.
func TestForcedNick(t *testing.T) {
	t.Parallel()
	x := newScene3(t, bridgetest.IRCv3Options{}, "alice", "bob")
	alice, bob := x.hs.User("alice"), x.hs.User("bob")
	x.manage(alice)
	x.talk("alice", 3)
	x.check()
	x.s.ForceNick("alice", "Guest7")
	x.spoken(x.carol, x.room, "who is Guest7?", x.ghost("carol"))
	x.hs.Say(alice, x.room, "it is me")
	lineOf(x.carol, "Guest7", "it is me")
	x.carol.Say("#c", "Guest7: is it you?")
	if got := mentionsOf(x.hs.AwaitText(x.room, "Guest7: is it you?")); !slices.Equal(got, []any{string(alice)}) {
		t.Errorf("got mentions of %v, want alice", got)
	}
	x.hs.Send(bob, x.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html",
		"formatted_body": fmt.Sprintf(`<a href="https://matrix.to/#/%s">Alice</a> it is`, alice),
	})
	lineOf(x.carol, "bob", "Guest7 it is")
	x.hs.Say(alice, dm, "whois net Guest7")
	x.awaitText(dm, "`Guest7` on net is `@alice:hs.test`")
	x.hs.Say(alice, dm, "status")
	x.awaitText(dm, "connected as `Guest7`")

	// Whoever has the old nick now is somebody else.
	mallory := bridgetest.DialIRC(t, x.s.Address, "alice")
	x.s.SetHost("alice", "mallory", "elsewhere.example")
	mallory.Join("#c")
	x.hs.AwaitMembership(x.room, x.ghost("alice"), "join")
	mallory.Say("#c", "I am alice")
	if e := x.hs.AwaitText(x.room, "I am alice"); e.Sender != x.ghost("alice") {
		t.Errorf("got sender %s", e.Sender)
	}
	if x.hs.State(x.room, "m.room.member", string(x.ghost("Guest7"))) != nil || x.hs.State(x.room, "m.room.member", string(x.ghost("guest7"))) != nil {
		t.Error("got a ghost of the nick that was forced on alice")
	}
	x.carol.Send("MODE #c +b alice!*@*") // which is about mallory
	x.carol.Send("MODE #c +b guest7!*@*")
	ban := x.hs.AwaitMembership(x.room, alice, "ban")
	if got := fmt.Sprint(ban.Content); strings.Contains(got, "alice!*@*") {
		t.Errorf("got a ban %s, want one by the nick that she has now", got)
	}
}

// Somebody else has the nick after a collision, and is not taken for who had it; she has it back when they are gone.
func TestNickUsurped(t *testing.T) {
	t.Parallel()
	x := newScene3(t, bridgetest.IRCv3Options{}, "alice", "bob")
	mallory := bridgetest.DialIRC(t, x.s.Address, "mallory")
	mallory.Join("#c")
	x.hs.AwaitMembership(x.room, x.ghost("mallory"), "join")
	x.s.Usurp("alice", "mallory")
	x.awaitComings("alice_", 1)
	x.hs.AwaitMembership(x.room, x.ghost("alice"), "join")
	mallory.Say("#c", "I am alice")
	if e := x.hs.AwaitText(x.room, "I am alice"); e.Sender != x.ghost("alice") {
		t.Errorf("got sender %s", e.Sender)
	}
	x.hs.Say(x.hs.User("alice"), x.room, "no, I am")
	lineOf(x.carol, "alice_", "no, I am")
	mallory.Quit("caught")
	x.hs.AwaitMembership(x.room, x.ghost("alice"), "leave")
	x.carol.Await("her nick", func(m ircmsg.Message) bool {
		return m.Command == "NICK" && m.Nick() == "alice_" && m.Params[0] == "alice"
	})
	x.hs.Say(x.hs.User("alice"), x.room, "I told you")
	lineOf(x.carol, "alice", "I told you")
}
