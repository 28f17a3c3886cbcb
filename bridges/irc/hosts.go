package irc

import "strings"

// The user names and hosts of people change while they are there: a cloak, or a login to services. What goes out is cut by our own
// (split.go), and bans are about those of all.

// onHost is the host that others see from now on, sometimes with the user name.
func (c *client) onHost(m message) {
	host := m.Params[1]
	if user, _, ok := strings.Cut(c.userHost, "@"); ok && !strings.Contains(host, "@") {
		c.userHost = user + "@" + host
	} else if strings.Contains(host, "@") {
		c.userHost = host
	}
	c.maskChanged()
	c.tellMask()
}

// onChghost is a new user name and host of somebody, without QUIT and JOIN. IRCv3, "chghost".
func (c *client) onChghost(m message) {
	if c.replay != nil {
		return // it is the host of the past
	}
	nick, userHost := m.Nick(), m.Params[0]+"@"+m.Params[1]
	key := c.net.ids.fold.Fold(nick)
	for _, ms := range c.channels {
		if o, there := ms.names.get(key); there {
			o.userHost = userHost
			ms.names.set(key, o)
		}
	}
	if c.isMe(nick) {
		c.userHost = userHost
		c.showNick(c.nick)
		c.tellMask()
		return
	}
	if f, looked := c.found[key]; looked {
		f.userHost = userHost
		c.found[key] = f
	}
	if ms := c.directOf(nick); ms != nil && ms.direct.userHost != "" && m.Source == nick+"!"+ms.direct.userHost {
		ms.direct.userHost = userHost
	}
}

// tellMask has the rooms know by what nick, user name and host bans are about us now. Our rank is told by who leads.
func (c *client) tellMask() {
	for _, ms := range c.channels {
		if ms.state != joined || ms.direct != nil {
			continue
		}
		own := c.ownStand(ms)
		own.unranked = true
		ms.ch.put(modesItem{stands: []stand{own}})
	}
}
