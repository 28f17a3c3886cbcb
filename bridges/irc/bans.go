package irc

import (
	"context"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
)

const (
	// whoToken marks our question in RPL_WHOSPCRPL, and whoFields says what is asked for: the token, channel, user,
	// host, nick and account, which come in this order.
	whoToken  = "73"
	whoFields = "%tcuhna," + whoToken
	// maxFound bounds those who were looked up.
	maxFound = 64
)

// found is what WHO says of somebody.
type found struct{ userHost, account string }

// onWho is RPL_WHOREPLY: channel, user, host, server, nick, flags.
func (c *client) onWho(m message) {
	c.learn(m.Params[5], found{userHost: m.Params[2] + "@" + m.Params[3]})
}

// onWhoX is RPL_WHOSPCRPL, as asked for by whoFields. An account of 0 is none.
func (c *client) onWhoX(m message) {
	if m.Params[1] != whoToken {
		return
	}
	f := found{userHost: m.Params[3] + "@" + m.Params[4]}
	if m.Params[6] != "0" {
		f.account = m.Params[6]
	}
	c.learn(m.Params[5], f)
}

// learn takes note of the host and account of a nick.
func (c *client) learn(nick string, f found) {
	key := c.net.ids.fold.Fold(nick)
	for _, ms := range c.channels {
		if o, there := ms.names[key]; there {
			o.userHost = f.userHost
			if f.account != "" {
				o.account = f.account
			}
			ms.names[key] = o
		}
	}
	if len(c.found) >= maxFound || c.found == nil {
		c.found = map[string]found{}
	}
	c.found[key] = f
}

// lookUp asks who a nick is, if that is not known.
func (c *client) lookUp(m *membership, nick string) []string {
	if f := c.whois(m, nick); f.userHost != "" || !validNick(nick) || c.isMe(nick) {
		return nil
	}
	if c.isupport.whox {
		return []string{"WHO " + nick + " " + whoFields}
	}
	return []string{"WHO " + nick}
}

// whois is what is known of a nick.
func (c *client) whois(m *membership, nick string) found {
	key := c.net.ids.fold.Fold(nick)
	if o, there := m.names[key]; there {
		return found{userHost: o.userHost, account: o.account}
	}
	return c.found[key]
}

// banMasks are the entries that are about a nick and nobody else, the best one first: by account, by host, by nick.
func (c *client) banMasks(m *membership, nick string) []string {
	f := c.whois(m, nick)
	if c.isMe(nick) {
		f.userHost = c.userHost
	}
	var masks []string
	if byAccount := c.isupport.accountBan(f.account); byAccount != "" {
		masks = append(masks, byAccount)
	}
	user, host, _ := strings.Cut(f.userHost, "@")
	_, own, _ := strings.Cut(c.userHost, "@")
	switch {
	case host == "" || strings.ContainsAny(f.userHost, " ,:*?"):
	case host == own:
		// The host of the bridge, or of a gateway: a ban of it would be one of all who come from there.
		masks = append(masks, nick+"!*@"+host)
	default:
		masks = append(masks, "*!*@"+host, nick+"!*@"+host, "*!"+user+"@"+host)
	}
	return append(masks, nick+"!*@*")
}

// banGhost bans somebody from the channel whom a person on Matrix has banned from the room.
func (a *account) banGhost(ctx context.Context, msg *bridgev2.MatrixMembershipChange, ghost *bridgev2.Ghost) error {
	_, nick, _ := splitID(string(ghost.ID))
	if !validNick(nick) {
		return shown(failure("%q is no nick", nick))
	}
	key := a.banKey(msg.Portal, nick)
	mask, reason := "", oneLine(msg.Content.Reason)
	s := &send{verb: "MODE", nick: nick}
	s.ask = func(c *client, m *membership) []string { return c.lookUp(m, nick) }
	s.plan = func(c *client, m *membership) []string {
		mask = c.banMasks(m, nick)[0]
		lines := []string{"MODE " + m.name + " +b " + mask}
		if _, there := m.names[c.net.ids.fold.Fold(nick)]; there {
			lines = append(lines, "KICK "+m.name+" "+nick+" :"+cut(reason, room(c.nick, c.userHost, "KICK", m.name+" "+nick)))
		}
		return lines
	}
	return a.submit(ctx, msg.Portal, msg.Event, s, func(ctx context.Context, err error) {
		if err == nil {
			a.connector.br.DB.KV.Set(ctx, key, mask)
			return
		}
		lane := a.net.channel(s.channel).lane
		lane.put(noticeItem{text: nick + " was not banned on IRC: " + err.Error(), to: a.login.UserMXID})
		lane.put(pardonItem{nick: nick})
	})
}

// banKey is where the mask is kept by which somebody was banned.
func (a *account) banKey(portal *bridgev2.Portal, nick string) database.Key {
	return database.Key("irc-ban/" + string(portal.ID) + "/" + a.net.cfg.Casemapping.Fold(nick))
}

// unbanGhost takes away the bans that are about a ghost alone, after a person on Matrix has unbanned it. Wider ones, which
// somebody on IRC has set, stay.
func (a *account) unbanGhost(ctx context.Context, msg *bridgev2.MatrixMembershipChange, ghost *bridgev2.Ghost) error {
	_, nick, _ := splitID(string(ghost.ID))
	if !validNick(nick) {
		return nil
	}
	key := a.banKey(msg.Portal, nick)
	stored := a.connector.br.DB.KV.Get(ctx, key)
	s := &send{verb: "MODE", nick: nick}
	s.ask = func(c *client, m *membership) []string { return append(c.lookUp(m, nick), "MODE "+m.name+" b") }
	s.plan = func(c *client, m *membership) (lines []string) {
		masks := append(c.banMasks(m, nick), stored)
		var list []change
		for _, mask := range m.lists['b'] {
			if slices.ContainsFunc(masks, func(ours string) bool { return strings.EqualFold(ours, mask) }) {
				list = append(list, change{mode: 'b', arg: mask, list: true})
			}
		}
		for _, line := range c.isupport.modeLines(list) {
			lines = append(lines, "MODE "+m.name+" "+line)
		}
		return lines
	}
	return a.submit(ctx, msg.Portal, msg.Event, s, func(ctx context.Context, err error) {
		if err == nil {
			a.connector.br.DB.KV.Delete(ctx, key)
			return
		}
		a.net.channel(s.channel).lane.put(noticeItem{text: nick + " was not unbanned on IRC: " + err.Error(), to: a.login.UserMXID})
	})
}

// pardonItem lets somebody in again who was thrown out of the room but not of the channel.
type pardonItem struct{ nick string }

func (p pardonItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	user := l.net.conn.br.Matrix.FormatGhostMXID(l.net.ids.ghost(p.nick))
	member, err := l.net.conn.br.Matrix.GetMemberInfo(ctx, portal.MXID, user)
	if err != nil {
		return err
	}
	if member != nil && member.Membership == event.MembershipBan {
		if err := l.net.conn.host.Unban(ctx, portal.MXID, user, "not banned on IRC"); err != nil {
			return err
		}
	}
	if err := l.net.conn.host.ForgetMembership(ctx, portal.MXID, user); err != nil {
		return err
	}
	// Who is on the channel comes back with the list. In a goroutine, because who holds the channel may wait for us.
	go l.net.channel(l.called()).resync()
	return nil
}
