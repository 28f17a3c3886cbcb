package irc

import (
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/ergochat/irc-go/ircutils"
	"maunium.net/go/mautrix/bridgev2/status"
)

const (
	// maxSASLBytes bounds what a server may send for one step of an authentication.
	maxSASLBytes = 8192
	// saslTimeout is how long an authentication may take after the registration; during it, registerTimeout counts.
	saslTimeout = 30 * time.Second
	// maxLoginFailures is how often a password is tried that the network refuses; then its user has to do something.
	maxLoginFailures = 3
	// loginRetry is the least pause between these: services that are away for a moment refuse too.
	loginRetry = time.Hour
)

// login is how far a client is with logging in.
type login struct {
	account string   // that we are logged in to, or empty
	mech    saslMech // at work, or nil
	wait    []string // mechanisms to try after it, best first
	buffer  *ircutils.SASLBuffer
	until   time.Time // the end of what is at work after the registration
	asked   bool      // NickServ has been told the password, and has not answered

	tried    bool // something was tried on this connection
	refused  bool // the network has refused what we have
	failures int  // in a row
	retry    time.Time
	told     string // what its user was told last about logging in
	regained int    // attempts to get the nick back, on this connection
	result   chan<- error
}

// renew is for a new connection.
func (l *login) renew() {
	l.account, l.mech, l.wait, l.until, l.asked, l.tried, l.regained = "", nil, nil, time.Time{}, false, false, 0
}

// abandon gives up logging in on a connection that ends: what is said of it there says nothing of what is tried on the next.
func (l *login) abandon() {
	l.mech, l.wait, l.until, l.asked, l.tried = nil, nil, time.Time{}, false, true
}

// wantsSASL is the condition of the capability.
func (c *client) wantsSASL() bool {
	return c.identity.mechanism != mechNickServ && c.mayLogin(time.Now())
}

// mayLogin reports whether there is something to log in with that is not known to be wrong.
func (c *client) mayLogin(now time.Time) bool {
	if !c.identity.hasLogin() {
		return false
	}
	return !c.login.refused || c.login.failures < maxLoginFailures && !now.Before(c.login.retry)
}

// isPrivate reports whether a password may go over a connection as it is: nobody else can read it or answer in the
// server's place.
func (c *client) isPrivate(conn net.Conn) bool {
	if isSecure(conn) && !c.net.cfg.TLSInsecure || c.net.cfg.Auth.Plaintext {
		return true
	}
	addr, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback() && c.net.cfg.Dial.SOCKS5 == ""
}

// mechanisms are what can be tried, best first; if there is none, why tells why in words for the user.
func (c *client) mechanisms() (names []string, why string) {
	offered := c.caps.offered["sasl"]
	offers := func(name string) bool {
		return offered == "" || slices.Contains(strings.Split(strings.ToUpper(offered), ","), name)
	}
	wants := func(mechanism string) bool {
		return c.identity.mechanism == mechAuto || c.identity.mechanism == mechanism
	}
	secure := isSecure(c.sess.conn)
	if wants(mechExternal) && c.identity.certificate != nil && secure && offers("EXTERNAL") {
		names = append(names, "EXTERNAL")
	}
	if c.identity.password == "" {
		return names, c.net.name + " does not offer logging in by certificate (SASL EXTERNAL)"
	}
	if wants(mechSCRAM) && offers("SCRAM-SHA-256") {
		names = append(names, "SCRAM-SHA-256")
	}
	switch {
	case !wants(mechPlain) || !offers("PLAIN"):
		why = c.net.name + " offers none of the ways to log in that are allowed here (it offers " + plainText(offered) + ")"
	case !c.private:
		why = "the connection to " + c.net.name + " is not private, and the password would have to be sent as it is"
	case c.identity.scram && c.identity.mechanism == mechAuto:
		why = c.net.name + " could log you in before without being told your password (SCRAM-SHA-256) and now asks for it; " +
			"if that is as it should be, log in again"
	default:
		names = append(names, "PLAIN")
	}
	return names, why
}

// startSASL begins when the capability is on.
func (c *client) startSASL() {
	if c.login.mech != nil || c.login.account != "" || c.login.tried || !c.wantsSASL() {
		return
	}
	names, why := c.mechanisms()
	if len(names) == 0 {
		c.cannotLogin(why)
		return
	}
	c.login.tried = true
	c.login.wait = names
	c.nextMechanism()
}

// nextMechanism tries the best one that is left.
func (c *client) nextMechanism() {
	name := c.login.wait[0]
	c.login.wait = c.login.wait[1:]
	account := c.accountName()
	switch name {
	case "EXTERNAL":
		c.login.mech = &external{}
	case "SCRAM-SHA-256":
		c.login.mech = newSCRAM(account, c.identity.password)
	case "PLAIN":
		c.login.mech = &plain{user: account, password: c.identity.password}
	}
	c.login.buffer = ircutils.NewSASLBuffer(maxSASLBytes)
	c.login.until = time.Now().Add(saslTimeout)
	c.first("AUTHENTICATE", name)
}

// accountName is the account to log in to.
func (c *client) accountName() string {
	if c.identity.account != "" {
		return c.identity.account
	}
	return c.wantedNick()
}

// onAuthenticate takes a piece of a challenge.
func (c *client) onAuthenticate(m message) {
	if c.login.mech == nil {
		return
	}
	done, challenge, err := c.login.buffer.Add(m.Params[0])
	if err == nil && !done {
		return
	}
	var answer []byte
	if err == nil {
		answer, err = c.login.mech.next(challenge)
	}
	if err != nil {
		c.first("AUTHENTICATE", "*")
		c.disbelieve(err)
		return
	}
	for _, piece := range ircutils.EncodeSASLResponse(answer) {
		c.first("AUTHENTICATE", piece)
	}
}

// disbelieve ends an authentication with a server that is not what it should be. Nothing else is tried with it.
func (c *client) disbelieve(err error) {
	c.login.mech, c.login.wait = nil, nil
	c.loginFailed(err.Error())
	if errors.Is(err, errSCRAMServer) {
		c.bar("the server could not show that it is the one you have an account with")
		return
	}
	c.settleCaps()
}

// onLoggedIn is RPL_LOGGEDIN: nick, mask, account. It comes also when NickServ has been told the password.
func (c *client) onLoggedIn(m message) {
	if c.leaving {
		return
	}
	c.login.account = m.Params[2]
	if c.login.mech == nil {
		c.loggedIn()
	}
}

// onLoggedOut is RPL_LOGGEDOUT.
func (c *client) onLoggedOut(message) { c.login.account = "" }

// onSASLSuccess is RPL_SASLSUCCESS. SCRAM's server must have proved more than that it can say so.
func (c *client) onSASLSuccess(message) {
	mech := c.login.mech
	if mech == nil {
		return
	}
	if err := mech.proved(); err != nil {
		c.disbelieve(err)
		return
	}
	c.login.mech = nil
	if mech.name() == "SCRAM-SHA-256" && !c.identity.scram {
		c.identity.scram = true
		c.save(func(meta *loginMeta) { meta.SCRAM = true })
	}
	if c.login.account == "" {
		c.login.account = c.accountName()
	}
	c.loggedIn()
	c.settleCaps()
}

// loggedIn is what follows a login by any way.
func (c *client) loggedIn() {
	c.login.until, c.login.asked = time.Time{}, false
	c.login.refused, c.login.failures, c.login.told = false, 0, ""
	c.log.Info().Str("account", plainText(c.login.account)).Msg("logged in")
	c.verdict(nil)
	c.afterLogin()
}

// onSASLMechs is RPL_SASLMECHS: nick, mechanisms. ERR_SASLFAIL follows.
func (c *client) onSASLMechs(m message) {
	offered := strings.Split(strings.ToUpper(m.Params[1]), ",")
	c.login.wait = slices.DeleteFunc(c.login.wait, func(name string) bool { return !slices.Contains(offered, name) })
}

// onSASLFail is ERR_SASLFAIL and its like. Another mechanism is tried only when the server has refused this one as such: one
// that has seen an answer made of the password knows whether it is right, and one that only says so in order to be told the
// password as it is gets nothing.
func (c *client) onSASLFail(m message) {
	mech := c.login.mech
	if mech == nil {
		return
	}
	c.login.mech = nil
	if !mech.secretSent() && len(c.login.wait) > 0 {
		c.nextMechanism()
		return
	}
	c.login.wait = nil
	c.loginFailed(c.net.name + " says: " + plainText(last(m)))
	c.settleCaps()
}

// onSASLAlready is ERR_SASLALREADY.
func (c *client) onSASLAlready(message) {
	if c.login.mech == nil {
		return
	}
	c.login.mech = nil
	c.settleCaps()
}

// loginFailed tells the user, and sees to it that a password that is wrong is not tried for ever: networks ban for
// that. Without a login the connection goes on, unless the network wants one.
func (c *client) loginFailed(why string) {
	c.login.refused, c.login.retry = true, time.Now().Add(loginRetry)
	c.login.failures++
	c.cannotLogin(why)
}

// cannotLogin is loginFailed when the password has not been tried.
func (c *client) cannotLogin(why string) {
	why = c.clean(why)
	c.login.account, c.login.until, c.login.asked = "", time.Time{}, false
	c.log.Warn().Int("failures", c.login.failures).Msg("not logged in")
	c.tellState(status.BridgeState{
		StateEvent: status.StateBadCredentials, Error: "irc-login-failed", Message: why,
	})
	switch {
	case c.login.result != nil:
		c.verdict(failure("you could not be logged in: %s", why))
	case c.login.told != why:
		c.net.tell(c.user, "You could not be logged in to "+c.net.name+": "+why+". Use `!irc login` to change what is stored.")
	}
	c.login.told = why
	if c.net.cfg.Auth.Required {
		c.bar("this network is only for people who are logged in, and you could not be: " + why)
	}
}

// clean takes passwords out of what a server says, which is shown in rooms and logs.
func (c *client) clean(text string) string {
	for _, secret := range []string{c.identity.password, c.net.cfg.WebIRC.Password, c.net.cfg.Password} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return text
}

// bar ends the connection until its user does something.
func (c *client) bar(why string) {
	c.barred = why
	c.refuse(why)
	if c.sess != nil {
		c.leaving = false
		c.lost(failure("%s", why))
	}
}

// checkLogin is what tick does for a login that takes too long.
func (c *client) checkLogin(now time.Time) {
	if c.phase != up || c.login.until.IsZero() || now.Before(c.login.until) {
		return
	}
	c.login.until = time.Time{}
	if c.login.mech != nil || c.login.asked {
		c.login.mech = nil
		c.loginFailed("there was no answer")
	}
	c.joinAll()
}
