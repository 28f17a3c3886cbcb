package holder

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"github.com/ergochat/irc-go/ircreader"
)

// maxLine bounds a line from IRC: 8191 bytes of tags and 512 of the rest, and some room.
const maxLine = 8192 + 1024

// held is one IRC connection. One goroutine reads it; while a server is attached, one more passes lines on and one
// takes the server's.
type held struct {
	h    *Holder
	req  Request
	conn net.Conn
	addr Address

	writing sync.Mutex // held while lines are written

	mu       sync.Mutex // guards what follows
	changed  *sync.Cond // that something can be sent, or read on
	prelude  Prelude
	welcomed bool
	lines    []kept // that are not confirmed
	bytes    int    // of them
	sent     int    // how many of them the server has been sent
	seq      uint64
	leads    []string
	written  []uint64
	link     net.Conn      // of the server, or nil
	detached chan struct{} // closed when what it sent has been done
	timer    *time.Timer   // until the connection is given up
	ended    string        // why, when it has
	quitting bool
}

// kept is a line that is not confirmed. Those of the registration are in the prelude at once: nobody can take up a
// connection before it has ended.
type kept struct {
	Line
	folded bool
}

func newHeld(h *Holder, req Request, conn net.Conn, secure bool) *held {
	c := &held{h: h, req: req, conn: conn, addr: addressOf(conn, secure)}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// read takes lines until the connection ends.
func (c *held) read() {
	var reader ircreader.Reader
	reader.Initialize(c.conn, initialFrame, maxLine)
	for {
		raw, err := reader.ReadLine()
		if err != nil {
			c.end(err.Error())
			return
		}
		if token, ping := pingToken(raw); ping {
			_ = c.write([]byte("PONG :" + token + "\r\n"))
		}
		c.take(raw)
	}
}

// take keeps a line for the server.
func (c *held) take(raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.link != nil && c.bytes > maxAttached && c.ended == "" {
		c.changed.Wait()
	}
	_, ping := pingToken(raw)
	if c.link == nil && ping {
		return // nobody needs to know
	}
	c.seq++
	k := kept{Line: Line{Seq: c.seq, At: time.Now(), Text: bytes.Clone(raw)}, folded: !c.welcomed}
	if !c.welcomed {
		c.prelude.fold(raw)
		c.welcomed = isWelcome(raw)
	}
	c.lines = append(c.lines, k)
	c.bytes += len(raw)
	c.changed.Broadcast()
	if c.link == nil {
		c.h.grew(c, len(raw))
		if c.bytes > maxDetached {
			c.quitLocked("too much was said while the bridge was away")
		}
	}
}

// isWelcome reports whether a line ends the registration: RPL_ENDOFMOTD or ERR_NOMOTD.
func isWelcome(raw []byte) bool {
	m, err := ircmsg.ParseLine(string(raw))
	return err == nil && (m.Command == "376" || m.Command == "422")
}

// pingToken is what a PING of the server wants to hear.
func pingToken(raw []byte) (string, bool) {
	if !bytes.Contains(raw, []byte("PING")) {
		return "", false
	}
	m, err := ircmsg.ParseLine(string(raw))
	if err != nil || m.Command != "PING" || len(m.Params) == 0 {
		return "", false
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, m.Params[len(m.Params)-1]), true
}

// end notes that the connection is no more. What it has said is kept for the server.
func (c *held) end(why string) {
	_ = c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = why
	if c.quitting && c.link == nil {
		c.dropLocked()
	}
	c.changed.Broadcast()
}

// write sends bytes to IRC. If that fails, the reader notices.
func (c *held) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.conn.Write(b); err != nil {
		_ = c.conn.Close()
		return err
	}
	return nil
}

// attach gives the connection to a server, and returns when the server's end of the Unix connection has ended and all
// that it sent is done. One that had it before is cut off. It reports false when there is nothing to give.
func (c *held) attach(link net.Conn, answer func(State) error) bool {
	before := c.detachedNow()
	if before != nil {
		select {
		case <-before:
		case <-time.After(askTimeout):
			return false
		}
	}
	c.mu.Lock()
	if c.link != nil || c.quitting {
		c.mu.Unlock()
		return false
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.link, c.detached, c.sent = link, make(chan struct{}), 0
	if c.welcomed { // what is in the prelude is not told again
		for len(c.lines) > 0 && c.lines[0].folded && answer != nil {
			c.bytes -= len(c.lines[0].Text)
			c.lines = c.lines[1:]
		}
	}
	c.h.grew(c, 0)
	state := c.state()
	c.mu.Unlock()
	if answer != nil {
		if err := answer(state); err != nil {
			c.detach(link, false)
			return true
		}
	}
	sender := make(chan struct{})
	go func() { defer close(sender); c.pass(link) }()
	end := c.obey(link)
	c.detach(link, end)
	<-sender
	return true
}

// detachedNow cuts off the server that has the connection, and returns what is closed when that is done, or nil.
func (c *held) detachedNow() chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return nil
	}
	// What it has sent is read still: it may just have ended.
	_ = c.link.SetReadDeadline(time.Now().Add(askTimeout / 2))
	return c.detached
}

func (c *held) state() State {
	return State{
		Address: c.addr, Prelude: c.prelude, Leads: c.leads, Written: append([]uint64(nil), c.written...), Last: c.seq, Pending: len(c.lines),
	}
}

// detach keeps the connection for a successor, or gives it up.
func (c *held) detach(link net.Conn, end bool) {
	_ = link.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link = nil
	close(c.detached)
	c.changed.Broadcast()
	switch {
	case end, c.quitting, !c.welcomed, c.ended != "" && len(c.lines) == 0:
		c.dropLocked()
		_ = c.conn.Close()
	default:
		c.h.grew(c, c.bytes)
		c.timer = time.AfterFunc(time.Duration(c.req.HoldMS)*time.Millisecond, func() {
			c.quit("the bridge has not come back")
		})
	}
}

// pass sends lines to the server until it or the connection has gone.
func (c *held) pass(link net.Conn) {
	for {
		c.mu.Lock()
		for c.link == link && c.sent == len(c.lines) && c.ended == "" {
			c.changed.Wait()
		}
		if c.link != link {
			c.mu.Unlock()
			return
		}
		if c.sent == len(c.lines) {
			why := c.ended
			c.mu.Unlock()
			_, _ = fmt.Fprintf(link, "E %s\n", strings.ReplaceAll(why, "\n", " "))
			// The server closes it; what it has sent meanwhile is read first.
			return
		}
		var b []byte
		for ; c.sent < len(c.lines) && len(b) < maxLine; c.sent++ {
			b = append(b, lineFrame(c.lines[c.sent].Line)...)
		}
		c.mu.Unlock()
		if _, err := link.Write(b); err != nil {
			_ = link.Close()
			return
		}
	}
}

// obey does what the server says until it goes. It reports whether the connection is to end.
func (c *held) obey(link net.Conn) (end bool) {
	var reader ircreader.Reader
	reader.Initialize(link, initialFrame, maxFrame)
	var batch []byte
	for {
		raw, err := reader.ReadLine()
		if err != nil {
			return false
		}
		if len(raw) < 2 {
			continue
		}
		switch rest := raw[2:]; raw[0] {
		case 'M', 'W':
			tag, line, err := parseWrite(rest)
			if err != nil {
				return false
			}
			batch = append(append(batch, line...), "\r\n"...)
			if raw[0] == 'W' {
				c.note(tag)
				_ = c.write(batch)
				batch = nil
			}
		case 'A':
			seq, leads, err := parseAck(rest)
			if err != nil {
				return false
			}
			c.confirm(seq, leads)
		case 'X':
			if len(rest) > 0 {
				_ = c.write([]byte("QUIT :" + string(rest) + "\r\n"))
				c.await()
			}
			return true
		}
	}
}

// note remembers that a line has been written.
func (c *held) note(tag uint64) {
	if tag == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.written) >= maxWritten {
		c.written = append(c.written[:0], c.written[len(c.written)-maxWritten+1:]...)
	}
	c.written = append(c.written, tag)
}

// confirm forgets lines that the server has done with, and folds them into the prelude.
func (c *held) confirm(seq uint64, leads []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leads = leads
	n := 0
	for n < c.sent && c.lines[n].Seq <= seq {
		if !c.lines[n].folded {
			c.prelude.fold(c.lines[n].Text)
		}
		c.bytes -= len(c.lines[n].Text)
		n++
	}
	if c.sent -= n; n == len(c.lines) {
		c.lines = nil
	} else {
		c.lines = append([]kept(nil), c.lines[n:]...)
	}
	c.changed.Broadcast()
}

// quit says goodbye and gives the connection up, if it has no server.
func (c *held) quit(words string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		c.quitLocked(words)
	}
}

func (c *held) quitLocked(words string) {
	if c.quitting {
		return
	}
	c.quitting = true
	if c.ended != "" {
		c.dropLocked()
		return
	}
	go func() { _ = c.write([]byte("QUIT :" + words + "\r\n")) }() // it ends with the connection
	time.AfterFunc(quitWait, func() { _ = c.conn.Close() })
}

// await waits until the IRC server has closed the connection, or quitWait.
func (c *held) await() {
	timer := time.AfterFunc(quitWait, func() { _ = c.conn.Close() })
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.ended == "" {
		c.changed.Wait()
	}
}

// dropLocked takes the connection out of the holder's list.
func (c *held) dropLocked() {
	c.h.drop(c)
	if c.timer != nil {
		c.timer.Stop()
	}
}
