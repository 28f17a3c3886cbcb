package irc

import (
	"context"
	"time"

	"maunium.net/go/mautrix/id"
)

// typeStrictly says in a strict channel that our user types, or has stopped, if all who are in the room then are on the channel. Who that
// is, the homeserver is asked each time: people come and go while somebody types.
func (c *client) typeStrictly(m *membership, value string) {
	l, channel := m.ch.lane, m.name
	c.net.conn.later(func(ctx context.Context) {
		portal, err := l.portal(ctx)
		if err != nil || !l.net.conn.hasRoom(portal) {
			return
		}
		people, err := l.net.conn.host.Audience(ctx, portal.MXID)
		if err != nil {
			l.log.Debug().Err(err).Msg("not told who types in a strict channel")
			return
		}
		c.box.add(typingReaders{channel: channel, value: value, people: people})
	})
}

// typingReaders are those in the room of a strict channel, when it is to be said that our user types.
type typingReaders struct {
	channel, value string
	people         []id.UserID
}

func (r typingReaders) apply(c *client) {
	m := c.membershipOf(r.channel)
	if m == nil || c.phase != up || c.goodbye || !c.mayTag("typing") || r.value == "active" && !m.typing.on {
		return
	}
	if there := c.present(m); there == nil || len(absent(r.people, there)) > 0 {
		return
	}
	c.queueTyping(m, r.value, time.Now())
}
