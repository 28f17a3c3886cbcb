package irc

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

const accountCaps = "extended-join account-notify account-tag message-tags"

// byAccount is the user ID of the ghost of an account.
func (w *world) byAccount(account string) id.UserID { return w.hs.User("irc_net_account=20" + account) }

// enterAccounts lets alice into #c, with carol, who has an account, and dave, who has none.
func (w *world) enterAccounts(ircd *bridgetest.IRCServer) (*bridgetest.IRCConn, id.RoomID) {
	room := w.join(w.hs.User("alice"), "#c")
	conn := ircd.Accept()
	conn.Capable("alice", accountCaps)
	conn.Send(":irc.test 005 alice WHOX :are supported")
	conn.Joined("alice", "#c", "@carol dave")
	conn.Expect("WHO #c %tcna,437")
	conn.Send(":irc.test 354 alice 437 #c alice 0")
	conn.Send(":irc.test 354 alice 437 #c carol Carol")
	conn.Send(":irc.test 354 alice 437 #c dave 0")
	conn.Send(":irc.test 315 alice #c :End of WHO")
	w.hs.AwaitMembership(room, w.byAccount("carol"), "join")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	return conn, room
}

// ghosts are the ghosts in a room.
func (w *world) ghosts(room id.RoomID) []id.UserID {
	return slices.DeleteFunc(w.hs.Joined(room), func(user id.UserID) bool {
		return !strings.HasPrefix(string(user), "@irc_net_")
	})
}

// sync waits until the bridge has shown all that was sent, by a word of somebody in the room.
func (w *world) sync(conn *bridgetest.IRCConn, room id.RoomID, from, text string) *bridgetest.Event {
	conn.Send("%s PRIVMSG #c :%s", from, text)
	return w.hs.AwaitText(room, text)
}

// Who has an account stays who they are through changes of nick, and who takes the old nick is somebody else.
func TestAccountKeepsGhost(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	conn, room := w.enterAccounts(ircd)
	conn.Send(":carol!c@host.test NICK caz")
	w.hs.Await("the new name", func() bool { return w.hs.DisplayName(w.byAccount("carol")) == "caz" })
	conn.Send(":carol!evil@host.test JOIN #c * :not Carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	if e := w.sync(conn, room, ":carol!evil@host.test", "I am Carol"); e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s for who has the nick only", e.Sender)
	}
	if e := w.sync(conn, room, "@account=Carol :caz!c@host.test", "no, I am"); e.Sender != w.byAccount("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	// Nobody can make a nick, or an account, that is the ghost of an account.
	conn.Send(":dave!d@host.test NICK :account carol")
	conn.Send(":mallory!m@host.test JOIN #c :account carol :Mallory")
	if e := w.sync(conn, room, ":mallory!m@host.test", "hello"); e.Sender != w.ghost("mallory") {
		t.Errorf("got sender %s", e.Sender)
	}
	// The account is kicked by the nick that it has now.
	w.hs.SetMember(w.hs.User("alice"), room, w.byAccount("carol"), "leave", "out")
	conn.Expect("KICK #c caz :out")
	conn.Pong()
}

// Logging in and out changes who somebody is, in each channel.
func TestAccountChanges(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	conn, room := w.enterAccounts(ircd)
	conn.Send(":dave!d@host.test ACCOUNT David")
	w.hs.AwaitMembership(room, w.byAccount("david"), "join")
	w.hs.AwaitMembership(room, w.ghost("dave"), "leave")
	conn.Send(":dave!d@host.test ACCOUNT *")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	w.hs.AwaitMembership(room, w.byAccount("david"), "leave")

	// The tag tells it too, and before the words.
	if e := w.sync(conn, room, "@account=david :dave!d@host.test", "hi"); e.Sender != w.byAccount("david") {
		t.Errorf("got sender %s", e.Sender)
	}
	w.hs.AwaitMembership(room, w.ghost("dave"), "leave")
	// What is of the past does not.
	conn.Send("@batch=1;account=other :dave!d@host.test PRIVMSG #c :long ago")
	if e := w.sync(conn, room, "@account=david :dave!d@host.test", "now"); e.Sender != w.byAccount("david") {
		t.Errorf("got sender %s", e.Sender)
	}
	conn.Send(":dave!d@host.test QUIT :bye")
	w.hs.AwaitMembership(room, w.byAccount("david"), "leave")
}

// An account that is there twice leaves with the last of its nicks.
func TestAccountTwice(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	conn, room := w.enterAccounts(ircd)
	conn.Send(":phone!p@host.test JOIN #c carol :Carol's telephone")
	if e := w.sync(conn, room, "@account=carol :phone!p@host.test", "on the way"); e.Sender != w.byAccount("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	if got := w.hs.DisplayName(w.byAccount("carol")); got != "carol" {
		t.Errorf("got name %q, want that of the nick who was there first", got)
	}
	conn.Send(":carol!c@host.test PART #c")
	w.sync(conn, room, "@account=carol :phone!p@host.test", "still here")
	if e := w.hs.State(room, "m.room.member", string(w.byAccount("carol"))); e.Membership() != "join" {
		t.Error("the account left with the first of its nicks")
	}
	conn.Send(":phone!p@host.test PART #c")
	w.hs.AwaitMembership(room, w.byAccount("carol"), "leave")
}

// Our own people's accounts are no ghosts; another client that is logged in to the same account is.
func TestAccountOfPuppet(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	a, room := w.enterAccounts(ircd)
	w.join(w.hs.User("bob"), "#c")
	b := ircd.Accept()
	b.Capable("bob", accountCaps)
	b.Expect("JOIN #c")
	a.Send(":bob!bob@host.test JOIN #c bobby :Bob")
	b.Enter("bob", "#c", "alice carol dave")
	a.Send("@account=bobby :bob!bob@host.test PRIVMSG #c :echo")
	a.Send(":bob!bob@host.test ACCOUNT robert")
	a.Send(":bobsphone!b@host.test JOIN #c robert :Bob")
	if e := w.sync(a, room, "@account=robert :bobsphone!b@host.test", "me, elsewhere"); e.Sender != w.byAccount("robert") {
		t.Errorf("got sender %s", e.Sender)
	}
	if got := w.fromIRC(room); slices.Contains(got, "account=20bobby: echo") || slices.Contains(got, "bob: echo") {
		t.Errorf("got an echo in %q", got)
	}
	if slices.Contains(w.ghosts(room), w.byAccount("bobby")) || slices.Contains(w.ghosts(room), w.ghost("bob")) {
		t.Errorf("got ghosts %v, want none of our own people", w.ghosts(room))
	}
}

// A room with ghosts of nicks changes over when the network begins to say who has an account, and back.
func TestAccountUpgrade(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	cfg := testNetwork(ircd.Address)
	w := start(t, hs, dir, cfg)
	room := w.join(hs.User("alice"), "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "carol dave")
	hs.AwaitMembership(room, w.ghost("carol"), "join")
	hs.AwaitAcknowledged()
	w.stop()

	w = start(t, hs, dir, cfg)
	w.enterAccounts(ircd)
	e := hs.AwaitMembership(room, w.ghost("carol"), "leave")
	if reason, _ := e.Content["reason"].(string); !strings.Contains(reason, "by their account") {
		t.Errorf("got reason %q", reason)
	}
	if got, want := w.ghosts(room), []id.UserID{w.byAccount("carol"), w.hs.User("irc_net_dave")}; !slices.Equal(slices.DeleteFunc(got, func(u id.UserID) bool { return u == w.bridge.Bot() }), want) {
		t.Errorf("got %v, want %v", got, want)
	}
	w.stop()

	cfg.Auth.Ghosts = GhostsByNick
	w = start(t, hs, dir, cfg)
	conn = ircd.Accept()
	conn.Capable("alice", accountCaps)
	conn.Joined("alice", "#c", "carol dave")
	hs.AwaitMembership(room, w.ghost("carol"), "join")
	hs.AwaitMembership(room, w.byAccount("carol"), "leave")
}

// A network that does not answer the question for accounts holds up nobody.
func TestAccountsDoNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.expect("CAP LS 302")
		s.expect("NICK alice")
		s.expect("USER alice 0 * @alice:hs.test")
		s.send(":s CAP * LS :extended-join")
		s.expect("CAP REQ extended-join")
		s.send(":s CAP * ACK :extended-join")
		s.expect("CAP END")
		s.send(":s 001 alice :hi")
		s.send(":s 005 alice WHOX :are supported")
		s.send(":s 376 alice :end")
		s.expect("JOIN #c")
		s.send(":alice!a@h JOIN #c * :alice")
		s.send(":s 353 alice = #c :alice carol")
		s.send(":s 366 alice #c :end")
		s.expect("WHO #c %tcna,437")
		synctest.Wait()
		items := b.c.net.channels["#c"].lane.items
		if len(items) != 0 {
			t.Errorf("got %d items before the accounts", len(items))
		}
		s.send(":s 354 alice 437 #c carol carol")
		s.send(":s 354 alice 1 #c carol other") // somebody else's question
		time.Sleep(whoWait)
		synctest.Wait()
		if list, ok := (<-items).(namesItem); !ok || list.accounts["carol"] != "carol" {
			t.Errorf("got %+v", list)
		}
	})
}

func TestGhostNames(t *testing.T) {
	w := startNew(t, testNetwork(bridgetest.FreeAddress(t)))
	w.join(w.hs.User("alice"), "#c")
	c := w.conn
	for _, ghost := range []networkid.UserID{"net/carol", "net/account carol", "net/account a[b]", "net/accountcarol"} {
		back, ok := c.ParseGhostLocalpart(c.GhostLocalpart(ghost))
		if !ok || back != ghost {
			t.Errorf("got %q, %v for %q", back, ok, ghost)
		}
	}
	for _, localpart := range []string{"irc_net_account=20", "irc_net_account=20a=20b", "irc_net_a=20b", "irc_net_account=20=2a"} {
		if got, ok := c.ParseGhostLocalpart(localpart); ok {
			t.Errorf("got %q for %s", got, localpart)
		}
	}
}
