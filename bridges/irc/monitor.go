package irc

import (
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
)

// Partners of conversations need not be on any channel of ours. Where the server can watch nicks, it tells when they come and go: that is
// the presence of their ghosts, and who is gone is not written to unawares. IRCv3, "Monitor" and "extended-monitor".

const (
	// maxWatched is how many nicks a connection has watched, where the server does not take fewer: those of the latest conversations.
	maxWatched = 100
	// maxMonitorLine is how much of a line with nicks is filled, in bytes.
	maxMonitorLine = 400
	// presenceAgain is how often it is said again that a partner is there. A homeserver takes who says nothing for gone.
	presenceAgain = 3 * time.Minute
)

// monitor is whom the server watches for a connection.
type monitor struct {
	list  []*watched // who was talked with last is the last
	gone  []string   // who is watched no longer, as the server does not know yet
	clear bool       // the server may watch some for the process before
	limit int        // what has proved to be all that the server takes, or 0
	again time.Time  // when the presence of those who are there is said again
}

// watched is a nick.
type watched struct {
	nick, key string
	told      bool // the server knows
	known     bool // and has said whether they are
	online    bool
}

func (w *monitor) find(key string) *watched {
	if i := slices.IndexFunc(w.list, func(x *watched) bool { return x.key == key }); i >= 0 {
		return w.list[i]
	}
	return nil
}

// mostWatched is how many may be watched.
func (c *client) mostWatched() int {
	most := maxWatched
	for _, limit := range []int{c.isupport.monitor, c.monitor.limit} {
		if limit > 0 {
			most = min(most, limit)
		}
	}
	return most
}

// watch has the partner of a conversation watched by the nick that they have now. It comes whenever something is said there.
func (c *client) watch(m *membership) {
	if !c.isupport.hasMonitor || m.direct == nil || c.sess == nil || c.goodbye {
		return
	}
	key := c.net.ids.fold.Fold(m.name)
	if before := m.direct.watched; before != key {
		m.direct.watched = ""
		c.unwatch(before)
	}
	if !validDirect(m.name) {
		return
	}
	m.direct.watched = key
	w := c.monitor.find(key)
	if w == nil {
		for len(c.monitor.list) >= c.mostWatched() {
			c.dropWatched(c.monitor.list[0])
		}
		w = &watched{nick: m.name, key: key}
		c.monitor.gone = slices.DeleteFunc(c.monitor.gone, func(nick string) bool { return c.net.ids.fold.Fold(nick) == key })
	}
	c.monitor.list = append(slices.DeleteFunc(c.monitor.list, func(x *watched) bool { return x == w }), w)
}

// unwatch has a nick watched no longer, unless a conversation needs it.
func (c *client) unwatch(key string) {
	w := c.monitor.find(key)
	if w == nil {
		return
	}
	for _, m := range c.channels {
		if m.direct != nil && m.direct.watched == key {
			return
		}
	}
	c.dropWatched(w)
}

func (c *client) dropWatched(w *watched) {
	c.monitor.list = slices.DeleteFunc(c.monitor.list, func(x *watched) bool { return x == w })
	if w.told {
		c.monitor.gone = append(c.monitor.gone, w.nick)
	}
}

// monitorLine is what the server is to be told next, or empty.
func (c *client) monitorLine() string {
	w := &c.monitor
	switch {
	case w.clear:
		w.clear = false
		return "MONITOR C"
	case len(w.gone) > 0:
		n := fillLine(w.gone)
		line := "MONITOR - " + strings.Join(w.gone[:n], ",")
		w.gone = w.gone[n:]
		return line
	}
	var nicks []string
	for _, x := range w.list {
		if !x.told {
			nicks = append(nicks, x.nick)
		}
	}
	if len(nicks) == 0 {
		return ""
	}
	nicks = nicks[:fillLine(nicks)]
	for _, x := range w.list {
		x.told = x.told || slices.Contains(nicks, x.nick)
	}
	return "MONITOR + " + strings.Join(nicks, ",")
}

// fillLine is how many nicks go into one line, at least one.
func fillLine(nicks []string) int {
	length := 0
	for i, nick := range nicks {
		if length += len(nick) + 1; i > 0 && length > maxMonitorLine {
			return i
		}
	}
	return len(nicks)
}

// onMonitorOnline is RPL_MONONLINE: me, nick!user@host,…
func (c *client) onMonitorOnline(m message) {
	for target := range strings.SplitSeq(last(m), ",") {
		nick, _, _ := strings.Cut(target, "!")
		w := c.monitor.find(c.net.ids.fold.Fold(nick))
		if w == nil {
			continue
		}
		w.known, w.online = true, true
		if c.monitor.again.IsZero() {
			c.monitor.again = time.Now().Add(presenceAgain)
		}
		for _, ms := range c.channels {
			if ms.direct == nil || ms.direct.watched != w.key {
				continue
			}
			if account := ms.direct.account; account != "" && c.net.ids.fold.Fold(c.accountOfNick(nick)) != account {
				c.leisurely("WHOIS", nick) // somebody else may have the nick of who has an account
				continue
			}
			c.showPartner(ms, event.PresenceOnline)
		}
	}
}

// onMonitorOffline is RPL_MONOFFLINE: me, nick,…
func (c *client) onMonitorOffline(m message) {
	for target := range strings.SplitSeq(last(m), ",") {
		nick, _, _ := strings.Cut(target, "!")
		w := c.monitor.find(c.net.ids.fold.Fold(nick))
		if w == nil {
			continue
		}
		was := w.online
		w.known, w.online = true, false
		for _, ms := range c.channels {
			if ms.direct != nil && ms.direct.watched == w.key {
				c.showPartner(ms, event.PresenceOffline)
			}
		}
		if was { // services may be no users that could be watched
			c.partnerGone(nick, nick+" has left "+c.net.name)
		}
	}
}

// onMonitorFull is ERR_MONLISTFULL: me, limit, the nicks that are not watched, words.
func (c *client) onMonitorFull(m message) {
	for nick := range strings.SplitSeq(m.Params[2], ",") {
		if w := c.monitor.find(c.net.ids.fold.Fold(nick)); w != nil {
			w.told = false
			c.dropWatched(w)
		}
	}
	c.monitor.limit = max(1, len(c.monitor.list))
}

// showPartner shows whether the partner of a conversation is there.
func (c *client) showPartner(m *membership, is event.Presence) {
	ghost, ok := m.ch.lane.directGhost()
	if ok && !c.net.cfg.Away.HideFromMatrix && c.net.puppet(m.name, "") == nil {
		c.net.presences.set(c.net, presence{nick: m.name, is: is, ghost: ghost, partner: true})
	}
}

// partnerIs is what WHOIS has said of a nick: who has an account is there.
func (c *client) partnerIs(m *membership) {
	if w := c.monitor.find(m.direct.watched); w != nil && w.online {
		c.showPartner(m, event.PresenceOnline)
	}
}

// isGone reports whether the partner of a conversation is known to be gone, with the nick that they had.
func (c *client) isGone(m *membership) bool {
	w := c.monitor.find(m.direct.watched)
	return w != nil && w.known && !w.online
}

// isThere is the contrary, as far as is known.
func (c *client) isThere(m *membership) bool {
	w := c.monitor.find(m.direct.watched)
	return w != nil && w.online
}

// monitorTick says again who is there.
func (c *client) monitorTick(now time.Time) {
	if c.monitor.again.IsZero() || now.Before(c.monitor.again) {
		return
	}
	c.monitor.again = time.Time{}
	for _, w := range c.monitor.list {
		if w.online {
			c.monitor.again = now.Add(presenceAgain)
			c.net.presences.again(w.key)
		}
	}
}
