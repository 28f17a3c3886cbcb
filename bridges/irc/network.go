package irc

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"
)

// network is one IRC network and all our connections to it.
type network struct {
	conn    *Connector
	name    string
	cfg     NetworkConfig
	ids     ids
	log     zerolog.Logger
	charset charset
	limiter *rate.Limiter // paces new connections
	// login is bridgev2's account of the network itself: the source of rooms and of lines. It belongs to the
	// bot and has no connection.
	login *bridgev2.UserLogin

	warnCasemapping sync.Once
	downLogged      seldom // that somebody is not connected
	// dial makes a connection.
	dial func(ctx context.Context, cfg NetworkConfig, from source) (net.Conn, error)
	// runLane starts the goroutine of a lane.
	runLane func(ctx context.Context, l *lane) *lane
	// identity is who a user is to be on the network.
	identity func(user id.UserID) identity
	// request is ask.
	request func(user id.UserID, r request) error
	// report tells bridgev2 how a user's connection fares.
	report func(user id.UserID, state status.BridgeState)
	// lastOf and keepMasks are about the bridge's database; see lastDelivered and storeMasks.
	lastOf    func(ctx context.Context, owner id.UserID, channel string, now time.Time) (delivered, error)
	keepMasks func(ctx context.Context, user id.UserID, list []string)

	recent recentTexts // what was said a short while ago
	// announced is what the network calls itself, as some server of it has said.
	announced atomic.Pointer[string]

	boot    string // unique to this run, part of message IDs
	counter atomic.Int64

	presences presences
	timing    timing
	hold      hold // has its own lock

	mu       sync.Mutex // guards what follows
	clients  map[id.UserID]*client
	channels map[string]*channel // by folded name
	puppets  puppets
	sts      *stsPolicy                    // whether to use TLS although it is not configured
	privates map[string]map[id.UserID]bool // who is on a channel for a room of their own; see setPrivate
	turns    map[id.UserID]time.Time       // when to connect after the start; see planTurns

	places places  // has its own lock
	keeper *keeper // of connections over a restart, or nil

	restMu sync.Mutex // guards the decision who may rest
	masks  masks      // has its own lock
}

func newNetwork(conn *Connector, name string, cfg NetworkConfig) *network {
	cfg = cfg.withDefaults()
	n := &network{
		conn: conn, name: name, cfg: cfg, ids: ids{network: name, fold: cfg.Casemapping},
		limiter:  rate.NewLimiter(rate.Every(cfg.Connect.Interval), cfg.Connect.Burst),
		charset:  newCharset(cfg),
		boot:     conn.boot + "-" + name, // lines of several networks may be in one room
		clients:  map[id.UserID]*client{},
		channels: map[string]*channel{},
		puppets:  newPuppets(cfg.Casemapping),
		turns:    map[id.UserID]time.Time{},
		timing:   conn.timing.withDefaults(),
	}
	n.report, n.dial, n.identity, n.request = n.reportState, dial, n.identityOf, n.ask
	n.runLane = startLane
	n.places.most = cfg.Connect.Max
	n.lastOf, n.keepMasks = n.lastDelivered, n.storeMasks
	return n
}

// messageID returns a new ID. Plain IRC gives none to its lines, and what was said, by whom and when, is not one:
// people do say the same thing twice.
func (n *network) messageID() networkid.MessageID {
	return networkid.MessageID(n.boot + "-" + strconv.FormatInt(n.counter.Add(1), 36))
}

// channel returns the channel of a name, and makes it the first time.
func (n *network) channel(name string) *channel {
	key := n.ids.fold.Fold(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	ch, ok := n.channels[key]
	if !ok {
		ch = newChannel(newLane(n.conn.ctx, n, name))
		n.channels[key] = ch
	}
	return ch
}

// client returns the client of a user, and makes and starts it the first time.
func (n *network) client(user id.UserID) *client {
	c := n.running(user)
	if c == nil {
		// Without the lock, because what is stored for the user is looked up.
		c = n.adopt(newClient(n, user))
	}
	if n.excluded(user) {
		// Looked at when the client is known: whoever excludes them from now on finds it.
		n.drop(c)
		c.stop(errDisconnected)
		return c
	}
	c.start(n.conn.ctx)
	return c
}

// excluded reports whether policy lists keep a user out.
func (n *network) excluded(user id.UserID) bool {
	return n.conn != nil && n.conn.host != nil && n.conn.host.Excluded(user)
}

// adopt makes a client that of its user, unless another has been quicker, and returns which one is.
func (n *network) adopt(c *client) *client {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, ok := n.clients[c.user]; ok {
		return other
	}
	n.clients[c.user] = c
	return c
}

// running returns the client of a user, or nil if there is none.
func (n *network) running(user id.UserID) *client {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clients[user]
}

// drop takes a client out, so that nobody is given one that has ended or is about to.
func (n *network) drop(c *client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.clients[c.user] == c {
		delete(n.clients, c.user)
	}
}

// errEnded is what ask returns when clients end as they are made, because the bridge stops.
var errEnded = errors.New("the connection has ended")

// ask gives a request to the client of a user, a new one if the old one is just ending.
func (n *network) ask(user id.UserID, r request) error {
	for range 2 {
		c := n.client(user)
		if c.box.add(r) {
			return nil
		}
		n.drop(c)
	}
	if n.excluded(user) {
		return nil // they have been turned away meanwhile
	}
	return errEnded
}

// nickOf returns the nick of one of our users while they are connected.
func (n *network) nickOf(user id.UserID) string {
	if c := n.running(user); c != nil {
		return c.currentNick()
	}
	return ""
}

// isPuppet reports whether a nick is at this moment that of one of our connections.
func (n *network) isPuppet(nick string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.puppets.nicks[n.ids.fold.Fold(nick)] != nil
}

// puppet returns whose connection has a nick, or had it a moment ago with this mask, or nil.
func (n *network) puppet(nick, mask string) *client {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.puppets.lookup(nick, mask, time.Now())
}

// renamePuppet records what nick a connection has from now on; see puppets.rename.
func (n *network) renamePuppet(c *client, from, to, mask string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.puppets.rename(c, from, to, mask, time.Now())
}

// puppetQuit records that somebody has seen a connection of ours end; see puppets.quit.
func (n *network) puppetQuit(c *client, nick, mask string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.puppets.quit(c, nick, mask)
}

// drain stops all clients, and then all lanes when they have delivered what they hold.
func (n *network) drain(ctx context.Context) {
	n.mu.Lock()
	clients := slices.Collect(maps.Values(n.clients))
	n.mu.Unlock()
	for _, c := range clients {
		c.stop(errStopping)
	}
	for _, c := range clients {
		c.wait(ctx)
	}
	n.mu.Lock()
	channels := slices.Collect(maps.Values(n.channels))
	n.mu.Unlock()
	for _, ch := range channels {
		// In a goroutine, because a lane that is stuck would not take even this; it ends with the lane.
		go ch.lane.insist(stopItem{})
	}
	for _, ch := range channels {
		select {
		case <-ch.lane.done:
		case <-ctx.Done():
			return
		}
	}
	for _, c := range clients {
		c.letGo()
	}
}

// channel is one channel with the members of it that are ours.
type channel struct {
	lane *lane
	live live // of us; it has its own lock, because lanes ask for it

	mu       sync.Mutex // guards feed, and keeps what is put into the lane in the feed's order
	feed     feed[*client, item]
	expected map[id.UserID]id.UserID // who is invited to the room, by whom
	outage   time.Time               // when people were last told that the network is away
	// resting are members that are about to close their connections, because their people say nothing.
	resting map[*client]bool

	// While the history is fetched, what happens is held. refetch is the last line that was not, because there were
	// too many, and relist that more happened beside them. last is how far we are.
	holding bool
	held    []item
	refetch string
	relist  bool
	last    delivered
	// carryTold is when the room was last told that this channel does not hear the others.
	carryTold time.Time
}

func newChannel(l *lane) *channel {
	return &channel{lane: l, feed: feed[*client, item]{clock: time.Now}}
}

// join lets a client take part.
func (ch *channel) join(c *client) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.admit(c)
}

// admit is join for who has the lock.
func (ch *channel) admit(c *client) {
	delete(ch.resting, c)
	ch.feed.add(c)
	ch.live.set(c.user, true)
	c.net.strictSeen(ch)
}

// leads reports whether a client's view is the one that counts.
func (ch *channel) leads(c *client) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.feed.leads(c)
}

// part takes a client out. If it led, its successor takes over and is asked for its list of members.
func (ch *channel) part(c *client) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.resting, c)
	led := ch.feed.leads(c)
	ch.live.set(c.user, false)
	c.net.strictSeen(ch)
	deliver, next := ch.feed.remove(c)
	if led {
		ch.handOver(deliver)
	}
	if next != nil {
		(*next).box.add(resyncRequest{channel: ch.lane.called()})
	}
}

// resync asks the leader for its list of members.
func (ch *channel) resync() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.feed.lead != nil {
		ch.feed.lead.member.box.add(resyncRequest{channel: ch.lane.called()})
	}
}

// observe takes a line that a client saw in the channel.
func (ch *channel) observe(c *client, s sighting[*client, item]) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	lead := ch.feed.lead
	s.line = c.keeping.current
	deliver := ch.feed.observe(c, s)
	if ch.feed.lead != lead {
		ch.handOver(deliver)
		return
	}
	for _, it := range deliver {
		ch.pass(it)
	}
}

// outagePause is the least time between two notices in one room that its network is away.
const outagePause = 10 * time.Minute

// tellOutage says once per outage, not once per user, that the network cannot be reached.
func (ch *channel) tellOutage(now time.Time, text string, to id.UserID) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if kindOf(ch.lane.key()) == direct { // there may be many of them
		return
	}
	if !ch.outage.IsZero() && now.Sub(ch.outage) < outagePause {
		return
	}
	ch.outage = now
	ch.lane.put(noticeItem{text: text, to: to})
}
