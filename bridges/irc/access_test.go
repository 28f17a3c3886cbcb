package irc

import (
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// Who may not enter a channel is removed from its room; who could not because of the server's state stays.
func TestJoinRefused(t *testing.T) {
	for _, test := range []struct {
		line string
		out  bool
	}{
		{"471 alice #c :Cannot join channel (+l)", true},
		{"473 alice #c :Cannot join channel (+i)", true},
		{"474 alice #c :Cannot join channel (+b)", true},
		{"475 alice #c :Cannot join channel (+k)", true},
		{"477 alice #c :You need a registered nick", true},
		{"489 alice #c :TLS only", true},
		{"437 alice #c :Nick/channel is temporarily unavailable", false},
		{"480 alice #c :Cannot join channel (+j) - throttle exceeded, try again later", false},
	} {
		t.Run(test.line[:3], func(t *testing.T) {
			ircd := bridgetest.NewIRCServer(t)
			w := startNew(t, testNetwork(ircd.Address))
			alice := w.hs.User("alice")
			w.join(alice, "#d")
			conn := ircd.Accept()
			conn.Welcome("alice")
			conn.Joined("alice", "#d", "")
			room := w.join(alice, "#c")
			conn.Expect("JOIN #c")
			conn.Send(":irc.test " + test.line)
			w.awaitNotice(room, "You could not join #c on net")
			if !test.out {
				// What the lane of the room delivers after the notice would come before this.
				w.conn.networks["net"].channel("#c").lane.put(noticeItem{text: "end", to: alice})
				w.awaitNotice(room, "end")
				if !slices.Contains(w.hs.Joined(room), alice) {
					t.Error("a refusal that passes removed the user")
				}
				return
			}
			e := w.hs.AwaitMembership(room, alice, "leave")
			if reason, _ := e.Content["reason"].(string); !strings.Contains(reason, "you could not join #c") {
				t.Errorf("got reason %q, want the refusal", reason)
			}
			w.join(alice, "#c") // and may try again
			conn.Joined("alice", "#c", "carol")
			w.hs.AwaitMembership(room, w.ghost("carol"), "join")
		})
	}
}

// What is said to those with a rank does not reach the room; a channel that begins with + does.
func TestStatusMessages(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "carol")
	plus := w.join(alice, "+c")
	conn.Joined("alice", "+c", "carol")
	local := w.join(alice, "&#c")
	conn.Joined("alice", "&#c", "carol")
	for _, signs := range []string{"", "STATUSMSG=@+&"} {
		if signs != "" {
			conn.Send(":irc.test 005 alice %s :are supported", signs)
		}
		for _, sign := range []string{"@", "+", "%", "~", "&", "@+"} {
			if sign == "&" && signs == "" {
				continue // a channel of its own
			}
			conn.Send(":carol!c@host.test PRIVMSG %s#c :secret", sign)
			conn.Send(":carol!c@host.test NOTICE %s#c :secret", sign)
		}
	}
	conn.Send(":carol!c@host.test PRIVMSG +c :plus")
	conn.Send(":carol!c@host.test PRIVMSG #c :all")
	w.hs.AwaitText(plus, "plus")
	w.hs.AwaitText(room, "all")
	for _, r := range []id.RoomID{room, plus, local} {
		if got := w.fromIRC(r); slices.Contains(got, "carol: secret") {
			t.Errorf("got %q in %s, want nothing of the operators", got, r)
		}
	}
}
