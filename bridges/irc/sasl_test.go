package irc

import (
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/bridgev2/status"
)

// withPassword is a login by password over a connection that passes for private.
var withPassword = identity{account: "user", password: "pencil", mechanism: mechAuto}

func privately(cfg NetworkConfig) NetworkConfig {
	cfg.Auth.Plaintext = true
	return cfg
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// offer plays the beginning of a registration on a server with SASL.
func (p *pipe) offer(sasl string) {
	p.t.Helper()
	p.expect("CAP LS 302")
	p.expect("NICK alice")
	p.expect("USER alice 0 * @alice:hs.test")
	p.send(":s CAP * LS :" + sasl)
	p.expect("CAP REQ sasl")
	p.send(":s CAP * ACK :sasl")
}

// end lets the registration end, and expects no login any more.
func (p *pipe) end() {
	p.t.Helper()
	p.expect("CAP END")
	p.send(":s 001 alice :hi")
	p.send(":s 376 alice :end")
	p.expect("JOIN #c")
}

// complaint is what the user was told last about logging in.
func (b *bench) complaint() (text string) {
	for _, state := range b.states {
		if state.StateEvent == status.StateBadCredentials {
			text = state.Message
		}
	}
	return text
}

func (p *pipe) failed(numeric string) { p.send(":s " + numeric + " alice :SASL authentication failed") }

func (p *pipe) succeed() {
	p.send(":s 900 alice alice!a@h user :You are now logged in as user")
	p.send(":s 903 alice :SASL authentication successful")
}

func TestSASLPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchAs(t, privately(quick), withPassword)
		s := b.accept()
		s.offer("sasl=PLAIN,EXTERNAL")
		s.expect("AUTHENTICATE PLAIN")
		s.send("AUTHENTICATE +")
		s.expect("AUTHENTICATE " + b64("\x00user\x00pencil"))
		s.succeed()
		s.end()
		synctest.Wait()
		if got := b.c.login.account; got != "user" {
			t.Errorf("got account %q", got)
		}
	})
}

// A long password comes in pieces of 400 bytes, with an empty one after the last full one.
func TestSASLPieces(t *testing.T) {
	for _, test := range []struct {
		length int
		pieces int
	}{{300 - len("\x00user\x00"), 2}, {301, 2}, {10, 1}} {
		synctest.Test(t, func(t *testing.T) {
			as := withPassword
			as.password = strings.Repeat("x", test.length)
			b := newBenchAs(t, privately(quick), as)
			s := b.accept()
			s.offer("sasl")
			s.expect("AUTHENTICATE SCRAM-SHA-256") // it does not say what it knows
			s.failed("904")
			s.expect("AUTHENTICATE PLAIN")
			s.send("AUTHENTICATE +")
			whole := b64("\x00user\x00" + as.password)
			s.expect("AUTHENTICATE " + whole[:min(len(whole), 400)])
			if test.pieces == 2 {
				rest := whole[400:]
				if rest == "" {
					rest = "+"
				}
				s.expect("AUTHENTICATE " + rest)
			}
			s.succeed()
			s.end()
		})
	}
}

func (p *pipe) scram(b *bench, final string) {
	p.t.Helper()
	p.offer("sasl=PLAIN,SCRAM-SHA-256")
	p.expect("AUTHENTICATE SCRAM-SHA-256")
	synctest.Wait()
	b.c.login.mech.(*scram).nonce = rfcNonce // the client waits for us
	p.send("AUTHENTICATE +")
	p.expect("AUTHENTICATE " + b64(rfcClientFirst))
	p.send("AUTHENTICATE " + b64(rfcServerFirst))
	p.expect("AUTHENTICATE " + b64(rfcClientFinal))
	if final != "" {
		p.send("AUTHENTICATE " + b64(final))
	}
}

func TestSASLSCRAM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchAs(t, quick, withPassword) // not private
		s := b.accept()
		s.scram(b, rfcServerFinal)
		s.expect("AUTHENTICATE +")
		s.succeed()
		s.end()
		synctest.Wait()
		if !b.c.identity.scram {
			t.Error("SCRAM is not remembered")
		}
		// The next time, a server that has unlearnt it gets nothing.
		_ = s.conn.Close()
		s = b.accept()
		s.offer("sasl=PLAIN")
		s.end()
	})
}

// A server that says that SCRAM has succeeded, without having shown that it knows the password, is left.
func TestSASLServerLies(t *testing.T) {
	for _, final := range []string{"", "v=" + base64.StdEncoding.EncodeToString(make([]byte, 32))} {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchAs(t, privately(quick), withPassword)
			s := b.accept()
			s.scram(b, final)
			if final == "" {
				s.succeed()
			}
			if s.lines.Scan() {
				t.Errorf("got %q, want the end of the connection", s.lines.Text())
			}
			time.Sleep(48 * time.Hour)
			if len(b.dials) != 1 {
				t.Error("connected again to a server that lies")
			}
			if err := <-b.say("x"); err == nil || !strings.Contains(err.Error(), "could not show that it is the one") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What a server does to be told the password as it is.
func TestSASLDowngrade(t *testing.T) {
	for _, test := range []struct {
		name string
		play func(b *bench, s *pipe)
	}{
		{"fails after the proof", func(b *bench, s *pipe) {
			s.scram(b, "")
			s.send(":s 908 alice PLAIN :are available")
			s.failed("904")
		}},
		{"makes no sense", func(b *bench, s *pipe) {
			s.offer("sasl=PLAIN,SCRAM-SHA-256")
			s.expect("AUTHENTICATE SCRAM-SHA-256")
			s.send("AUTHENTICATE " + b64("hello"))
			// It was to be empty; the answer is our first message all the same, which says nothing.
			s.lines.Scan()
			s.send("AUTHENTICATE " + b64("r=x,s=x,i=1"))
			s.expect("AUTHENTICATE *")
			s.failed("906")
		}},
		{"no base64", func(b *bench, s *pipe) {
			s.offer("sasl=PLAIN,SCRAM-SHA-256")
			s.expect("AUTHENTICATE SCRAM-SHA-256")
			s.send("AUTHENTICATE !!!!")
			s.expect("AUTHENTICATE *")
			s.failed("904")
		}},
		{"without end", func(b *bench, s *pipe) {
			s.offer("sasl=PLAIN,SCRAM-SHA-256")
			s.expect("AUTHENTICATE SCRAM-SHA-256")
			piece := strings.Repeat("A", 400)
			for range maxSASLBytes/300 + 2 {
				s.send("AUTHENTICATE " + piece)
			}
			s.expect("AUTHENTICATE *")
			s.failed("904")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBenchAs(t, privately(quick), withPassword)
				s := b.accept()
				test.play(b, s)
				s.end()
			})
		})
	}
}

// Over a connection that others can read, the password is not sent as it is.
func TestSASLNotPrivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchAs(t, quick, withPassword)
		s := b.accept()
		s.offer("sasl=PLAIN")
		s.end()
		synctest.Wait()
		if got := b.complaint(); !strings.Contains(got, "is not private") {
			t.Errorf("got %q", got)
		}
	})
}

// A wrong password is tried a few times in all, an hour apart, and the user is on the network without it.
func TestWrongPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchAs(t, privately(quick), withPassword)
		tries := 0
		for range 20 {
			s := b.accept()
			s.expect("CAP LS 302")
			s.expect("NICK alice")
			s.expect("USER alice 0 * @alice:hs.test")
			s.send(":s CAP * LS :sasl=PLAIN")
			s.lines.Scan()
			if s.lines.Text() == "CAP REQ sasl" {
				tries++
				s.send(":s CAP * ACK :sasl")
				s.expect("AUTHENTICATE PLAIN")
				s.send("AUTHENTICATE +")
				s.expect("AUTHENTICATE " + b64("\x00user\x00pencil"))
				s.failed("904")
				s.expect("CAP END")
			}
			s.send(":s 001 alice :hi")
			s.send(":s 376 alice :end")
			s.expect("JOIN #c")
			b.down.Store(true)
			_ = s.conn.Close()
			time.Sleep(loginRetry / 3)
			b.down.Store(false)
		}
		if tries != maxLoginFailures {
			t.Errorf("tried %d times, want %d", tries, maxLoginFailures)
		}
	})
}

// Where a login is wanted, there is no loop of connections without one.
func TestLoginRequired(t *testing.T) {
	for _, as := range []identity{withPassword, {}} {
		synctest.Test(t, func(t *testing.T) {
			cfg := privately(quick)
			cfg.Auth.Required = true
			b := newBenchAs(t, cfg, as)
			s := b.accept()
			if as.hasLogin() {
				s.offer("sasl=PLAIN")
				s.expect("AUTHENTICATE PLAIN")
				s.send("AUTHENTICATE +")
				s.expect("AUTHENTICATE " + b64("\x00user\x00pencil"))
				s.failed("904")
			} else {
				s.expect("CAP LS 302")
				s.expect("NICK alice")
				s.expect("USER alice 0 * @alice:hs.test")
				s.send(":s 001 alice :hi")
				s.send(":s 376 alice :end")
			}
			if s.lines.Scan() {
				t.Errorf("got %q, want the end of the connection", s.lines.Text())
			}
			time.Sleep(48 * time.Hour)
			if len(b.dials) != 1 {
				t.Errorf("got %d connections, want 1", len(b.dials))
			}
			b.c.box.add(identityRequest{identity: withPassword})
			s = b.accept()
			s.offer("sasl=PLAIN")
			s.expect("AUTHENTICATE PLAIN")
			s.send("AUTHENTICATE +")
			s.expect("AUTHENTICATE " + b64("\x00user\x00pencil"))
			s.succeed()
			s.end()
		})
	}
}

// A network that lets in nobody without an account is not asked again and again.
func TestSASLAccessOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.expect("CAP LS 302")
		s.expect("NICK alice")
		s.expect("USER alice 0 * @alice:hs.test")
		s.send("ERROR :Closing Link: h (SASL access only)")
		_ = s.conn.Close()
		time.Sleep(48 * time.Hour)
		if len(b.dials) != 1 {
			t.Errorf("got %d connections, want 1", len(b.dials))
		}
	})
}

// Who connects anew again and again has to wait, and not others.
func TestReconnectLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		b.accept().welcome()
		for range 50 {
			b.c.box.add(reconnectRequest{})
			synctest.Wait()
			for len(b.servers) > 0 {
				_ = (<-b.servers).Close()
			}
			time.Sleep(time.Second)
		}
		if got := len(b.dials); got > 40 {
			t.Errorf("got %d connections", got)
		}
	})
}

// Services that come back are logged in to without a new connection.
func TestSASLComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchAs(t, privately(quick), withPassword)
		s := b.accept()
		s.welcome()
		s.send(":s CAP alice NEW :sasl=PLAIN")
		s.expect("CAP REQ sasl")
		s.send(":s CAP alice ACK :sasl")
		s.expect("AUTHENTICATE PLAIN")
		s.send("AUTHENTICATE +")
		s.expect("AUTHENTICATE " + b64("\x00user\x00pencil"))
		s.succeed()
		synctest.Wait()
		if got := b.c.login.account; got != "user" {
			t.Errorf("got account %q", got)
		}
	})
}
