package irc

import (
	"bufio"
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseSTS(t *testing.T) {
	for value, want := range map[string]struct {
		duration time.Duration
		port     int
	}{
		"port=6697":             {-1, 6697},
		"duration=60,port=6697": {time.Minute, 6697},
		"duration=0":            {0, -1},
		"port=0":                {-1, -1},
		"port=65536":            {-1, -1},
		"duration=4294967295":   {maxSTS, -1},
		"duration=-1,port=x":    {-1, -1},
		"":                      {-1, -1},
		"preload,port=1,other=": {-1, 1},
	} {
		if duration, port := parseSTS(value); duration != want.duration || port != want.port {
			t.Errorf("got %v, %d for %q, want %v, %d", duration, port, value, want.duration, want.port)
		}
	}
}

// A network that asks for TLS is talked to over TLS, as long as it says; where that fails and nothing is remembered, the
// next attempt is as configured, because anybody on the way could have asked.
func TestSTS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		b.badTLS.Store(true)
		hello := func() {
			s := b.accept()
			s.expect("CAP LS 302")
			s.expect("NICK alice")
			s.expect("USER alice 0 * @alice:hs.test")
			s.send(":s CAP * LS :sts=port=6697,duration=60")
			if s.lines.Scan() {
				t.Errorf("got %q on a connection that is not to be used", s.lines.Text())
			}
		}
		hello()
		hello()
		pair, err := makePair()
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := parsePair(pair)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Server(<-b.servers, &tls.Config{Certificates: []tls.Certificate{*certificate}})
		t.Cleanup(func() { _ = conn.Close() })
		s := &pipe{t: t, conn: conn, lines: bufio.NewScanner(conn)}
		s.expect("CAP LS 302")
		s.expect("NICK alice")
		s.expect("USER alice 0 * @alice:hs.test")
		s.send(":s CAP * LS :sts=duration=3600")
		s.expect("CAP END")
		synctest.Wait()
		want := []string{"irc.test:6667", "irc.test:6697", "irc.test:6667", "irc.test:6697"}
		if len(b.cfgs) != len(want) {
			t.Fatalf("got %d connections, want %d", len(b.cfgs), len(want))
		}
		for i, cfg := range b.cfgs {
			if cfg.Address != want[i] || cfg.TLS != (i%2 == 1) || cfg.TLSInsecure {
				t.Errorf("got connection %d to %s (TLS: %v), want %s", i, cfg.Address, cfg.TLS, want[i])
			}
		}
		now := time.Now()
		if b.c.stsPort = 0; b.c.dialConfig(now.Add(59*time.Minute)).Address != "irc.test:6697" {
			t.Error("the policy is not remembered")
		}
		if b.c.dialConfig(now.Add(2 * time.Hour)).TLS {
			t.Error("the policy has not ended")
		}
	})
}
