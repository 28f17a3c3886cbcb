package irc

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// waiting takes all that waits for a lane whose goroutine does not run.
func (l *lane) waiting() (all []item) {
	for {
		select {
		case it := <-l.items:
			all = append(all, it)
			l.refill()
		default:
			return all
		}
	}
}

// A room that takes nothing delays neither the server's PING, nor what confirms messages to IRC, and what is said
// meanwhile waits in its order.
func TestSlowRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		s.send(":s 353 alice = #c :alice bob", ":s 366 alice #c :end")
		s.expect("MODE #c")
		s.expect("MODE #c b")
		l := b.c.net.channels["#c"].lane
		l.waiting()
		start, lines := time.Now(), laneBacklog/2+cap(l.items)
		for i := range lines {
			s.send(fmt.Sprintf(":bob!b@h PRIVMSG #c :line %d", i))
		}
		result := b.say("hello")
		s.expect("PRIVMSG #c :hello")
		s.expect("PING :cw-1")
		s.send("PING :there?", ":s PONG s :cw-1")
		s.expect("PONG :there?")
		if err := <-result; err != nil {
			t.Errorf("the message failed: %v", err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the room delayed the connection by %v", took)
		}
		n := 0
		for _, it := range l.waiting() {
			if m, ok := it.(messageItem); ok {
				if want := fmt.Sprintf("line %d", n); m.lines[0] != want {
					t.Fatalf("got %q, want %q", m.lines[0], want)
				}
				n++
			}
		}
		if n != lines {
			t.Errorf("%d lines wait, want %d", n, lines)
		}
	})
}

// With a room that takes nothing for long, one connection stops reading, without the channel's lock, so that the others and what
// goes to IRC go on. After putWait lines are lost and counted; nobody's removal is. What waits stays bounded.
func TestStuckRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		ch := b.c.net.channels["#c"]
		l := ch.lane
		start := time.Now()
		lines := cap(l.items) + laneBacklog + 1000
		go func() {
			for i := range lines {
				fmt.Fprintf(s.conn, ":bob!b@h PRIVMSG #c :line %d\r\n", i)
			}
			fmt.Fprint(s.conn, ":op!o@h KICK #c alice :bye\r\n")
		}()
		synctest.Wait()
		// The connection is held up: another one of ours is not, and it writes.
		other := newClient(b.c.net, "@bob:hs.test")
		ch.join(other)
		for i := range 10 {
			ch.observe(other, sighting[*client, item]{key: fmt.Sprint(i)})
		}
		b.say("hello")
		s.expect("PRIVMSG #c :hello")
		s.expect("PING :cw-1")
		if took := time.Since(start); took > time.Second {
			t.Errorf("what goes to IRC was delayed by %v", took)
		}
		if l.lost.Load() > 0 {
			t.Errorf("%d lines are lost already", l.lost.Load())
		}
		time.Sleep(putWait)
		synctest.Wait()
		if l.lost.Load() == 0 {
			t.Error("nothing is lost, and the connection stands still")
		}
		all := l.waiting()
		if len(all) > cap(l.items)+laneBacklog+inBuffer {
			t.Errorf("%d items wait", len(all))
		}
		kicked := false
		for _, it := range all {
			_, kick := it.(kickItem)
			kicked = kicked || kick
		}
		if !kicked {
			t.Error("the removal is lost")
		}
	})
}
