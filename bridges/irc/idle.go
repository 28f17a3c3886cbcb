package irc

import (
	"cmp"
	"context"
	"slices"
	"time"

	"maunium.net/go/mautrix/id"
)

// spokeStored is how exactly it is stored when somebody last spoke, so that not every message is a write.
const spokeStored = time.Hour

// spoke notes that the user has said something, and comes back if the connection was closed because they had not.
func (c *client) spoke(now time.Time) {
	stored := c.identity.spoke.Truncate(spokeStored)
	c.identity.spoke, c.place.wanted = now, true
	if now.Sub(stored) >= spokeStored {
		c.save(func(meta *loginMeta) { meta.SpokeTS = now.UnixMilli() })
	}
	c.wake(now)
}

// wake ends the rest.
func (c *client) wake(now time.Time) {
	if !c.resting {
		return
	}
	c.resting = false
	c.connect(now)
}

// idleSince is when the silence began that the limit counts.
func (c *client) idleSince() time.Time {
	if c.identity.spoke.After(c.upSince) {
		return c.identity.spoke
	}
	return c.upSince
}

// restAt is when the connection may be closed because of the user's silence, or zero.
func (c *client) restAt() time.Time {
	if c.net.cfg.Idle.After == 0 || c.isBot() || c.phase != up || c.leaving {
		return time.Time{}
	}
	if c.restLater.After(c.idleSince().Add(c.net.cfg.Idle.After)) {
		return c.restLater
	}
	return c.idleSince().Add(c.net.cfg.Idle.After)
}

// restAgain is when a connection that a channel needed is looked at again.
const restAgain = time.Hour

// rest closes the connection of who has said nothing for long. The channels stay wanted, and who speaks, or enters another
// room, comes back to all of them. The last connection that listens to a channel stays for its room.
func (c *client) rest(now time.Time) {
	at := c.restAt()
	if at.IsZero() || now.Before(at) || len(c.unacked) > 0 || len(c.queue) > 0 {
		return
	}
	if !c.net.mayRest(c, c.net.cfg.Idle.CloseListeners) {
		c.restLater = now.Add(restAgain)
		return
	}
	c.resting, c.leaving = true, true
	c.urgent = append(c.urgent, "QUIT :says nothing; comes back to speak")
}

// mayRest reports whether each channel of a client has another listener that stays, or need not have one. Clients are asked one
// at a time, so that two do not each rely on the other.
func (n *network) mayRest(c *client, closeListeners bool) bool {
	n.restMu.Lock()
	defer n.restMu.Unlock()
	if c.isStrictly() {
		return false // everybody in the room would hear nothing
	}
	if closeListeners {
		return true
	}
	for _, m := range c.channels {
		if m.state == joined && m.direct == nil && !m.ch.hasOther(c) {
			return false
		}
	}
	for _, m := range c.channels {
		m.ch.aboutToRest(c)
	}
	return true
}

// hasOther reports whether another client is in the channel and is not about to go.
func (ch *channel) hasOther(c *client) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return slices.ContainsFunc(ch.feed.members, func(x *follower[*client, item]) bool {
		return x.present && x.member != c && !ch.resting[x.member]
	})
}

// aboutToRest marks a client until it has left the channel.
func (ch *channel) aboutToRest(c *client) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.resting == nil {
		ch.resting = map[*client]bool{}
	}
	ch.resting[c] = true
}

// turns are when those connect who are in channels at the start: who has spoken last comes first, so that a network that
// lets in a few a second has the people first who talk.
func (n *network) planTurns(ctx context.Context) error {
	type sleeper struct {
		user  id.UserID
		spoke int64
	}
	var list []sleeper
	for _, login := range n.conn.br.GetAllCachedUserLogins() {
		if name, _, _ := splitID(string(login.ID)); name != n.name || login.UserMXID == n.conn.br.Bot.GetMXID() {
			continue
		}
		if n.running(login.UserMXID) != nil {
			continue // their connection is held, and needs no turn
		}
		rows, err := n.conn.br.DB.UserPortal.GetAllForLogin(ctx, login.UserLogin)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			list = append(list, sleeper{login.UserMXID, n.conn.meta(login).SpokeTS})
		}
	}
	slices.SortFunc(list, func(a, b sleeper) int {
		return cmp.Or(cmp.Compare(b.spoke, a.spoke), cmp.Compare(a.user, b.user))
	})
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range list {
		n.turns[s.user] = now.Add(n.limiter.ReserveN(now, 1).DelayFrom(now))
	}
	return nil
}

// turn is when a user may connect: as planned at the start, or else the next that is free.
func (n *network) turn(user id.UserID, now time.Time) time.Time {
	n.mu.Lock()
	at, planned := n.turns[user]
	delete(n.turns, user)
	n.mu.Unlock()
	if planned {
		return at
	}
	return now.Add(n.limiter.ReserveN(now, 1).DelayFrom(now))
}

// keepsResting reports whether somebody who is about to connect after the start has said nothing for so long that
// their connection would be closed again, while others listen to their channels.
func (c *client) keepsResting(now time.Time) bool {
	after := c.net.cfg.Idle.After
	if after == 0 || c.isBot() || c.identity.spoke.IsZero() || now.Sub(c.identity.spoke) < after || !c.upSince.IsZero() || c.isStrictly() {
		return false
	}
	for _, m := range c.channels {
		if len(m.waiting) > 0 || m.direct == nil && !m.ch.hasOther(c) && !c.net.cfg.Idle.CloseListeners {
			return false
		}
	}
	return true
}
