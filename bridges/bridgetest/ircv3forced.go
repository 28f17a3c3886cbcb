package bridgetest

import "github.com/ergochat/irc-go/ircmsg"

// refuse turns away a connection that is one too many, and bans the host of who goes on.
func (s *IRCv3) refuse(c *v3conn) {
	if s.refused++; s.refused == s.banAfter {
		s.klines = append(s.klines, v3kline{mask: "*@" + c.host, reason: "Too many connections"})
	}
	c.fail("Closing Link: (Throttled: Reconnecting too fast)")
}

// BanAfter bans the host whose connections have been refused so often from now on because they came too fast.
func (s *IRCv3) BanAfter(refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.banAfter, s.refused = refused, 0
}

// Connections is how many connections there were so far, and how many of these were refused because they came too fast.
func (s *IRCv3) Connections() (came, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came, s.refused
}

// ForceNick gives somebody another nick, as services do (SVSNICK).
func (s *IRCv3) ForceNick(nick, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.nicks[v3fold(nick)]; c != nil {
		c.rename(to)
	}
}

// Usurp is Collide where the other one of that name stays: somebody who is called by until then.
func (s *IRCv3) Usurp(nick, by string) {
	s.Collide(nick)
	s.ForceNick(by, nick)
}

// LogIn has services log somebody in to an account, or out of any if that is empty.
func (s *IRCv3) LogIn(nick, account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.nicks[v3fold(nick)]
	if c == nil {
		return
	}
	c.account = account
	if account == "" {
		account = "*"
	}
	c.tell("account-notify", ircmsg.MakeMessage(nil, c.mask(), "ACCOUNT", account))
}
