package irc

import (
	"slices"
	"testing"
	"time"

	"causeway/bridges/bridgetest"
)

// What is wanted and offered is asked for, and nothing else; the rest of a refused request is asked for by itself.
func TestCapabilities(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	w.join(w.hs.User("alice"), "#c")
	conn := ircd.Accept()
	conn.Expect("CAP LS 302")
	conn.Expect("NICK alice")
	conn.Expect("USER *")
	conn.Send(":irc.test CAP * LS * :sts=port=6697 batch server-time")
	conn.Send(":irc.test CAP * LS :message-tags example.org/unknown")
	conn.Expect("CAP REQ :batch message-tags server-time")
	conn.Send(":irc.test CAP * NAK :batch message-tags server-time")
	conn.Expect("CAP REQ batch")
	conn.Expect("CAP REQ message-tags")
	conn.Expect("CAP REQ server-time")
	conn.Send(":irc.test CAP * NAK :batch")
	conn.Send(":irc.test CAP * ACK :message-tags")
	conn.Send(":irc.test CAP * ACK :server-time ")
	conn.Expect("CAP END")
	conn.Greet("alice")
	conn.Joined("alice", "#c", "")

	// Later offers are taken too, without a second end.
	conn.Send(":irc.test CAP alice NEW :away-notify")
	conn.Expect("CAP REQ away-notify")
	conn.Send(":irc.test CAP alice ACK :away-notify")
	conn.Send("PING :after")
	conn.Expect("PONG :after")
}

// A line of a network that gives identities is one event however often and by whom it is seen, and has the time at which it was said.
func TestIdentityAndTimeOfALine(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	room := w.join(w.hs.User("alice"), "#c")
	conn := ircd.Accept()
	asked := conn.Capable("alice", "message-tags server-time multi-prefix userhost-in-names")
	if want := []string{"message-tags", "multi-prefix", "server-time", "userhost-in-names"}; !slices.Equal(asked, want) {
		t.Errorf("got requests for %v, want %v", asked, want)
	}
	conn.Joined("alice", "#c", "@+carol!c@host.test")
	conn.Send("@msgid=one;time=2026-01-02T03:04:05.678Z :carol!c@host.test PRIVMSG #c :said once")
	conn.Send("@msgid=one;time=2026-01-02T03:04:05.678Z :carol!c@host.test PRIVMSG #c :said once")
	conn.Send("@msgid=two;time=nonsense :carol!c@host.test PRIVMSG #c :said once")
	conn.Send("@msgid=three;time=2999-01-01T00:00:00.000Z :carol!c@host.test PRIVMSG #c :last")
	w.hs.AwaitText(room, "last")
	if got, want := w.fromIRC(room), []string{"carol: said once", "carol: said once", "carol: last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	first := w.hs.AwaitText(room, "said once")
	if got, want := first.TS, time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC).UnixMilli(); got != want {
		t.Errorf("got time %d, want %d", got, want)
	}
	if now := time.Now().UnixMilli(); w.hs.AwaitText(room, "last").TS > now {
		t.Error("a server's clock put a line into the future")
	}
}
