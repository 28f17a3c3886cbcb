package irc

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	errRegistration = errors.New("the server did not finish the registration")
	errSilent       = errors.New("the server is silent")
	errTalkative    = errors.New("the server asks for more than it reads")
)

// bannedText and throttledText recognise what servers write in ERROR and in numerics; there is no code for it.
var (
	bannedText = regexp.MustCompile(`(?i)\b(banned|[kgdz]-?lined?|akill(ed)?)\b`)
	// needsLoginText is how networks tell that from an address like ours only people with an account may come.
	needsLoginText = regexp.MustCompile(`(?i)(sasl access only|requires? sasl|sasl (authentication )?(is )?required|you need to (identify|log in) (via|with|using) sasl)`)
	throttledText  = regexp.MustCompile(`(?i)(throttl|too fast|too many connections)`)
)

func isThrottled(text string) bool { return throttledText.MatchString(text) }

// refuse notes what the server said before it closes the connection.
func (c *client) refuse(text string) {
	c.lastErr = c.clean(plainText(text))
	if needsLoginText.MatchString(text) {
		c.barred = c.net.name + " lets in only who is logged in to an account (`!irc login`): " + c.lastErr
		return
	}
	c.banned = c.banned || bannedText.MatchString(text)
}

// lost cleans up after a connection, and plans the next one if there is something to be there for.
func (c *client) lost(err error) {
	now := time.Now()
	if c.lastErr == "" { // what the server said tells more than how the socket ended
		c.lastErr = describe(err)
	}
	wasUp := c.phase == up
	c.dropSession()
	c.phase = offline
	if wasUp && now.Sub(c.upSince) >= stableAfter {
		c.failures = 0
	}
	if wasUp || c.downSince.IsZero() {
		c.downSince = now
	}
	if c.goodbye {
		return
	}
	c.restoreMemberships(now)
	switch {
	case len(c.channels) == 0:
	case c.resting:
	case c.leaving:
		c.lastErr = "" // which has our own goodbye, and may look as if we were to wait
		c.connect(now)
	default:
		c.failed(now)
	}
}

func describe(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return "the server closed the connection"
	}
	return err.Error()
}

// dropSession closes the connection and gives up what hangs on it: the place in the channels, the nick.
func (c *client) dropSession() {
	if c.sess == nil {
		return
	}
	handing := c.keeping.handing
	if d := c.net.conn.identd; d != nil && c.keeping.held {
		d.remove(c.keeping.conn)
	}
	if handing {
		c.handOver()
	} else {
		c.sess.close()
	}
	c.sess, c.keeping = nil, keeping{waits: c.keeping.waits, left: c.keeping.left}
	c.dropHistory()
	for _, m := range c.channels {
		if handing {
			m.ch.pause(c)
		} else {
			m.ch.part(c)
		}
	}
	c.showNick("")
	c.urgent, c.queue, c.idle, c.since = nil, nil, nil, 0
	c.labels, c.batches = nil, nil
	c.unasked()
	c.relayNicks = nil
	c.monitor = monitor{}
}

// restoreMemberships makes every channel wanted again, and puts back what was sent but not confirmed, in its
// order, to be sent again.
func (c *client) restoreMemberships(now time.Time) {
	for key, m := range c.channels {
		if m.state == parting && !m.again {
			delete(c.channels, key)
			continue
		}
		m.state, m.again, m.names, m.typing = wanted, false, nil, typing{}
	}
	again := c.unacked
	c.unacked = nil
	for _, s := range slices.Backward(again) {
		m := c.channels[s.key]
		switch {
		case m == nil:
			s.done(failure("you have left the channel"))
		case s.err != nil:
			s.done(s.err)
		case s.tries >= maxSendTries:
			s.done(failure("the connection to %s broke each time it was sent (%s)", c.net.name, c.lastErr))
		default:
			s.written, s.barrier, s.failed, s.receipts, s.asked = 0, 0, 0, receipts{}, false
			s.deadline = now.Add(sendWait)
			m.waiting = slices.Insert(m.waiting, 0, s)
		}
	}
}

// beginGoodbye takes no new work, lets the server confirm what it has, and quits. What was not sent stays
// unfinished, and so is handled again after the next start.
func (c *client) beginGoodbye(now time.Time, why error) {
	c.sendEdits(func(*pendingEdit) bool { return true })
	c.goodbye, c.quitText = true, quitMessage
	if because, ok := errors.AsType[endedBecause](why); ok {
		c.quitText = oneLine(because.reason)
	}
	c.goodbyeEnd = now.Add(goodbyeWait)
	c.keeping.handing = c.keeping.held && c.phase == up && errors.Is(why, errStopping)
	c.queue = slices.DeleteFunc(c.queue, func(e entry) bool { return e.send != nil && e.send.written == 0 && !e.send.final })
	c.unacked = slices.DeleteFunc(c.unacked, func(s *send) bool {
		left := s.written == 0 && !s.final
		if left {
			c.unsent = append(c.unsent, s)
		}
		return left
	})
	if c.phase == pausing {
		c.phase = offline
	}
	if c.phase == registering {
		c.dropSession()
		c.phase = offline
	}
}

// end is the last thing a client does. Nothing more is taken; what is left fails, or stays unfinished when the bridge
// stops.
func (c *client) end(why error) {
	left := append(c.unsent, c.unacked...)
	for _, m := range c.channels {
		left = append(left, m.waiting...)
	}
	for _, e := range c.edits {
		left = append(left, e.send)
	}
	for _, r := range c.box.close() {
		if s, ok := r.(*send); ok {
			left = append(left, s)
		}
	}
	if !errors.Is(why, errDisconnected) {
		return
	}
	for _, s := range left {
		s.done(failure("your connection to %s has ended", c.net.name))
	}
}

// giveUp tries no more, because the network has said that it does not want the user, or the user has to do something. To go
// on knocking would only prolong a ban, and may extend it to others.
func (c *client) giveUp() {
	now := time.Now()
	text := c.whyNot() + "; the bridge does not try again until you ask for it with `!irc reconnect " + c.net.name + "`"
	for _, m := range c.channels {
		for _, s := range m.waiting {
			s.done(failure("%s", c.whyNot()))
		}
		m.waiting = nil
		m.ch.tellOutage(now, text, c.user)
	}
	c.net.tell(c.user, text)
}

// showNick makes a change of the nick known: to the registry, before anything can be done under it, and to
// currentNick. The registry remembers the old mask for connections that lag behind.
func (c *client) showNick(nick string) {
	c.net.renamePuppet(c, c.currentNick(), nick, c.mask())
	c.shownNick.Store(nick)
	c.maskChanged()
}

// mask is nick!user@host as others have seen it so far, or empty while unknown.
func (c *client) mask() string {
	if c.userHost == "" || c.currentNick() == "" {
		return ""
	}
	return c.currentNick() + "!" + c.userHost
}

// isMe reports whether a nick is our own. In the past it may have been somebody else's.
func (c *client) isMe(nick string) bool {
	return c.replay == nil && c.nick != "" && c.net.ids.fold.Fold(nick) == c.net.ids.fold.Fold(c.nick)
}

// whyNot says in a few words why a message cannot go out now.
func (c *client) whyNot() string {
	var b strings.Builder
	b.WriteString("there is no connection to " + c.net.name)
	if c.banned {
		b.Reset()
		b.WriteString(c.net.name + " has banned you")
	}
	if c.lastErr != "" {
		b.WriteString(" (" + c.lastErr + ")")
	}
	if c.barred != "" {
		return "you are not connected to " + c.net.name + ": " + c.barred
	}
	return b.String()
}
