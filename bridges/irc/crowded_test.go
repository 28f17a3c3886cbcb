package irc

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"
)

// Two of our connections on a channel whose room is slow: neither reads on for ever, and none takes the lead from the other by being
// ahead of it, so that nothing is lost before putWait.
func TestSlowRoomOfTwo(t *testing.T) {
	n := bareNetwork(NetworkConfig{})
	l := &lane{net: n, name: "#c", items: make(chan item, laneBuffer), done: make(chan struct{})}
	n.channels["#c"] = newChannel(l)
	var clients []*client
	for _, name := range []string{"alice", "bob"} {
		c := newClient(n, id.UserID("@"+name+":hs.test"))
		c.nick, c.phase = name, up
		m := c.newMembership(joinRequest{channel: "#c"}, "#c")
		m.state, m.names = joined, newRoster()
		c.channels["#c"] = m
		m.ch.resume(c, false)
		clients = append(clients, c)
	}
	next := make([]int, len(clients))
	for now := time.Now(); ; {
		read := false
		for i, c := range clients {
			if c.heldUp(now) || next[i] == 50000 {
				continue
			}
			m, err := plainly.parse(fmt.Appendf(nil, ":carol!c@h PRIVMSG #c :line %d", next[i]))
			if err != nil {
				t.Fatal(err)
			}
			c.handle(m)
			next[i]++
			read = true
		}
		if !read {
			break
		}
	}
	if lost := l.lost.Load(); lost > 0 || next[0] == 50000 {
		t.Errorf("%d lines are lost, and %d and %d were read", lost, next[0], next[1])
	}
	for i, it := range l.waiting() {
		if said := it.(messageItem); said.lines[0] != fmt.Sprintf("line %d", i) {
			t.Fatalf("got %q at %d", said.lines[0], i)
		}
	}
}

// A connection that waits for a slow room for minutes is neither given up nor busy with that: in a bubble whose goroutines never rest,
// no time would pass.
func TestLongSlowRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		l := b.c.net.channels["#c"].lane
		go func() {
			for i := range cap(l.items) + laneBacklog + 100 {
				fmt.Fprintf(s.conn, ":bob!b@h PRIVMSG #c :line %d\r\n", i)
			}
		}()
		heard := make(chan bool, 1)
		go func() {
			for s.lines.Scan() {
				if s.lines.Text() == "PRIVMSG #c :hello" {
					heard <- true
				}
			}
			close(heard)
		}()
		synctest.Wait()
		for range 200 {
			l.put(noticeItem{text: "what was held while the history was fetched"})
		}
		for range 60 {
			time.Sleep(putWait / 3)
			<-l.items
			l.refill()
		}
		b.say("hello")
		if !<-heard {
			t.Error("the connection has ended")
		}
	})
}

// However often somebody is to be removed from a room that takes nothing, once is enough.
func TestManyRemovals(t *testing.T) {
	l := &lane{net: bareNetwork(NetworkConfig{}), items: make(chan item, 1), done: make(chan struct{})}
	for range maxLaneBacklog + 2000 {
		l.put(kickItem{user: "@alice:hs.test", reason: "refused"})
	}
	l.put(kickItem{user: "@bob:hs.test", reason: "refused"})
	all := l.waiting()
	if len(all) > maxLaneBacklog+2 {
		t.Errorf("%d items wait", len(all))
	}
	if last := all[len(all)-1].(kickItem); last.user != "@bob:hs.test" {
		t.Errorf("the last one is %v", last)
	}
}

// A server that makes us answer and does not read loses us.
func TestMadeToTalk(t *testing.T) {
	for _, line := range []string{":alice!a@h JOIN #x%d", ":s CAP alice NEW :batch cap%d"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, quick)
			s := b.accept()
			s.welcome()
			for i := range 2 * maxOutgoing {
				if _, err := fmt.Fprintf(s.conn, line+"\r\n", i); err != nil {
					return
				}
			}
			t.Error("the connection goes on")
		})
	}
}
