package irc

import (
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// Who has told the key of a channel comes in with it, also after a restart, and the key is in no room.
func TestKeys(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice := hs.User("alice")
	w.join(alice, "#d")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#d", "")
	room := w.join(alice, "#c")
	conn.Expect("JOIN #c")
	conn.Send(":irc.test 475 alice #c :Cannot join channel (+k)")
	w.awaitNotice(room, "!irc key net #c KEY")
	hs.AwaitMembership(room, alice, "leave")

	private := id.RoomID("!private")
	hs.SetMember(alice, private, alice, "join", "")
	hs.SetMember(alice, private, w.bridge.Bot(), "invite", "")
	tell := func(room id.RoomID, text, want string) {
		t.Helper()
		hs.Say(alice, room, text)
		hs.AwaitEvent(want, func(e *bridgetest.Event) bool {
			return e.Room == room && e.Sender == w.bridge.Bot() && strings.Contains(e.Text(), want)
		})
	}
	tell(private, "!irc key net #c", "Usage")
	tell(private, "!irc key other #c sesame", "no network of that name")
	tell(private, "!irc key net #c a,b", "not a key")
	tell(private, "!irc key net #c sesame", "Now join #irc_net_#c:hs.test")
	hs.AwaitMembership(room, alice, "invite")
	w.join(alice, "#c")
	conn.Expect("JOIN #c sesame")
	conn.Enter("alice", "#c", "@carol")
	hs.AwaitMembership(room, w.ghost("carol"), "join")
	conn.Send(":carol!c@h MODE #c -k sesame")
	conn.Send(":carol!c@h MODE #c +k open1")
	conn.Send(":carol!c@h PRIVMSG #c :after the key")
	hs.AwaitText(room, "after the key")
	hs.AwaitAcknowledged()
	w.stop()
	conn.Close()
	for _, key := range []string{"sesame", "open1"} {
		w.absent(new(bridgetest.Recorder), key)
	}

	start(t, hs, dir, testNetwork(ircd.Address))
	conn = ircd.Accept()
	conn.Welcome("alice")
	got := []string{conn.Read(), conn.Read()}
	if slices.Sort(got); !slices.Equal(got, []string{"JOIN #c open1", "JOIN #d"}) {
		t.Errorf("got %q after a restart, want the new key", got)
	}
	for _, e := range hs.Events(func(e *bridgetest.Event) bool { return e.Room == room }) {
		if text := e.Text(); strings.Contains(text, "sesame") || strings.Contains(text, "open1") {
			t.Errorf("a key is in the room: %q", text)
		}
	}
}

// A key that is told in the room of a channel is not taken.
func TestKeyInPublic(t *testing.T) {
	w, conn, alice, room := scripted(t, nil, "", "carol")
	w.hs.Say(alice, room, "!irc key net #d sesame")
	w.hs.AwaitEvent("a refusal", func(e *bridgetest.Event) bool {
		return e.Room == room && e.Sender == w.bridge.Bot() && strings.Contains(e.Text(), "Others read this")
	})
	w.join(alice, "#d")
	conn.Expect("JOIN #d")
}

// An invitation of a ghost is one on IRC; a refused one does not stand.
func TestInviteFromMatrix(t *testing.T) {
	w, conn, alice, room := scripted(t, nil, "", "@carol")
	dave := w.ghost("dave")
	w.hs.SetMember(alice, room, dave, "invite", "")
	conn.Expect("INVITE dave #c")
	conn.Send(":irc.test 341 alice dave #c")
	conn.Pong()
	w.hs.AwaitAcknowledged()
	if got := w.hs.State(room, "m.room.member", string(dave)).Membership(); got != "invite" {
		t.Errorf("got membership %s, want invite", got)
	}
	conn.Send(":dave!d@h JOIN #c")
	w.hs.AwaitMembership(room, dave, "join")

	eve := w.ghost("eve")
	w.hs.SetMember(alice, room, eve, "invite", "")
	conn.Expect("INVITE eve #c")
	conn.Send(":irc.test 401 alice eve :No such nick")
	conn.Pong()
	w.awaitNotice(room, "eve was not invited on IRC: net says: No such nick")
	w.hs.AwaitMembership(room, eve, "leave")
}

// An invitation on IRC is one on Matrix, to a room that is made for it; there are not many of them.
func TestInviteFromIRC(t *testing.T) {
	w, conn, alice, _ := scripted(t, nil, "", "carol")
	conn.Send(":carol!c@h INVITE bob #new")
	conn.Send(":carol!c@h INVITE alice #new")
	invited := w.hs.AwaitEvent("invitation", func(e *bridgetest.Event) bool {
		return e.Membership() == "invite" && *e.StateKey == string(alice)
	})
	if got := w.hs.State(invited.Room, "m.room.name", "").Content["name"]; got != "#new" {
		t.Errorf("got an invitation to %v, want #new", got)
	}
	w.hs.SetMember(alice, invited.Room, alice, "join", "")
	conn.Joined("alice", "#new", "carol")
	for _, channel := range []string{"#1", "#2", "#3", "#4", "#5", "#6", "#7", "no channel", "#a,b"} {
		conn.Send(":carol!c@h INVITE alice :%s", channel)
	}
	conn.Send("PING :sync")
	conn.Expect("PONG :sync")
	w.hs.Await("invitations", func() bool {
		return len(w.hs.Events(func(e *bridgetest.Event) bool { return e.Membership() == "invite" })) >= maxInvites
	})
	if got := len(w.conn.networks["net"].channels); got > 2+maxInvites {
		t.Errorf("got %d channels, want no more than %d invitations", got, maxInvites)
	}
}

// Who is invited to the room of a channel that takes only who is invited is let in by whoever has invited them; where that
// does not help, they do not stay.
func TestInviteOfOurs(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#c")
	a := ircd.Accept()
	a.Welcome("alice")
	a.Joined("alice", "#c", "")
	w.hs.SetMember(alice, room, bob, "invite", "")
	w.hs.AwaitAcknowledged()
	w.join(bob, "#c")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Expect("JOIN #c")
	b.Send(":irc.test 473 bob #c :Cannot join channel (+i)")
	a.Expect("INVITE bob #c")
	a.Send(":irc.test 341 alice bob #c")
	b.Send(":alice!alice@host.test INVITE bob #c")
	b.Expect("JOIN #c")
	b.Send(":irc.test 473 bob #c :Cannot join channel (+i)")
	w.hs.AwaitMembership(room, bob, "leave")
}
