package irc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/bridges/bridgetest"
)

// behindZNC is a client in #c, where a line was delivered a minute ago, behind a ZNC with playback.
func behindZNC(t *testing.T) (b *bench, s *pipe, last time.Time) {
	b = newBench(t, NetworkConfig{Flood: FloodConfig{Unlimited: true}})
	b.c.net.masks.add(b.c.user, "alice!alice@host.test")
	last = time.Now().Add(-time.Minute)
	b.c.net.channel("#c").last = delivered{id: " znc old", at: last}
	s = b.accept()
	s.expect("CAP LS 302")
	s.expect("NICK alice")
	s.expect("USER alice 0 * @alice:hs.test")
	s.send(":s CAP * LS :batch server-time znc.in/playback znc.in/self-message")
	s.expect("CAP REQ :batch server-time znc.in/playback znc.in/self-message")
	s.send(":s CAP * ACK :batch server-time znc.in/playback znc.in/self-message", ":s 001 alice :hi", ":s 376 alice :end")
	s.expect("CAP END")
	s.expect("JOIN #c")
	s.send("@" + at(0) + " :alice!alice@host.test JOIN #c") // which ZNC says by itself
	return b, s, last
}

// laneItems are the texts that a lane without goroutine has got, with their identities.
func laneItems(l *lane) (texts, ids []string) {
	for len(l.items) > 0 {
		if m, ok := (<-l.items).(messageItem); ok {
			texts, ids = append(texts, strings.Join(m.lines, "\n")), append(ids, string(m.id))
		}
	}
	return texts, ids
}

func TestPlayback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, last := behindZNC(t)
		lane := b.c.net.channel("#c").lane
		ms := last.Add(-time.Millisecond).UnixMilli()
		s.expect(fmt.Sprintf("PRIVMSG *playback :PLAY #c %d.%03d", ms/1000, ms%1000))
		s.expect("PING :playback-1")
		now, then := at(0), at(-time.Second)
		s.send("@"+now+" :carol!c@h PRIVMSG #c :said meanwhile", "@"+now+" :carol!c@h PRIVMSG #c :after it")
		s.send(":s BATCH +x znc.in/playback #c", "@batch=x;"+then+" :carol!c@h PRIVMSG #c :one", "@batch=x;"+then+" :carol!c@h PRIVMSG #c :one",
			"@batch=x;"+then+" :*buffextras!znc@znc.in PRIVMSG #c :dave joined", "@batch=x;"+then+" :alice!alice@host.test PRIVMSG #c :ours",
			"@batch=x;"+now+" :carol!c@h PRIVMSG #c :said meanwhile", ":s BATCH -x")
		synctest.Wait()
		if texts, _ := laneItems(lane); len(texts) > 0 {
			t.Errorf("got %q before the end", texts)
		}
		s.send(":s PONG s :playback-1")
		synctest.Wait()
		texts, ids := laneItems(lane)
		if want := []string{"one", "one", "said meanwhile", "after it"}; !slices.Equal(texts, want) {
			t.Errorf("got %q, want %q", texts, want)
		}
		if slices.Sort(ids); len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("got identities %q", ids)
		}
		// The same lines are the same ones on the next connection.
		_ = s.conn.Close()
		s = b.accept()
		s.expect("CAP LS 302")
		s.expect("NICK alice")
		s.expect("USER alice 0 * @alice:hs.test")
		s.send(":s CAP * LS :batch server-time znc.in/playback", ":s CAP * ACK :batch server-time znc.in/playback")
		s.expect("CAP REQ :batch server-time znc.in/playback")
		s.expect("CAP END")
		s.send(":s 001 alice :hi", ":s 376 alice :end")
		s.expect("JOIN #c")
		s.send(":alice!alice@host.test JOIN #c")
		if !s.lines.Scan() || !strings.HasPrefix(s.lines.Text(), "PRIVMSG *playback :PLAY #c ") {
			t.Fatalf("got line %q", s.lines.Text())
		}
		s.expect("PING :playback-2")
		s.send(":s BATCH +x znc.in/playback #c", "@batch=x;"+then+" :carol!c@h PRIVMSG #c :one", "@batch=x;"+then+" :carol!c@h PRIVMSG #c :one",
			"@batch=x;"+now+" :carol!c@h PRIVMSG #c :said meanwhile", "@batch=x;"+now+" :carol!c@h PRIVMSG #c :after it", ":s BATCH -x", ":s PONG s playback-2")
		synctest.Wait()
		_, again := laneItems(lane)
		if slices.Sort(again); !slices.Equal(again, ids) {
			t.Errorf("got identities %q, want %q", again, ids)
		}
		for _, id := range ids {
			if got := b.c.net.msgIDOf(b.c.net.idOf(strings.TrimPrefix(id, "net/"))); got != "" {
				t.Errorf("got %q, which the network does not know", got)
			}
		}
	})
}

// ZNC says nothing, or nothing ever ends, or it says too much.
func TestPlaybackEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s, _ := behindZNC(t)
		lane := b.c.net.channel("#c").lane
		s.lines.Scan()
		s.expect("PING :playback-1")
		s.send("@"+at(0)+" :carol!c@h PRIVMSG #c :now", ":s PONG s :playback-1")
		synctest.Wait()
		if got := laneTexts(lane); !slices.Equal(got, []string{"now"}) {
			t.Errorf("got %q without an answer", got)
		}
		b.c.box.add(inspect(func(c *client) {
			m := c.channels["#c"]
			m.ch.holding = true
			c.askHistory(&history{
				m: m, max: 150, took: func(h *history) { m.ch.replayed(c, h.items) }, enough: func(*history) bool { return false },
				done: func(_ *history, end pages) { m.ch.release(c, nil); m.topic = &topicItem{topic: fmt.Sprint(end)} },
			})
		}))
		s.lines.Scan()
		s.expect("PING :playback-2")
		s.send(":s BATCH +x znc.in/playback #c")
		for i := range 400 {
			s.send(fmt.Sprintf("@batch=x;%s :carol!c@h PRIVMSG #c :%d", at(0), i))
		}
		s.send(":s BATCH -x", ":s PONG s :playback-2")
		synctest.Wait()
		var end string
		b.c.box.add(inspect(func(c *client) { end = c.channels["#c"].topic.topic }))
		synctest.Wait()
		if got := laneTexts(lane); len(got) != 100 || end != fmt.Sprint(truncated) {
			t.Errorf("got %d lines, end %s", len(got), end)
		}
		b.c.box.add(inspect(func(c *client) {
			m := c.channels["#c"]
			m.ch.holding = true
			c.catchUp(m)
		}))
		s.lines.Scan()
		s.expect("PING :playback-3")
		s.send("@" + at(0) + " :carol!c@h PRIVMSG #c :held")
		time.Sleep(historyTimeout + time.Second)
		synctest.Wait()
		if got := laneTexts(lane); !slices.Equal(got, []string{"held"}) {
			t.Errorf("got %q after the time", got)
		}
	})
}

// After a restart, lines that Matrix has do not come again.
func TestPlaybackAfterRestart(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	room := w.join(hs.User("alice"), "#c")
	enter := func() *bridgetest.IRCConn {
		conn := ircd.Accept()
		conn.Capable("alice", "batch server-time znc.in/playback")
		conn.Joined("alice", "#c", "carol")
		return conn
	}
	said := time.Now().Add(-time.Minute)
	line := func(tags string, i int) string {
		return fmt.Sprintf("@%stime=%s :carol!c@h PRIVMSG #c :%d", tags, said.Add(time.Duration(i/2)*time.Millisecond).UTC().Format(serverTime), i)
	}
	conn := enter()
	for i := range 5 {
		conn.Send("%s", line("", i))
	}
	w.checkFromIRC(room, numbers("carol", 0, 5))
	hs.AwaitAcknowledged()
	w.stop()
	conn.Close()
	w = start(t, hs, dir, testNetwork(ircd.Address))
	conn = enter()
	conn.Expect("PRIVMSG [*]playback :PLAY #c *")
	conn.Send(":znc BATCH +x znc.in/playback #c")
	for i := 2; i < 9; i++ {
		conn.Send("%s", line("batch=x;", i))
	}
	conn.Send(":znc BATCH -x")
	conn.Pong()
	conn.Send("%s", line("", 9))
	w.checkFromIRC(room, numbers("carol", 0, 10))
}

// inspect is a request of a test.
type inspect func(c *client)

func (f inspect) apply(c *client) { f(c) }
