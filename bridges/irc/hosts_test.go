package irc

import (
	"slices"
	"strings"
	"testing"

	"causeway/bridges/bridgetest"
)

// Whoever one talks with is the same when the server says that they have another host, and need not be when it does not.
func TestPartnerChangesHost(t *testing.T) {
	w, conn, alice := scriptedPM(t, nil, "chghost")
	conn.Send(":carol!c@first.example PRIVMSG alice :hello")
	room := w.ownRoom(alice, "carol")
	w.hs.AwaitText(room, "hello")
	warned := func() bool {
		return len(w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == room && strings.Contains(e.Text(), "another address") })) > 0
	}
	conn.Send(":carol!c@first.example CHGHOST carol second.example")
	conn.Send(":carol!carol@second.example PRIVMSG alice :it is me")
	w.hs.AwaitText(room, "it is me")
	if warned() {
		t.Error("got a warning after CHGHOST")
	}
	// It is about somebody else who was called so before.
	conn.Send(":carol!c@other.example CHGHOST carol third.example")
	conn.Send(":carol!carol@third.example PRIVMSG alice :me too")
	w.hs.AwaitText(room, "me too")
	if !warned() {
		t.Error("got no warning of another host")
	}
}

// A host that changes counts at once: for how much of a text fits into a line, and for who is banned.
func TestHostChanges(t *testing.T) {
	for _, test := range []struct {
		without []string
		spare   int // bytes
	}{
		{nil, 1}, // in a batch, the space at a split stays
		{[]string{"draft/multiline"}, 0},
		{[]string{"chghost", "draft/multiline"}, 0},
	} {
		t.Run("without "+strings.Join(test.without, " "), func(t *testing.T) {
			t.Parallel()
			x := newScene3(t, bridgetest.IRCv3Options{Without: test.without}, "alice")
			alice := x.hs.User("alice")
			// text fills a line by alice to the last byte.
			text := func(host string) string {
				head := len(":alice!alice@" + host + " PRIVMSG #c :\r\n")
				return strings.Repeat("0123456789", 60)[:maxLineBytes-head-test.spare]
			}
			hosts := []string{"127.0.0.1", "a.much.longer.host.of.users.test", "short.test"}
			for i, host := range hosts {
				if i > 0 {
					x.s.SetHost("alice", "alice", host)
				}
				// What is said after the change has been heard after it.
				x.spoken(x.carol, x.room, "host "+host, x.ghost("carol"))
				for _, for_ := range hosts {
					want := text(for_)
					heard := len(x.carol.Lines(bridgetest.Said("#c", "alice")))
					lines := 1
					if len(for_) < len(host) {
						lines = 2
					}
					x.hs.Say(alice, x.room, want)
					x.hs.Say(alice, x.room, "end")
					got := bridgetest.Texts(x.carol.AwaitCount("lines", heard+lines+1, bridgetest.Said("#c", "alice")))[heard:]
					if strings.Join(got[:len(got)-1], "") != want || len(got) != lines+1 {
						t.Errorf("with host %s: got %d lines of %d bytes in all for %d bytes that fit with %s, want %d lines with all of it",
							host, len(got)-1, len(strings.Join(got[:len(got)-1], "")), len(want), for_, lines)
					}
					if full := len(text(host)); for_ != host && lines == 2 && len(got[0]) > full {
						t.Errorf("with host %s: got a piece of %d bytes, want %d at most", host, len(got[0]), full)
					}
				}
			}
		})
	}
}

// A ban is of the host that somebody has now, and those of ours are banned by theirs.
func TestBansAfterHostChanges(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	w := startNew(t, testNetwork(s.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	olga := bridgetest.DialIRC(t, s.Address, "olga")
	olga.Join("#c")
	room := w.join(alice, "#c")
	olga.AwaitCommand("JOIN", "alice", "#c")
	olga.Send("MODE #c +o alice")
	w.awaitLevel(room, alice, 50)
	carol := bridgetest.DialIRC(t, s.Address, "carol", "chghost")
	carol.Join("#c")
	w.join(bob, "#c")
	carol.AwaitCommand("JOIN", "bob", "#c")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")

	s.SetHost("carol", "c", "before.example")
	s.SetHost("carol", "c", "carol.example")
	s.SetHost("bob", "b", "bob.example")
	w.spoken(carol, room, "I am elsewhere", w.ghost("carol"))
	// By a channel where only bob is, because each connection has its own order.
	bobs := w.join(bob, "#d")
	carol.Join("#d")
	w.hs.AwaitMembership(bobs, w.ghost("carol"), "join")

	w.hs.SetMember(alice, room, w.ghost("carol"), "ban", "spam")
	kick := carol.AwaitCommand("KICK", "alice", "#c")
	mode := carol.AwaitCommand("MODE", "alice", "#c")
	if kick.Params[1] != "carol" || !slices.Equal(mode.Params[1:], []string{"+b", "*!*@carol.example"}) {
		t.Errorf("got MODE %q, want a ban of carol's host", mode.Params)
	}
	olga.Send("MODE #c +b *!*@bob.example")
	w.hs.AwaitMembership(room, bob, "ban")
}
