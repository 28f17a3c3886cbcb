package irc

import (
	"strings"
	"testing"

	"causeway/bridges/bridgetest"
)

// Ranks, power levels and bans are about the ghost of an account where there is one, and about the nick that it has now.
func TestModesOfAccounts(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	conn, room := w.enterAccounts(ircd)
	alice, carol := w.hs.User("alice"), w.byAccount("carol")
	conn.Send(":irc.test 005 alice EXTBAN=$,ar :are supported")
	w.awaitLevel(room, carol, 50)
	conn.Send(":carol!c@host.test NICK caz")
	conn.Send(":dave!d@host.test MODE #c +v dave")
	w.awaitLevel(room, w.ghost("dave"), 1)
	if got := w.level(room, carol); got != 50 {
		t.Errorf("got level %d after a change of nick, want 50", got)
	}

	// A second nick of the account has no rank, and takes none from the first; it keeps the ghost when the first goes.
	conn.Send(":caz2!c@host.test JOIN #c Carol :Carol")
	conn.Send(":irc.test MODE #c +v caz2")
	conn.Send(":dave!d@host.test ACCOUNT David")
	w.awaitLevel(room, w.byAccount("david"), 1)
	w.awaitLevel(room, w.ghost("dave"), 0)
	if got := w.level(room, carol); got != 50 {
		t.Errorf("got level %d of an account with two nicks, want that of the higher one", got)
	}
	conn.Send(":caz!c@host.test PART #c")
	w.awaitLevel(room, carol, 1)
	w.hs.AwaitMembership(room, carol, "join")

	conn.Send(":irc.test MODE #c +o alice")
	w.awaitLevel(room, alice, 50)
	w.hs.SetMember(alice, room, carol, "ban", "spam")
	conn.Expect("MODE #c +b $a:Carol")
	conn.Expect("KICK #c caz2 :spam")
	conn.Send(":alice!alice@host.test MODE #c +b $a:Carol")
	conn.Send(":alice!alice@host.test KICK #c caz2 :spam")
	conn.Pong()
	w.hs.AwaitAcknowledged()
}

// Where a server answers each line by name, a change of modes is done when the answer has come, and a list is read when
// it is complete.
func TestModesWithLabels(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Capable("alice", "batch labeled-response message-tags")
	conn.Joined("alice", "#c", "@alice carol dave")
	w.awaitLevel(room, alice, 50)
	w.setLevels(alice, room, map[string]int{"dave": 50})
	label := labelOfLine(t, conn, "MODE #c +o dave")
	conn.Send("@label=%s :alice!alice@host.test MODE #c +o dave", label)
	w.hs.AwaitAcknowledged()
	if got := w.level(room, w.ghost("dave")); got != 50 {
		t.Errorf("got level %d, want that it stays", got)
	}

	w.hs.SetMember(alice, room, w.ghost("carol"), "ban", "")
	label = labelOfLine(t, conn, "WHO carol")
	conn.Send("@label=%s :irc.test BATCH +w labeled-response", label)
	conn.Send("@batch=w :irc.test 352 alice * u carol.example irc.test carol H :0 Carol")
	conn.Send("@batch=w :irc.test 315 alice carol :End")
	conn.Send(":irc.test BATCH -w")
	label = labelOfLine(t, conn, "MODE #c +b *!*@carol.example")
	conn.Send("@label=%s :alice!alice@host.test MODE #c +b *!*@carol.example", label)
	label = labelOfLine(t, conn, "KICK #c carol :")
	conn.Send("@label=%s :alice!alice@host.test KICK #c carol", label)
	w.hs.AwaitAcknowledged()
	w.hs.SetMember(alice, room, w.ghost("carol"), "leave", "")
	label = labelOfLine(t, conn, "MODE #c b")
	conn.Send("@label=%s :irc.test BATCH +b labeled-response", label)
	conn.Send("@batch=b :irc.test 367 alice #c *!*@other.example somebody 1")
	conn.Send("@batch=b :irc.test 367 alice #c *!*@carol.example alice 1")
	conn.Send("@batch=b :irc.test 368 alice #c :End")
	conn.Send(":irc.test BATCH -b")
	label = labelOfLine(t, conn, "MODE #c -b *!*@carol.example")
	conn.Send("@label=%s :alice!alice@host.test MODE #c -b *!*@carol.example", label)
	w.hs.AwaitAcknowledged()
}

// labelOfLine expects a line after PINGs, which are not answered, and returns its label.
func labelOfLine(t *testing.T, conn *bridgetest.IRCConn, want string) string {
	t.Helper()
	line := conn.Read()
	for strings.HasPrefix(line, "PING ") {
		line = conn.Read()
	}
	label, rest, _ := strings.Cut(strings.TrimPrefix(line, "@label="), " ")
	if rest != want {
		t.Fatalf("got line %q, want %q with a label", line, want)
	}
	return label
}
