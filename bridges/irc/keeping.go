package irc

import (
	"fmt"
	"hash/fnv"
	"math"
	"net"
	"strconv"
	"time"

	"maunium.net/go/mautrix/bridgev2/status"

	"causeway/bridges/irc/holder"
)

// Connections that the holder keeps: how a client takes one up, and what it tells the holder so that the next can.
//
// From IRC, each line is kept by the holder until what it has caused is with Matrix: after the lines of a moment, a mark goes
// through the lanes of all channels, and when it has passed all, the lines before it are confirmed. What is not is
// handled again by a successor. Messages are the same ones then, because their IDs are made of their lines' numbers, and
// the rest is so by its nature. A line that one connection has heard and the one that leads has not is not confirmed either.
//
// To IRC, the holder remembers tags of what it has written, made of the event and the text. What is sent again after a
// restart and has such a tag is on IRC already.

// heldTag has the number of a line. No server can send a tag with a space.
const heldTag = "held line"

// keeping is what a client knows of the connection that the holder keeps for it.
type keeping struct {
	waits bool // a connection of before is taken up when all channels are known
	held  bool // the connection is one that the holder keeps
	conn  *holder.Conn
	id    string // of the connection, the same for all who take it up

	current uint64 // number of the line that is handled, 0 for none
	handled uint64 // of the last line that was
	marked  uint64
	markDue time.Time
	pending *markItem       // that is on its way
	still   map[*lane]int64 // lanes that have stood still, and what they had taken then
	sentAt  time.Time
	written map[uint64]bool // what was on IRC when the connection was taken up
	unsure  bool            // lines found in written may not have been answered yet
	last    uint64          // of the lines that had come when it was taken up; 0 when they are handled
	handing bool            // it goes to a successor
	// before is the token of a PING: until its answer has come, what is answered may be what a process before has asked.
	before string

	left *handedOver // for drain
}

// handedOver is a connection that a client has let go of.
type handedOver struct {
	conn    *holder.Conn
	handled uint64
	leads   []string
}

// listedRequest tells that all channels of before have been asked for.
type listedRequest struct{}

func (listedRequest) apply(c *client) {
	if !c.keeping.waits || c.goodbye {
		return
	}
	c.keeping.waits = false
	if c.phase != offline || c.net.keeper == nil {
		return
	}
	c.phase = dialling
	c.downSince = time.Now()
	ctx, keeper, user := c.ctx, c.net.keeper, c.user
	go func() {
		conn, state, err := keeper.take(ctx, user)
		if err != nil || conn == nil {
			c.dialled <- dialResult{err: errNotHeld}
			return
		}
		c.dialled <- dialResult{conn: conn, taken: &state}
	}()
}

// errNotHeld tells that the connection is not there any more.
var errNotHeld = fmt.Errorf("the connection of before is no more")

// notHeld goes on without the connection of before.
func (c *client) notHeld(now time.Time) {
	c.phase = offline
	c.showNick("")
	c.net.unreserve(c)
	if len(c.channels) > 0 {
		c.connect(now)
	}
}

// keep notes whether a new connection is one that the holder keeps.
func (c *client) keep(conn net.Conn, now time.Time) {
	c.keeping = keeping{left: c.keeping.left}
	held, ok := conn.(*holder.Conn)
	if !ok {
		return
	}
	c.keeping.conn, c.keeping.held, c.keeping.id = held, true, held.Address().ID
	// Answers to what a process before has asked may still come. Theirs are lower.
	c.barrier = max(c.barrier, uint64(now.UnixMilli()))
	c.labelCount = max(c.labelCount, uint64(now.UnixMilli())<<10)
}

// takeUp goes on with a connection of the process before.
func (c *client) takeUp(conn net.Conn, state holder.State) {
	now := time.Now()
	c.begin(conn, now)
	c.keeping.last, c.keeping.unsure = state.Last, true
	c.keeping.before = "before-" + strconv.FormatUint(c.labelCount, 36)
	c.urgent = append(c.urgent, "PING :"+c.keeping.before)
	c.keeping.written = make(map[uint64]bool, len(state.Written))
	for _, tag := range state.Written {
		c.keeping.written[tag] = true
	}
	c.caps = newCaps()
	c.caps.listing, c.caps.closed, c.caps.offered = false, true, state.Offered
	if c.caps.offered == nil {
		c.caps.offered = map[string]string{}
	}
	c.acknowledged(state.On)
	for _, line := range state.Info {
		if m, err := c.net.charset.parse([]byte(line)); err == nil {
			c.dispatch(m)
		}
	}
	c.nick, c.userHost, c.login.account = c.net.rawText(state.Nick), state.UserHost, c.net.rawText(state.Account)
	c.login.tried = true
	c.showNick(c.nick)
	c.phase, c.upSince, c.downSince, c.banned, c.failures = up, now, time.Time{}, false, 0
	if c.nick != c.wantedNick() {
		c.nextNick = now.Add(regainEvery)
	}
	if state.Away {
		c.awayTold = defaultAwayWords // or others; what is to be told is told again
	}
	c.history.Store(c.tellsPast())
	c.log.Info().Str("nick", c.nick).Msg("the connection of before goes on")
	c.tellState(status.BridgeState{StateEvent: status.StateConnected})
	c.monitor.clear = c.isupport.hasMonitor
	c.resumeChannels(state)
	if state.Pending == 0 {
		c.caughtUpHeld()
	}
	c.net.unreserve(c)
}

// resumeChannels takes part again in the channels that are wanted still, and leaves the others.
func (c *client) resumeChannels(state holder.State) {
	for _, name := range state.Channels {
		name = c.net.rawText(name)
		m := c.channels[c.net.ids.fold.Fold(name)]
		switch {
		case m == nil && validChannel(name):
			c.command("PART", name, "left the room")
		case m != nil:
			m.state, m.enteredAt = joined, time.Now()
			m.begin()
			if m.ch.resume(c, c.tellsPast() && m.direct == nil) {
				c.catchUp(m)
			}
			c.sendWaiting(m)
		}
	}
}

// caughtUpHeld goes on after the lines that had come meanwhile: who is there is asked again, and what is missing joined.
func (c *client) caughtUpHeld() {
	c.keeping.last = 0
	if len(c.channels) == 0 {
		c.quitEmpty()
		return
	}
	for _, m := range c.channels {
		if m.state == joined && m.direct == nil {
			c.command("NAMES", m.name)
		}
	}
	c.joinAll()
	if c.awayDue.IsZero() && c.awayWords != "" {
		c.tellAway()
	}
}

// nextHeld reads a line from the holder. One without a time has that of when it came.
func (s *session) nextHeld(conn *holder.Conn) (message, error) {
	line, err := conn.Next()
	if err != nil {
		return message{}, err
	}
	m, err := s.parsed(line.Text)
	if err != nil {
		return m, err
	}
	m.SetTag(heldTag, strconv.FormatUint(line.Seq, 10))
	if !m.HasTag("time") {
		m.SetTag("time", line.At.UTC().Format(serverTime))
	}
	return m, nil
}

// begin notes which line is handled.
func (k *keeping) begin(m message) {
	k.current = 0
	if !k.held {
		return
	}
	if _, text := m.GetTag(heldTag); text != "" {
		k.current, _ = strconv.ParseUint(text, 10, 64)
	}
}

// lineID is what the line that is handled is known by to all who take the connection up, or empty.
func (k *keeping) lineID() string {
	if k.current == 0 {
		return ""
	}
	return "held-" + k.id + "-" + strconv.FormatUint(k.current, 10)
}

// heard comes after a line has been handled.
func (c *client) heard() {
	if c.keeping.current == 0 {
		return
	}
	c.keeping.handled, c.keeping.current = c.keeping.current, 0
	if due := time.Now().Add(markAfter); c.keeping.markDue.IsZero() || due.Before(c.keeping.markDue) {
		c.keeping.markDue = due
	}
	if c.keeping.last > 0 && c.keeping.handled >= c.keeping.last {
		c.caughtUpHeld()
	}
}

// standings is up to which line what was heard is with the channels, and which of them we lead.
func (c *client) standings() (safe uint64, leads []string) {
	safe = c.keeping.handled
	for _, m := range c.channels {
		var lead bool
		if safe, lead = m.ch.standing(c, safe); lead {
			leads = append(leads, m.name)
		}
	}
	return safe, sorted(leads)
}

// confirmNow comes when nothing that was heard concerns a room.
func (c *client) confirmNow() {
	if c.keeping.current > 0 {
		_ = c.keeping.conn.Confirm(c.keeping.current, nil)
	}
}

// handsOver reports whether the connection goes to a successor instead of being ended, which it then does at once.
func (c *client) handsOver(now time.Time) bool {
	if c.keeping.handing && c.goodbyeEnd.After(now) {
		c.goodbyeEnd = now
	}
	return c.keeping.handing
}

// handOver lets the session go, and the connection be.
func (c *client) handOver() {
	safe, leads := c.standings()
	c.sess.part()
	c.keeping.left = &handedOver{c.keeping.conn, safe, leads}
}

// letGo comes when everything has been delivered. It does nothing for a client that has not handed over.
func (c *client) letGo() {
	select {
	case <-c.ended:
	default:
		return // it has not come to an end in time, and its lines are handled again
	}
	left := c.keeping.left
	if left == nil {
		return
	}
	_ = left.conn.Confirm(left.handled, left.leads)
	_ = left.conn.Close()
}

// part ends both goroutines and leaves the connection open.
func (s *session) part() {
	s.closeOnce.Do(func() {
		close(s.done)
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	})
	s.wg.Wait()
}

// tagEntries gives each line of an event what the holder knows it by. A text that is split in another way after a restart is
// another one.
func tagEntries(s *send, entries []entry) {
	if s.event == "" {
		return
	}
	for i := range entries {
		h := fnv.New64a()
		_, _ = fmt.Fprintf(h, "%s\x00%d\x00", s.event, i)
		if text := entries[i].text; text != "" {
			_, _ = h.Write([]byte(text)) // its line may have names that are made anew
		} else {
			_, _ = h.Write([]byte(entries[i].line))
		}
		entries[i].tag = h.Sum64()%(math.MaxUint64-1) + 1
	}
}

// wasWritten reports whether a line has been written by a process before on this connection.
func (c *client) wasWritten(e entry) bool { return e.tag != 0 && c.keeping.written[e.tag] }
