package irc

import (
	"slices"
	"strconv"
	"time"
)

// A connection that is taken up may still have answers to questions for a history that the process before has asked, whole or
// half. They are nobody's: what was delivered of them is with Matrix, and the rest is asked for again, from the last line that is. So
// that no old answer is taken for a new one, the first question goes out when the server has answered a PING of ours, and with
// it all that it was asked before.

const (
	// inheritedPing begins the token of that PING.
	inheritedPing = "inherited-"
	// inheritedTimeout is how long it is waited for.
	inheritedTimeout = 2 * historyTimeout
	// catchingUp stands before the name of a channel that we lead, in the list for the holder, when what was said before is not all
	// with Matrix. No channel's name has a space.
	catchingUp = " "
)

// inheritance is what a client knows of questions of before.
type inheritance struct {
	open  bool       // there may be some
	token string     // of the PING, once it is sent
	due   time.Time  // until when it is waited for
	asks  []*history // ours, which wait
}

// asksLater keeps a question until those of before are answered.
func (c *client) asksLater(h *history) bool {
	k := &c.keeping.before
	if !k.open {
		return false
	}
	if k.token == "" {
		k.token = inheritedPing + strconv.FormatUint(c.barrier, 10)
		k.due = time.Now().Add(inheritedTimeout)
		c.command("PING", k.token)
	}
	k.asks = append(k.asks, h)
	return true
}

// inherited is the answer to the PING.
func (c *client) inherited(token string) {
	if k := c.keeping.before; k.token != "" && k.token == token {
		c.askInherited()
	}
}

// askInherited asks what has waited.
func (c *client) askInherited() {
	asks := c.keeping.before.asks
	c.keeping.before = inheritance{}
	for _, h := range asks {
		if len(h.m.histories) > 0 && h.m.histories[0] == h {
			c.askPage(h)
		}
	}
}

// inUnasked takes what is told of the past without a question of ours.
func (c *client) inUnasked(m message) bool {
	_, outer := m.GetTag("batch")
	if m.Command != "BATCH" || len(m.Params) == 0 || len(m.Params[0]) < 2 {
		return outer != "" && c.pastRefs[outer] || m.Command == "FAIL" && c.keeping.before.open && len(m.Params) > 0 && m.Params[0] == "CHATHISTORY"
	}
	ref := m.Params[0][1:]
	switch {
	case m.Params[0][0] != '+':
		known := c.pastRefs[ref]
		delete(c.pastRefs, ref)
		return known
	case !c.pastRefs[outer] && (!c.tellsPast() || len(m.Params) < 2 || m.Params[1] != c.pastBatch()):
		return false
	}
	if c.pastRefs == nil {
		c.pastRefs = map[string]bool{}
	}
	if len(c.pastRefs) < maxBatches {
		c.pastRefs[ref] = true
	}
	return true
}

// markSoon has what is known of the channels told to the holder.
func (k *keeping) markSoon(now time.Time) {
	if k.held && k.markDue.IsZero() {
		k.markDue = now.Add(markAfter)
	}
}

// tellLeads tells the holder which channels we lead, when that is not what it knows, and nothing else is to be told.
func (c *client) tellLeads(leads []string) {
	k := &c.keeping
	if (k.pending == nil || k.pending.left.Load() <= 0) && !slices.Equal(leads, k.leads) {
		k.leads = leads
		_ = k.conn.Confirm(0, leads)
	}
}
