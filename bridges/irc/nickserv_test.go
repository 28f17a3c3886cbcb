package irc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// nickServ is a network without SASL but with NickServ.
func nickServ() NetworkConfig {
	cfg := privately(quick)
	cfg.Auth.NickServ = "NickServ@services.test"
	return cfg
}

// greet plays a registration under a nick, up to its end.
func (p *pipe) greet(nick string) {
	p.t.Helper()
	p.expect("CAP LS 302")
	p.expect("NICK alice")
	p.expect("USER alice 0 * @alice:hs.test")
	p.send(":s 001 " + nick + " :hi")
	p.send(":s 376 " + nick + " :end")
}

// Channels wait for NickServ's answer, and each connection is told anew.
func TestIdentify(t *testing.T) {
	for _, answer := range []string{
		":NickServ!n@services.test NOTICE alice :You are now identified for \x02user\x02.",
		":NickServ!n@services.test NOTICE alice :Password accepted - you are now recognized.",
		":s 900 alice alice!a@h user :You are now logged in as user",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchAs(t, nickServ(), withPassword)
			for range 2 {
				s := b.accept()
				s.greet("alice")
				s.expect("PRIVMSG NickServ@services.test :IDENTIFY user pencil")
				s.send(":alice!a@h PRIVMSG NickServ :IDENTIFY user pencil") // an echo
				s.send(answer)
				s.expect("JOIN #c")
				synctest.Wait()
				if got := b.c.login.account; got != "user" {
					t.Errorf("got account %q", got)
				}
				_ = s.conn.Close()
			}
		})
	}
}

// NickServ does not answer, or says no; the channels are joined without a login.
func TestIdentifyFails(t *testing.T) {
	for answer, want := range map[string]string{
		"": "there was no answer",
		":NickServ!n@services.test NOTICE alice :Invalid password for user, pencil is not it.": "NickServ says: Invalid password for user, … is not it.",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBenchAs(t, nickServ(), withPassword)
			s := b.accept()
			s.greet("alice")
			s.expect("PRIVMSG NickServ@services.test :IDENTIFY user pencil")
			if answer != "" {
				s.send(answer)
			}
			s.expect("JOIN #c")
			synctest.Wait()
			if got := b.complaint(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Who is called NickServ elsewhere, or is not configured, is told nothing.
func TestIdentifyNobody(t *testing.T) {
	public := quick
	public.Auth.NickServ = "NickServ"
	once := withPassword
	once.scram = true
	for name, test := range map[string]struct {
		cfg  NetworkConfig
		as   identity
		want string
	}{
		"not configured": {privately(quick), withPassword, "it is not configured who NickServ is"},
		"not private":    {public, withPassword, "is not private"},
		"SCRAM before":   {nickServ(), once, "without being told your password"},
		"PLAIN only":     {nickServ(), identity{password: "x", mechanism: mechPlain}, "does not offer SASL"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBenchAs(t, test.cfg, test.as)
				s := b.accept()
				s.greet("alice")
				s.expect("JOIN #c")
				synctest.Wait()
				if got := b.complaint(); !strings.Contains(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		})
	}
}

// A nick that an earlier connection still has is got back, without the password being said again.
func TestRegain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchAs(t, nickServ(), withPassword)
		s := b.accept()
		s.expect("CAP LS 302")
		s.expect("NICK alice")
		s.expect("USER alice 0 * @alice:hs.test")
		s.send(":s 433 * alice :Nickname is already in use")
		s.expect("NICK alice_")
		s.send(":s 001 alice_ :hi")
		s.send(":s 376 alice_ :end")
		s.expect("PRIVMSG NickServ@services.test :IDENTIFY user pencil")
		s.send(":NickServ!n@services.test NOTICE alice_ :You are now identified for user.")
		s.expect("PRIVMSG NickServ@services.test :REGAIN alice")
		s.expect("JOIN #c")
		start := time.Now()
		s.expect("NICK alice")
		if got := time.Since(start); got != regainPause {
			t.Errorf("asked for the nick after %v", got)
		}
		s.send(":alice_!a@h NICK :alice")
	})
}

// The nick of the user's choice, and its change.
func TestOwnNick(t *testing.T) {
	for fixed, want := range map[bool]string{false: "wonder", true: "alice"} {
		synctest.Test(t, func(t *testing.T) {
			cfg := quick
			cfg.Auth.FixedNicks = fixed
			b := newBenchAs(t, cfg, identity{nick: "wonder"})
			s := b.accept()
			s.expect("CAP LS 302")
			s.expect("NICK " + want)
			s.expect("USER alice 0 * @alice:hs.test")
			s.send(":s 001 " + want + " :hi")
			s.send(":s 376 " + want + " :end")
			s.expect("JOIN #c")
			result := make(chan error, 1)
			b.c.box.add(identityRequest{identity: identity{nick: "land"}, result: result})
			if err := <-result; err != nil {
				t.Error(err)
			}
			if !fixed {
				s.expect("NICK land")
			}
		})
	}
}
