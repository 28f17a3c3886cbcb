package irc

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// spoke waits for what a nick says in a channel.
func spoke(c *bridgetest.IRCClient, nick, channel, text string) {
	c.Await(nick+" in "+channel+": "+text, func(m ircmsg.Message) bool {
		return bridgetest.Said(channel, nick)(m) && m.Params[1] == text
	})
}

// A real server: an operator of a channel is asked and allows it, what others say counts for nothing, lines go both ways, and the operator
// ends it.
func TestPlumbOnNGIRCd(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, bob := w.foreignRoom("shared")
	carol, dave := bridgetest.DialIRC(t, ircd.Address, "carol"), bridgetest.DialIRC(t, ircd.Address, "dave")
	carol.Join("#c") // and is its operator
	dave.Join("#c")
	w.hs.Say(alice, foreign, "!irc plumb net #c")
	code := codeFor(carol)
	w.awaitNotice(foreign, "Asked carol on net")
	dave.Send("PRIVMSG matrix :yes %s", code)
	dave.Await("a refusal", func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && m.Nick() == "matrix" && strings.HasPrefix(m.Params[1], "I take that only from operators of #c")
	})
	if joined := carol.Lines(func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" }); len(joined) > 0 {
		t.Error("alice is on the channel without consent")
	}
	carol.Send("PRIVMSG matrix :yes %s", code)
	for _, nick := range []string{"alice", "bob"} {
		dave.AwaitCommand("JOIN", nick, "#c")
	}
	e := w.awaitNotice(foreign, "This room is connected with #c on net")
	if !strings.Contains(e.Text(), "carol!") {
		t.Errorf("got %q, which does not tell who has allowed it", e.Text())
	}
	w.hs.AwaitMembership(foreign, w.ghost("carol"), "join")
	w.hs.AwaitMembership(foreign, w.ghost("dave"), "join")
	carol.Say("#c", "welcome")
	if e := w.hs.AwaitText(foreign, "welcome"); e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	w.hs.Say(bob, foreign, "hello")
	spoke(carol, "bob", "#c", "hello")
	w.hs.Say(alice, foreign, "me too")
	spoke(dave, "alice", "#c", "me too")

	carol.Send("PRIVMSG matrix :unplumb #c")
	carol.AwaitCommand("PART", "alice", "#c")
	carol.AwaitCommand("PART", "bob", "#c")
	carol.AwaitCommand("PART", "matrix", "#c")
	w.hs.AwaitMembership(foreign, w.ghost("dave"), "leave")
	w.hs.AwaitMembership(foreign, w.bridge.Bot(), "leave")
	if got := w.hs.Joined(foreign); !slices.Equal(got, []id.UserID{alice, bob}) {
		t.Errorf("got members %v", got)
	}
}

// A room of others in which the bot has no power: whom a channel sends away, the room is told of.
func TestKickedFromForeignRoom(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	hs := bridgetest.NewHomeserver(t, "hs.test")
	hs.Fault = func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/kick") {
			return http.StatusForbidden
		}
		return 0
	}
	w := start(t, hs, t.TempDir(), testNetwork(ircd.Address))
	alice, _ := w.foreignRoom("shared")
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#c")
	w.hs.Say(alice, foreign, "!irc plumb net #c")
	carol.Send("PRIVMSG matrix :yes %s", codeFor(carol))
	w.awaitNotice(foreign, "This room is connected with #c on net")
	carol.AwaitCommand("JOIN", "bob", "#c")
	carol.Send("KICK #c bob :enough")
	w.awaitNotice(foreign, "@bob:hs.test is not on #c on net (kicked by carol: enough), but I may not remove them")
}

// Two real servers in one room: lines of each, and of the room, are on both, with kicks, bans and topics in the right one; one is taken away.
func TestTwoNGIRCds(t *testing.T) {
	a, b := bridgetest.StartNGIRCd(t), bridgetest.StartNGIRCd(t)
	w := startConfig(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), Config{Networks: map[string]NetworkConfig{
		"net": testNetwork(a.Address), "other": testNetwork(b.Address),
	}})
	alice, bob := w.foreignRoom("shared")
	carol, dave, erin := bridgetest.DialIRC(t, a.Address, "carol"), bridgetest.DialIRC(t, b.Address, "dave"), bridgetest.DialIRC(t, b.Address, "erin")
	carol.Join("#c")
	dave.Join("#d")
	erin.Join("#d")
	for _, step := range []struct {
		operator         *bridgetest.IRCClient
		network, channel string
	}{{carol, "net", "#c"}, {dave, "other", "#d"}} {
		w.hs.Say(alice, foreign, "!irc plumb "+step.network+" "+step.channel)
		step.operator.Send("PRIVMSG matrix :yes %s", codeFor(step.operator))
		w.awaitNotice(foreign, "This room is connected with "+step.channel+" on "+step.network)
		for _, nick := range []string{"alice", "bob", "matrix"} {
			step.operator.AwaitOccupant(step.channel, nick)
		}
	}
	w.hs.AwaitMembership(foreign, w.ghost("carol"), "join")
	ghost := w.hs.User("irc_other_erin")
	w.hs.AwaitMembership(foreign, ghost, "join")

	carol.Say("#c", "from A")
	spoke(dave, "matrix", "#d", "<carol> from A")
	erin.Say("#d", "from B")
	spoke(carol, "matrix", "#c", "<erin> from B")
	w.hs.Say(bob, foreign, "from the room")
	spoke(carol, "bob", "#c", "from the room")
	spoke(dave, "bob", "#d", "from the room")
	for text, sender := range map[string]id.UserID{"from A": w.ghost("carol"), "from B": ghost} {
		if e := w.hs.AwaitText(foreign, text); e.Sender != sender {
			t.Errorf("%q: got sender %s", text, e.Sender)
		}
	}

	// ngircd lets the first who comes rule; dave gives alice a part of that.
	dave.Send("MODE #d +o alice")
	dave.Send("TOPIC #d :of B")
	w.awaitNotice(foreign, "dave has set the topic of #d on other: of B")
	w.hs.SetMember(alice, foreign, ghost, "leave", "out")
	erin.AwaitCommand("KICK", "alice", "#d")
	w.hs.SetMember(alice, foreign, ghost, "ban", "out")
	dave.Await("a ban", func(m ircmsg.Message) bool {
		return m.Command == "MODE" && m.Nick() == "alice" && len(m.Params) == 3 && m.Params[1] == "+b"
	})
	if wrong := carol.Lines(func(m ircmsg.Message) bool { return m.Command == "KICK" || m.Command == "TOPIC" }); len(wrong) > 0 {
		t.Errorf("got %v in #c", wrong)
	}

	dave.Send("PRIVMSG matrix :unplumb #d")
	dave.AwaitCommand("PART", "alice", "#d")
	dave.AwaitCommand("PART", "matrix", "#d")
	w.awaitNotice(foreign, "no longer connected with #d on other")
	w.hs.AwaitMembership(foreign, w.hs.User("irc_other_dave"), "leave")
	w.hs.Say(alice, foreign, "still here")
	spoke(carol, "alice", "#c", "still here")
	carol.Say("#c", "the last")
	w.hs.AwaitText(foreign, "the last")
	var texts []string
	for _, e := range w.hs.Messages(foreign, w.bridge.Bot(), alice, bob) {
		texts = append(texts, e.Text())
	}
	slices.Sort(texts)
	if want := []string{"from A", "from B", "the last"}; !slices.Equal(texts, want) {
		t.Errorf("got %q, want %q", texts, want)
	}
	if got := bridgetest.Texts(dave.Lines(bridgetest.Said("#d", ""))); slices.Contains(got, "still here") {
		t.Error("the channel that was taken away hears on")
	}
}
