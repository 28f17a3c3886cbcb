package bridgetest

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
)

// v3kline is a ban of user@host from the network.
type v3kline struct{ mask, reason string }

func (k v3kline) matches(c *v3conn) bool {
	ok, err := path.Match(v3fold(k.mask), v3fold(c.user+"@"+c.host))
	return ok && err == nil
}

// Drop breaks the connections of some nicks, or of all, without a word to them. What they have not read is lost.
func (s *IRCv3) Drop(nicks ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if len(nicks) > 0 && !v3has(nicks, c.nick) {
			continue
		}
		s.forget(c, "Connection reset by peer")
		c.drop()
	}
}

func v3has(nicks []string, nick string) bool {
	for _, n := range nicks {
		if v3fold(n) == v3fold(nick) {
			return true
		}
	}
	return false
}

// Kill removes somebody as an operator does.
func (s *IRCv3) Kill(nick, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.nicks[v3fold(nick)]; c != nil {
		c.send(ircmsg.MakeMessage(nil, "oper!oper@"+v3Name, "KILL", c.nick, reason))
		s.forget(c, "Killed (oper ("+reason+"))")
		c.fail("Closing Link: " + c.nick + " (Killed (oper (" + reason + ")))")
	}
}

// Collide takes a nick from its owner as a server does that has another one of that name.
func (s *IRCv3) Collide(nick string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.nicks[v3fold(nick)]; c != nil {
		c.numeric("436", c.nick, "Nickname collision KILL from "+v3FarName)
		s.forget(c, "Nickname collision")
		c.fail("Closing Link: " + c.nick + " (Nickname collision)")
	}
}

// KLine bans a user@host pattern: those who are there, and who comes later.
func (s *IRCv3) KLine(mask, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := v3kline{mask: mask, reason: reason}
	s.klines = append(s.klines, k)
	for _, c := range s.nicks {
		if k.matches(c) {
			c.numeric("465", "You are banned from this server- "+reason)
			s.forget(c, "K-Lined")
			c.fail("Closing Link: " + c.nick + " (K-Lined)")
		}
	}
}

// UnKLine lifts all bans from the network.
func (s *IRCv3) UnKLine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.klines = nil
}

// Delay lets every line from now on arrive that much later.
func (s *IRCv3) Delay(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = by
}

// HoldHistory lets so many questions for the history be answered, and those after them wait, and PINGs behind them.
func (s *IRCv3) HoldHistory(answered int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdsHistory, s.historyLeft = true, answered
}

// AwaitHistoryHeld waits until so many questions and PINGs wait.
func (s *IRCv3) AwaitHistoryHeld(t testing.TB, count int) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(Patience); time.Now().Before(end); <-look.C {
		s.mu.Lock()
		waiting := len(s.asked)
		s.mu.Unlock()
		if waiting >= count {
			return
		}
	}
	t.Fatalf("fewer than %d questions for the history came", count)
}

// ReleaseHistory answers the questions that wait, and all that come.
func (s *IRCv3) ReleaseHistory() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdsHistory = false
	for _, asked := range s.asked {
		asked.answer()
	}
	s.asked = nil
}

// SetHost gives somebody another user name and host: by CHGHOST where that is known, or else by QUIT and JOIN.
// IRCv3, "chghost".
func (s *IRCv3) SetHost(nick, user, host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.nicks[v3fold(nick)]
	if c == nil {
		return
	}
	change := ircmsg.MakeMessage(nil, c.mask(), "CHGHOST", user, host)
	quit := ircmsg.MakeMessage(nil, c.mask(), "QUIT", "Changing host")
	s.stamp(&change, c)
	s.stamp(&quit, c)
	c.user, c.host = user, host
	if c.caps["chghost"] {
		c.send(change)
	} else {
		c.numeric("396", host, "is now your displayed host")
	}
	for peer := range s.peers(c) {
		if peer.caps["chghost"] {
			peer.send(change)
			continue
		}
		peer.send(quit)
		for _, ch := range s.channels {
			if ch.members[c] != nil && ch.members[peer] != nil {
				join := ircmsg.MakeMessage(nil, c.mask(), "JOIN", ch.name)
				s.stamp(&join, c)
				peer.send(join)
			}
		}
	}
}

// Capability announces a capability that is new (NEW) or gone (DEL). IRCv3, "Capability Negotiation", cap-notify.
func (s *IRCv3) Capability(name string, offered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	without := s.opts.Without
	s.opts.Without = nil
	for _, n := range without {
		if n != name {
			s.opts.Without = append(s.opts.Without, n)
		}
	}
	sub := "NEW"
	if !offered {
		sub = "DEL"
		s.opts.Without = append(s.opts.Without, name)
	}
	for _, c := range s.nicks {
		if !offered {
			delete(c.caps, name)
		}
		c.send(ircmsg.MakeMessage(nil, c.server(), "CAP", c.nick, sub, name))
	}
}

// Limit lets that many connections in within a time, from now on, and refuses the others.
func (s *IRCv3) Limit(connections int, within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Throttle, s.opts.ThrottleWindow = connections, within
}

// Seats is the number of members of all channels together.
func (s *IRCv3) Seats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	seats := 0
	for _, ch := range s.channels {
		seats += len(ch.members)
	}
	return seats
}

// Nicks are who is connected, as they are written.
func (s *IRCv3) Nicks() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var nicks []string
	for _, c := range s.nicks {
		nicks = append(nicks, c.nick)
	}
	return nicks
}

// Split parts the two servers: each side sees the other's people quit.
func (s *IRCv3) Split() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.split {
		return
	}
	s.netBatches("netsplit", func(c *v3conn, tags map[string]string) {
		quit := ircmsg.MakeMessage(tags, c.mask(), "QUIT", v3Name+" "+v3FarName)
		s.stamp(&quit, c)
		for peer := range s.peers(c) {
			if peer.far != c.far {
				peer.send(quit)
			}
		}
	})
	s.split = true
}

// Heal joins the two servers again.
func (s *IRCv3) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.split {
		return
	}
	s.split = false
	s.netBatches("netjoin", func(c *v3conn, tags map[string]string) {
		for _, ch := range s.channels {
			if ch.members[c] != nil {
				c.showJoin(ch, tags)
			}
		}
	})
}

// netBatches puts what is shown of each side to the other into a batch. IRCv3, "netsplit and netjoin batch types".
func (s *IRCv3) netBatches(kind string, show func(c *v3conn, tags map[string]string)) {
	for _, far := range []bool{false, true} {
		id := s.nextID()
		toOthers := func(m ircmsg.Message) {
			for _, peer := range s.nicks {
				if peer.far != far && peer.caps["batch"] {
					m.Source = peer.server()
					peer.send(m)
				}
			}
		}
		toOthers(ircmsg.MakeMessage(nil, "", "BATCH", "+"+id, kind, v3Name, v3FarName))
		for _, c := range s.nicks {
			if c.far == far {
				show(c, map[string]string{"batch": id})
			}
		}
		toOthers(ircmsg.MakeMessage(nil, "", "BATCH", "-"+id))
	}
}

// Says lets a nick that is connected say something in a channel, as if its client had sent it.
func (s *IRCv3) Says(nick, channel, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.nicks[v3fold(nick)]; c != nil {
		line := ircmsg.MakeMessage(nil, "", "PRIVMSG", channel, strings.TrimRight(text, "\r\n"))
		c.say(v3message{command: "PRIVMSG", target: channel, lines: []ircmsg.Message{line}})
	}
}

// Said is what a nick has said in a channel, as the history has it, whoever has heard it.
func (s *IRCv3) Said(channel, nick string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var texts []string
	if ch := s.channels[v3fold(channel)]; ch != nil {
		for _, p := range ch.history {
			if p.message != nil && v3fold(p.line.Nick()) == v3fold(nick) && p.message.command != "TAGMSG" {
				for _, line := range p.message.lines {
					texts = append(texts, line.Params[1])
				}
			}
		}
	}
	return texts
}

// AwaitSaid waits until a nick has said so many lines.
func (s *IRCv3) AwaitSaid(t testing.TB, channel, nick string, count int) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(Patience); time.Now().Before(end); <-look.C {
		if len(s.Said(channel, nick)) >= count {
			return
		}
	}
	t.Fatalf("%s has said %q in %s, want %d lines", nick, s.Said(channel, nick), channel, count)
}
