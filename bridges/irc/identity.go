package irc

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"
)

// Values of loginMeta.Mechanism.
const (
	mechAuto     = "auto"
	mechSCRAM    = "scram-sha-256"
	mechPlain    = "plain"
	mechExternal = "external"
	mechNickServ = "nickserv"
)

// loginMeta is what is stored with a login, beside what bridgev2 stores itself. Password and Certificate are sealed by
// the vault. A loginMeta that a login has is not changed any more: Connector.change replaces it.
type loginMeta struct {
	// Nick is what the user wants to be called; empty means the template of the network.
	Nick string `json:"nick,omitempty"`
	// Account is the name of the user's account on the network.
	Account string `json:"account,omitempty"`
	// Mechanism is how to log in; empty means not at all.
	Mechanism string `json:"mechanism,omitempty"`
	Password  string `json:"password,omitempty"`
	// Certificate is a PEM certificate with its key.
	Certificate string `json:"certificate,omitempty"`
	// SCRAM tells that the network has shown once that it can do SCRAM, so that a server that offers less is not given the
	// password itself.
	SCRAM bool `json:"scram,omitempty"`
	// SpokeTS is about when the user last said something, ms.
	SpokeTS int64 `json:"spoke_ts,omitempty"`
	// STS is the network's policy; with the login of the network itself only.
	STS *stsPolicy `json:"sts,omitempty"`
}

// sameSecrets reports whether both log in as the same.
func (m loginMeta) sameSecrets(other loginMeta) bool {
	return m.Nick == other.Nick && m.Account == other.Account && m.Mechanism == other.Mechanism &&
		m.Password == other.Password && m.Certificate == other.Certificate
}

// identity is who a client is to be on its network: loginMeta with its secrets open.
type identity struct {
	nick, account, mechanism, password string
	certificate                        *tls.Certificate
	scram                              bool
	spoke                              time.Time
}

// hasLogin reports whether there is something to log in with.
func (i identity) hasLogin() bool {
	return i.mechanism != "" && (i.password != "" || i.certificate != nil)
}

// meta returns what is stored with a login, as a copy.
func (c *Connector) meta(login *bridgev2.UserLogin) loginMeta {
	c.metaMu.Lock()
	defer c.metaMu.Unlock()
	if meta, ok := login.Metadata.(*loginMeta); ok && meta != nil {
		return *meta
	}
	return loginMeta{}
}

// change stores a change of what belongs to a login.
func (c *Connector) change(ctx context.Context, login *bridgev2.UserLogin, f func(meta *loginMeta)) error {
	c.metaMu.Lock()
	defer c.metaMu.Unlock()
	next := &loginMeta{}
	if meta, ok := login.Metadata.(*loginMeta); ok && meta != nil {
		*next = *meta
	}
	f(next)
	before := login.Metadata
	login.Metadata = next
	if err := login.Save(ctx); err != nil {
		login.Metadata = before
		return err
	}
	return nil
}

// open makes an identity of what is stored with a login. With the error, which is about secrets that do not open, the
// rest still holds.
func (c *Connector) open(login *bridgev2.UserLogin) (identity, error) {
	meta := c.meta(login)
	i := identity{nick: meta.Nick, account: meta.Account, mechanism: meta.Mechanism, scram: meta.SCRAM}
	if meta.SpokeTS > 0 {
		i.spoke = time.UnixMilli(meta.SpokeTS)
	}
	if meta.Password == "" && meta.Certificate == "" {
		return i, nil
	}
	var err, err2 error
	i.password, err = c.vault.open(login.ID, "password", meta.Password)
	pair, err2 := c.vault.open(login.ID, "certificate", meta.Certificate)
	if err2 == nil && pair != "" {
		i.certificate, err2 = parsePair(pair)
	}
	return i, errors.Join(err, err2)
}

// identityOf is network.identity.
func (n *network) identityOf(user id.UserID) identity {
	if n.conn.br == nil {
		return identity{} // in tests without bridgev2
	}
	if n.isBot(user) {
		return n.cfg.Relay.identity()
	}
	login := n.conn.br.GetCachedUserLoginByID(loginID(n.name, user))
	if login == nil {
		return identity{}
	}
	i, err := n.conn.open(login)
	if err != nil {
		login.Log.Err(err).Msg("open what is stored for a login")
		n.tell(user, "Your password or certificate for "+n.name+" cannot be read any more; log in again.")
	}
	return i
}

// save stores a change of the client's login, after a while.
func (c *client) save(f func(meta *loginMeta)) {
	c.net.conn.later(func(ctx context.Context) {
		login := c.net.conn.br.GetCachedUserLoginByID(loginID(c.net.name, c.user))
		if login == nil {
			return
		}
		if err := c.net.conn.change(ctx, login, f); err != nil {
			c.log.Err(err).Msg("store a change of a login")
		}
	})
}

// identityRequest gives a client another identity. result, which has room for one, hears how logging in went: nil also
// when there is nothing to log in to now.
type identityRequest struct {
	identity identity
	result   chan<- error
}

func (r identityRequest) apply(c *client) {
	before := c.identity
	c.identity = r.identity
	if c.identity.spoke.Before(before.spoke) {
		c.identity.spoke = before.spoke
	}
	c.verdict(errSuperseded)
	c.login.result = r.result
	c.login.refused, c.login.failures, c.login.retry, c.login.told = false, 0, time.Time{}, ""
	sameLogin := before.account == r.identity.account && before.mechanism == r.identity.mechanism &&
		before.password == r.identity.password && sameCertificate(before.certificate, r.identity.certificate)
	switch {
	case c.goodbye || len(c.channels) == 0:
		c.verdict(nil)
	case sameLogin && c.phase == up:
		c.wantNick()
		c.verdict(nil)
	default:
		c.reconnect(time.Now())
	}
}

// wantNick asks for the nick of the identity now.
func (c *client) wantNick() {
	if c.nick == c.wantedNick() {
		c.nextNick = time.Time{}
		return
	}
	c.nextNick = time.Now().Add(regainEvery)
	c.command("NICK", c.wantedNick())
}

// errSuperseded is what a login hears that something else of its user's has taken the place of: another one, or that they want none.
var errSuperseded = errors.New("you have asked for something else meanwhile, which holds")

// verdict tells who waits for it how logging in went.
func (c *client) verdict(err error) {
	if c.login.result != nil {
		c.login.result <- err
		c.login.result = nil
	}
}

// reconnectRequest makes the connection anew, also after the network has banned the user.
type reconnectRequest struct{}

func (reconnectRequest) apply(c *client) { c.reconnect(time.Now()) }

// reconnect begins again, with no account of what went wrong before.
func (c *client) reconnect(now time.Time) {
	c.banned, c.barred, c.failures, c.resting = false, "", 0, false
	if !c.reconnects.take(now) {
		c.notBefore = c.reconnects.next(now)
	}
	switch c.phase {
	case offline:
		if len(c.channels) > 0 {
			c.connect(now)
		}
	case pausing:
		c.pause(now)
	case dialling: // the connection may be made for another identity
		c.stale = true
	case registering, up:
		c.leaving = true
		c.login.abandon()
		c.urgent = append(c.urgent, "QUIT :reconnecting")
	}
}
