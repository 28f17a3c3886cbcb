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

// What operators and servers do to a connection, on a network with IRCv3: the person is back, and nothing is lost or doubled.

// scene3 is carol, an operator of #c on an IRCv3 network, with a bridge and some of its people in the room of it.
type scene3 struct {
	*world
	s     *bridgetest.IRCv3
	carol *bridgetest.IRCClient
	room  id.RoomID
	told  []string // what carol has said, as fromIRC has it
	said  map[string][]string
}

func newScene3(t *testing.T, opts bridgetest.IRCv3Options, people ...string) *scene3 {
	t.Helper()
	s := bridgetest.StartIRCv3(t, opts)
	x := &scene3{world: startNew(t, testNetwork(s.Address)), s: s, said: map[string][]string{}}
	x.meet(people...)
	return x
}

// meet lets carol and people of ours enter #c. What is said before somebody of us has seen that they are there is not missed.
func (x *scene3) meet(people ...string) {
	x.t.Helper()
	x.carol = bridgetest.DialIRC(x.t, x.s.Address, "carol", "message-tags", "account-tag", "chghost", "batch")
	x.carol.Join("#c")
	for _, name := range people {
		x.room = x.join(x.hs.User(name), "#c")
		x.carol.AwaitCommand("JOIN", name, "#c")
	}
	x.spoken(x.carol, x.room, "hello everybody", x.ghost("carol"))
	x.told = []string{"carol: hello everybody"}
}

// talk lets somebody of ours and carol say so many lines each.
func (x *scene3) talk(name string, lines int) {
	for range lines {
		text := fmt.Sprintf("%s %d", name, len(x.said[name]))
		x.hs.Say(x.hs.User(name), x.room, text)
		x.said[name] = append(x.said[name], text)
		text = fmt.Sprint("carol ", len(x.told))
		x.carol.Say("#c", text)
		x.told = append(x.told, "carol: "+text)
	}
}

// check checks that both sides have heard everything, once and in order.
func (x *scene3) check() {
	x.t.Helper()
	for name, want := range x.said {
		got := bridgetest.Texts(x.carol.AwaitCount("the lines of "+name, len(want), bridgetest.Said("#c", name)))
		if !slices.Equal(got, want) {
			x.t.Errorf("IRC has of %s: %s", name, firstDifference(got, want))
		}
	}
	x.hs.Await("the lines of carol", func() bool { return len(x.fromIRC(x.room)) >= len(x.told) })
	if got := x.fromIRC(x.room); !slices.Equal(got, x.told) {
		x.t.Errorf("the room has of IRC: %s", firstDifference(got, x.told))
	}
}

// comings counts the JOINs of a nick that carol has seen.
func (x *scene3) comings(nick string) int {
	return len(x.carol.Lines(func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == nick }))
}

func (x *scene3) awaitComings(nick string, count int) {
	x.t.Helper()
	x.carol.AwaitCount("JOIN of "+nick, count, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == nick })
}

// isStill checks that the room shows nothing of what happens to somebody on IRC.
func (x *scene3) isStill(name string) {
	x.t.Helper()
	user := x.hs.User(name)
	for _, e := range x.hs.Events(func(e *bridgetest.Event) bool {
		return e.Room == x.room && e.StateKey != nil && *e.StateKey == string(user)
	}) {
		if e.Membership() != "join" {
			x.t.Errorf("got %s of %s by %s", e.Membership(), user, e.Sender)
		}
	}
	if x.hs.State(x.room, "m.room.member", string(x.ghost(name))) != nil {
		x.t.Errorf("got a ghost of %s, who is one of us", name)
	}
}

// An operator kills a connection in the middle of a talk, again and again; alone it is the only one that listens.
func TestKilled(t *testing.T) {
	for _, test := range []struct {
		name   string
		people []string
		fault  func(s *bridgetest.IRCv3, nick string)
		quit   string
	}{
		{"killed", []string{"alice"}, func(s *bridgetest.IRCv3, nick string) { s.Kill(nick, "spam") }, "Killed (oper (spam))"},
		{"killed among others", []string{"alice", "bob"}, func(s *bridgetest.IRCv3, nick string) { s.Kill(nick, "spam") }, "Killed (oper (spam))"},
		{"collided", []string{"alice"}, (*bridgetest.IRCv3).Collide, "Nickname collision"},
		{"collided among others", []string{"alice", "bob"}, (*bridgetest.IRCv3).Collide, "Nickname collision"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			x := newScene3(t, bridgetest.IRCv3Options{HistoryPage: 20}, test.people...)
			for round := range 3 {
				x.talk("alice", 20)
				test.fault(x.s, "alice")
				x.talk(test.people[round%len(test.people)], 20)
				x.awaitComings("alice", round+2)
				x.check()
			}
			quits := x.carol.Lines(func(m ircmsg.Message) bool { return m.Command == "QUIT" && m.Nick() == "alice" })
			for _, quit := range quits {
				if quit.Params[0] != test.quit {
					t.Errorf("got QUIT %q, want %q", quit.Params[0], test.quit)
				}
			}
			if got := x.comings("alice"); got != 4 || len(quits) != 3 {
				t.Errorf("got %d JOINs and %d QUITs, want 4 and 3", got, len(quits))
			}
			for _, name := range test.people {
				x.isStill(name)
			}
		})
	}
}

// Who is banned from the network stays away and is told, until they ask to be let in again.
func TestKLined(t *testing.T) {
	t.Parallel()
	x := newScene3(t, bridgetest.IRCv3Options{}, "alice", "bob")
	alice := x.hs.User("alice")
	x.manage(alice)
	x.talk("alice", 5)
	x.check() // what is on its way is not sent, and told so
	x.s.KLine("alice@*", "spam")
	x.carol.AwaitCommand("QUIT", "alice", "")
	x.awaitText(dm, "net has banned you (Closing Link: alice (K-Lined)); the bridge does not try again until you ask for it with")
	unheard := x.hs.Say(alice, x.room, "does anybody hear me?")
	x.hs.AwaitEvent("that it was not sent", func(e *bridgetest.Event) bool {
		return e.Room == x.room && e.Sender == x.bridge.Bot() && strings.Contains(e.Text(), "net has banned you") &&
			relation(e, "m.in_reply_to", "event_id") == string(unheard.ID)
	})
	// Others come and go meanwhile, and she does not.
	before, _ := x.s.Connections()
	for round := range 5 {
		x.s.Drop("bob")
		x.awaitComings("bob", round+2)
	}
	x.talk("bob", 5)
	x.hs.Say(alice, dm, "reconnect net") // while the ban is there still
	x.hs.Await("that she is told again", func() bool {
		return len(x.hs.Events(func(e *bridgetest.Event) bool {
			return e.Room == dm && strings.Contains(e.Text(), "net has banned you")
		})) == 2
	})
	if came, _ := x.s.Connections(); came != before+6 {
		t.Errorf("got %d connections, want 5 of bob and one that alice asked for", came-before)
	}
	x.s.UnKLine()
	x.hs.Say(alice, dm, "reconnect net")
	x.awaitComings("alice", 2)
	x.talk("alice", 5)
	x.check()
	x.isStill("alice")
}

// The bot's own connection is killed: everybody's words go through it, and none is lost or doubled.
func TestBotKilled(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryPage: 20})
	w := startNew(t, relayNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#relay")
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#relay")
	carol.AwaitCommand("JOIN", "matrix", "#relay")
	w.join(bob, "#relay")
	w.hs.AwaitAcknowledged()
	carol.Say("#relay", "hello everybody")
	w.hs.AwaitText(room, "hello everybody")
	toIRC, toMatrix := []string(nil), []string{"carol: hello everybody"}
	talk := func() {
		for range 10 {
			for _, user := range []id.UserID{alice, bob} {
				localpart, _, _ := user.Parse()
				text := fmt.Sprint(len(toIRC))
				w.hs.Say(user, room, text)
				toIRC = append(toIRC, "<"+localpart+"> "+text)
			}
			text := fmt.Sprint(len(toMatrix))
			carol.Say("#relay", text)
			toMatrix = append(toMatrix, "carol: "+text)
		}
	}
	for round := range 3 {
		talk()
		if round == 1 {
			s.Collide("matrix")
		} else {
			s.Kill("matrix", "spam")
		}
		talk()
		carol.AwaitCount("JOIN", round+2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "matrix" })
		carol.AwaitCount("lines", len(toIRC), relayedLines("#relay"))
	}
	got := bridgetest.Texts(carol.AwaitCount("lines", len(toIRC), relayedLines("#relay")))
	if !slices.Equal(got, toIRC) {
		t.Errorf("IRC has: %s", firstDifference(got, toIRC))
	}
	w.hs.Await("the lines of carol", func() bool { return len(w.fromIRC(room)) >= len(toMatrix) })
	if got := w.fromIRC(room); !slices.Equal(got, toMatrix) {
		t.Errorf("the room has: %s", firstDifference(got, toMatrix))
	}
	// Another nick that is forced on it is its own too.
	s.ForceNick("matrix", "Guest8")
	carol.Say("#relay", "who are you?")
	w.hs.AwaitText(room, "who are you?")
	w.hs.Say(alice, room, "as before")
	carol.Await("the line", func(m ircmsg.Message) bool {
		return bridgetest.Said("#relay", "Guest8")(m) && m.Params[1] == "<alice> as before"
	})
	carol.Say("#relay", "I see")
	w.hs.AwaitText(room, "I see")
	if got := w.fromIRC(room); len(got) != len(toMatrix)+2 {
		t.Errorf("got %q after the bot has another nick", got[len(toMatrix):])
	}
}
