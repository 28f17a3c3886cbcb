package irc

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/simplevent"
)

// onRename is a new name of a channel. IRCv3, "draft/channel-rename". Without that capability the server lets everybody
// leave the old channel and enter the new one.
func (c *client) onRename(m message) {
	from, to := c.net.ids.fold.Fold(m.Params[0]), m.Params[1]
	ms, ok := c.channels[from]
	key := c.net.ids.fold.Fold(to)
	if ok && ms.mine {
		c.renamedOwn(ms, to)
		return
	}
	_, taken := c.channels[key]
	if !ok || !validChannel(to) || taken && key != from || !c.net.rename(ms.ch, from, key) {
		return
	}
	delete(c.channels, from)
	ms.name, ms.key = to, key
	c.channels[key] = ms
	for _, s := range append(c.unacked[:len(c.unacked):len(c.unacked)], ms.waiting...) {
		if s.key == from {
			s.key, s.channel = key, to
		}
	}
	c.observe(ms, sight(m, renameItem{to: to}))
	if ms.pass != "" {
		ms.ch.lane.put(keyItem{user: c.user, name: to, key: ms.pass})
	}
}

// rename lets a channel be found under its new name. The first of our connections that hears of it does so; it reports
// false when the name is another channel's.
func (n *network) rename(ch *channel, from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, taken := n.channels[to]; taken && other != ch {
		return false
	}
	if n.channels[from] == ch {
		delete(n.channels, from)
	}
	n.channels[to] = ch
	return true
}

// renameItem gives the room of a channel its new name and an alias of it; the old alias stays.
type renameItem struct{ to string }

func (r renameItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	conn := l.net.conn
	key := l.net.ids.portal(r.to)
	linked, err := l.renameLink(ctx, r.to)
	if err != nil || linked {
		return err
	}
	if key != portal.PortalKey {
		result, moved, err := conn.br.ReIDPortal(ctx, portal.PortalKey, key)
		if err != nil {
			return fmt.Errorf("move the room of %s: %w", l.called(), err)
		}
		if moved == nil {
			return fmt.Errorf("move the room of %s: result %v", l.called(), result)
		}
		portal = moved
	}
	l.renamed.Store(&r.to)
	alias := conn.alias(l.net, r.to)
	if err := conn.host.AddAlias(ctx, alias, portal.MXID); err != nil {
		return err
	}
	if err := conn.host.SetCanonicalAlias(ctx, alias, portal.MXID); err != nil {
		return err
	}
	return l.net.login.QueueRemoteEvent(&simplevent.ChatInfoChange{
		EventMeta:      simplevent.EventMeta{Type: bridgev2.RemoteEventChatInfoChange, PortalKey: portal.PortalKey},
		ChatInfoChange: &bridgev2.ChatInfoChange{ChatInfo: &bridgev2.ChatInfo{Name: &r.to}},
	}).Error
}
