package irc

import (
	"context"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"
)

// strictShownKey begins the keys under which is stored that a room shows that its channel is strict.
const strictShownKey = "irc-strict-shown/"

// shows notes that the room of a channel shows that it is strict, or not any more.
func (s *strictChoices) shows(ctx context.Context, db *database.Database, portal networkid.PortalID, does bool) {
	s.mu.Lock()
	if s.shown == nil {
		s.shown = map[networkid.PortalID]bool{}
	}
	same := s.shown[portal] == does
	if s.shown[portal] = true; !does {
		delete(s.shown, portal)
	}
	s.mu.Unlock()
	switch key := database.Key(strictShownKey + string(portal)); {
	case same:
	case does:
		db.KV.Set(ctx, key, "yes")
	default:
		db.KV.Delete(ctx, key)
	}
}

// strictEnd is that a channel is not strict any more. What its room was told counts for nothing when it is so again: it is told anew.
type strictEnd struct{}

func (strictEnd) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	l.strict = strictView{}
	if l.net.conn.isStrict(l.net, l.called()) {
		l.strict.changed(time.Now()) // it is so again meanwhile
		return nil
	}
	return l.net.conn.clearStrict(ctx, portal.MXID, l.net.ids.portal(l.called()).ID)
}

// clearStrict empties the state event of a room that shows that its channel is strict.
func (c *Connector) clearStrict(ctx context.Context, room id.RoomID, portal networkid.PortalID) error {
	if err := c.host.SetState(ctx, room, strictState, "", struct{}{}); err != nil && !isFinal(err) {
		return err
	}
	c.strict.shows(ctx, c.br.DB, portal, false)
	return nil
}

// unshowStrict is clearStrict for a room that the bridge leaves, if it shows anything.
func (c *Connector) unshowStrict(ctx context.Context, room id.RoomID, portal networkid.PortalID) {
	c.strict.mu.Lock()
	shown := c.strict.shown[portal]
	c.strict.mu.Unlock()
	if !shown || room == "" {
		return
	}
	if err := c.clearStrict(ctx, room, portal); err != nil {
		c.br.Log.Err(err).Stringer("room_id", room).Msg("a room that is left shows still that its channel was strict")
	}
}

// endStrict has the rooms show it whose channels are not strict any more by the configuration.
func (c *Connector) endStrict(ctx context.Context) {
	c.strict.mu.Lock()
	shown := make([]networkid.PortalID, 0, len(c.strict.shown))
	for portal := range c.strict.shown {
		shown = append(shown, portal)
	}
	c.strict.mu.Unlock()
	for _, portal := range shown {
		if n, channel := c.channelOf(ctx, portal); n != nil && !c.isStrict(n, channel) {
			n.channel(channel).lane.insist(strictEnd{})
		}
	}
}
