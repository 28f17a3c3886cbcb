package irc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"
)

// laneTexts are the texts that a lane without goroutine has got.
func laneTexts(l *lane) []string {
	var texts []string
	for len(l.items) > 0 {
		if m, ok := (<-l.items).(messageItem); ok {
			texts = append(texts, strings.Join(m.lines, "\n"))
		}
	}
	return texts
}

// historian is a client in #c, where "old" was delivered last, on a server with a history.
func historian(t *testing.T) (*bench, *pipe) {
	b := newBench(t, NetworkConfig{Flood: FloodConfig{Unlimited: true}})
	b.c.net.masks.add(b.c.user, "alice!alice@host.test")
	ch := b.c.net.channel("#c")
	ch.last = delivered{id: "old", at: time.Now().Add(-time.Minute)}
	s := b.accept()
	s.expect("CAP LS 302")
	s.expect("NICK alice")
	s.expect("USER alice 0 * @alice:hs.test")
	s.send(":s CAP * LS :batch message-tags server-time draft/chathistory draft/event-playback")
	s.expect("CAP REQ :batch draft/chathistory draft/event-playback message-tags server-time")
	s.send(":s CAP * ACK :batch draft/chathistory draft/event-playback message-tags server-time")
	s.expect("CAP END")
	s.send(":s 001 alice :hi")
	s.send(":s 005 alice CHATHISTORY=2 MSGREFTYPES=msgid,timestamp :are supported")
	s.send(":s 422 alice :no MOTD")
	s.expect("JOIN #c")
	s.send("@time=" + time.Now().UTC().Format(serverTime) + " :alice!alice@host.test JOIN #c")
	return b, s
}

// at is a time tag some time from now.
func at(d time.Duration) string { return "time=" + time.Now().Add(d).UTC().Format(serverTime) }

// TestHistoryPages reads page by page, with what is said meanwhile at the end, once.
func TestHistoryPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := historian(t)
		s.expect("CHATHISTORY AFTER #c msgid=old 2")
		s.send("@msgid=5;" + at(time.Second) + " :carol!c@host PRIVMSG #c :five")
		s.send(":s BATCH +x chathistory #C")
		s.send("@batch=x;msgid=1;" + at(-3*time.Second) + " :carol!c@host PRIVMSG #c :one")
		s.send("@batch=x;msgid=2;" + at(-2*time.Second) + " :alice!alice@host.test PRIVMSG #c :ours")
		s.send("@msgid=6;" + at(time.Second) + " :carol!c@host PRIVMSG #c :six")
		s.send(":s BATCH -x")
		s.expect("CHATHISTORY AFTER #c msgid=2 2")
		s.send(":s BATCH +y chathistory #c")
		s.send("@batch=y;msgid=3;" + at(-time.Second) + " :alice!stranger@elsewhere PRIVMSG #c :of another alice")
		s.send("@batch=y;msgid=5;" + at(time.Second) + " :carol!c@host PRIVMSG #c :five")
		s.send(":s BATCH -y")
		synctest.Wait()
		want := []string{"one", "of another alice", "five", "six"}
		if got := laneTexts(b.c.net.channel("#c").lane); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		s.send("@msgid=7;" + at(2*time.Second) + " :carol!c@host PRIVMSG #c :seven")
		synctest.Wait()
		if got := laneTexts(b.c.net.channel("#c").lane); !slices.Equal(got, []string{"seven"}) {
			t.Errorf("got %q after the history", got)
		}
	})
}

// TestHistoryRefused has a server that knows neither the line nor the time: what is said now is delivered all the same.
func TestHistoryRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := historian(t)
		since := b.c.net.channel("#c").last.at.Add(-time.Millisecond).UTC().Format(serverTime)
		s.expect("CHATHISTORY AFTER #c msgid=old 2")
		s.send("@msgid=5 :carol!c@host PRIVMSG #c :five")
		s.send(":s FAIL CHATHISTORY MESSAGE_ERROR AFTER #c :Messages could not be retrieved")
		s.expect("CHATHISTORY AFTER #c timestamp=" + since + " 2")
		s.send(":s FAIL CHATHISTORY MESSAGE_ERROR AFTER #c :Messages could not be retrieved")
		synctest.Wait()
		if got := laneTexts(b.c.net.channel("#c").lane); !slices.Equal(got, []string{"five"}) {
			t.Errorf("got %q", got)
		}
	})
}

// TestHistoryWithoutAnswer waits for so long and no longer.
func TestHistoryWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := historian(t)
		s.expect("CHATHISTORY AFTER #c msgid=old 2")
		s.send("@msgid=5 :carol!c@host PRIVMSG #c :five")
		synctest.Wait()
		if got := laneTexts(b.c.net.channel("#c").lane); len(got) > 0 {
			t.Errorf("got %q before the answer", got)
		}
		time.Sleep(historyTimeout + time.Second)
		synctest.Wait()
		if got := laneTexts(b.c.net.channel("#c").lane); !slices.Equal(got, []string{"five"}) {
			t.Errorf("got %q", got)
		}
	})
}

// TestOwnJoinAgain has a connection that the holder kept read its own JOIN once more, before the one that leads has been taken up:
// nothing is held for a history that nobody asks for.
func TestOwnJoinAgain(t *testing.T) {
	n := bareNetwork(NetworkConfig{})
	ch := newChannel(&lane{net: n, name: "#c", items: make(chan item, 8), done: make(chan struct{})})
	a, b := newClient(n, "@alice:hs.test"), newClient(n, "@bob:hs.test")
	ch.expectHeld(a, true)
	ch.expectHeld(b, false)
	ch.resume(b, true)
	if ch.enter(b, true) {
		t.Error("bob asks for the history of a channel that alice leads")
	}
	ch.resume(a, true)
	ch.put(messageItem{nick: "carol", lines: []string{"hello"}})
	if got := len(ch.lane.items); got != 1 {
		t.Errorf("got %d items in the lane, want 1", got)
	}
}

// FuzzHistory feeds what a server may answer. Nothing of it may be lost in a place from which it never comes.
func FuzzHistory(f *testing.F) {
	f.Add(":s BATCH +x chathistory #c\n@batch=x;msgid=1 :carol!c@host PRIVMSG #c :one\n:s BATCH -x", false)
	f.Add(":s BATCH +x chathistory #c\n@batch=x :s BATCH +y draft/multiline #c\n@batch=y :c!c@h PRIVMSG #c :a\n:s BATCH -y\n:s BATCH -x", false)
	f.Add(":s FAIL CHATHISTORY\n:s FAIL CHATHISTORY X AFTER #c\n:s FAIL CHATHISTORY X\n:s BATCH -\n:s BATCH", false)
	f.Add(":s BATCH +x chathistory #c\n@batch=x KICK #c\n@batch=x :a!b@c NICK :\n@batch=x :!@ JOIN\n@batch=x;time=x :a!b@c QUIT", false)
	f.Add("@batch 400", false)
	f.Add(":s BATCH +x znc.in/playback #c\n@batch=x;time=1 :a!b@c PRIVMSG #c :one\n:s PONG s playback-1\n:s BATCH -x", true)
	f.Add(":s BATCH +x znc.in/playback #c\n:s BATCH +x znc.in/playback #c\n:s BATCH -x\n@batch=x :*a!b@c PRIVMSG #c :one\n:s PONG playback-1", true)
	f.Fuzz(func(t *testing.T, text string, znc bool) {
		n := bareNetwork(NetworkConfig{})
		n.channels["#c"] = newChannel(&lane{net: n, name: "#c", items: make(chan item, 1<<10), done: make(chan struct{})})
		c := newClient(n, id.UserID("@alice:hs.test"))
		c.ctx, c.phase, c.nick, c.caps = context.Background(), up, "alice", newCaps()
		past := "draft/chathistory"
		if znc {
			past = playbackCap
		}
		for _, name := range []string{"batch", "message-tags", "server-time", past} {
			c.caps.on[name] = true
		}
		m := &membership{name: "#c", key: "#c", ch: n.channel("#c"), state: joined, names: newRoster()}
		c.channels["#c"] = m
		m.ch.last = delivered{id: "old", at: time.Now()}
		m.ch.enter(c, true)
		c.catchUp(m)
		for i, line := range strings.Split(text, "\n") {
			if i > 100 {
				break
			}
			parsed, err := plainly.parse([]byte(line))
			// Other lines could make us note things, for which there is no database here.
			if err == nil && (parsed.HasTag("batch") || slices.Contains([]string{"BATCH", "FAIL", "PRIVMSG", "PONG"}, parsed.Command)) {
				c.handle(parsed)
			}
		}
		for i := 0; len(c.histories) > 0; i++ {
			c.handle(message{Command: "PONG", Params: []string{c.histories[0].token}})
			if len(c.histories) == 0 {
				break
			}
			c.handle(message{Command: "FAIL", Params: []string{"CHATHISTORY", "X", "AFTER", "#c", "no"}})
			if i > 100 {
				t.Fatalf("a question stays open: %+v", c.histories[0])
			}
		}
		if m.ch.holding {
			t.Fatal("lines are held for ever")
		}
	})
}
