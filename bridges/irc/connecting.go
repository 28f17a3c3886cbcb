package irc

import (
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/status"
)

// How a client gets a connection: when it is made, what is said first, and what follows when that fails.

const (
	// registerTimeout is how long a server may take to welcome a connection.
	registerTimeout = 60 * time.Second
	// throttledRetry is the least pause after a server said that we connect too fast.
	throttledRetry = time.Minute
)

// wantedNick is the nick of the configuration, as long as this network takes it.
func (c *client) wantedNick() string {
	return nickVariant(c.fullNick(), 0, c.nickLen)
}

// fullNick is the nick of the user's own choice, or else of the template.
func (c *client) fullNick() string {
	if c.identity.nick != "" && (!c.net.cfg.Auth.FixedNicks || c.isBot()) {
		return c.identity.nick
	}
	return makeNick(c.net.cfg.Nick, c.user)
}

// connect makes sure that a connection is made, now or when the pause after a failure has ended.
func (c *client) connect(now time.Time) {
	if c.phase != offline || c.goodbye || c.barred != "" || c.resting || c.keeping.waits {
		return
	}
	c.banned = false // who is banned has done something, and may be so no longer
	c.downSince = now
	c.pause(now)
}

// pause waits before the next attempt: exponential backoff with full jitter, and the network's turn.
func (c *client) pause(now time.Time) {
	var wait time.Duration
	if c.failures > 0 {
		wait = rand.N(c.net.cfg.Connect.backoff(c.failures))
	}
	if isThrottled(c.lastErr) {
		wait = max(wait, c.net.timing.throttledRetry+rand.N(c.net.timing.throttledRetry))
	}
	turn := c.net.turn(c.user, now)
	c.phase = pausing
	c.nextDial = now.Add(wait)
	for _, at := range []time.Time{turn, c.notBefore} {
		if at.After(c.nextDial) {
			c.nextDial = at
		}
	}
}

// dial connects in a goroutine of its own, whose result comes back through dialled.
func (c *client) dial() {
	c.phase = dialling
	if c.failures == 0 {
		// Waiting for one's turn does not count as being away.
		c.downSince = time.Now()
	}
	ctx, from := c.ctx, source{user: c.user, certificate: c.identity.certificate}
	if d := c.net.conn.identd; d != nil {
		from.ident = d
	}
	c.stale = false
	cfg := c.dialConfig(time.Now())
	go func() {
		conn, err := c.net.dial(ctx, cfg, from)
		c.dialled <- dialResult{conn: conn, err: err}
	}()
}

// connected goes on with the result of dial.
func (c *client) connected(r dialResult) {
	now := time.Now()
	if r.taken != nil && !c.goodbye {
		c.takeUp(r.conn, *r.taken)
		return
	}
	if errors.Is(r.err, errNotHeld) {
		c.notHeld(now)
		return
	}
	if c.goodbye || len(c.channels) == 0 {
		c.phase = offline
		if r.err == nil {
			_ = r.conn.Close()
		}
		return
	}
	if r.err != nil {
		c.phase, c.stsPort = offline, 0
		c.lastErr = r.err.Error()
		c.failed(now)
		return
	}
	if c.stale {
		_ = r.conn.Close()
		c.pause(now)
		return
	}
	c.begin(r.conn, now)
	c.phase = registering
	c.deadline = now.Add(registerTimeout)
	if c.net.cfg.WebIRC.Password != "" {
		params, err := webIRC(c.net.cfg, c.user)
		if err != nil {
			c.lost(err)
			return
		}
		c.first("WEBIRC", params...)
	}
	c.askCaps()
	if c.net.cfg.Password != "" {
		c.first("PASS", c.net.cfg.Password)
	}
	c.nick = c.wantedNick()
	c.first("NICK", c.nick)
	realName := strings.ReplaceAll(c.net.cfg.RealName, "{mxid}", c.user.String())
	c.first("USER", username(c.user), "0", "*", oneLine(realName))
}

// begin takes a new connection, about which nothing is known yet.
func (c *client) begin(conn net.Conn, now time.Time) {
	c.sess = newSession(conn, c.net.charset)
	c.bucket = newBucket(c.net.cfg.Flood.Burst, c.net.cfg.Flood.Interval, now)
	c.nickTries, c.pinged, c.nextNick, c.lastErr = 0, time.Time{}, time.Time{}, ""
	c.userHost, c.isupport, c.leaving = "", newISupport(), false
	c.historySupport, c.notingMask = historySupport{}, false
	c.deniedTags = deniedTags{}
	c.private = c.isPrivate(conn)
	c.login.renew()
	c.awayTold = ""
	c.keep(conn, now)
}

// downLogEvery is how often it is logged of a network that somebody is not connected: mostly nobody is then, and each tries again.
const downLogEvery = time.Minute

// seldom is due once in downLogEvery.
type seldom struct{ lastTS atomic.Int64 } // ms

func (s *seldom) due(now time.Time) bool {
	last := s.lastTS.Load()
	return now.UnixMilli()-last >= downLogEvery.Milliseconds() && s.lastTS.CompareAndSwap(last, now.UnixMilli())
}

// failed takes note of an attempt that failed and plans the next one.
func (c *client) failed(now time.Time) {
	c.failures++
	if tooFastText.MatchString(c.lastErr) {
		c.net.holdOff(now)
	}
	level := zerolog.DebugLevel
	if c.net.downLogged.due(now) {
		level = zerolog.WarnLevel
	}
	c.log.WithLevel(level).Str("reason", c.lastErr).Int("failures", c.failures).Msg("not connected")
	c.tellState(status.BridgeState{
		StateEvent: status.StateTransientDisconnect, Error: "irc-disconnected", Message: c.lastErr,
	})
	if c.banned || c.barred != "" {
		c.giveUp()
		return
	}
	for _, m := range c.channels {
		m.ch.tellOutage(now, c.net.name+" cannot be reached at the moment ("+c.lastErr+"). The bridge keeps trying.", c.user)
	}
	c.pause(now)
}
