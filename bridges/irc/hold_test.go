package irc

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"causeway/bridges/bridgetest"
)

// A server that lets in five at a time, and bans who does not wait, has all of us back after a break.
func TestThrottled(t *testing.T) {
	t.Parallel()
	const people = 20
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	cfg := testNetwork(s.Address)
	cfg.Connect.Burst, cfg.Connect.Interval = 3, 20*time.Millisecond // more than the server allows
	conn, err := New(Config{Networks: map[string]NetworkConfig{"net": cfg}})
	if err != nil {
		t.Fatal(err)
	}
	conn.timing.throttledRetry = time.Second
	x := &scene3{s: s, said: map[string][]string{}}
	x.world = startConnector(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), conn, zerolog.Nop())
	var names []string
	for i := range people {
		names = append(names, fmt.Sprint("user", i))
	}
	x.meet(names...)
	x.talk("user0", 3)
	x.check()
	s.Limit(5, 800*time.Millisecond)
	s.BanAfter(15)
	x.s.Drop(names...)
	for _, name := range names {
		x.awaitComings(name, 2)
	}
	_, refused := s.Connections()
	t.Logf("%d connections were refused", refused)
	if refused == 0 || refused >= 15 {
		t.Errorf("%d connections were refused, want a few", refused)
	}
	for _, name := range names {
		x.talk(name, 1)
		x.isStill(name)
	}
	x.check()
}

// Who shares an address with others waits when one of them was refused, and others do not.
func TestHoldOff(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  func(cfg *NetworkConfig)
		held bool
	}{
		{"as usual", func(*NetworkConfig) {}, true},
		{"one address", func(cfg *NetworkConfig) { cfg.Dial.Bind = "192.0.2.1" }, true},
		{"addresses of their own", func(cfg *NetworkConfig) { cfg.Dial.Bind = "2001:db8:1::/64" }, false},
		{"WEBIRC", func(cfg *NetworkConfig) { cfg.WebIRC.Password = "x" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := NetworkConfig{Connect: ConnectConfig{Burst: 2, Interval: time.Second}}
			test.cfg(&cfg)
			n := bareNetwork(cfg)
			now := time.Now()
			if at := n.hold.after(now, n.limiter); at != now {
				t.Errorf("got a wait of %v before anything happened", at.Sub(now))
			}
			n.holdOff(now)
			if held := n.hold.after(now, n.limiter).After(now); held != test.held {
				t.Errorf("got held %v, want %v", held, test.held)
			}
			if !test.held {
				return
			}
			var waits []time.Duration
			for range 3 {
				waits = append(waits, n.hold.after(now, n.limiter).Sub(now).Round(time.Second))
			}
			// One has had a turn already.
			if want := [3]time.Duration{throttledRetry, throttledRetry + time.Second, throttledRetry + 2*time.Second}; [3]time.Duration(waits) != want {
				t.Errorf("got waits of %v, want turns after the hold: %v", waits, want)
			}
			if later := now.Add(throttledRetry); n.hold.after(later, n.limiter) != later {
				t.Error("got a wait after the end")
			}
		})
	}
}
