package irc

import (
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// An operator of a real server, alice and bob on Matrix, and dave on IRC change what a channel is.
func TestModesOnServer(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	op := bridgetest.DialIRC(t, ircd.Address, "op")
	op.Join("#m")
	dave := bridgetest.DialIRC(t, ircd.Address, "dave")
	dave.Join("#m")
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#m")
	op.AwaitCommand("JOIN", "alice", "#m")
	w.awaitLevel(room, w.ghost("op"), 50)
	mode := func(by string, params ...string) ircmsg.Message {
		t.Helper()
		return op.Await("MODE "+strings.Join(params, " "), func(m ircmsg.Message) bool {
			return m.Command == "MODE" && m.Nick() == by && strings.Join(m.Params[1:], " ") == strings.Join(params, " ")
		})
	}

	// Ranks and levels.
	op.Send("MODE #m +v alice")
	w.awaitLevel(room, alice, 1)
	w.setLevels(alice, room, map[string]int{"dave": 50})
	w.awaitNotice(room, "The power levels were not changed")
	w.awaitLevel(room, w.ghost("dave"), 0)
	op.Send("MODE #m +o alice")
	w.awaitLevel(room, alice, 50)
	w.setLevels(alice, room, map[string]int{"dave": 1})
	mode("alice", "+v", "dave")

	// Rules.
	op.Send("MODE #m +ms")
	w.hs.Await("moderated", func() bool { return w.setting(room, "events_default") == 1 })
	dave.Say("#m", "with a voice")
	w.hs.AwaitText(room, "with a voice")
	op.Send("MODE #m -m")
	w.hs.Await("not moderated", func() bool { return w.setting(room, "events_default") == 0 })

	// A ban from Matrix.
	w.hs.SetMember(alice, room, w.ghost("dave"), "ban", "spam")
	if m := dave.AwaitCommand("KICK", "alice", "#m"); m.Params[2] != "spam" {
		t.Errorf("got reason %q, want spam", m.Params[2])
	}
	dave.Send("JOIN #m")
	dave.Await("a refusal", func(m ircmsg.Message) bool { return m.Command == "474" })
	w.hs.SetMember(alice, room, w.ghost("dave"), "leave", "")
	op.Await("the end of the ban", func(m ircmsg.Message) bool {
		return m.Command == "MODE" && m.Nick() == "alice" && m.Params[1] == "-b"
	})
	dave.Join("#m")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")

	// A ban from IRC.
	w.join(bob, "#m")
	op.AwaitCommand("JOIN", "bob", "#m")
	op.Send("MODE #m +b bob!*@*")
	w.hs.AwaitMembership(room, bob, "ban")
	op.AwaitCommand("PART", "bob", "#m")
	op.Send("MODE #m -b bob!*@*")
	w.hs.AwaitMembership(room, bob, "leave")

	// A key.
	op.Send("MODE #m +k sesame")
	mode("op", "+k", "sesame")
	w.join(bob, "#m")
	w.awaitNotice(room, "The channel has a key")
	w.hs.AwaitMembership(room, bob, "leave")
	private := id.RoomID("!private")
	w.hs.SetMember(bob, private, bob, "join", "")
	w.hs.SetMember(bob, private, w.bridge.Bot(), "invite", "")
	w.hs.Say(bob, private, "!irc key net #m sesame")
	w.hs.AwaitMembership(room, bob, "invite")
	w.join(bob, "#m")
	op.AwaitCount("bob with the key", 2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "bob" })

	// An invitation.
	op.Send("MODE #m +i")
	w.hs.Await("invitation", func() bool { return w.hs.State(room, "m.room.join_rules", "").Content["join_rule"] == "invite" })
	eve := bridgetest.DialIRC(t, ircd.Address, "eve")
	w.hs.SetMember(alice, room, w.ghost("eve"), "invite", "")
	eve.AwaitCommand("INVITE", "alice", "eve")
	op.Send("MODE #m -k sesame")
	op.Await("no key", func(m ircmsg.Message) bool { return m.Command == "MODE" && len(m.Params) > 1 && m.Params[1] == "-k" })
	eve.Join("#m")
	w.hs.AwaitMembership(room, w.ghost("eve"), "join")
	w.hs.AwaitAcknowledged()
}
