package irc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

const (
	// sendWait is how long a message waits for a connection that is away, counted from when it went, before
	// its sender is told.
	sendWait = 2 * time.Minute
	// maxSendTries bounds how often a message is sent again when the connection breaks before the server has
	// confirmed it.
	maxSendTries = 3
	// maxBacklog is the number of lines that a client may have on their way, beyond which it takes no more. At the
	// usual two seconds a line it is ten minutes.
	maxBacklog = 300
	// barrierEvery is the number of lines after which the server is asked for a PONG also when there are more
	// to send.
	barrierEvery = 16
	// barrierAfter is the time after which it is asked likewise: what is not confirmed is sent again after a crash.
	barrierAfter = 6 * time.Second
	// maxIdleLines bounds the questions that wait until there is nothing else to send.
	maxIdleLines = 256
	// maxOutgoing is how many lines may wait for a connection in all, more than anybody has channels. A server that makes us say more
	// than it reads is left.
	maxOutgoing = 10000
	// barrierPing and alivePing begin the tokens of our PINGs.
	barrierPing = "cw-"
	alivePing   = "alive"
)

// sendError is why a message was not sent, in words for its sender.
type sendError struct{ text string }

func (e *sendError) Error() string { return e.text }

func failure(format string, args ...any) error { return &sendError{fmt.Sprintf(format, args...)} }

// send is one Matrix event on its way: some lines of one command to one channel.
type send struct {
	channel string
	mine    bool      // the channel is that of a room of the user's own
	verb    string    // PRIVMSG, NOTICE, TOPIC, KICK, MODE, INVITE
	nick    string    // KICK: whom
	action  bool      // PRIVMSG: as /me
	speaker *speaker  // for whom the relay says it, if it does
	said    time.Time // when the event was made
	lines   []string
	prefix  replyTo
	reply   string // the identity of the line that it answers, on networks that have them
	event   id.EventID
	// build makes what is sent instead of lines, when it is to be sent; its error is what done hears.
	build func(c *client, m *membership) ([]entry, error)
	// final is what nobody offers again after the next start, so that it goes out while the bridge stops.
	final bool
	// superseded is an edit in place of which a later one was sent.
	superseded bool
	asked      bool // whether the partner of a conversation is who they were
	// found are the identities of lines that were on the network already.
	found []string
	// ask, if there is one, returns what is to be asked of the server before plan.
	ask func(c *client, m *membership) []string
	// plan, if there is one, makes the lines when they are to be sent, as whole commands.
	plan func(c *client, m *membership) []string
	// done is called once, in the client's goroutine, when the server has processed the lines (nil), or when
	// it is certain that they were not all sent. It is not called for what is left when the bridge stops.
	done func(err error)

	// people are those in the room of a strict channel, who have to be on the channel when this is sent; nil elsewhere.
	people []id.UserID

	key      string // of the channel, folded
	total    int    // lines after splitting
	left     int    // lines that were too many and are not sent
	written  int
	failed   int // lines refused by the server
	err      error
	barrier  uint64 // PING that confirms it; 0 before all lines are written
	tries    int
	deadline time.Time
	receipts
}

// entry is one line to be sent, or several with none between them.
type entry struct {
	line string
	more []string
	send *send    // nil for commands that nobody waits for
	text string   // what the line says, as its echo will
	asks *history // the question that the line is
	tag  uint64   // by which the holder knows it; see keeping.go
}

// apply queues a message after the edits of the same channel that wait.
func (s *send) apply(c *client) {
	key := c.net.ids.fold.Fold(s.channel)
	c.sendEdits(func(e *pendingEdit) bool { return e.key == key })
	s.queue(c)
}

// queue queues a message, or lets it wait, or refuses it at once.
func (s *send) queue(c *client) {
	if c.goodbye {
		c.unsent = append(c.unsent, s)
		return
	}
	now := time.Now()
	c.spoke(now)
	s.key = c.net.ids.fold.Fold(s.channel)
	m := c.channels[s.key]
	if m == nil && s.speaker != nil {
		joinRequest{channel: s.channel}.apply(c) // the relay comes back, if it may
		m = c.channels[s.key]
	}
	if m == nil && s.mine && !isChannel(s.channel) {
		m = c.newMembership(joinRequest{channel: s.channel, nick: s.channel, mine: true, direct: true}, s.key)
		c.channels[s.key] = m
		c.connect(now)
	}
	switch {
	case m == nil || m.state == parting:
		s.done(c.notIn(s))
		return
	case m.state == joined && c.maySend(m, s):
		c.enqueue(s)
		return
	case m.state == refused && now.Sub(m.refusedAt) < rejoinAfter:
		s.done(failure("you could not join %s on %s: %s", m.name, c.net.name, m.refusal))
		return
	case m.state == refused:
		m.state = wanted
	}
	if c.phase == up {
		c.join(m)
		s.deadline = now.Add(sendWait)
	} else {
		s.deadline = c.downSince.Add(sendWait)
		if c.phase == pausing && c.failures == 0 {
			s.deadline = c.nextDial.Add(sendWait) // it only waits for its turn
		}
		if c.banned || c.barred != "" || !now.Before(s.deadline) {
			s.done(failure("%s", c.whyNot()))
			return
		}
	}
	if c.waitingLines()+min(len(s.lines), maxLinesPerMessage) > maxBacklog {
		s.done(errBacklog)
		return
	}
	m.waiting = append(m.waiting, s)
}

// expire tells the senders of messages that have waited long enough.
func (c *client) expire(now time.Time) {
	for _, m := range c.channels {
		if m.looking() {
			continue
		}
		kept := m.waiting[:0]
		for _, s := range m.waiting {
			if now.Before(s.deadline) {
				kept = append(kept, s)
				continue
			}
			if c.phase == up {
				s.done(failure("%s did not answer when you joined %s", c.net.name, m.name))
			} else {
				s.done(failure("%s", c.whyNot()))
			}
		}
		clear(m.waiting[len(kept):])
		m.waiting = kept
	}
}

// enqueue splits a message into lines that arrive whole, and queues them.
func (c *client) enqueue(s *send) {
	m := c.channels[s.key]
	if err := c.strictly(s, m); err != nil {
		s.done(err)
		return
	}
	if m.direct != nil && s.ask == nil && !s.asked && s.verb != "WHO" {
		s.ask, s.asked = func(c *client, m *membership) []string { return c.askPartner(m) }, true
	}
	if c.askFirst(s, m) {
		return
	}
	if m.direct != nil && s.verb != "WHO" {
		c.watch(m)
		if err := c.mayTell(m); err != nil {
			s.done(err)
			return
		}
	}
	entries, err := c.entriesOf(s, m)
	tagEntries(s, entries)
	entries = slices.DeleteFunc(entries, func(e entry) bool { return c.wasWritten(e) || c.wasSaid(m, s, e.text) })
	switch {
	case err != nil:
		s.done(err)
		return
	// What is sent again was within the limit when it came.
	case s.tries == 0 && c.backlog()+len(entries) > maxBacklog:
		s.done(errBacklog)
		return
	case len(entries) == 0 && !c.keeping.unsure:
		s.done(nil)
		return
	}
	s.tries++
	s.total = len(entries)
	c.unacked = append(c.unacked, s)
	c.label(s, entries)
	m.typing.stop = false // a message says as much
	c.queue = append(c.queue, entries...)
}

// askFirst asks what a message needs to know; it is queued when the server has answered.
func (c *client) askFirst(s *send, m *membership) bool {
	if s.ask == nil {
		return false
	}
	lines := s.ask(c, m)
	s.ask = nil
	if len(lines) == 0 {
		return false
	}
	question := &send{channel: s.channel, key: s.key, verb: "WHO"}
	question.plan = func(*client, *membership) []string { return lines }
	question.done = func(err error) {
		// An answer that says no is one.
		if m := c.channels[s.key]; m == nil || m.state != joined || c.goodbye {
			s.done(failure("you have left the channel"))
			return
		}
		c.enqueue(s)
	}
	c.enqueue(question)
	return true
}

// errBacklog tells a sender that the connection does not keep up.
var errBacklog = failure("too much at once: more than %d lines would wait to be sent; try again later", maxBacklog)

// backlog is the number of lines that are sent and not confirmed, or wait to be sent.
func (c *client) backlog() int {
	lines := 0
	for _, s := range c.unacked {
		lines += s.total
	}
	return lines
}

// waitingLines is about the number of lines that wait for a connection or a JOIN; they are not split yet.
func (c *client) waitingLines() int {
	lines := 0
	for _, m := range c.channels {
		for _, s := range m.waiting {
			lines += min(len(s.lines), maxLinesPerMessage)
		}
	}
	return lines
}

// actionBytes is what /me adds to a line: "\x01ACTION " and "\x01".
const actionBytes = 9

// compose makes the lines of one line of text.
func (c *client) compose(s *send, target, text string) []string {
	switch s.verb {
	case "TOPIC":
		return []string{"TOPIC " + target + " :" + c.charset().cut(text, c.room(s.verb, target))}
	case "KICK":
		return []string{"KICK " + target + " " + s.nick + " :" + c.charset().cut(text, c.room(s.verb, target+" "+s.nick))}
	}
	if m := c.channels[s.key]; s.speaker != nil && m != nil {
		return c.composeRelayed(s, m, text)
	}
	limit := c.room(s.verb, target)
	before, after := s.verb+" "+target+" :", ""
	if s.action {
		limit -= actionBytes
		before, after = before+"\x01ACTION ", "\x01"
	}
	pieces := c.charset().splitCodes(text, limit)
	for i := range pieces {
		pieces[i] = before + pieces[i] + after
	}
	return pieces
}

// cut is the first piece of a text.
func (cs charset) cut(text string, limit int) string {
	if pieces := cs.splitText(text, limit); len(pieces) > 0 {
		return pieces[0]
	}
	return ""
}

// command queues a line whose parameters are ours. The last parameter may contain spaces; line ends are taken
// out of all, so that nobody can add a command of their own.
func (c *client) command(name string, params ...string) {
	c.queue = append(c.queue, entry{line: c.commandLine(name, params...)})
}

func (c *client) commandLine(name string, params ...string) string {
	var b strings.Builder
	b.WriteString(name)
	for i, p := range params {
		b.WriteByte(' ')
		if i == len(params)-1 && (p == "" || p[0] == ':' || strings.Contains(p, " ")) {
			b.WriteByte(':')
		}
		b.WriteString(withoutLineEnds(p))
	}
	return c.cutBytes(b.String())
}

func withoutLineEnds(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, s)
}

// cutBytes keeps a command within what a server takes.
func (c *client) cutBytes(line string) string { return c.charset().cut(line, maxLineBytes-2) }

// wires returns what the goroutine can do with its connection now: read, and write a line if there is one that
// may go. PONG, keepalive and QUIT go first and are not counted.
func (c *client) wires(now time.Time) (in <-chan message, out chan<- parcel, lines parcel) {
	if c.sess == nil {
		return nil, nil, parcel{}
	}
	c.raiseBarrier(now)
	if c.goodbye && !c.quitSent && len(c.queue) == 0 && len(c.unacked) == 0 && !c.handsOver(now) {
		c.quitSent = true
		c.urgent = append(c.urgent, "QUIT :"+c.quitText)
	}
	c.relax()
	in = c.sess.in
	if c.heldUp(now) {
		in = nil
	}
	switch {
	case len(c.urgent) > 0:
		out, lines = c.sess.out, parcel{lines: c.urgent[:1], charset: c.charset()}
	case len(c.queue) > 0 && !c.bucket.next(now).After(now):
		out, lines = c.sess.out, parcel{c.queue[0].lines(), c.queue[0].tag, c.charset()}
	}
	c.sess.offer(out != nil)
	return in, out, lines
}

// leisurely queues a line that may wait until nothing else is to be sent.
func (c *client) leisurely(name string, params ...string) {
	line := c.commandLine(name, params...)
	if len(c.idle) < maxIdleLines && !slices.Contains(c.idle, line) {
		c.idle = append(c.idle, line)
	}
}

// relax lets one line go that had time.
func (c *client) relax() {
	if len(c.queue) > 0 || len(c.unacked) > 0 || c.phase != up || c.goodbye {
		return
	}
	if line := c.monitorLine(); line != "" {
		c.queue = append(c.queue, entry{line: line})
	} else if len(c.idle) > 0 {
		c.queue, c.idle = append(c.queue, entry{line: c.idle[0]}), c.idle[1:]
	}
}

// raiseBarrier queues a PING when messages are written that none follows yet: one for all of them when nothing
// else is to be sent, or after some lines or some time of a longer queue.
func (c *client) raiseBarrier(now time.Time) {
	if c.phase != up || len(c.queue) > 0 && c.since < barrierEvery && now.Sub(c.sinceAt) < barrierAfter {
		return
	}
	open := false
	for _, s := range c.unacked {
		if s.barrier == 0 && s.written == s.total {
			s.barrier = c.barrier + 1
			open = true
		}
	}
	if !open {
		return
	}
	c.barrier++
	c.since = 0
	ping := entry{line: "PING :" + barrierPing + strconv.FormatUint(c.barrier, 10)}
	c.queue = append([]entry{ping}, c.queue...)
}

// wrote takes the line that wires offered off its queue.
func (c *client) wrote(now time.Time) {
	if len(c.urgent) > 0 {
		c.urgent = c.urgent[1:]
		return
	}
	e := c.queue[0]
	c.queue = c.queue[1:]
	c.bucket.pay(now, c.costOf(e))
	if e.asks != nil {
		e.asks.deadline = now.Add(historyTimeout)
	}
	if e.send != nil {
		e.send.written++
		if c.since == 0 {
			c.sinceAt = now
		}
		c.since++
	}
}

// confirmed finishes the messages that a PONG covers.
func (c *client) confirmed(token string) {
	number, ok := strings.CutPrefix(token, barrierPing)
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return
	}
	for len(c.unacked) > 0 && c.unacked[0].barrier != 0 && c.unacked[0].barrier <= n {
		c.finish()
	}
}

// finish takes the first of the messages that were sent off the list: the server has processed it.
func (c *client) finish() {
	s := c.unacked[0]
	c.unacked = c.unacked[1:]
	c.labels.forget(s)
	if c.withoutRelayMsg(s) {
		return
	}
	s.done(s.err)
}

// rejected puts an error of the server down to the first message to that channel that it can be about.
// It reports false when there is none.
func (c *client) rejected(key, text string) bool {
	return c.rejectedAs(nil, key, text)
}

// rejectedAs is rejected for an error that can only be about some commands; nil is any. An empty key is any channel.
func (c *client) rejectedAs(verbs []string, key, text string) bool {
	for _, s := range c.unacked {
		if (key == "" || s.key == key) && s.failed < s.written && (verbs == nil || slices.Contains(verbs, s.verb)) {
			s.failed++
			s.err = failure("%s says: %s", c.net.name, text)
			return true
		}
	}
	return false
}
