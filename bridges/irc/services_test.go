package irc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// lineOf waits for a line of a nick in #c and returns it.
func lineOf(c *bridgetest.IRCClient, nick, text string) ircmsg.Message {
	return c.Await(nick+": "+text, func(m ircmsg.Message) bool {
		return bridgetest.Said("#c", nick)(m) && m.Params[1] == text
	})
}

func tagOf(m ircmsg.Message, name string) string { _, value := m.GetTag(name); return value }

// spoken checks who on Matrix says what somebody says on IRC.
func (w *world) spoken(c *bridgetest.IRCClient, room id.RoomID, text string, want id.UserID) {
	w.t.Helper()
	c.Say("#c", text)
	if e := w.hs.AwaitText(room, text); e.Sender != want {
		w.t.Errorf("%q: got sender %s, want %s", text, e.Sender, want)
	}
}

// On a network with services: people of the bridge log in to an account there, by a command and by SASL.
func TestServicesLogin(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartInspIRCd(t)
	s.StartAtheme()
	s.RegisterAccount("Wonder", secret)
	w := startNew(t, testNetwork(s.Address))
	watch := bridgetest.DialIRC(t, s.Address, "watch", "message-tags", "account-tag", "extended-join")
	watch.Join("#c")
	var room id.RoomID
	for _, name := range []string{"alice", "bob"} {
		w.manageIn(id.RoomID("!"+name), w.hs.User(name))
		room = w.join(w.hs.User(name), "#c")
		watch.AwaitCommand("JOIN", name, "#c")
	}
	// account is the one that others see somebody speak by.
	account := func(name, text string) string {
		t.Helper()
		w.hs.Say(w.hs.User(name), room, text)
		return tagOf(lineOf(watch, name, text), "account")
	}
	for i, test := range []struct{ name, command, answer, account string }{
		{"alice", "", "", ""},
		{"alice", "wrong-" + secret + " plain", "you could not be logged in: net says: SASL authentication failed; what was stored before still is", ""},
		// The network cannot, and is not told the password in another way.
		{"bob", secret + " scram-sha-256", "offers none of the ways to log in that are allowed here (it offers PLAIN,EXTERNAL)", ""},
		{"alice", secret + " plain", "Stored for net", "Wonder"},
		{"bob", secret + " auto", "Stored for net", "Wonder"},
		{"alice", "very-wrong-" + secret + " auto", "what was stored before still is", "Wonder"},
	} {
		dm := id.RoomID("!" + test.name)
		if test.command != "" {
			answers := func(e *bridgetest.Event) bool {
				return e.Room == dm && e.Sender == w.bridge.Bot() && strings.Contains(e.Text(), test.answer)
			}
			before := len(w.hs.Events(answers))
			w.hs.Say(w.hs.User(test.name), dm, "login password net - Wonder "+test.command)
			w.hs.Await(test.answer, func() bool { return len(w.hs.Events(answers)) > before })
		}
		if got := account(test.name, fmt.Sprint("line ", i)); got != test.account {
			t.Errorf("%s by %q: got account %q, want %q", test.name, test.command, got, test.account)
		}
	}
	watch.AwaitAccount("alice", "Wonder")
	watch.AwaitAccount("bob", "Wonder")
	joins := watch.Lines(func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" })
	if last := joins[len(joins)-1]; last.Params[1] != "Wonder" {
		t.Errorf("got %v for the last JOIN, want the account in it", last.Params)
	}
	w.hs.AwaitAcknowledged()
	w.stop()
	watch.AwaitAbsent("alice")
	// What is stored serves after a restart.
	w = start(t, w.hs, w.dir, testNetwork(s.Address))
	if got := account("alice", "again"); got != "Wonder" {
		t.Errorf("got account %q after a restart", got)
	}
}

// Who is logged in on IRC is the ghost of their account, whatever they are called, and whether they log in first or later.
func TestServicesAccounts(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartInspIRCd(t)
	s.StartAtheme()
	s.RegisterAccount("CarolAcc", secret)
	s.RegisterAccount("DaveAcc", secret)
	w := startNew(t, testNetwork(s.Address))
	carol := bridgetest.DialIRCAs(t, s.Address, "carol", "CarolAcc", secret)
	carol.Join("#c")
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")

	byAccount := w.byAccount("carolacc")
	w.hs.AwaitMembership(room, byAccount, "join") // from the list of who is there
	w.spoken(carol, room, "as carol", byAccount)
	carol.Send("NICK caz")
	w.hs.Await("the new name", func() bool { return w.hs.DisplayName(byAccount) == "caz" })
	w.spoken(carol, room, "as caz", byAccount)

	dave := bridgetest.DialIRC(t, s.Address, "dave")
	dave.Join("#c")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	w.spoken(dave, room, "as nobody", w.ghost("dave"))
	dave.Send("PRIVMSG NickServ :IDENTIFY DaveAcc %s", secret)
	w.hs.AwaitMembership(room, w.byAccount("daveacc"), "join")
	w.hs.AwaitMembership(room, w.ghost("dave"), "leave")
	w.spoken(dave, room, "as somebody", w.byAccount("daveacc"))
	dave.Send("PRIVMSG NickServ :LOGOUT")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	w.hs.AwaitMembership(room, w.byAccount("daveacc"), "leave")
	w.spoken(dave, room, "as nobody again", w.ghost("dave"))

	// Another client of the account, which comes later (extended-join).
	phone := bridgetest.DialIRCAs(t, s.Address, "phone", "CarolAcc", secret)
	phone.Join("#c")
	w.spoken(phone, room, "by telephone", byAccount)
	carol.Quit("good night")
	w.spoken(phone, room, "still here", byAccount)
	if got := w.hs.State(room, "m.room.member", string(byAccount)).Membership(); got != "join" {
		t.Errorf("got membership %s of an account that is there by another nick", got)
	}
	phone.Quit("good night")
	w.hs.AwaitMembership(room, byAccount, "leave")
	for _, nick := range []string{"carol", "caz", "phone"} {
		if w.hs.State(room, "m.room.member", string(w.ghost(nick))) != nil {
			t.Errorf("got a ghost of the nick %s beside that of its account", nick)
		}
	}
}

// What services do to those who have a nick that is somebody's: KILL (GHOST), and another nick (RELEASE).
func TestServicesTakeNick(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartInspIRCd(t)
	s.StartAtheme()
	s.RegisterAccount("alice", secret)
	w := startNew(t, testNetwork(s.Address))
	alice := w.hs.User("alice")
	w.manage(alice)
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	room := w.join(alice, "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")
	carol.Send("PRIVMSG NickServ :GHOST alice %s", secret)
	if quit := carol.AwaitCommand("QUIT", "alice", ""); !strings.Contains(quit.Params[0], "Killed") {
		t.Errorf("got QUIT %q, want that of a kill", quit.Params[0])
	}
	w.hs.Say(alice, room, "still here")
	lineOf(carol, "alice", "still here")
	if got := carol.Lines(func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" }); len(got) != 2 {
		t.Errorf("got %d JOINs, want that of the beginning and that after the kill", len(got))
	}

	owner := bridgetest.DialIRCAs(t, s.Address, "owner", "alice", secret)
	owner.Send("PRIVMSG NickServ :SET ENFORCE ON")
	owner.AwaitNotice("NickServ", "ENFORCE")
	owner.Send("PRIVMSG NickServ :RELEASE alice")
	change := carol.AwaitCommand("NICK", "alice", "")
	guest := change.Params[0]
	w.hs.Say(alice, room, "who am I?")
	lineOf(carol, guest, "who am I?")
	w.hs.Say(alice, dm, "whois net "+guest)
	w.awaitText(dm, "`"+guest+"` on net is `@alice:hs.test`")
	carol.Say("#c", guest+": you are a guest")
	e := w.hs.AwaitText(room, guest+": you are a guest")
	if got := mentionsOf(e); !slices.Equal(got, []any{string(alice)}) {
		t.Errorf("got mentions of %v, want alice", got)
	}
	if w.hs.State(room, "m.room.member", string(w.ghost(guest))) != nil {
		t.Errorf("got a ghost of %s, who is alice", guest)
	}
}

// mentionsOf are the users that an event mentions.
func mentionsOf(e *bridgetest.Event) []any {
	mentions, _ := e.Content["m.mentions"].(map[string]any)
	users, _ := mentions["user_ids"].([]any)
	return users
}
