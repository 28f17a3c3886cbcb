package irc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// crowd is a network that allows only some connections, with clients that want them. Its server lets everybody in and onto any channel.
type crowd struct {
	t     *testing.T
	n     *network
	lines chan string // "NICK: LINE" of what people see
	down  atomic.Bool // nobody can connect
}

// places are how many have a place, and how many wait for one.
func (cr *crowd) places() (held, waiting int) {
	synctest.Wait()
	cr.n.places.mu.Lock()
	defer cr.n.places.mu.Unlock()
	return len(cr.n.places.held), len(cr.n.places.waiting)
}

func newCrowd(t *testing.T, most int) *crowd {
	cfg := quick
	cfg.Connect = ConnectConfig{Max: most, Burst: 100, Interval: time.Millisecond}
	cfg.Idle.CloseListeners = true // which does not count here
	cr := &crowd{t: t, n: bareNetwork(cfg), lines: make(chan string, 1000)}
	cr.n.report = func(id.UserID, status.BridgeState) {}
	cr.n.identity = func(id.UserID) identity { return identity{} }
	cr.n.dial = func(context.Context, NetworkConfig, source) (net.Conn, error) {
		if cr.down.Load() {
			return nil, errors.New("refused")
		}
		client, server := net.Pipe()
		go cr.serve(&pipe{t: t, conn: server})
		return client, nil
	}
	for _, name := range []string{"#c", "#d"} {
		cr.n.channels[name] = newChannel(&lane{net: cr.n, name: name, items: make(chan item, 1000), done: make(chan struct{})})
	}
	return cr
}

func (cr *crowd) serve(p *pipe) {
	nick := ""
	answer := func(format string, args ...any) { _, _ = fmt.Fprintf(p.conn, format+"\r\n", args...) }
	read := bufio.NewScanner(p.conn)
	for read.Scan() {
		line := read.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "NICK":
			nick = rest
		case "USER":
			answer(":s 001 %s :hi\r\n:s 376 %s :end", nick, nick)
		case "JOIN":
			answer(":%s!u@h JOIN %s\r\n:s 366 %s %s :end", nick, rest, nick, rest)
			cr.lines <- nick + ": " + line
		case "PART":
			answer(":%s!u@h PART %s", nick, rest)
		case "PING":
			answer(":s PONG s %s", rest)
		case "PRIVMSG":
			cr.lines <- nick + ": " + line
		case "QUIT":
			cr.lines <- nick + ": " + line
			_ = p.conn.Close()
		}
	}
}

// join lets somebody enter a room; there tells that they are found in it, after a start.
func (cr *crowd) join(nick, channel string, there bool) *client {
	c := cr.n.running(id.UserID("@" + nick + ":hs.test"))
	if c == nil {
		c = newClient(cr.n, id.UserID("@"+nick+":hs.test"))
		cr.n.clients[c.user] = c
		c.start(context.Background())
		cr.t.Cleanup(func() { c.stop(errStopping); c.wait(context.Background()) })
	}
	c.box.add(joinRequest{channel: channel, fresh: !there})
	return c
}

func (cr *crowd) say(c *client, text string) chan error {
	result := make(chan error, 1)
	c.box.add(&send{channel: "#c", verb: "PRIVMSG", lines: []string{text}, done: func(err error) { result <- err }})
	return result
}

// await is the next lines of all connections, in the order in which they come.
func (cr *crowd) await(want ...string) {
	cr.t.Helper()
	for _, w := range want {
		if got := <-cr.lines; got != w {
			cr.t.Fatalf("got %q, want %q", got, w)
		}
	}
}

func (cr *crowd) silent(forHowLong time.Duration) {
	cr.t.Helper()
	select {
	case got := <-cr.lines:
		cr.t.Fatalf("got %q, want nothing", got)
	case <-time.After(forHowLong):
	}
}

const madeRoom = "QUIT :makes room for others; comes back to speak"

// Where only so many may be connected, who has said nothing for longest makes room for who wants something, and comes back to speak.
func TestConnectMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cr := newCrowd(t, 2)
		alice := cr.join("alice", "#c", false)
		cr.await("alice: JOIN #c")
		time.Sleep(time.Second)
		bob := cr.join("bob", "#c", false)
		cr.await("bob: JOIN #c")
		time.Sleep(time.Minute)
		carol := cr.join("carol", "#c", false)
		cr.silent(time.Minute) // alice and bob have been there for less than five minutes
		if err := <-cr.say(alice, "I am here"); err != nil {
			t.Error(err)
		}
		cr.await("alice: PRIVMSG #c :I am here", "bob: "+madeRoom, "carol: JOIN #c")
		time.Sleep(time.Second)
		<-cr.say(alice, "still here")
		cr.await("alice: PRIVMSG #c :still here")
		// Bob waits, and hears why when he has waited for long; he has a place again when somebody else has been silent.
		err := <-cr.say(bob, "what was that?")
		if err == nil || !strings.Contains(err.Error(), "all 2 connections that there may be are taken") {
			t.Errorf("got %v for a message that could not be sent", err)
		}
		time.Sleep(2 * time.Minute)
		result := cr.say(bob, "now?")
		cr.await("carol: "+madeRoom, "bob: JOIN #c", "bob: PRIVMSG #c :now?")
		if err := <-result; err != nil {
			t.Error(err)
		}
		cr.say(carol, "me again")
		cr.await("alice: "+madeRoom, "carol: JOIN #c", "carol: PRIVMSG #c :me again")
		// Who leaves makes room at once.
		cr.say(alice, "and me")
		bob.box.add(partRequest{channel: "#c"})
		cr.await("bob: QUIT :left all rooms", "alice: JOIN #c", "alice: PRIVMSG #c :and me")
	})
}

// The last who listens to a channel stays, the bridge's own connection needs no place, and who is only there, after a start, sends
// nobody away.
func TestConnectMaxListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cr := newCrowd(t, 2)
		cr.join("alice", "#d", true)
		cr.await("alice: JOIN #d")
		time.Sleep(time.Second)
		cr.join("bob", "#c", true)
		cr.await("bob: JOIN #c")
		cr.join("eve", "#c", true)
		cr.silent(time.Hour)
		// Both are the only ones on their channels.
		carol := cr.join("carol", "#c", false)
		cr.silent(time.Hour)
		if held, waiting := cr.places(); held != 2 || waiting != 2 {
			t.Errorf("got %d places taken and %d waiting, want eve and carol to wait", held, waiting)
		}
		// With somebody else in #d, alice can go, for carol: eve wants nothing.
		cr.n.channels["#d"].join(newClient(cr.n, "@other:hs.test"))
		cr.await("alice: "+madeRoom, "carol: JOIN #c")
		cr.silent(time.Hour)
		carol.box.add(partRequest{channel: "#c"})
		cr.await("carol: QUIT :left all rooms", "eve: JOIN #c")
		if held, waiting := cr.places(); held != 2 || waiting != 0 {
			t.Errorf("got %d places taken and %d waiting, want those of bob and eve", held, waiting)
		}
	})
}

// Who speaks has a place before all who are only there, of whom a start may leave hundreds waiting: else nothing of theirs would arrive in
// time.
func TestConnectMaxSpeaksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cr := newCrowd(t, 2)
		for _, nick := range []string{"alice", "bob"} {
			cr.join(nick, "#c", true)
			cr.await(nick + ": JOIN #c")
		}
		for i := range 5 {
			cr.join(fmt.Sprintf("idle%d", i), "#c", true)
		}
		cr.silent(time.Second)
		carol := cr.join("carol", "#c", true)
		cr.silent(time.Hour)
		result := cr.say(carol, "hello")
		cr.await("alice: "+madeRoom, "carol: JOIN #c", "carol: PRIVMSG #c :hello")
		if err := <-result; err != nil {
			t.Error(err)
		}
		if held, waiting := cr.places(); held != 2 || waiting != 5 {
			t.Errorf("got %d places taken and %d waiting, want the idle ones to wait", held, waiting)
		}
	})
}

// Who has to wait hears why, once, and is connected when somebody else leaves.
func TestConnectMaxTold(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	cfg.Connect.Max = 1
	w := startNew(t, cfg)
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	w.join(bob, "#c")
	const text = "You are not connected to net yet: all 1 connections that there may be are taken"
	w.hs.AwaitEvent("a word to bob", func(e *bridgetest.Event) bool { return strings.Contains(e.Text(), text) })
	w.hs.SetMember(alice, room, alice, "leave", "")
	conn.Expect("PART #c :")
	conn.Send(":alice!alice@host.test PART #c")
	conn.Expect("QUIT :left all rooms")
	conn.Close()
	conn = ircd.Accept()
	conn.Welcome("bob")
	conn.Joined("bob", "#c", "")
	w.hs.AwaitAcknowledged()
}

// A place is given back also by who is stopped, or cannot connect.
func TestPlacesReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cr := newCrowd(t, 1)
		cr.down.Store(true)
		alice := cr.join("alice", "#c", false)
		synctest.Wait()
		cr.down.Store(false)
		bob := cr.join("bob", "#c", false)
		cr.await("bob: JOIN #c")
		cr.silent(time.Minute)
		bob.stop(errStopping)
		bob.wait(context.Background())
		cr.await("bob: QUIT :"+quitMessage, "alice: JOIN #c")
		alice.stop(errDisconnected)
		alice.wait(context.Background())
		if held, waiting := cr.places(); held+waiting != 0 {
			t.Errorf("got %d places taken and %d waiting, want none", held, waiting)
		}
	})
}
