package irc

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/event"

	"causeway/bridges/bridgetest"
)

// Who is away on Matrix is away on IRC after a while, back at once, and away again on a new connection.
func TestAwayToIRC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		b.c.box.add(presenceRequest{away: true})
		b.c.box.add(presenceRequest{})
		start := time.Now()
		b.c.box.add(presenceRequest{away: true, words: "asleep"})
		s.expect("PING :alive")
		s.send(":s PONG s :alive")
		s.expect("PING :alive")
		s.send(":s PONG s :alive")
		s.expect("PING :alive")
		s.send(":s PONG s :alive")
		s.expect("AWAY :asleep")
		if got := time.Since(start); got != defaultAwayDelay {
			t.Errorf("got AWAY after %v, want %v", got, defaultAwayDelay)
		}
		_ = s.conn.Close()
		s = b.accept()
		s.expect("CAP LS 302")
		s.expect("NICK alice")
		s.expect("USER alice 0 * @alice:hs.test")
		s.send(":s 001 alice :hi", ":s 376 alice :end")
		s.expect("AWAY :asleep")
		s.expect("JOIN #c")
		s.send(":alice!a@h JOIN #c")
		b.c.box.add(presenceRequest{})
		s.expect("AWAY")
	})
}

// Presence goes both ways between a homeserver and a network with away-notify.
func TestAway(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	cfg.Away.Delay = time.Millisecond
	w := startNew(t, cfg)
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Capable("alice", "away-notify")
	conn.Joined("alice", "#c", "carol dave")
	for _, nick := range []string{"carol", "dave"} {
		w.hs.AwaitMembership(room, w.ghost(nick), "join")
	}
	conn.Send(":carol!c@h AWAY :at lunch")
	conn.Send(":dave!d@h AWAY :for a moment")
	conn.Send(":dave!d@h AWAY")
	conn.Send(":alice!alice@host.test AWAY :our own")
	w.hs.Await("away", func() bool { return w.hs.Presence(w.ghost("carol")) == "unavailable at lunch" })
	conn.Send(":carol!c@h AWAY")
	w.hs.Await("back", func() bool { return w.hs.Presence(w.ghost("carol")) == "online " })
	if got := w.hs.Presence(w.ghost("dave")); got != "" {
		t.Errorf("got presence %q of who was back at once, want none", got)
	}

	w.hs.Present(alice, "unavailable", "out\r\nQUIT")
	conn.Expect("AWAY :out QUIT")
	w.hs.Present(alice, "online", "")
	conn.Expect("AWAY")
	w.hs.Present(w.hs.User("nobody"), "online", "")
}

func TestPresences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := bareNetwork(quick)
		p := &presences{shown: map[string]presence{}, due: map[string]presenceDue{}, bell: make(chan struct{}, 1)}
		away := presence{nick: "carol", is: event.PresenceUnavailable, words: "x"}
		p.set(n, away)
		p.set(n, away) // of another connection
		p.quit(n, "stranger")
		if key, _, at := p.next(time.Now()); key != "" || time.Until(at) != presencePause {
			t.Errorf("got %q due in %v", key, time.Until(at))
		}
		time.Sleep(presencePause)
		away.ghost = n.ids.ghost("carol")
		if key, state, _ := p.next(time.Now()); key != "carol" || state != away {
			t.Errorf("got %q %v, want that carol is away", key, state)
		}
		p.set(n, away)
		p.quit(n, "Carol")
		time.Sleep(presencePause)
		if _, state, _ := p.next(time.Now()); state.is != event.PresenceOffline {
			t.Errorf("got %v, want that carol is gone", state)
		}
		if len(p.shown)+len(p.due) != 0 {
			t.Errorf("got %d people remembered, want none", len(p.shown)+len(p.due))
		}
	})
}

// A room that shows only who speaks has nobody else in it, and its operators have their levels nevertheless.
func TestMembersPolicies(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{showSpeakers, showNone} {
		t.Run(policy, func(t *testing.T) {
			w, conn, _, room := scripted(t, func(n *NetworkConfig) {
				n.Members.Channels = map[string]string{"#C": policy}
			}, allRanks, "@carol +vera dave")
			w.awaitLevel(room, w.ghost("carol"), 50)
			conn.Send(":eve!e@h JOIN #c")
			conn.Send(":dave!d@h PRIVMSG #c :I speak")
			w.hs.AwaitText(room, "I speak")
			conn.Send(":dave!d@h NICK dora")
			w.hs.AwaitMembership(room, w.ghost("dora"), "join")
			conn.Send(":eve!e@h PART #c")
			conn.Send(":dora!d@h PART #c")
			conn.Send(":carol!c@h PRIVMSG #c :I too")
			w.hs.AwaitText(room, "I too")
			joined := w.hs.Joined(room)
			for _, nick := range []string{"eve", "vera", "dave"} {
				if slices.Contains(joined, w.ghost(nick)) {
					t.Errorf("%s is in the room", nick)
				}
			}
			if got, want := slices.Contains(joined, w.ghost("dora")), policy == showNone; got != want {
				t.Errorf("got dora in the room %v, want %v", got, want)
			}
			if got := w.level(room, w.ghost("vera")); got != 0 {
				t.Errorf("got level %d of a voice, want none while all may speak", got)
			}
			conn.Send(":carol!c@h MODE #c +k key")
			conn.Send(":irc.test 324 alice #c +m")
			w.awaitLevel(room, w.ghost("vera"), 1)
		})
	}
}
