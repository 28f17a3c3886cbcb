package irc

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"
)

// bench is one client in a bubble of its own time, with the servers it dials; there is no bridgev2.
type bench struct {
	t       *testing.T
	c       *client
	began   time.Time
	servers chan net.Conn
	dials   []time.Duration // since began
	down    atomic.Bool     // dialling fails
	states  []status.BridgeState
	cfgs    []NetworkConfig // of the connections that were tried
	badTLS  atomic.Bool     // the next attempt with TLS fails
}

// bareNetwork is a network without bridgev2, and so without what is kept in a database.
func bareNetwork(cfg NetworkConfig) *network {
	n := newNetwork(&Connector{names: newGhostNames()}, "net", cfg)
	n.lastOf = func(context.Context, id.UserID, string, time.Time) (delivered, error) { return delivered{}, nil }
	n.runLane = func(_ context.Context, l *lane) *lane { return l }
	n.keepMasks = func(context.Context, id.UserID, []string) {}
	return n
}

// newBench starts alice's client, who wants #c.
func newBench(t *testing.T, cfg NetworkConfig) *bench { return newBenchAs(t, cfg, identity{}) }

// newBenchAs is newBench with a login.
func newBenchAs(t *testing.T, cfg NetworkConfig, as identity) *bench {
	b := &bench{t: t, began: time.Now(), servers: make(chan net.Conn, 100)}
	cfg.Address = "irc.test:6667"
	n := bareNetwork(cfg)
	n.report = func(_ id.UserID, state status.BridgeState) { b.states = append(b.states, state) }
	n.identity = func(id.UserID) identity { return as }
	n.dial = func(_ context.Context, cfg NetworkConfig, _ source) (net.Conn, error) {
		b.dials = append(b.dials, time.Since(b.began))
		if b.down.Load() {
			return nil, errors.New("connection refused")
		}
		b.cfgs = append(b.cfgs, cfg)
		client, server := net.Pipe()
		switch {
		case cfg.TLS && b.badTLS.CompareAndSwap(true, false):
			return nil, errors.New("no certificate")
		case cfg.TLS:
			b.servers <- server
			return tls.Client(client, &tls.Config{InsecureSkipVerify: true}), nil
		}
		b.servers <- server
		return client, nil
	}
	// A lane without its goroutine keeps what would go to Matrix.
	n.channels["#c"] = newChannel(&lane{net: n, name: "#c", items: make(chan item, 1000), done: make(chan struct{})})
	b.c = newClient(n, "@alice:hs.test")
	b.c.start(context.Background())
	b.c.box.add(joinRequest{channel: "#c"})
	t.Cleanup(func() { b.c.stop(errStopping); b.c.wait(context.Background()) })
	return b
}

// say queues a message and returns where its result will be.
func (b *bench) say(text string) chan error {
	result := make(chan error, 1)
	b.c.box.add(&send{channel: "#c", verb: "PRIVMSG", lines: []string{text}, done: func(err error) { result <- err }})
	return result
}

// pipe is the server's end of a connection.
type pipe struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Scanner
}

func (b *bench) accept() *pipe {
	conn := <-b.servers
	b.t.Cleanup(func() { _ = conn.Close() })
	return &pipe{t: b.t, conn: conn, lines: bufio.NewScanner(conn)}
}

func (p *pipe) expect(want string) {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("the connection ended, want %q", want)
	}
	if got := p.lines.Text(); got != want {
		p.t.Fatalf("got line %q, want %q", got, want)
	}
}

func (p *pipe) send(lines ...string) {
	for _, line := range lines {
		if _, err := fmt.Fprint(p.conn, line+"\r\n"); err != nil {
			p.t.Fatal(err)
		}
	}
}

// welcome lets alice in, and into #c.
func (p *pipe) welcome() {
	p.t.Helper()
	p.expect("CAP LS 302")
	p.expect("NICK alice")
	p.expect("USER alice 0 * @alice:hs.test")
	p.send(":s 001 alice :hi", ":s 376 alice :end")
	p.expect("JOIN #c")
	p.send(":alice!a@h JOIN #c")
}

var quick = NetworkConfig{Flood: FloodConfig{Unlimited: true}}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		start := time.Now()
		s.expect("PING :alive")
		if got := time.Since(start); got < idleBeforePing || got > idleBeforePing+time.Second {
			t.Errorf("got a PING after %v, want %v", got, idleBeforePing)
		}
		s.send(":s PONG s :alive")
		s.expect("PING :alive")
		asked := time.Now()
		if s.lines.Scan() {
			t.Errorf("got line %q, want the end of the connection", s.lines.Text())
		}
		if got := time.Since(asked); got < pingTimeout || got > pingTimeout+time.Second {
			t.Errorf("got the end after %v of silence, want %v", got, pingTimeout)
		}
		b.accept().welcome()
	})
}

func TestRegistrationTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		start := time.Now()
		for s.lines.Scan() {
		}
		if got := time.Since(start); got != registerTimeout {
			t.Errorf("got the end after %v, want %v", got, registerTimeout)
		}
	})
}

// The lines of a burst go at once, the others one for each interval; PONG does not wait.
func TestFloodControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, NetworkConfig{Flood: FloodConfig{Burst: 5, Interval: 2 * time.Second}})
		s := b.accept()
		s.welcome() // 3 lines
		time.Sleep(time.Minute)
		start := time.Now()
		lines := []string{"0", "1", "2", "3", "4", "5", "6", "7"} // of one message, so that no PING comes between
		b.c.box.add(&send{channel: "#c", verb: "PRIVMSG", lines: lines, done: func(error) {}})
		var at []time.Duration
		for n := range 7 {
			s.expect(fmt.Sprintf("PRIVMSG #c :%d", n))
			at = append(at, time.Since(start).Round(10*time.Millisecond))
			if n == 5 {
				s.send("PING :now")
				s.expect("PONG :now")
				if got := time.Since(start).Round(10 * time.Millisecond); got != at[5] {
					t.Errorf("PONG waited %v", got-at[5])
				}
			}
		}
		want := []time.Duration{0, 0, 0, 0, 0, 2 * time.Second, 4 * time.Second}
		if !slices.Equal(at, want) {
			t.Errorf("got lines at %v, want %v", at, want)
		}
	})
}

// While the server is down a message waits for half a minute, then its sender is told; later ones are told at once.
func TestServerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		b.down.Store(true)
		start := time.Now()
		err := <-b.say("anybody?")
		if got := time.Since(start).Round(time.Second); got != sendWait {
			t.Errorf("got an answer after %v, want %v", got, sendWait)
		}
		if want := "there is no connection to net (connection refused)"; err == nil || err.Error() != want {
			t.Errorf("got error %v, want %q", err, want)
		}
		time.Sleep(time.Minute)
		later := time.Now()
		if err := <-b.say("still not?"); err == nil || time.Since(later) != 0 {
			t.Errorf("got %v after %v, want an error at once", err, time.Since(later))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(b.dials) < 10 || len(b.dials) > 60 {
			t.Errorf("got %d attempts in an hour, want some tens", len(b.dials))
		}
		gap := time.Duration(0)
		for i := 1; i < len(b.dials); i++ {
			gap = max(gap, b.dials[i]-b.dials[i-1])
		}
		if limit := 5*time.Minute + time.Second; gap > limit {
			t.Errorf("got a pause of %v, want at most %v", gap, limit)
		}
		if got := len(b.c.net.channels["#c"].lane.items); got < 1 || got > 8 {
			t.Errorf("got %d notices in the room, want one for each ten minutes", got)
		}
	})
}

// A message that is said while the connection is away goes out when it is back.
func TestMessageWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		_ = s.conn.Close()
		synctest.Wait()
		result := b.say("wait for me")
		s = b.accept()
		s.welcome()
		s.expect("PRIVMSG #c :wait for me")
		s.expect("PING :cw-1")
		s.send(":s PONG s :cw-1")
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

func TestServerSaysStop(t *testing.T) {
	for _, test := range []struct {
		name, line string
		min, max   time.Duration
	}{
		{"throttled", "ERROR :Trying to reconnect too fast.", throttledRetry, 3 * throttledRetry},
		{"restart", "ERROR :Server going down", 0, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, quick)
				s := b.accept()
				s.welcome()
				s.send(test.line)
				_ = s.conn.Close()
				start := time.Now()
				b.accept()
				if got := time.Since(start); got < test.min || got > test.max {
					t.Errorf("connected again after %v, want between %v and %v", got, test.min, test.max)
				}
			})
		})
	}
}

// Who asks for another connection has it at once, whatever the server says of our goodbye.
func TestReconnectAtOnce(t *testing.T) {
	for _, line := range []string{`ERROR :"reconnecting"`, "ERROR :Closing Link: a.example (Quit: reconnecting)", "ERROR :Throttled"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, quick)
			s := b.accept()
			s.welcome()
			b.c.box.add(reconnectRequest{})
			s.expect("QUIT :reconnecting")
			s.send(line)
			_ = s.conn.Close()
			start := time.Now()
			b.accept().welcome()
			if got := time.Since(start); got > 10*time.Second {
				t.Errorf("%s: connected again after %v", line, got)
			}
		})
	}
}

// Who is banned stays away until they ask for it.
func TestBanned(t *testing.T) {
	for _, line := range []string{"ERROR :Closing Link: (K-Lined)", ":s 465 alice :You are banned"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, quick)
			s := b.accept()
			s.welcome()
			s.send(line)
			_ = s.conn.Close()
			time.Sleep(30 * 24 * time.Hour)
			if len(b.dials) != 1 {
				t.Errorf("connected again %d times", len(b.dials)-1)
			}
			if err := <-b.say("x"); err == nil || !strings.Contains(err.Error(), "has banned you") {
				t.Errorf("got %v", err)
			}
			b.c.box.add(reconnectRequest{})
			b.accept().welcome()
		})
	}
}

// Goodbye lets the server confirm what it has, and does not wait for ever.
func TestGoodbye(t *testing.T) {
	t.Run("confirmed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, quick)
			s := b.accept()
			s.welcome()
			result := b.say("last words")
			s.expect("PRIVMSG #c :last words")
			s.expect("PING :cw-1")
			b.c.stop(errStopping)
			synctest.Wait()
			s.send(":s PONG s :cw-1")
			s.expect("QUIT :" + quitMessage)
			_ = s.conn.Close()
			b.c.wait(context.Background())
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, quick)
			s := b.accept()
			s.welcome()
			result := b.say("last words")
			s.expect("PRIVMSG #c :last words")
			start := time.Now()
			go func() {
				for s.lines.Scan() {
				}
			}()
			b.c.stop(errStopping)
			b.c.wait(context.Background())
			if got := time.Since(start); got > goodbyeWait+time.Second {
				t.Errorf("got the end after %v, want %v", got, goodbyeWait)
			}
			select {
			case err := <-result:
				t.Errorf("got %v for a message that nobody confirmed, want nothing", err)
			default:
			}
		})
	})
}

// Many messages share a PING, and none is done before its own.
func TestBarriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		const count = 100
		results := make([]chan error, count)
		for n := range results {
			results[n] = b.say(fmt.Sprint(n))
		}
		pings, said, confirmed := 0, 0, 0
		for confirmed < count {
			if !s.lines.Scan() {
				t.Fatal("the connection ended")
			}
			if token, ok := strings.CutPrefix(s.lines.Text(), "PING :"); ok {
				pings++
				s.send(":s PONG s :" + token)
				synctest.Wait()
				for n := confirmed; n < said; n++ {
					if err := <-results[n]; err != nil {
						t.Fatal(err)
					}
				}
				confirmed = said
			} else {
				said++
			}
			if confirmed < count && len(results[min(said, count-1)]) > 0 {
				t.Fatalf("message %d is done before its PONG", said)
			}
		}
		if pings > count/barrierEvery+2 {
			t.Errorf("got %d PINGs for %d messages, want at most one for %d", pings, count, barrierEvery)
		}
	})
}

// Under flood control, too, what is written is confirmed soon, and all goes out on a connection where nothing comes in.
func TestConfirmationUnderFloodControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval, count = 2 * time.Second, 20
		b := newBench(t, NetworkConfig{Flood: FloodConfig{Burst: 5, Interval: interval}})
		s := b.accept()
		s.welcome()
		time.Sleep(time.Minute)
		start := time.Now()
		results := make([]chan error, count)
		for n := range results {
			results[n] = b.say(fmt.Sprint(n))
		}
		written := make([]time.Time, 0, count)
		confirmed, lines := 0, 0
		for confirmed < count {
			if !s.lines.Scan() {
				t.Fatal("the connection ended")
			}
			lines++
			token, ping := strings.CutPrefix(s.lines.Text(), "PING :")
			if !ping {
				written = append(written, time.Now())
				continue
			}
			s.send(":s PONG s :" + token)
			synctest.Wait()
			for ; confirmed < len(written); confirmed++ {
				if err := <-results[confirmed]; err != nil {
					t.Fatal(err)
				}
				if got, most := time.Since(written[confirmed]), barrierAfter+interval; got > most {
					t.Errorf("message %d was confirmed %v after it was written, want %v at most", confirmed, got, most)
				}
			}
		}
		if got, most := time.Since(start), time.Duration(lines)*interval; got > most {
			t.Errorf("%d lines took %v, want %v at most", lines, got, most)
		}
	})
}

// Who wants to send more than the connection can take in some minutes is told at once; the rest goes out.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, NetworkConfig{Flood: FloodConfig{Burst: 5, Interval: 2 * time.Second}})
		s := b.accept()
		s.welcome()
		synctest.Wait()
		const parts = 30
		text := strings.Repeat("x\n", parts)
		var results []chan error
		for range maxBacklog/parts + 2 {
			result := make(chan error, 1)
			results = append(results, result)
			b.c.box.add(&send{channel: "#c", verb: "PRIVMSG", lines: textLines(text), done: func(err error) { result <- err }})
		}
		go func() {
			for s.lines.Scan() {
				if token, ok := strings.CutPrefix(s.lines.Text(), "PING :"); ok {
					s.send(":s PONG s :" + token)
				}
			}
		}()
		for i, result := range results {
			err := <-result
			if tooMuch := err != nil && strings.HasPrefix(err.Error(), "too much at once"); tooMuch != (i >= maxBacklog/parts) {
				t.Errorf("message %d: got error %v", i, err)
			}
		}
		if err := <-b.say("later"); err != nil {
			t.Errorf("got %v when the backlog is gone", err)
		}
	})
}

// A server that asks and does not read the answers fills no memory.
func TestPingFlood(t *testing.T) {
	c := newClient(bareNetwork(quick), "@alice:hs.test")
	for range 10 * maxUrgent {
		c.handle(message{Command: "PING", Params: []string{"x"}})
	}
	if got := len(c.urgent); got != maxUrgent {
		t.Errorf("got %d answers waiting, want %d", got, maxUrgent)
	}
}

func TestBackoff(t *testing.T) {
	const hour = time.Hour
	for _, test := range []struct {
		name      string
		low, high time.Duration
		failures  int
		want      time.Duration
	}{
		{"first", 2 * time.Second, 5 * time.Minute, 1, 2 * time.Second},
		{"third", 2 * time.Second, 5 * time.Minute, 3, 8 * time.Second},
		{"limit", 2 * time.Second, 5 * time.Minute, 1000000, 5 * time.Minute},
		{"large", 100 * hour, 1000 * hour, 40, 1000 * hour},
		{"the largest", 1 << 62, 1<<63 - 1, 40, 1<<63 - 1},
		{"nothing", 0, 0, 5, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ConnectConfig{RetryMin: test.low, RetryMax: test.high}.backoff(test.failures)
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// Whatever a server sends, the client neither falls nor writes a line end into a command.
func FuzzIncoming(f *testing.F) {
	for _, seed := range []string{
		":alice!a@h JOIN #c\n:s 353 alice = #c :@bob +carol ~&d!x@y\n:s 366 alice #c :end",
		":bob!b@h PRIVMSG #c :\x01ACTION x\x01\n:bob!b@h NICK rob\n:rob QUIT :bye",
		":s 433 * alice :taken\n:s 432\nERROR\nERROR :Closing Link",
		":x KICK #c alice\n:s 474 alice #c :no\n:alice PART #c", "PING\nPING :\r\nPONG :cw-99999999999999999999",
		":s 005 alice CASEMAPPING=x\n:s 396 alice a@b\n:s 404 alice #c :no", "@t=v;\\ :a b", ":\n: :", "NICK", ":alice NICK", ":0 400",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		n := bareNetwork(quick)
		n.report = func(id.UserID, status.BridgeState) {}
		ch := newChannel(&lane{net: n, name: "#c", items: make(chan item, 10), done: make(chan struct{})})
		close(ch.lane.done) // so that put never waits
		n.channels["#c"] = ch
		c := newClient(n, "@alice:hs.test")
		c.ctx = t.Context()
		c.nick, c.phase = "alice", up
		joinRequest{channel: "#c"}.apply(c)
		c.sess = &session{conn: nopConn{}, done: make(chan struct{}), in: make(chan message)}
		c.apply(t, input)
		for _, e := range c.queue {
			if strings.ContainsAny(e.line, "\r\n\x00") || len(e.line) > maxLineBytes-2 {
				t.Errorf("got line %q", e.line)
			}
		}
		for _, line := range c.urgent {
			if strings.ContainsAny(line, "\r\n\x00") {
				t.Errorf("got line %q", line)
			}
		}
	})
}

// apply parses lines as the reader does and handles them while there is a session.
func (c *client) apply(t *testing.T, input string) {
	for line := range strings.SplitSeq(input, "\n") {
		m, err := plainly.parse([]byte(strings.TrimSuffix(line, "\r")))
		if err == nil && c.sess != nil {
			c.handle(m)
			c.tick(time.Now())
		}
	}
}

// nopConn is a connection that is not used.
type nopConn struct{ net.Conn }

func (nopConn) Close() error { return nil }
