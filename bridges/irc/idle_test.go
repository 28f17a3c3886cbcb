package irc

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// idleBench is a bench whose network closes the connections of who says nothing for a day.
func idleBench(t *testing.T, closeListeners bool) *bench {
	cfg := quick
	cfg.Idle = IdleConfig{After: 24 * time.Hour, CloseListeners: closeListeners}
	return newBench(t, cfg)
}

// answer answers the PINGs of a connection until it ends, and returns the last line.
func (p *pipe) answer() (last string) {
	for p.lines.Scan() {
		if last = p.lines.Text(); len(last) > 5 && last[:5] == "PING " {
			p.send(":s PONG s " + last[5:])
		}
		if len(last) > 4 && last[:4] == "QUIT" {
			_ = p.conn.Close()
		}
	}
	return last
}

// Who says nothing for long is taken off IRC, and is back when they speak.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := idleBench(t, true)
		s := b.accept()
		s.welcome()
		start := time.Now()
		if last := s.answer(); last != "QUIT :says nothing; comes back to speak" {
			t.Errorf("got last line %q", last)
		}
		if got := time.Since(start); got < 24*time.Hour || got > 25*time.Hour {
			t.Errorf("closed after %v", got)
		}
		time.Sleep(30 * 24 * time.Hour)
		if len(b.dials) != 1 {
			t.Error("connected without a word")
		}
		result := b.say("good morning")
		s = b.accept()
		s.welcome()
		s.expect("PRIVMSG #c :good morning")
		s.expect("PING :cw-1")
		s.send(":s PONG s :cw-1")
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

// The last one who listens to a channel stays.
func TestIdleListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := idleBench(t, false)
		s := b.accept()
		s.welcome()
		ended := make(chan string, 1)
		go func() { ended <- s.answer() }()
		time.Sleep(48 * time.Hour)
		select {
		case last := <-ended:
			t.Fatalf("the only listener went: %q", last)
		default:
		}
		// Somebody else listens.
		other := newClient(b.c.net, "@bob:hs.test")
		b.c.net.channels["#c"].join(other)
		if last := <-ended; last != "QUIT :says nothing; comes back to speak" {
			t.Errorf("got last line %q", last)
		}
		if b.c.net.channels["#c"].hasOther(other) {
			t.Error("the one who went still counts as a listener")
		}
	})
}

// After a start, who has spoken last comes first, and who has said nothing for long does not come at all while others are
// there.
func TestStartOrder(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	cfg := testNetwork(ircd.Address)
	w := start(t, hs, dir, cfg)
	names := []string{"alice", "bob", "carl", "dora"}
	for _, name := range names {
		w.join(hs.User(name), "#c")
		conn := ircd.Accept()
		conn.Welcome(name)
		conn.Joined(name, "#c", "")
	}
	hs.AwaitAcknowledged()
	now := time.Now()
	for i, name := range names {
		login, err := w.conn.br.GetExistingUserLoginByID(context.Background(), loginID("net", hs.User(name)))
		if err != nil {
			t.Fatal(err)
		}
		spoke := now.Add(time.Duration(i) * time.Minute).UnixMilli()
		if name == "alice" {
			spoke = now.Add(-48 * time.Hour).UnixMilli()
		}
		if err := w.conn.change(context.Background(), login, func(meta *loginMeta) { meta.SpokeTS = spoke }); err != nil {
			t.Fatal(err)
		}
	}
	w.stop()

	cfg.Connect.Burst, cfg.Connect.Interval = 1, 100*time.Millisecond
	cfg.Idle.After = 24 * time.Hour
	w = start(t, hs, dir, cfg)
	var conn *bridgetest.IRCConn
	for _, name := range []string{"dora", "carl", "bob"} {
		conn = ircd.Accept()
		conn.Welcome(name)
		conn.Joined(name, "#c", "")
	}
	alice := w.conn.networks["net"].client(hs.User("alice"))
	room := hs.JoinAlias(hs.User("eve"), id.RoomAlias("#irc_net_#c:hs.test"))
	conn = ircd.Accept()
	conn.Welcome("eve") // and not alice
	conn.Joined("eve", "#c", "")
	if alice.currentNick() != "" {
		t.Error("alice is connected, who says nothing")
	}
	hs.Say(hs.User("alice"), room, "I am here")
	conn = ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	conn.Expect("PRIVMSG #c :I am here")
	conn.Pong()
}
