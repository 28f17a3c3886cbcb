package irc

import (
	"regexp"
	"strings"
	"time"
)

const (
	// identifyWait is how long the channels wait for NickServ, because some let in only who is logged in.
	identifyWait = 10 * time.Second
	// maxRegains bounds how often NickServ is asked for the nick, on one connection.
	maxRegains = 3
	// regainPause is what NickServ may take to free the nick, before it is asked for.
	regainPause = 3 * time.Second
)

// NickServ has no language but people's. These are the words of the services in use (Atheme, Anope, ergo and what they
// descend from).
var (
	identifiedText = regexp.MustCompile(`(?i)(you are now (identified|recognized|logged in)|password accepted|you're now logged in)`)
	wrongText      = regexp.MustCompile(`(?i)(invalid password|password incorrect|incorrect password|authentication failed|` +
		`is not (a )?registered|isn't registered|not a registered|access denied|too many (failed )?(attempts|invalid))`)
)

// afterWelcome logs in by NickServ where SASL has not done it, and has channels wait for it. It reports whether to wait.
func (c *client) afterWelcome() (wait bool) {
	now := time.Now()
	if c.leaving { // it may be for another login
		return true
	}
	if c.login.mech != nil {
		c.login.until = now.Add(saslTimeout) // a server that has not waited itself
		return true
	}
	if c.login.account != "" || c.login.tried || c.has("sasl") || !c.mayLogin(now) {
		if c.net.cfg.Auth.Required && c.login.account == "" && c.barred == "" {
			c.needLogin()
			return true
		}
		c.afterLogin()
		return false
	}
	if why := c.whyNoNickServ(); why != "" {
		c.cannotLogin(why)
		return c.sess == nil
	}
	c.login.tried = true
	c.identify(now)
	return true
}

// needLogin ends a connection to a network that is only for people who are logged in.
func (c *client) needLogin() {
	why := c.net.name + " is only for people who are logged in: use `!irc login`"
	c.net.tell(c.user, why)
	c.bar(why)
}

// whyNoNickServ is why a password is not told to NickServ, or empty.
func (c *client) whyNoNickServ() string {
	switch {
	case c.identity.mechanism != mechAuto && c.identity.mechanism != mechNickServ, c.identity.password == "":
		return c.net.name + " does not offer SASL"
	case c.net.cfg.Auth.NickServ == "":
		return c.net.name + " does not offer SASL, and it is not configured who NickServ is there"
	case c.identity.scram && c.identity.mechanism == mechAuto:
		return c.net.name + " could log you in before without being told your password, and does not offer that now; " +
			"if that is as it should be, log in again"
	case !c.private:
		return "the connection to " + c.net.name + " is not private, and the password would have to be sent as it is"
	case strings.ContainsAny(c.identity.password+c.accountName(), " \r\n\x00"):
		return "NickServ takes no password with spaces"
	}
	return ""
}

// identify tells NickServ the password. It goes past the queue, so that nothing that people send comes before it.
func (c *client) identify(now time.Time) {
	c.login.asked, c.login.until = true, now.Add(identifyWait)
	text := "IDENTIFY " + c.identity.password
	if account := c.accountName(); c.net.ids.fold.Fold(account) != c.net.ids.fold.Fold(c.nick) {
		text = "IDENTIFY " + account + " " + c.identity.password
	}
	c.first("PRIVMSG", c.net.cfg.Auth.NickServ, text)
}

// serviceNick is the nick of NickServ, without the host that may come after it.
func (c *client) serviceNick() string {
	nick, _, _ := strings.Cut(c.net.cfg.Auth.NickServ, "@")
	return nick
}

// isServiceTalk reports whether a line is between us and NickServ, and hears NickServ's answer to the password. Such lines are in
// no room: with echo-message, our own would show the password.
func (c *client) isServiceTalk(m message) bool {
	fold, service := c.net.ids.fold.Fold, c.serviceNick()
	if service == "" {
		return false
	}
	target, _, _ := strings.Cut(m.Params[0], "@")
	if c.isMe(m.Nick()) && fold(target) == fold(service) {
		return true
	}
	if fold(m.Nick()) != fold(service) || isChannel(m.Params[0]) {
		return false
	}
	hidden := c.login.asked
	c.heardNickServ(plainText(m.Params[1]))
	return hidden
}

// heardNickServ looks for the answer to the password.
func (c *client) heardNickServ(text string) {
	if !c.login.asked {
		return
	}
	switch {
	case identifiedText.MatchString(text):
		c.login.account = c.accountName()
		c.loggedIn()
	case wrongText.MatchString(text):
		c.loginFailed("NickServ says: " + text)
		c.joinAll()
	}
}

// afterLogin joins what has waited, and gets the nick back that belongs to the account.
func (c *client) afterLogin() {
	if c.phase != up {
		return
	}
	c.regain(time.Now())
	c.joinAll()
}

// regain has NickServ free our nick, which an earlier connection of ours may still have. Who is logged in need not say the
// password again.
func (c *client) regain(now time.Time) {
	if c.net.cfg.Auth.NickServ == "" || c.login.account == "" || c.nick == c.wantedNick() || c.login.regained >= maxRegains {
		return
	}
	c.login.regained++
	c.command("PRIVMSG", c.net.cfg.Auth.NickServ, c.net.cfg.Auth.Regain+" "+c.wantedNick())
	c.nextNick = now.Add(regainPause)
}

// joinAll joins the channels that are wanted, once nothing has to be waited for.
func (c *client) joinAll() {
	if c.phase != up || c.sess == nil {
		return
	}
	for _, m := range c.channels {
		c.join(m)
	}
}

// mayJoin reports whether channels need not wait for a login.
func (c *client) mayJoin() bool { return c.login.until.IsZero() }
