package irc

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// A restart with handover in the middle of a history: each line comes once and in order, however much of the answers had come, and
// whether the server answers the old question before or after the new process is there.
func TestUpgradeWithinCatchUp(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		answered int
		late     bool // the answer to the old question comes to the new process
	}{
		{"nothing", 0, false}, {"nothing, late", 0, true}, {"some", 2, false}, {"some, late", 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryPage: 7})
			cfg := keep(s.Address)
			n := cfg.Networks["net"]
			n.Casemapping = ASCII
			cfg.Networks["net"] = n
			hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
			w := startKept(t, hs, dir, cfg)
			carol := bridgetest.DialIRC(t, s.Address, "carol")
			carol.Join("#c")
			room := w.join(hs.User("alice"), "#c")
			carol.AwaitCommand("JOIN", "alice", "#c")
			sayNumbers(s, "carol", 0, 5)
			w.checkFromIRC(room, numbers("carol", 0, 5))
			s.HoldHistory(test.answered)
			s.Drop("alice")
			sayNumbers(s, "carol", 5, 45)
			carol.AwaitOccupant("#c", "alice")
			s.AwaitHistoryHeld(t, 1)
			sayNumbers(s, "carol", 45, 50)
			w.stop()
			sayNumbers(s, "carol", 50, 55)
			if !test.late {
				s.ReleaseHistory()
			}
			w = startHolding(t, hs, dir, cfg, holderOf)
			sayNumbers(s, "carol", 55, 60)
			if test.late {
				s.AwaitHistoryHeld(t, 2)
				s.ReleaseHistory()
			}
			w.checkFromIRC(room, numbers("carol", 0, 60))
		})
	}
}

// A channel that was entered long ago and whose history is being fetched, because the one of us who led has gone, is told to the
// holder as such, and fetched on by who takes the connection up.
func TestResumeWithinCatchUp(t *testing.T) {
	n := bareNetwork(NetworkConfig{})
	ch := newChannel(&lane{net: n, name: "#c", items: make(chan item, 8), done: make(chan struct{})})
	n.channels["#c"] = ch
	c := newClient(n, id.UserID("@alice:hs.test"))
	c.history.Store(true)
	c.channels["#c"] = &membership{name: "#c", key: "#c", ch: ch, state: joined}
	c.keeping.handled = 9
	ch.enter(c, true)
	safe, leads := c.standings()
	if got := fmt.Sprintf("%d %q", safe, leads); got != `0 [" #c" "#c"]` {
		t.Errorf("got %s", got)
	}
	ch.release(c, nil)
	if safe, leads = c.standings(); safe != 9 || len(leads) != 1 {
		t.Errorf("got %d %q after the history", safe, leads)
	}

	after := newChannel(&lane{net: n, name: "#c", items: make(chan item, 8), done: make(chan struct{})})
	after.expectHeld(c, true)
	after.resume(c, true)
	after.put(messageItem{nick: "carol", lines: []string{"held"}})
	if len(after.lane.items) > 0 {
		t.Error("what is said now is not held")
	}
	if got := c.box.take(); len(got) != 1 || got[0] != (catchUpRequest{channel: "#c"}) {
		t.Errorf("got requests %v", got)
	}
}

// An answer to a question of the process before is nobody's; without an answer to the PING the question goes out all the same.
func TestInheritedAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := historian(t)
		s.expect("CHATHISTORY AFTER #c msgid=old 2")
		done := make(chan struct{})
		b.c.box.add(inspect(func(c *client) {
			c.dropHistory()
			c.keeping.before.open = true
			m := c.channels["#c"]
			c.catchUp(m)
			close(done)
		}))
		<-done
		s.expect("PING inherited-0")
		s.send(":s BATCH +x chathistory #c")
		s.send("@batch=x;msgid=1 :carol!c@host PRIVMSG #c :of before")
		s.send("@batch=x :s BATCH +y draft/multiline #c", "@batch=y;msgid=2 :carol!c@host PRIVMSG #c :more", "@batch=x :s BATCH -y")
		s.send("@batch=x :dave!d@host JOIN #c")
		s.send(":s BATCH -x", ":s FAIL CHATHISTORY MESSAGE_ERROR AFTER #c :no")
		s.send(":s PONG s inherited-0")
		s.expect("CHATHISTORY AFTER #c msgid=old 2")
		synctest.Wait()
		if got := laneTexts(b.c.net.channel("#c").lane); len(got) > 0 {
			t.Errorf("got %q", got)
		}
		b.c.box.add(inspect(func(c *client) {
			c.dropHistory()
			c.keeping.before.open = true
			c.catchUp(c.channels["#c"])
		}))
		s.expect("PING inherited-0")
		time.Sleep(inheritedTimeout)
		s.expect("CHATHISTORY AFTER #c msgid=old 2")
	})
}

// inspect is a request of a test.
type inspect func(c *client)

func (f inspect) apply(c *client) { f(c) }
