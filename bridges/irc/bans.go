package irc

import (
	"context"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
)

const (
	// findToken marks our question in RPL_WHOSPCRPL, and findFields says what is asked for: the token, channel, user,
	// host, nick and account, which come in this order.
	findToken  = "73"
	findFields = "%tcuhna," + findToken
	// maxFound bounds those who were looked up.
	maxFound = 64
)

// found is what WHO says of somebody.
type found struct{ userHost, account string }

// onWho is RPL_WHOREPLY: channel, user, host, server, nick, flags.
func (c *client) onWho(m message) {
	c.noteFound(m.Params[5], found{userHost: m.Params[2] + "@" + m.Params[3]})
}

// onWhoFound is RPL_WHOSPCRPL, as asked for by findFields.
func (c *client) onWhoFound(m message) {
	if len(m.Params) < 7 {
		return
	}
	c.noteFound(m.Params[5], found{userHost: m.Params[3] + "@" + m.Params[4], account: accountOf(m.Params[6])})
}

// noteFound takes note of the host and account of a nick.
func (c *client) noteFound(nick string, f found) {
	key := c.net.ids.fold.Fold(nick)
	for _, ms := range c.channels {
		if o, there := ms.names.get(key); there {
			o.userHost = f.userHost
			known := o.account
			if f.account != "" {
				o.account = f.account
			}
			ms.names.set(key, o)
			if o.account != known && o.puppet == nil && c.tracksAccounts() && ms.state == joined && ms.ch.leads(c) {
				ms.ch.put(&accountItem{nick: o.nick, account: o.account})
			}
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
		return []string{"WHO " + nick + " " + findFields}
	}
	return []string{"WHO " + nick}
}

// whois is what is known of a nick.
func (c *client) whois(m *membership, nick string) found {
	key := c.net.ids.fold.Fold(nick)
	if o, there := m.names.get(key); there {
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
	who := a.culprit(msg.Portal, ghost)
	if len(who.nicks) == 0 && who.account == "" {
		return shown(failure("%q is no nick", who.name))
	}
	key := a.banKey(msg.Portal, ghost.ID)
	var masks []string
	reason := a.wordsFor(msg.Portal, msg.Content.Reason)
	s := &send{verb: "MODE"}
	s.ask = func(c *client, m *membership) []string { return who.lookUp(c, m) }
	s.plan = func(c *client, m *membership) (lines []string) {
		masks = nil
		for _, mine := range who.masks(c, m) {
			if !slices.Contains(masks, mine[0]) {
				masks = append(masks, mine[0])
			}
		}
		for _, mask := range masks {
			lines = append(lines, "MODE "+m.name+" +b "+mask)
		}
		for _, nick := range who.nicks {
			if _, there := m.names.get(c.net.ids.fold.Fold(nick)); there {
				lines = append(lines, "KICK "+m.name+" "+nick+" :"+c.charset().cut(reason, c.room("KICK", m.name+" "+nick)))
			}
		}
		return lines
	}
	return a.submit(ctx, msg.Portal, msg.Event, s, func(ctx context.Context, err error) {
		if err == nil && len(masks) == 0 {
			err = failure("%s is not on the channel, and %s has no bans of accounts", who.name, a.net.name)
		}
		if err == nil {
			a.connector.br.DB.KV.Set(ctx, key, strings.Join(masks, " "))
			return
		}
		lane := a.laneOf(s)
		lane.put(noticeItem{text: who.name + " was not banned on IRC: " + err.Error(), to: a.login.UserMXID})
		lane.put(pardonItem{ghost: ghost.ID})
	})
}

// culprit is whom a ban or its end is about: the nick of a ghost, or an account with the nicks in the channel that are
// known to have it.
type culprit struct {
	name    string // for people
	nicks   []string
	account string
}

func (a *account) culprit(portal *bridgev2.Portal, ghost *bridgev2.Ghost) culprit {
	_, name, _ := splitID(string(ghost.ID))
	account, _ := strings.CutPrefix(name, accountPrefix)
	if account == name {
		account = ""
	}
	who := culprit{name: strings.TrimPrefix(name, accountPrefix), account: account}
	for _, nick := range a.channelOf(portal).lane.nicksOf(ghost.ID) {
		if validNick(nick) {
			who.nicks = append(who.nicks, nick)
		}
	}
	return who
}

// lookUp asks who the nicks are.
func (w culprit) lookUp(c *client, m *membership) (lines []string) {
	for _, nick := range w.nicks {
		lines = append(lines, c.lookUp(m, nick)...)
	}
	return lines
}

// masks are the entries that are about each nick, or about the account alone when none of it is there.
func (w culprit) masks(c *client, m *membership) (masks [][]string) {
	for _, nick := range w.nicks {
		masks = append(masks, c.banMasks(m, nick))
	}
	if mask := c.isupport.accountBan(w.account); mask != "" && len(masks) == 0 {
		masks = append(masks, []string{mask})
	}
	return masks
}

// banKey is where the masks are kept by which a ghost was banned, with spaces between them.
func (a *account) banKey(portal *bridgev2.Portal, ghost networkid.UserID) database.Key {
	_, name, _ := splitID(string(ghost))
	return database.Key("irc-ban/" + string(portal.ID) + "/" + name)
}

// unbanGhost takes away the bans that are about a ghost alone, after a person on Matrix has unbanned it. Wider ones, which
// somebody on IRC has set, stay.
func (a *account) unbanGhost(ctx context.Context, msg *bridgev2.MatrixMembershipChange, ghost *bridgev2.Ghost) error {
	who := a.culprit(msg.Portal, ghost)
	if len(who.nicks) == 0 && who.account == "" {
		return nil
	}
	key := a.banKey(msg.Portal, ghost.ID)
	stored := strings.Fields(a.connector.br.DB.KV.Get(ctx, key))
	s := &send{verb: "MODE"}
	s.ask = func(c *client, m *membership) []string { return append(who.lookUp(c, m), "MODE "+m.name+" b") }
	s.plan = func(c *client, m *membership) (lines []string) {
		masks := append(slices.Concat(who.masks(c, m)...), stored...)
		var list []change
		for _, mask := range m.lists['b'] {
			if slices.ContainsFunc(masks, func(ours string) bool { return c.isupport.sameEntry('b', ours, mask) }) {
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
		a.laneOf(s).put(noticeItem{text: who.name + " was not unbanned on IRC: " + err.Error(), to: a.login.UserMXID})
	})
}

// pardonItem lets a ghost in again that was thrown out of the room but not of the channel.
type pardonItem struct{ ghost networkid.UserID }

func (p pardonItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	user := l.net.conn.br.Matrix.FormatGhostMXID(p.ghost)
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
	go l.channel().resync()
	return nil
}
