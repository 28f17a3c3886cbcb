package bridgetest

import (
	"net"
	"sync"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"github.com/ergochat/irc-go/ircreader"
)

// v3conn is one client of an IRCv3. Its fields are guarded by the server's lock, but the queue.
type v3conn struct {
	s    *IRCv3
	conn net.Conn
	far  bool // which of the two servers it is on

	nick, user, host string
	realName         string
	account          string
	away             string
	pass             string
	registered       bool
	caps             map[string]bool
	negotiating      bool
	sasl             v3sasl
	batches          map[string]*v3batch // open ones of the client
	answer           *[]ircmsg.Message   // collects what a labelled command is answered with

	queue v3queue
}

func newV3conn(s *IRCv3, conn net.Conn, far bool) *v3conn {
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	return &v3conn{
		s: s, conn: conn, far: far, host: host, caps: map[string]bool{}, batches: map[string]*v3batch{},
		queue: v3queue{bell: make(chan struct{}, 1)},
	}
}

func (c *v3conn) server() string {
	if c.far {
		return v3FarName
	}
	return v3Name
}

func (c *v3conn) mask() string { return c.nick + "!" + c.user + "@" + c.host }

func (c *v3conn) read() {
	var reader ircreader.Reader
	reader.Initialize(c.conn, 512, 16<<10)
	for {
		line, err := reader.ReadLine()
		if err != nil {
			c.s.mu.Lock()
			c.s.forget(c, "Connection reset by peer")
			c.s.mu.Unlock()
			c.queue.discard()
			return
		}
		m, err := ircmsg.ParseLineStrict(string(line), true, 512)
		if err != nil && err != ircmsg.ErrorBodyTooLong {
			continue
		}
		c.s.mu.Lock()
		c.dispatch(m)
		c.s.mu.Unlock()
	}
}

// write empties the queue into the socket.
func (c *v3conn) write() {
	defer c.conn.Close()
	for {
		line, ok := c.queue.next()
		if !ok {
			return
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(Patience))
		if _, err := c.conn.Write(line); err != nil {
			return
		}
	}
}

// send queues a line with those of its tags that the client has asked for.
func (c *v3conn) send(m ircmsg.Message) {
	if c.answer != nil {
		*c.answer = append(*c.answer, v3clone(m)) // which gets tags of this client's
		return
	}
	tags := map[string]string{}
	for name, value := range m.AllTags() {
		if c.wants(name) {
			tags[name] = value
		}
	}
	out := ircmsg.MakeMessage(tags, m.Source, m.Command, m.Params...)
	if m.Command == "PRIVMSG" || m.Command == "NOTICE" || m.Command == "TOPIC" {
		out.ForceTrailing()
	}
	line, err := out.LineBytesStrict(false, 512)
	if err != nil && err != ircmsg.ErrorBodyTooLong {
		return
	}
	if !c.queue.add(line, c.s.delay) {
		c.s.forget(c, "SendQ exceeded")
		c.drop()
	}
}

// v3clone is a line with tags of its own.
func v3clone(m ircmsg.Message) ircmsg.Message {
	return ircmsg.MakeMessage(m.AllTags(), m.Source, m.Command, m.Params...)
}

// numeric answers a command.
func (c *v3conn) numeric(code string, params ...string) {
	nick := c.nick
	if nick == "" {
		nick = "*"
	}
	c.send(ircmsg.MakeMessage(nil, c.server(), code, append([]string{nick}, params...)...))
}

// failed is the standard reply FAIL.
func (c *v3conn) failed(params ...string) {
	c.send(ircmsg.MakeMessage(nil, c.server(), "FAIL", params...))
}

// fail tells the client why it has to go, and closes the connection when that is written.
func (c *v3conn) fail(reason string) {
	c.answer = nil
	c.send(ircmsg.MakeMessage(nil, "", "ERROR", reason))
	c.queue.close()
}

// drop breaks the connection: what is queued is lost.
func (c *v3conn) drop() {
	c.queue.discard()
	_ = c.conn.Close()
}

// v3queue is what waits to be written to one client.
type v3queue struct {
	bell chan struct{}

	mu     sync.Mutex // guards what follows
	lines  []v3line
	bytes  int
	closed bool
}

type v3line struct {
	text []byte
	due  time.Time // not before it
}

// add reports false when too much waits.
func (q *v3queue) add(line []byte, delay time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	if q.bytes += len(line); q.bytes > v3SendQueue {
		return false
	}
	l := v3line{text: line}
	if delay > 0 {
		l.due = time.Now().Add(delay)
	}
	q.lines = append(q.lines, l)
	q.ring()
	return true
}

func (q *v3queue) ring() {
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

func (q *v3queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.ring()
}

// discard is close without the lines that wait.
func (q *v3queue) discard() {
	q.mu.Lock()
	q.lines = nil
	q.mu.Unlock()
	q.close()
}

// next waits for what is to be written, as many lines as are due; false is the end.
func (q *v3queue) next() ([]byte, bool) {
	for {
		q.mu.Lock()
		now := time.Now()
		var out []byte
		taken := 0
		for taken < len(q.lines) && !q.lines[taken].due.After(now) {
			out = append(out, q.lines[taken].text...)
			taken++
		}
		q.lines = q.lines[taken:]
		q.bytes -= len(out)
		var wait time.Duration
		if len(q.lines) > 0 {
			wait = q.lines[0].due.Sub(now)
		}
		ended := q.closed && len(q.lines) == 0
		q.mu.Unlock()
		switch {
		case len(out) > 0:
			return out, true
		case ended:
			return nil, false
		case wait > 0:
			timer := time.NewTimer(wait)
			select {
			case <-q.bell:
			case <-timer.C:
			}
			timer.Stop()
		default:
			<-q.bell
		}
	}
}
