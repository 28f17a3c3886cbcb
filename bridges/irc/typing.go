package irc

import (
	"context"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/id"
)

// IRCv3, "+typing".
const (
	// typingPause is the least time between two of our notifications in a channel.
	typingPause = 3 * time.Second
	// typingRepeat is when we say again that somebody types; who does not hear it for six seconds takes it that they have
	// stopped.
	typingRepeat = 4 * time.Second
	// typingLast is how long we say so when Matrix does not.
	typingLast = 2 * time.Minute
	// typingActive is how long others' notification counts.
	typingActive = 6 * time.Second
)

// typing is what a channel hears of whether our user types.
type typing struct {
	on    bool
	stop  bool      // it is to be said that they have stopped
	said  time.Time // when something was said last
	until time.Time
}

// next is when there is something to say, or zero.
func (t typing) next() time.Time {
	switch {
	case t.on:
		return t.said.Add(typingRepeat)
	case t.stop:
		return t.said.Add(typingPause)
	}
	return time.Time{}
}

// typingRequest is that our user begins or stops to type.
type typingRequest struct {
	channel string
	on      bool
}

func (r typingRequest) apply(c *client) {
	m := c.channels[c.net.ids.fold.Fold(r.channel)]
	if m == nil || m.state != joined || c.phase != up || c.goodbye || !c.mayTag("typing") {
		return
	}
	t := &m.typing
	t.stop = t.on && !r.on || t.stop && !r.on
	now := time.Now()
	if t.on = r.on; t.on {
		t.until = now.Add(typingLast)
	}
	c.sayTyping(m, now)
}

// sayTyping says what is due. It never keeps a message waiting: when there is not much room it says nothing.
func (c *client) sayTyping(m *membership, now time.Time) {
	t := &m.typing
	if t.on && now.After(t.until) {
		t.on = false
	}
	next := t.next()
	if next.IsZero() || now.Before(next) || now.Sub(t.said) < typingPause {
		return
	}
	value := "active"
	if !t.on {
		value = "done"
	}
	t.stop, t.said = false, now
	if c.net.conn.isStrict(c.net, m.name) {
		c.typeStrictly(m, value)
		return
	}
	c.queueTyping(m, value, now)
}

func (c *client) queueTyping(m *membership, value string, now time.Time) {
	if len(c.queue) == 0 && c.bucket.spare(now) {
		c.queue = append(c.queue, entry{line: withTags("TAGMSG "+m.name, "+typing", value)})
	}
}

// spare reports whether there is a token left for a message after one that is not important.
func (b *bucket) spare(now time.Time) bool {
	b.refill(now)
	return b.interval <= 0 || b.tokens >= 2
}

// typingTimeout is how long somebody types whose client has sent this, and false when it says nothing of that.
func typingTimeout(m message) (timeout time.Duration, ok bool) {
	switch _, value := m.GetTag("+typing"); value {
	case "active":
		return typingActive, true
	case "paused", "done":
		return 0, true
	}
	return 0, false
}

// typingItem is that somebody types, or has stopped.
type typingItem struct {
	nick    string
	timeout time.Duration
	// present is as in messageItem.
	present map[id.UserID]bool
}

func (t typingItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	if held, err := l.holdsBack(ctx, portal, t.present); held || err != nil {
		return nil // that it cannot be known is not worth another try either
	}
	ghost, err := l.ghost(ctx, t.nick)
	if err != nil {
		return err
	}
	// That it fails is not worth another try.
	_ = l.queue(ctx, &simplevent.Typing{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventTyping, PortalKey: portal.PortalKey, Sender: bridgev2.EventSender{Sender: ghost.ID},
		},
		Timeout: t.timeout, Type: bridgev2.TypingTypeText,
	})
	return nil
}

// offer queues an item that may be dropped, if the lane is not busy.
func (l *lane) offer(it item) {
	if len(l.items) > cap(l.items)/4 {
		return
	}
	select {
	case l.items <- it:
	default:
	}
}
