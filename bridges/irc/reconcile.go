package irc

import (
	"context"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

const (
	// maxOwnLines is how many lines of one person are looked through for what was sent before.
	maxOwnLines = 1000
	// maxReconcile is how many lines of a channel are fetched for that. What is not found by then is sent again.
	maxReconcile = 10000
)

// ownLine is a line that we find to have said.
type ownLine struct {
	command, text string
	at            time.Time
	id            string
}

// Where a network tells the history of a channel, a message that may have been sent when the connection or the process broke
// is looked for there before it is sent again.

// suspect reports whether a message may be on IRC already: it was sent on an earlier connection, or is older than this
// process.
func (c *client) suspect(s *send) bool {
	return s.tries > 0 || !s.said.IsZero() && s.said.Before(c.net.conn.started)
}

// looking reports whether what waits in a channel does so for us, and not for the server. It ends by itself.
func (m *membership) looking() bool { return m.unready || m.reconciling }

// maySend reports whether a message can be sent now: nothing has to be noted or looked up before.
func (c *client) maySend(m *membership, s *send) bool {
	if m.looking() {
		return false
	}
	if !c.hasHistory() || m.direct != nil || !c.suspect(s) || !m.ownSince.IsZero() && !s.said.Before(m.ownSince) {
		return true
	}
	c.reconcile(m, s.said)
	return false
}

// sendWaiting sends what waits in a channel that we have entered. Where there is a history, the mask by which we know our lines
// again is noted first.
func (c *client) sendWaiting(m *membership) {
	if m.looking() {
		return
	}
	if c.tellsPast() && m.direct == nil {
		if c.noteMask(m) {
			return
		}
		for _, s := range m.waiting {
			if !c.maySend(m, s) {
				return
			}
		}
	}
	waiting := m.waiting
	m.waiting = nil
	for _, s := range waiting {
		c.enqueue(s)
	}
}

// reconcile looks for lines of ours since some time.
func (c *client) reconcile(m *membership, since time.Time) {
	for _, s := range m.waiting {
		if c.suspect(s) && s.said.Before(since) {
			since = s.said
		}
	}
	if since.IsZero() {
		since = m.enteredAt
	}
	m.reconciling = true
	c.askHistory(&history{
		m: m, since: since, max: maxReconcile,
		took:   func(*history) {},
		enough: func(h *history) bool { return h.lastAt.After(m.enteredAt) },
		done: func(h *history, _ pages) {
			found := reconciled{channel: m.name, sess: c.sess, own: h.own, since: since}
			if len(h.own) == 0 {
				found.apply(c)
				return
			}
			portal := c.net.portalOf(m.owner(c), m.name)
			c.lookups.Go(func() {
				found.own = c.net.unrecorded(c.ctx, portal, found.own)
				c.box.add(found)
			})
		},
	})
}

// reconciled is what was found.
type reconciled struct {
	channel string
	sess    *session
	own     []ownLine
	since   time.Time
}

func (r reconciled) apply(c *client) {
	m, ok := c.channels[c.net.ids.fold.Fold(r.channel)]
	if !ok || c.sess != r.sess || m.state != joined {
		return
	}
	m.reconciling, m.own, m.ownSince = false, r.own, r.since
	c.sendWaiting(m)
}

// unrecorded are those of our lines that no message of Matrix stands for yet. Where we know the identities of what we said, a
// line that is confirmed is not taken for another one of the same text.
func (n *network) unrecorded(ctx context.Context, portal networkid.PortalKey, own []ownLine) []ownLine {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
	defer cancel()
	return slices.DeleteFunc(own, func(line ownLine) bool {
		if line.id == "" {
			return false
		}
		id := idIn(portal, n.idOf(line.id))
		row, err := n.conn.br.DB.Message.GetFirstPartByID(ctx, portal.Receiver, id)
		if err == nil && row == nil {
			whole, err := n.conn.host.LineOf(ctx, id)
			return err == nil && whole != ""
		}
		return err == nil
	})
}

// wasSaid reports whether a line of a message that may have been sent is among those that we find to have said, each of which
// stands for one. It was not said before its event was made.
func (c *client) wasSaid(m *membership, s *send, text string) bool {
	if !c.suspect(s) {
		return false
	}
	for i, line := range m.own {
		if line.command == s.verb && stripCodes(line.text) == stripCodes(text) && !line.at.Before(s.said) {
			m.own = append(m.own[:i:i], m.own[i+1:]...)
			if line.id != "" {
				s.found = append(s.found, line.id)
			}
			return true
		}
	}
	return false
}
