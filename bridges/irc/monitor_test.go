package irc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/event"

	"causeway/bridges/bridgetest"
)

// monitored is a client on a server that watches two nicks at most.
func monitored(t *testing.T, tokens string) (*bench, *pipe) {
	b := newBench(t, quick)
	p := &b.c.net.presences
	p.mu.Lock() // without its goroutine
	p.shown, p.since, p.due, p.bell = map[string]presence{}, map[string]time.Time{}, map[string]presenceDue{}, make(chan struct{}, 1)
	p.mu.Unlock()
	s := b.accept()
	s.expect("CAP LS 302")
	s.expect("NICK alice")
	s.expect("USER alice 0 * @alice:hs.test")
	s.send(":s 001 alice :hi", ":s 005 alice "+tokens+" :are supported", ":s 376 alice :end")
	s.expect("JOIN #c")
	s.send(":alice!a@h JOIN #c")
	return b, s
}

// talkTo begins a conversation.
func (b *bench) talkTo(channel, nick string) {
	b.c.box.add(joinRequest{channel: channel, nick: nick, mine: true, direct: true})
}

// partners is what is shown of the partners of conversations, or will be.
func (b *bench) partners() string {
	p := &b.c.net.presences
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, nick := range []string{"bob", "carol", "dave", "bea"} {
		if due, ok := p.due[nick]; ok {
			list = append(list, fmt.Sprintf("%s %s", due.ghost, due.is))
		}
	}
	clear(p.due)
	return strings.Join(list, ", ")
}

func TestMonitorList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := monitored(t, "MONITOR=2")
		b.talkTo("bob", "Bob")
		s.expect("MONITOR + Bob")
		s.send(":s 731 alice :Bob")
		b.talkTo("carol", "carol")
		s.expect("MONITOR + carol")
		s.send(":s 730 alice :carol!c@h,stranger!s@h")
		synctest.Wait()
		if got, want := b.partners(), "net/bob offline, net/carol online"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// Whoever was talked with longest ago gives way.
		s.send(":Bob!b@h PRIVMSG alice :hi")
		synctest.Wait()
		b.talkTo("dave", "dave")
		s.expect("MONITOR - carol")
		s.expect("MONITOR + dave")
		s.send(":s 734 alice 2 dave :Monitor list is full.")
		b.talkTo("carol", "carol")
		s.send(":carol!c@h PRIVMSG alice :it is me")
		s.expect("MONITOR - Bob")
		s.expect("MONITOR + carol")
		b.c.box.add(partRequest{channel: "carol", mine: true})
		s.expect("MONITOR - carol")
		s.send("PING :end")
		s.expect("PONG :end")
	})
}

// Who goes away is not written to unawares; of services, which cannot be watched, that is not thought.
func TestMonitorGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := monitored(t, "MONITOR=100")
		b.talkTo("carol", "carol")
		s.expect("MONITOR + carol")
		say := func(text string) chan error {
			result := make(chan error, 1)
			b.c.box.add(&send{channel: "carol", mine: true, verb: "PRIVMSG", lines: []string{text}, done: func(err error) { result <- err }})
			return result
		}
		s.send(":s 731 alice :carol", ":carol!c@h PRIVMSG alice :hi")
		result := say("to who is no user")
		s.expect("PRIVMSG carol :to who is no user")
		s.expect("PING :cw-1")
		s.send(":s PONG s :cw-1")
		if err := <-result; err != nil {
			t.Error(err)
		}
		s.send(":s 730 alice :carol!c@h", ":s 731 alice :carol")
		synctest.Wait()
		for range 2 {
			if err := <-say("secret"); err == nil || err.Error() != "carol has left net, and nobody on net is called so at the moment. It was not sent" {
				t.Errorf("got error %v", err)
			}
		}
		s.send(":s 730 alice :carol!other@h")
		synctest.Wait()
		if err := <-say("secret"); err == nil || !strings.Contains(err.Error(), "say it again if it is for whoever is carol now") {
			t.Errorf("got error %v", err)
		}
		say("hello whoever")
		s.expect("PRIVMSG carol :hello whoever")
	})
}

// The nick of who has an account may be somebody else's, and changes.
func TestMonitorAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := monitored(t, "MONITOR=100")
		b.talkTo("account bea", "bea")
		s.expect("MONITOR + bea")
		s.send(":s 730 alice :bea!x@h")
		s.expect("WHOIS bea")
		s.send(":s 330 alice bea somebody :is logged in as", ":s 318 alice bea :End")
		synctest.Wait()
		if got := b.partners(); got != "" {
			t.Errorf("got %s for who is somebody else", got)
		}
		s.send(":s 330 alice bea Bea :is logged in as")
		synctest.Wait()
		if got, want := b.partners(), "net/account bea online"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		s.send(":bea!x@h NICK bea2")
		s.expect("MONITOR - bea")
		s.expect("MONITOR + bea2")
	})
}

func TestPartnerPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNetwork(NetworkConfig{})
		p := &presences{shown: map[string]presence{}, since: map[string]time.Time{}, due: map[string]presenceDue{}, bell: make(chan struct{}, 1)}
		next := func(want string) {
			t.Helper()
			_, state, _ := p.next(time.Now())
			if got := fmt.Sprintf("%s %s %s", state.ghost, state.is, state.words); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		there := presence{nick: "carol", is: event.PresenceOnline, ghost: "net/carol", partner: true}
		p.set(n, there)
		time.Sleep(presencePause)
		next("net/carol online ")
		p.set(n, there) // of another connection
		p.again("carol")
		next("  ")
		time.Sleep(presenceAgain)
		p.again("carol")
		next("net/carol online ")
		p.set(n, presence{nick: "carol", is: event.PresenceUnavailable, words: "lunch"})
		time.Sleep(presencePause)
		next("net/carol unavailable lunch")
		p.quit(n, "carol")
		time.Sleep(presencePause)
		next("net/carol offline ")
		p.again("carol")
		if len(p.shown)+len(p.since)+len(p.due) > 0 {
			t.Error("who is gone is remembered")
		}
	})
}

// A ghost whose person shares no channel is there, away and gone.
func TestMonitor(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Capable("alice", "away-notify extended-monitor")
	conn.Joined("alice", "#c", "")
	conn.Send(":irc.test 005 alice MONITOR=100 :are supported")
	conn.Send(":carol!c@h PRIVMSG alice :psst")
	room := w.ownRoom(alice, "carol")
	w.enter(alice, room)
	next(t, conn, "MONITOR + carol")
	conn.Send(":irc.test 730 alice :carol!c@h")
	presence := func(want string) {
		t.Helper()
		w.hs.Await("presence "+want, func() bool { return w.hs.Presence(w.ghost("carol")) == want })
	}
	presence("online ")
	conn.Send(":carol!c@h AWAY :lunch")
	presence("unavailable lunch")
	w.hs.Say(alice, room, "are you there?")
	next(t, conn, "PRIVMSG carol :are you there?")
	conn.Send(":irc.test 301 alice carol :dinner")
	presence("unavailable dinner")
	conn.Send(":irc.test 731 alice :carol")
	presence("offline ")
	w.hs.Say(alice, room, "hello?")
	w.awaitNotice(room, "carol has left net, and nobody on net is called so at the moment")
}
