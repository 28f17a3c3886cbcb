package irc

import (
	"testing"

	"github.com/ergochat/irc-go/ircmsg"

	"causeway/bridges/bridgetest"
)

// Who may not speak on IRC has no level for it on Matrix, also when that is found in the list, and the way back: where there is a list
// for it, and in the forms that it has among the bans.
func TestQuiets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, tokens string
		mode         string // the list
		entry        string // before a mask, as we write it
		echo         string // as the server does
		numeric, end string // of the list, with what comes before the entry
	}{
		{"list", "CHANMODES=bq,k,l,imnpst", "q", "", "", "728 alice #c q", "729 alice #c q"},
		{"UnrealIRCd 5", "PREFIX=(qaohv)~&@%+ CHANMODES=beI,k,l,imnpst EXTBAN=~,GptmTSOcarnqjf", "b", "~q:", "~q:", "367 alice #c", "368 alice #c"},
		{"UnrealIRCd 6", "PREFIX=(qaohv)~&@%+ CHANMODES=beI,fkL,lH,imnpst EXTBAN=~,acfijmnpqrtACGOST", "b", "~q:", "~quiet:", "367 alice #c", "368 alice #c"},
		{"mute", "PREFIX=(qaohv)~&@%+ CHANMODES=beI,k,l,imnpst EXTBAN=~,cm", "b", "~m:", "~m:", "367 alice #c", "368 alice #c"},
		{"InspIRCd 3", "CHANMODES=IXbegw,k,FHJLfjl,imnpst EXTBAN=,ACNOQRSTUacmnrz", "b", "m:", "m:", "367 alice #c", "368 alice #c"},
		{"InspIRCd 4", "CHANMODES=IXbegw,k,FHJLfjl,imnpst EXTBAN=,ACNOQRSTUacmnrz", "b", "m:", "mute:", "367 alice #c", "368 alice #c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, conn, alice, room := scripted(t, nil, test.tokens, "@carol")
			conn.Questions = true
			conn.Expect("MODE #c")
			conn.Expect("MODE #c b")
			if test.mode != "b" {
				conn.Expect("MODE #c " + test.mode)
			}
			conn.Send(":irc.test %s %salice!*@* carol 1", test.numeric, test.echo)
			conn.Send(":irc.test %s :End", test.end)
			w.awaitLevel(room, alice, -1)
			conn.Send(":carol!c@h MODE #c +v alice")
			w.awaitLevel(room, alice, 1)
			conn.Send(":carol!c@h MODE #c -v alice")
			w.awaitLevel(room, alice, -1)
			// A list without it, as who leads next would get it.
			conn.Send(":irc.test %s :End", test.end)
			w.awaitLevel(room, alice, 0)
			conn.Send(":carol!c@h MODE #c +%s %salice!*@*", test.mode, test.echo)
			w.awaitLevel(room, alice, -1)
			conn.Send(":carol!c@h MODE #c -%s+o %salice!*@* alice", test.mode, test.echo)
			w.awaitLevel(room, alice, 50)
			conn.Questions = false
			w.awaitLevel(room, w.ghost("carol"), 50)

			w.setLevels(alice, room, map[string]int{"carol": -1})
			conn.Expect("WHO carol")
			conn.Send(":irc.test 352 alice * c host.test irc.test carol H :0 Carol")
			conn.Pong()
			conn.Expect("MODE #c -o+" + test.mode + " carol " + test.entry + "carol![*]@host.test")
			conn.Send(":alice!alice@host.test MODE #c -o+%s carol %scarol!*@host.test", test.mode, test.echo)
			conn.Pong()
			w.hs.AwaitAcknowledged()
			if got := w.level(room, w.ghost("carol")); got != -1 {
				t.Errorf("got level %d, want -1 to stay", got)
			}
			w.setLevels(alice, room, map[string]int{"carol": 0})
			conn.Questions = true
			conn.Expect("MODE #c " + test.mode)
			conn.Send(":irc.test %s %scarol!*@host.test alice 1", test.numeric, test.echo)
			conn.Send(":irc.test %s :End", test.end)
			conn.Pong()
			conn.Expect("MODE #c -" + test.mode + " " + test.echo + "carol![*]@host.test")
			conn.Send(":alice!alice@host.test MODE #c -%s %scarol!*@host.test", test.mode, test.echo)
			conn.Pong()
			w.hs.AwaitAcknowledged()
			if got := w.level(room, w.ghost("carol")); got != 0 {
				t.Errorf("got level %d, want 0 to stay", got)
			}
			for _, e := range w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == room && e.MsgType() == "m.notice" }) {
				t.Errorf("the room was told %q", e.Text())
			}
		})
	}
}

// A network that has no quiets says so, and the level does not stand.
func TestNoQuiets(t *testing.T) {
	t.Parallel()
	w, conn, alice, room := scripted(t, nil, allRanks, "@carol dave")
	w.awaitLevel(room, w.ghost("carol"), 50)
	w.setLevels(alice, room, map[string]int{"dave": -1})
	w.awaitNotice(room, "net cannot forbid somebody to speak")
	w.awaitLevel(room, w.ghost("dave"), 0)
	w.hs.Say(alice, room, "well")
	conn.Expect("PRIVMSG #c :well")
	conn.Pong()
}

// A real server with quiets among its bans, both ways.
func TestQuietsOnInspIRCd(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.StartInspIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	op := bridgetest.DialIRC(t, ircd.Address, "op")
	op.Join("#q")
	dave := bridgetest.DialIRC(t, ircd.Address, "dave")
	dave.Join("#q")
	alice := w.hs.User("alice")
	room := w.join(alice, "#q")
	op.AwaitCommand("JOIN", "alice", "#q")
	w.awaitLevel(room, w.ghost("op"), 50)

	op.Send("MODE #q +b m:alice!*@*")
	w.awaitLevel(room, alice, -1)
	w.hs.Say(alice, room, "can you hear me?")
	w.awaitNotice(room, "was not bridged")
	op.Send("MODE #q -b m:alice!*@*")
	w.awaitLevel(room, alice, 0)

	op.Send("MODE #q +o alice")
	w.awaitLevel(room, alice, 50)
	w.setLevels(alice, room, map[string]int{"dave": -1})
	set := op.Await("a quiet", func(m ircmsg.Message) bool {
		return m.Command == "MODE" && m.Nick() == "alice" && m.Params[1] == "+b"
	})
	dave.Say("#q", "may I?")
	dave.Await("a refusal", func(m ircmsg.Message) bool { return m.Command == "404" })
	w.setLevels(alice, room, map[string]int{"dave": 0})
	op.Await("its end", func(m ircmsg.Message) bool {
		return m.Command == "MODE" && m.Nick() == "alice" && m.Params[1] == "-b" && m.Params[2] == set.Params[2]
	})
	dave.Say("#q", "thank you")
	w.hs.AwaitText(room, "thank you")
	w.hs.AwaitAcknowledged()
	if got := w.fromIRC(room); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}
