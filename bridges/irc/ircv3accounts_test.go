package irc

import (
	"testing"

	"github.com/ergochat/irc-go/ircmsg"

	"causeway/bridges/bridgetest"
)

// A person logs in by each mechanism that a network has, and another password than the right one is refused. Once the network has
// shown that it can do SCRAM, it is not told the password as it is any more.
func TestIRCv3Login(t *testing.T) {
	for _, mechanism := range []string{mechPlain, mechSCRAM, mechAuto} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{Accounts: map[string]string{"Wonder": secret}})
			log := &bridgetest.Recorder{}
			w := startLogged(t, testNetwork(s.Address), log)
			alice := w.hs.User("alice")
			w.manage(alice)
			watch := bridgetest.DialIRC(t, s.Address, "watch", "message-tags", "account-tag", "extended-join")
			watch.Join("#c")
			room := w.join(alice, "#c")
			watch.AwaitCommand("JOIN", "alice", "#c")
			w.hs.Say(alice, dm, "login password net wonder Wonder not-"+secret+" "+mechanism)
			w.awaitText(dm, "what was stored before still is")
			w.hs.Say(alice, dm, "login password net wonder Wonder "+secret+" "+mechanism)
			w.awaitText(dm, "Stored for net")
			// With the wrong password she may have been there by that nick, without an account.
			watch.AwaitCount("JOIN", 1, func(m ircmsg.Message) bool {
				return m.Command == "JOIN" && m.Nick() == "wonder" && m.Params[1] == "Wonder"
			})
			w.hs.Say(alice, room, "it is me")
			if m := lineOf(watch, "wonder", "it is me"); tagOf(m, "account") != "Wonder" {
				t.Errorf("got account %q", tagOf(m, "account"))
			}
			watch.AwaitAccount("wonder", "Wonder")
			plain, scram := s.LoggedIn("PLAIN"), s.LoggedIn("SCRAM-SHA-256")
			if wantPlain := mechanism == mechPlain; (plain > 0) != wantPlain || (scram > 0) == wantPlain {
				t.Errorf("got %d logins by PLAIN and %d by SCRAM", plain, scram)
			}
			// She is logged in again after a break.
			s.Kill("wonder", "spam")
			watch.AwaitCount("JOIN", 2, func(m ircmsg.Message) bool {
				return m.Command == "JOIN" && m.Nick() == "wonder" && m.Params[1] == "Wonder"
			})
			if mechanism == mechAuto {
				s.SASLMechanisms("PLAIN")
				s.Kill("wonder", "spam")
				w.awaitText(dm, "could log you in before without being told your password (SCRAM-SHA-256) and now asks for it")
			}
			w.hs.AwaitAcknowledged()
			w.stop()
			w.absent(log, secret)
		})
	}
}

// Who has an account on IRC is its ghost, as on a network with services.
func TestIRCv3Accounts(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{Accounts: map[string]string{"CarolAcc": secret}})
	w := startNew(t, testNetwork(s.Address))
	carol := bridgetest.DialIRCAs(t, s.Address, "carol", "CarolAcc", secret)
	carol.Join("#c")
	dave := bridgetest.DialIRC(t, s.Address, "dave")
	dave.Join("#c")
	room := w.join(w.hs.User("alice"), "#c")
	w.hs.AwaitMembership(room, w.byAccount("carolacc"), "join")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	w.spoken(carol, room, "as carol", w.byAccount("carolacc"))
	carol.Send("NICK caz")
	w.hs.Await("the new name", func() bool { return w.hs.DisplayName(w.byAccount("carolacc")) == "caz" })
	w.spoken(carol, room, "as caz", w.byAccount("carolacc"))
	w.spoken(dave, room, "as nobody", w.ghost("dave"))
	s.LogIn("dave", "DaveAcc")
	w.hs.AwaitMembership(room, w.byAccount("daveacc"), "join")
	w.hs.AwaitMembership(room, w.ghost("dave"), "leave")
	w.spoken(dave, room, "as somebody", w.byAccount("daveacc"))
	s.LogIn("dave", "")
	w.hs.AwaitMembership(room, w.ghost("dave"), "join")
	w.hs.AwaitMembership(room, w.byAccount("daveacc"), "leave")
}
