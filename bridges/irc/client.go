package irc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/irc/holder"
)

const (
	// idleBeforePing is the silence after which the server is asked whether it is there.
	idleBeforePing = 90 * time.Second
	// pingTimeout is how long it may take to answer.
	pingTimeout = 60 * time.Second
	// stableAfter is how long a connection must have lasted for the next one to be made without delay.
	stableAfter = 60 * time.Second
	// goodbyeWait bounds how long what was begun may take when the bridge stops.
	goodbyeWait = 3 * time.Second
	// regainEvery is the pause between attempts to get the wanted nick back.
	regainEvery = time.Minute
	// reconnectBurst and reconnectEvery bound how often a user has their connection made anew, which uses up turns that others
	// wait for.
	reconnectBurst = 5
	reconnectEvery = time.Minute
	// maxUrgent is the number of lines that may wait beside the queue, to go before it.
	maxUrgent = 64
	// quitMessage is what others read when we go.
	quitMessage = "the bridge stops"
)

// phase is where a client is in the life of a connection.
type phase int

const (
	offline     phase = iota // no channel is wanted
	pausing                  // until nextDial
	dialling                 // a goroutine is connecting
	registering              // NICK and USER are sent
	up                       // MOTD has ended
)

// client is one user's presence on one network. Its goroutine (run) owns everything below the line; others
// speak to it through the mailbox.
type client struct {
	net  *network
	user id.UserID
	log  zerolog.Logger
	box  mailbox

	startOnce sync.Once
	cancel    context.CancelCauseFunc
	ended     chan struct{}
	shownNick atomic.Value // string, for currentNick
	tracking  atomic.Bool  // tracksAccounts, for others
	history   atomic.Bool  // whether the connection has histories of channels
	lookups   sync.WaitGroup
	// silentSince is since when the user says nothing, ms, while connected; 0 otherwise. For who looks for a place.
	silentSince atomic.Int64

	// ------
	bot      *botState       // of the bot's client only
	ctx      context.Context // of the goroutine
	phase    phase
	sess     *session
	dialled  chan dialResult
	channels map[string]*membership // by folded name

	keeping  keeping
	caps     caps
	identity identity
	login    login
	private  bool // a password may go over the connection as it is
	// historySupport and what follows is about the history of channels; see chathistory.go.
	historySupport historySupport
	histories      []*history // questions without an answer, in order
	playbacks      uint64     // questions to ZNC
	sameTime       sameTime   // of what is said now
	replay         *history   // whose answer the line that is handled is part of, or nil
	notingMask     bool
	nick, userHost string
	nickTries      int
	nickLen        int
	isupport       isupport

	bucket  bucket
	urgent  []string
	queue   []entry
	found   map[string]found // by folded nick, of who is on none of our channels
	idle    []string         // lines that go when nothing else is to be sent
	unacked []*send
	unsent  []*send // taken out of the queue at the goodbye
	labels  labels  // lines that are not answered yet
	batches batches // of the server, that have not ended yet
	// labelCount makes labels and references of batches unique.
	labelCount uint64
	deniedTags deniedTags
	edits      pendingEdits
	ctcp       bucket
	barrier    uint64    // number of the last PING
	since      int       // lines since then
	sinceAt    time.Time // when the first of them was written

	downSince          time.Time // when it was last up, or began to try; zero while up
	upSince            time.Time
	deadline           time.Time // of registration
	pinged             time.Time // keepalive sent, zero when answered
	nextDial, nextNick time.Time
	failures           int
	lastErr            string
	banned, goodbye    bool
	barred             string // why nothing is tried before the user does something
	stsPort            int    // where TLS was asked for, on the connection before
	stale              bool   // the connection that is being made is for an identity of before
	place              standing
	resting            bool // the connection is closed because the user says nothing
	restLater          time.Time
	reconnects         bucket    // of the user's own wish
	notBefore          time.Time // of the next attempt, when there were too many of these
	quitSent           bool
	awayWords          string    // why the user is away, empty when they are there
	awayTold           string    // what the server knows of that
	awayDue            time.Time // when it is to be told, zero when it need not
	invitesSince       time.Time // since when invites are counted
	invites            int
	quitText           string // what others read when the client ends
	monitor            monitor
	leaving            bool // QUIT is queued because no channel was left
	goodbyeEnd         time.Time
	strangers          strangers
	relayNicks         map[string]string // by user, and users by nick after a slash; see relayNick
	status             statusLog
	told               status.BridgeStateEvent // how bridgev2 was told last that the connection fares
	asked              map[string]*asked       // by folded nick; see whoisRequest
}

type dialResult struct {
	conn  net.Conn
	err   error
	taken *holder.State // of a connection of before, or nil
}

// logField adds a field to the lines of a logger. Of Logger.With each client and lane would have half a kilobyte.
type logField struct{ name, value string }

// Run implements zerolog.Hook.
func (f logField) Run(e *zerolog.Event, _ zerolog.Level, _ string) { e.Str(f.name, f.value) }

func newClient(n *network, user id.UserID) *client {
	c := &client{
		net: n, user: user, box: newMailbox(), ended: make(chan struct{}),
		log:     n.log.Hook(logField{"user_id", user.String()}),
		dialled: make(chan dialResult, 1), channels: map[string]*membership{}, nickLen: n.cfg.NickLen,
		isupport: newISupport(),
	}
	c.shownNick.Store("")
	c.reconnects = newBucket(reconnectBurst, reconnectEvery, time.Now())
	c.identity = n.identity(user)
	c.bot = n.newBotState(user)
	return c
}

// start begins the goroutine, once.
func (c *client) start(ctx context.Context) {
	c.startOnce.Do(func() {
		ctx, c.cancel = context.WithCancelCause(ctx)
		go c.run(ctx)
	})
}

// errStopping and errDisconnected are why a client ends. What was not sent is handled again after the next start when
// the bridge stops, and has failed when only the client ends.
var (
	errStopping     = errors.New("the bridge stops")
	errDisconnected = errors.New("disconnected")
)

// endedBecause is an errDisconnected with a reason for others.
type endedBecause struct{ reason string }

func (e endedBecause) Error() string { return e.reason }

func (e endedBecause) Is(target error) bool { return target == errDisconnected }

// stop asks the client to say goodbye; wait waits until it has. A client that was never started has nothing to
// say.
func (c *client) stop(why error) {
	c.startOnce.Do(func() {
		c.cancel = func(error) {}
		c.box.close()
		close(c.ended)
	})
	c.cancel(why)
}

func (c *client) wait(ctx context.Context) {
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
}

// currentNick is the nick while connected, from any goroutine.
func (c *client) currentNick() string { return c.shownNick.Load().(string) }

// run is the goroutine. ctx ends when the bridge stops.
func (c *client) run(ctx context.Context) {
	defer close(c.ended)
	defer func() { c.end(context.Cause(ctx)) }()
	dialCtx, stopDial := context.WithCancel(ctx)
	defer stopDial()
	c.ctx = dialCtx
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	stopping := ctx.Done()
	for !c.finished() {
		now := time.Now()
		c.settlePlace()
		in, out, lines := c.wires(now) // which may queue a PING, so that due comes after
		timer.Reset(time.Until(c.due(now)))
		select {
		case <-stopping:
			stopping = nil
			c.beginGoodbye(time.Now(), context.Cause(ctx))
		case <-c.box.bell:
			for _, r := range c.box.take() {
				r.apply(c)
			}
		case result := <-c.dialled:
			c.connected(result)
		case m, ok := <-in:
			if ok {
				c.handle(m)
			} else {
				c.lost(c.sess.err)
			}
		case out <- lines:
			c.wrote(time.Now())
		case <-timer.C:
			c.tick(time.Now())
		}
	}
	c.dropSession()
	stopDial()
	c.lookups.Wait()
	if c.phase == dialling {
		if result := <-c.dialled; result.err == nil {
			_ = result.conn.Close()
		}
	}
	c.net.places.leave(c)
}

// finished reports whether the goroutine may end.
func (c *client) finished() bool {
	return c.goodbye && (c.sess == nil || !time.Now().Before(c.goodbyeEnd))
}

// due is when tick has something to do next.
func (c *client) due(now time.Time) time.Time {
	at := now.Add(time.Hour)
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	switch c.phase {
	case pausing:
		sooner(c.nextDial)
	case registering:
		sooner(c.deadline)
	case up:
		if c.pinged.IsZero() {
			sooner(c.lastIn().Add(idleBeforePing))
		} else {
			sooner(c.pinged.Add(pingTimeout))
		}
		if !c.nextNick.IsZero() {
			sooner(c.nextNick)
		}
		if !c.login.until.IsZero() {
			sooner(c.login.until)
		}
		if at := c.restAt(); !at.IsZero() && len(c.unacked)+len(c.queue) == 0 {
			sooner(at)
		}
	}
	if c.sess != nil && c.heldUp(now) {
		sooner(now.Add(crowdedPoll))
	}
	if next := c.bucket.next(now); c.sess != nil && len(c.queue) > 0 && next.After(now) {
		sooner(next)
	}
	for _, m := range c.channels {
		if !m.mercy.IsZero() {
			sooner(m.mercy)
		}
		if !m.looking() {
			for _, s := range m.waiting {
				sooner(s.deadline)
			}
		}
		if !m.askedWho.IsZero() {
			sooner(m.askedWho.Add(whoWait))
		}
		if next := m.typing.next(); c.phase == up && !c.goodbye && !next.IsZero() {
			sooner(next)
		}
	}
	for _, e := range c.edits {
		sooner(e.due)
	}
	if !c.awayDue.IsZero() {
		sooner(c.awayDue)
	}
	if at := c.monitor.again; !at.IsZero() {
		sooner(at)
	}
	if !c.strangers.due.IsZero() {
		sooner(c.strangers.due)
	}
	for _, h := range c.histories {
		if !h.deadline.IsZero() {
			sooner(h.deadline)
		}
	}
	if c.goodbye {
		sooner(c.goodbyeEnd)
	}
	if at := c.keeping.markDue; !at.IsZero() {
		sooner(at)
	}
	return at
}

func (c *client) lastIn() time.Time { return time.UnixMilli(c.sess.lastInTS.Load()) }

// tick does what is due. It may come early or twice.
func (c *client) tick(now time.Time) {
	switch {
	case c.phase == pausing && !now.Before(c.nextDial) && c.keepsResting(now):
		c.phase, c.resting = offline, true
	case c.phase == pausing && !now.Before(c.nextDial) && !c.heldOff(now):
		c.dialInTurn(now)
	case c.phase == registering && !now.Before(c.deadline):
		c.lost(errRegistration)
	case c.phase == up:
		c.keepAlive(now)
	}
	if c.phase == up && !c.goodbye {
		for _, m := range c.channels {
			c.sayTyping(m, now)
		}
	}
	c.sendEdits(func(e *pendingEdit) bool { return !now.Before(e.due) })
	c.checkLogin(now)
	c.checkWho(now)
	c.rest(now)
	c.expire(now)
	c.endMercy(now)
	c.awayTick(now)
	c.monitorTick(now)
	c.tellStrangers(now)
	c.expireHistory(now)
	c.markTick(now)
}

// keepAlive notices a connection that died without a word, and wants the right nick back.
func (c *client) keepAlive(now time.Time) {
	switch {
	case c.pinged.IsZero() && now.Sub(c.lastIn()) >= idleBeforePing:
		c.pinged = now
		c.urgent = append(c.urgent, "PING :"+alivePing)
	case !c.pinged.IsZero() && now.Sub(c.pinged) >= pingTimeout && len(c.sess.in) > 0:
		c.pinged = now // the server has said something that we do not read yet
	case !c.pinged.IsZero() && now.Sub(c.pinged) >= pingTimeout:
		c.lost(errSilent)
		return
	}
	if !c.nextNick.IsZero() && !now.Before(c.nextNick) {
		c.nextNick = now.Add(regainEvery)
		c.command("NICK", c.wantedNick())
	}
}
