package irc

import (
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"

	"causeway/bridges/bridgetest"
)

// rules are the events that set up a room: levels, rules, bans, name and topic.
func (x *both) rules() []*bridgetest.Event {
	return x.hs.Events(func(e *bridgetest.Event) bool {
		return e.Room == x.room && e.StateKey != nil && (e.Type != "m.room.member" || e.Membership() == "ban")
	})
}

// tells is how often the bot has told the room a text.
func (x *both) tells(text string) int {
	return len(x.hs.Events(func(e *bridgetest.Event) bool {
		return e.Room == x.room && e.Sender == x.bridge.Bot() && strings.Contains(e.Text(), text)
	}))
}

// What is set on a further channel stays there: modes, ranks, and bans of people of the room, whom the room does not send away. They are told
// that they are not heard there, as is the sender of each message, and told when they are again.
func TestFurtherModes(t *testing.T) {
	t.Parallel()
	x := startBoth(t, ContentConfig{})
	settled := func(text string) {
		t.Helper()
		x.dave.Say("#d", text) // which the lane delivers when it has applied what was before
		x.hs.AwaitText(x.room, text)
	}
	settled("before")
	x.hs.Await("the room's own levels", func() bool {
		users, _ := x.hs.State(x.room, "m.room.power_levels", "").Content["users"].(map[string]any)
		return users[string(x.alice)] == 50.0
	})
	before := len(x.rules())
	erin := bridgetest.DialIRC(t, x.dave.Address(), "erin")
	erin.Join("#d")
	for _, mode := range []string{"+m", "+i", "+v erin", "+o erin", "+v alice", "-m", "-i", "-t", "-v alice", "+b erin!*@*", "-o erin"} {
		x.dave.Send("MODE #d %s", mode)
	}
	settled("after")

	x.dave.Send("MODE #d +m")
	settled("moderated")
	x.hs.Say(x.alice, x.room, "without a voice")
	heard(x.carol, "alice", "without a voice")
	x.awaitNotice(x.room, "Your message did not reach #d on other: other says: Cannot send to channel")
	x.dave.Send("MODE #d -m+b alice!*@*")
	e := x.awaitNotice(x.room, "You are banned from #d on other. What you say here does not reach it")
	if mentions, _ := e.Content["m.mentions"].(map[string]any); !slices.Equal(mentions["user_ids"].([]any), []any{string(x.alice)}) {
		t.Errorf("got mentions %v", mentions)
	}
	x.hs.Say(x.alice, x.room, "from outside")
	heard(x.carol, "alice", "from outside")
	x.hs.Await("a word of each message", func() bool {
		return x.tells("Your message did not reach #d on other: other says: Cannot send to channel") == 2
	})
	// Another ban is no news.
	x.dave.Send("MODE #d +b *!alice@*")
	settled("banned twice")
	x.dave.Send("MODE #d -b alice!*@*")
	settled("banned still")
	x.dave.Send("MODE #d -b *!alice@*")
	x.awaitNotice(x.room, "You may speak on #d on other again.")
	x.hs.Say(x.alice, x.room, "as before")
	heard(x.dave, "alice", "as before")
	if told := x.tells("You are banned from #d"); told != 1 {
		t.Errorf("told %d times of the bans", told)
	}
	for _, e := range x.rules()[before:] {
		t.Errorf("the room got %s[%s] by %s: %v", e.Type, *e.StateKey, e.Sender, e.Content)
	}
	if !slices.Contains(x.hs.Joined(x.room), x.alice) {
		t.Error("alice is not in the room any more")
	}
}

// Who is invited into the room is invited to their own channel.
func TestFurtherInvitations(t *testing.T) {
	t.Parallel()
	x := startBoth(t, ContentConfig{})
	erin, frank := bridgetest.DialIRC(t, x.dave.Address(), "erin"), bridgetest.DialIRC(t, x.carol.Address(), "frank")
	// The bridge knows them from elsewhere.
	erin.Join("#e")
	frank.Join("#f")
	other := x.hs.JoinAlias(x.alice, "#irc_other_#e:hs.test")
	x.hs.AwaitMembership(other, x.hs.User("irc_other_erin"), "join")
	x.hs.AwaitMembership(x.join(x.alice, "#f"), x.ghost("frank"), "join")
	invited := func(c *bridgetest.IRCClient, nick, channel string) {
		t.Helper()
		c.Await("an invitation", func(m ircmsg.Message) bool {
			return m.Command == "INVITE" && m.Nick() == "alice" && slices.Equal(m.Params, []string{nick, channel})
		})
	}
	x.hs.SetMember(x.alice, x.room, x.hs.User("irc_other_erin"), "invite", "")
	invited(erin, "erin", "#d")
	x.hs.SetMember(x.alice, x.room, x.ghost("frank"), "invite", "")
	invited(frank, "frank", "#c")
	// One who may not be invited there does not stay invited here.
	x.dave.Send("MODE #d +i")
	x.dave.Await("the mode", func(m ircmsg.Message) bool { return m.Command == "MODE" && slices.Contains(m.Params, "+i") })
	gina := bridgetest.DialIRC(t, x.dave.Address(), "gina")
	gina.Join("#e")
	x.hs.AwaitMembership(other, x.hs.User("irc_other_gina"), "join")
	x.hs.SetMember(x.alice, x.room, x.hs.User("irc_other_gina"), "invite", "")
	x.awaitNotice(x.room, "gina was not invited on IRC: other says: ")
	x.hs.AwaitMembership(x.room, x.hs.User("irc_other_gina"), "leave")
	if lines := gina.Lines(func(m ircmsg.Message) bool { return m.Command == "INVITE" }); len(lines) > 0 {
		t.Errorf("got %v", lines)
	}
}

// A real server with quiets: who may not speak on a further channel is told, and the room's levels stay.
func TestFurtherQuietOnInspIRCd(t *testing.T) {
	t.Parallel()
	a, b := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{Network: "A"}), bridgetest.StartInspIRCd(t)
	w := startConfig(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), Config{Networks: map[string]NetworkConfig{
		"net": testNetwork(a.Address), "other": testNetwork(b.Address),
	}})
	x := &both{
		world: w, alice: w.hs.User("alice"), ghostOfDave: w.hs.User("irc_other_dave"),
		carol: bridgetest.DialIRC(t, a.Address, "carol", clientCaps...), dave: bridgetest.DialIRC(t, b.Address, "dave"),
	}
	x.carol.Join("#c")
	x.dave.Join("#d")
	x.room = w.join(x.alice, "#c")
	x.carol.AwaitCommand("JOIN", "alice", "#c")
	x.carol.Send("MODE #c +o alice")
	x.connect(x.dave, "plumb other #d")
	x.hs.AwaitMembership(x.room, x.ghostOfDave, "join")
	before := len(x.rules())
	x.dave.Send("MODE #d +b m:alice!*@*")
	x.awaitNotice(x.room, "You may not speak on #d on other. What you say here does not reach it.")
	x.hs.Say(x.alice, x.room, "hush")
	heard(x.carol, "alice", "hush")
	x.awaitNotice(x.room, "Your message did not reach #d on other: other says: ")
	x.dave.Send("MODE #d -b m:alice!*@*")
	x.awaitNotice(x.room, "You may speak on #d on other again.")
	for _, e := range x.rules()[before:] {
		t.Errorf("the room got %s[%s] by %s: %v", e.Type, *e.StateKey, e.Sender, e.Content)
	}
}
