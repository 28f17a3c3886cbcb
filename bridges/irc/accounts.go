package irc

import (
	"context"
	"maps"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

const (
	// accountPrefix begins the ID of the ghost of an account: "NETWORK/account NAME". No nick has a space, so the ghost of a
	// nick never has such an ID, and nobody becomes somebody else by taking a nick.
	accountPrefix = "account "
	// maxGhostAccount bounds an account that becomes a ghost, in bytes; see maxNickBytes.
	maxGhostAccount = 48
	// whoWait is how long a list of who is in a channel waits for their accounts.
	whoWait = 30 * time.Second
	// whoToken marks our own questions. WHOX, field t.
	whoToken = "437"
)

// accountGhost is the ID of who is logged in to an account.
func (i ids) accountGhost(account string) networkid.UserID {
	return networkid.UserID(i.network + "/" + accountPrefix + i.fold.Fold(account))
}

// validAccount reports whether the name of an account can be a ghost. "*" and "0" are how IRC says that there is none.
func validAccount(account string) bool {
	return validNick(account) && len(account) <= maxGhostAccount && account != "*" && account != "0"
}

// validGhost reports whether what comes after the network in the ID of a ghost is a nick, an account, or our own nick.
func validGhost(name string) bool {
	if account, ok := strings.CutPrefix(name, accountPrefix); ok {
		return validAccount(account)
	}
	if nick, ok := strings.CutPrefix(name, ownPrefix); ok {
		return validNick(nick)
	}
	return validNick(name)
}

// tracksAccounts reports whether who has an account is known by it on this connection.
func (c *client) tracksAccounts() bool {
	return c.net.cfg.Auth.Ghosts == GhostsByAccount && (c.has("extended-join") || c.has("account-notify") || c.has("account-tag"))
}

// ghostAccount is the account that makes somebody's ghost, or empty where nicks do.
func (c *client) ghostAccount(o occupant) string {
	if !c.tracksAccounts() {
		return ""
	}
	return o.account
}

// accountOf is the account that a line says somebody has, or empty.
func accountOf(text string) string {
	if validAccount(text) {
		return text
	}
	return ""
}

// joinAccount is the account in a JOIN. IRCv3, "extended-join".
func (c *client) joinAccount(m message) string {
	if !c.has("extended-join") || len(m.Params) < 2 {
		return ""
	}
	return accountOf(m.Params[1])
}

// onAccount is somebody who has logged in or out. IRCv3, "account-notify".
func (c *client) onAccount(m message) {
	nick, account := m.Nick(), accountOf(m.Params[0])
	if c.isMe(nick) {
		c.login.account = account
		for _, ms := range c.channels {
			c.changeOwn(ms, func(o *occupant) { o.account = account })
		}
		return
	}
	for _, ms := range c.channels {
		if o, there := ms.names.get(c.net.ids.fold.Fold(nick)); there {
			c.learn(ms, o, account, sight(m, nil))
		}
	}
}

// noteTag learns the account of who says something. It comes before what they say in the stream. IRCv3, "account-tag"; without
// the tag, they have none. What is told of the past says nothing of the present.
func (c *client) noteTag(ms *membership, m message) {
	if c.replay != nil {
		c.notePastAccount(m)
		return
	}
	o, there := ms.names.get(c.net.ids.fold.Fold(m.Nick()))
	if !there || !c.has("account-tag") || m.HasTag("batch") {
		return
	}
	_, text := m.GetTag("account")
	c.learn(ms, o, accountOf(text), sighting[*client, item]{key: "account-tag\x00" + m.Source + "\x00" + text})
}

// learn notes the account of somebody in a channel, and has the room show it if it is news.
func (c *client) learn(ms *membership, o occupant, account string, s sighting[*client, item]) {
	if o.account == account {
		return
	}
	o.account = account
	ms.names.set(c.net.ids.fold.Fold(o.nick), o)
	if o.puppet != nil || !validNick(o.nick) || !c.tracksAccounts() {
		return
	}
	s.item = &accountItem{nick: o.nick, account: account}
	c.observe(ms, s)
}

// putList gives the room the list of who is in a channel: at once, or when their accounts have come, if the network can be
// asked for them.
func (c *client) putList(ms *membership) {
	if !c.tracksAccounts() || !c.isupport.whox {
		c.showList(ms)
		return
	}
	if ms.askedWho.IsZero() {
		ms.askedWho = time.Now()
		c.command("WHO", ms.name, "%tcna,"+whoToken)
	}
}

// showList gives the room the list, and the topic after those who may have set it.
func (c *client) showList(ms *membership) {
	ms.ch.put(ms.list(c))
	c.putTopic(ms)
}

// onWhoX is RPL_WHOSPCRPL. Its second parameter tells which question of ours it answers.
func (c *client) onWhoX(m message) {
	switch m.Params[1] {
	case whoToken:
		c.onWhoAccount(m)
	case findToken:
		c.onWhoFound(m)
	}
}

// onWhoAccount is: me, token, channel, nick, account.
func (c *client) onWhoAccount(m message) {
	ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[2])]
	if !ok {
		return
	}
	key := c.net.ids.fold.Fold(m.Params[3])
	if o, there := ms.names.get(key); there {
		o.account = accountOf(m.Params[4])
		ms.names.set(key, o)
	}
}

// onEndOfWho is RPL_ENDOFWHO: me, channel.
func (c *client) onEndOfWho(m message) {
	if ms, ok := c.channels[c.net.ids.fold.Fold(m.Params[1])]; ok {
		c.endWho(ms)
	}
}

// endWho gives the room the list that has waited for accounts.
func (c *client) endWho(ms *membership) {
	if ms.askedWho.IsZero() {
		return
	}
	ms.askedWho = time.Time{}
	if ms.state == joined && ms.ch.leads(c) {
		c.showList(ms)
	}
}

// checkWho is what tick does for accounts that do not come.
func (c *client) checkWho(now time.Time) {
	for _, ms := range c.channels {
		if !ms.askedWho.IsZero() && now.Sub(ms.askedWho) >= whoWait {
			c.endWho(ms)
		}
	}
}

// ghostID is whose ghost a nick in the channel is: that of the account, where there is one.
func (l *lane) ghostID(nick string) networkid.UserID {
	if ghost, ok := l.directGhost(); ok {
		return ghost
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if account := l.accounts[l.net.ids.fold.Fold(nick)].account; account != "" {
		return l.net.ids.accountGhost(account)
	}
	return l.net.ids.ghost(nick)
}

// known is a nick in a channel whose account is known.
type known struct{ nick, account string }

// know notes the account of a nick; the empty one is none.
func (l *lane) know(nick, account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.net.ids.fold.Fold(nick)
	if account == "" {
		delete(l.accounts, key)
		return
	}
	if l.accounts == nil {
		l.accounts = map[string]known{}
	}
	l.accounts[key] = known{nick, account}
}

// knowAll forgets what was known before, but of those who are away behind a netsplit.
func (l *lane) knowAll(accounts map[string]string, away map[string]splitAway) {
	l.mu.Lock()
	maps.DeleteFunc(l.accounts, func(key string, _ known) bool {
		_, split := away[key]
		return !split
	})
	l.mu.Unlock()
	for nick, account := range accounts {
		l.know(nick, account)
	}
}

// rename moves an account to another nick.
func (l *lane) rename(from, to string) {
	l.mu.Lock()
	k, there := l.accounts[l.net.ids.fold.Fold(from)]
	l.mu.Unlock()
	if there {
		l.know(from, "")
		l.know(to, k.account)
	}
}

// nicksOf are the nicks in the channel of a ghost.
func (l *lane) nicksOf(ghost networkid.UserID) []string {
	_, name, _ := splitID(string(ghost))
	account, isAccount := strings.CutPrefix(name, accountPrefix)
	if !isAccount {
		return []string{name}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var nicks []string
	for k := range maps.Values(l.accounts) {
		if l.net.ids.fold.Fold(k.account) == account {
			nicks = append(nicks, k.nick)
		}
	}
	return nicks
}

// shared reports whether a nick's ghost is also that of another nick in the channel.
func (l *lane) shared(nick string) bool {
	for _, other := range l.nicksOf(l.ghostID(nick)) {
		if l.net.ids.fold.Fold(other) != l.net.ids.fold.Fold(nick) {
			return true
		}
	}
	return false
}

// namedElse reports whether a ghost may keep a name that is not this nick: that of an account does when somebody speaks
// (comes is false), because the same account may be in other channels by other nicks, and when another nick of it is here.
func (l *lane) namedElse(ghost networkid.UserID, name, nick string, comes bool) bool {
	if name == "" || ghost == l.net.ids.ghost(nick) {
		return false
	}
	if !comes {
		return true
	}
	for _, other := range l.nicksOf(ghost) {
		if other == name && other != nick {
			return true
		}
	}
	return false
}

// accountItem is somebody in the channel who has logged in or out, or of whom we hear it. Who they are on Matrix changes.
type accountItem struct {
	nick, account string
	before        networkid.UserID // set by the first try
	stays         bool             // before is also somebody else in the channel
}

func (a *accountItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	if a.before == "" {
		a.before, a.stays = l.ghostID(a.nick), l.shared(a.nick)
		l.know(a.nick, a.account)
		l.moveRank(a.nick, a.before)
	}
	if a.before == l.ghostID(a.nick) {
		return nil
	}
	if there, err := l.isIn(ctx, portal, a.before); err != nil || !there && l.net.shows(l.called()) != showAll {
		return err
	}
	if err := l.enter(ctx, portal, a.nick); err != nil || a.stays {
		return err
	}
	reason := "has logged out on IRC"
	if a.account != "" {
		reason = "is logged in on IRC as " + a.account
	}
	return l.leaveAs(ctx, portal, a.before, a.nick, reason)
}
