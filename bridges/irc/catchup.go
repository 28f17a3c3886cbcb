package irc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

const (
	// maxCatchUp is how many lines of one channel are fetched after an outage; the room is told when there were more.
	maxCatchUp = 20000
	// maxHeld bounds what happens in a channel while its history is fetched. What is said beyond it is fetched too; of the rest
	// twice as much is held, and who is there is asked for again when there was more.
	maxHeld = 8192
	// lookupTimeout bounds the search for what was delivered last.
	lookupTimeout = 10 * time.Second
)

// delivered is the line that Matrix has got last from a channel. Without an identity it is only a time: from then on somebody
// of us was there.
type delivered struct {
	id string
	at time.Time
}

// identified is an item with the identity that the network gave it.
type identified interface {
	identity() (networkid.MessageID, time.Time)
}

func (m messageItem) identity() (networkid.MessageID, time.Time) { return m.id, m.at }

// lineOf is the network's identity of an item, without our prefix, or empty.
func (n *network) lineOf(it item) (string, time.Time) {
	if x, ok := it.(identified); ok {
		full, at := x.identity()
		if id, ok := strings.CutPrefix(string(full), n.name+"/"); ok {
			return id, at
		}
	}
	return "", time.Time{}
}

// put hands an item to the lane, or holds it until the history before it is there.
func (ch *channel) put(it item) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.pass(it)
}

// pass is put for who has the lock.
func (ch *channel) pass(it item) {
	if !ch.holding {
		ch.deliver(it)
		return
	}
	if len(ch.held) >= maxHeld {
		if id, _ := ch.lane.net.lineOf(it); id != "" {
			ch.refetch = id
			return
		}
		if len(ch.held) >= 2*maxHeld {
			ch.relist = true
			return
		}
	}
	ch.held = append(ch.held, it)
}

// deliver puts an item into the lane and notes how far we are.
func (ch *channel) deliver(it item) {
	if id, at := ch.lane.net.lineOf(it); id != "" {
		ch.last = delivered{id, at}
	}
	ch.lane.put(it)
}

// enter lets a client take part. It reports whether nobody of us was there before, so that the client has to ask for what was
// said meanwhile; until it has done so, what is said now is held. Where the lead is kept for another connection there was somebody:
// the client's JOIN is then one of before a restart, which the holder has kept.
func (ch *channel) enter(c *client, history bool) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	first := ch.feed.lead == nil
	ch.admit(c)
	if first = first && ch.feed.leads(c); first {
		ch.holding = history
	}
	return first && history
}

// handOver goes on with a new leader after the one that was. A new one whose account is not right, because it has come
// when the old one did not see any more, asks for what lies between.
func (ch *channel) handOver(deliver []item) {
	lead := ch.feed.lead
	switch {
	case lead == nil:
		// What is held will be asked for.
		ch.holding, ch.held, ch.refetch, ch.relist = false, nil, "", false
		return
	case !lead.anchored && lead.member.history.Load():
		ch.holding = true
	}
	for _, it := range deliver {
		ch.pass(it)
	}
	if ch.holding {
		lead.member.box.add(catchUpRequest{channel: ch.lane.called()})
	}
}

// replayed delivers what was said in our absence.
func (ch *channel) replayed(c *client, items []item) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.holding || !ch.feed.leads(c) {
		return
	}
	for _, it := range items {
		ch.deliver(it)
	}
}

// caughtUp reports whether what is known from the history reaches into what is held, so that there is nothing between. Times do
// not tell it: lines may be of the same one, and each server of a network has its own clock.
func (ch *channel) caughtUp(known map[string]bool) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.refetch != "" {
		return known[ch.refetch]
	}
	return slices.ContainsFunc(ch.held, func(it item) bool {
		id, _ := ch.lane.net.lineOf(it)
		return known[id]
	})
}

// release delivers what was held, but for what the history had already.
func (ch *channel) release(c *client, known map[string]bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.holding || !ch.feed.leads(c) {
		return
	}
	held := ch.held
	if ch.relist {
		c.box.add(resyncRequest{channel: ch.lane.called()})
	}
	ch.holding, ch.held, ch.refetch, ch.relist = false, nil, "", false
	for _, it := range held {
		if id, _ := ch.lane.net.lineOf(it); id == "" || !known[id] {
			ch.deliver(it)
		}
	}
}

// abandon forgets how far we are, because nobody of us is in the channel by their own will.
func (ch *channel) abandon() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.last = delivered{}
}

// catchUpRequest asks the leader of a channel for what was said in our absence.
type catchUpRequest struct{ channel string }

func (r catchUpRequest) apply(c *client) {
	if m, ok := c.channels[c.net.ids.fold.Fold(r.channel)]; ok && m.state == joined && m.ch.leads(c) {
		c.catchUp(m)
	}
}

// catchUp looks up how far we are, and asks for the rest.
func (c *client) catchUp(m *membership) {
	if !c.tellsPast() || m.direct != nil {
		m.ch.release(c, nil)
		return
	}
	m.ch.mu.Lock()
	last := m.ch.last
	m.ch.mu.Unlock()
	if last.id != "" {
		c.askSince(m, last)
		return
	}
	name, owner, sess, entered := m.name, m.owner(c), c.sess, m.enteredAt
	c.lookups.Go(func() {
		// Not ended with the client: a write that is broken off keeps the database busy for longer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), lookupTimeout)
		defer cancel()
		last, err := c.net.lastOf(ctx, owner, name, entered)
		if err != nil {
			c.log.Err(err).Str("channel", name).Msg("look up what was delivered last")
		}
		c.box.add(lookedUp{channel: name, sess: sess, last: last})
	})
}

// lookedUp is the answer to the look-up.
type lookedUp struct {
	channel string
	sess    *session
	last    delivered
}

func (r lookedUp) apply(c *client) {
	m, ok := c.channels[c.net.ids.fold.Fold(r.channel)]
	if ok && m.state == joined && c.sess == r.sess {
		c.askSince(m, r.last)
	}
}

// askSince asks for what was said after a line, and delivers it before what is held.
func (c *client) askSince(m *membership, last delivered) {
	if last.id == "" && last.at.IsZero() {
		m.ch.release(c, nil)
		return
	}
	c.askHistory(&history{
		m: m, after: last.id, since: last.at, max: maxCatchUp,
		took:   func(h *history) { m.ch.replayed(c, h.items) },
		enough: func(h *history) bool { return m.ch.caughtUp(h.ids) },
		done: func(h *history, end pages) {
			if end == truncated {
				m.ch.replayed(c, []item{noticeItem{text: fmt.Sprintf(
					"More than %d lines were said on %s while the bridge was away; some of them are not shown here.", maxCatchUp, m.name)}})
			}
			m.ch.release(c, h.ids)
		},
	})
}
