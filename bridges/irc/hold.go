package irc

import (
	"regexp"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// tooFastText is how servers say that an address makes connections too fast, and not that it has too many.
var tooFastText = regexp.MustCompile(`(?i)(throttl|too fast)`)

// hold is until when nobody of us connects, because the network has told one of us that we do it too fast. A server counts what comes
// from an address, the refused connections too, and bans who goes on: each of a thousand people who finds out alone would be one more.
type hold struct {
	mu    sync.Mutex // guards until
	until time.Time
}

// holdOff begins it, where all of us come from one address.
func (n *network) holdOff(now time.Time) {
	bind, err := parseBind(n.cfg.Dial.Bind)
	if n.cfg.WebIRC.Password != "" || err == nil && !bind.IsSingleIP() {
		return
	}
	n.hold.mu.Lock()
	defer n.hold.mu.Unlock()
	n.hold.until = now.Add(n.timing.throttledRetry)
}

// after is when somebody may connect whose turn it is now. After the hold all have their turns again.
func (h *hold) after(now time.Time, turns *rate.Limiter) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !now.Before(h.until) {
		return now
	}
	return h.until.Add(turns.ReserveN(h.until, 1).DelayFrom(h.until))
}

// heldOff reports whether a client whose turn it is has to wait on.
func (c *client) heldOff(now time.Time) bool {
	at := c.net.hold.after(now, c.net.limiter)
	if at.After(now) {
		c.nextDial = at
	}
	return at.After(now)
}
