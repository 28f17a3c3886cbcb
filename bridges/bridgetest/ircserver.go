package bridgetest

import (
	"bufio"
	"fmt"
	"net"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"
)

// IRCServer is an IRC server whose every line the test writes: for the faults that a real one cannot be asked to
// make.
type IRCServer struct {
	Address string

	t        testing.TB
	listener net.Listener
}

// NewIRCServer listens on a loopback port until the end of the test.
func NewIRCServer(t testing.TB) *IRCServer {
	t.Helper()
	return NewIRCServerAt(t, "127.0.0.1:0")
}

// NewIRCServerAt is NewIRCServer on an address.
func NewIRCServerAt(t testing.TB, address string) *IRCServer {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &IRCServer{Address: l.Addr().String(), t: t, listener: l}
}

// IRCConn is one connection to an IRCServer.
type IRCConn struct {
	// Questions lets Read return also the questions about the state of a channel (MODE #c, MODE #c b), which come
	// when there is nothing else to do.
	Questions bool

	t     testing.TB
	conn  net.Conn
	lines *bufio.Scanner
	early []string // lines that came before an answer that was waited for
	syncs int
}

// question is a line that asks for modes or for a list.
var question = regexp.MustCompile(`^MODE \S+( \+?[beq])?$`)

// Accept waits for the next connection.
func (s *IRCServer) Accept() *IRCConn {
	s.t.Helper()
	_ = s.listener.(*net.TCPListener).SetDeadline(time.Now().Add(Patience))
	conn, err := s.listener.Accept()
	if err != nil {
		s.t.Fatal("no connection: ", err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return &IRCConn{t: s.t, conn: conn, lines: bufio.NewScanner(conn)}
}

// Read returns the next line.
func (c *IRCConn) Read() string {
	c.t.Helper()
	line, ok := c.TryRead()
	if !ok {
		c.t.Fatal("no line came: ", c.lines.Err())
	}
	return line
}

// TryRead returns the next line, and false when the client has closed the connection.
func (c *IRCConn) TryRead() (string, bool) {
	for {
		line, ok := c.next()
		if !ok || c.Questions || !question.MatchString(line) {
			return line, ok
		}
	}
}

func (c *IRCConn) next() (line string, ok bool) {
	if len(c.early) > 0 {
		line, c.early = c.early[0], c.early[1:]
		return line, true
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(Patience))
	ok = c.lines.Scan()
	return c.lines.Text(), ok
}

// Handled waits until the client has handled all that it was sent.
func (c *IRCConn) Handled() {
	c.t.Helper()
	c.syncs++
	token := fmt.Sprintf("handled-%d", c.syncs)
	c.Send("PING :%s", token)
	var early []string
	for line, ok := c.next(); line != "PONG :"+token; line, ok = c.next() {
		if !ok {
			break // it has gone away, which a reader notices
		}
		early = append(early, line)
	}
	c.early = append(early, c.early...)
}

// Expect reads a line that must be as given, or match it as a pattern of path.Match, where * stands for anything
// but a slash.
func (c *IRCConn) Expect(pattern string) string {
	c.t.Helper()
	line := c.Read()
	if ok, err := path.Match(pattern, line); line != pattern && (err != nil || !ok) {
		c.t.Fatalf("got line %q, want %q", line, pattern)
	}
	return line
}

// Send sends a line.
func (c *IRCConn) Send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, format+"\r\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// Welcome expects the registration under a nick and grants it.
func (c *IRCConn) Welcome(nick string) {
	c.t.Helper()
	c.Expect("CAP LS 302")
	c.Expect("NICK " + nick)
	c.Expect("USER *")
	c.Greet(nick)
}

// Capable is Welcome by a server that has capabilities, of which it grants all that are asked for.
func (c *IRCConn) Capable(nick, offered string) (asked []string) {
	c.t.Helper()
	c.Expect("CAP LS 302")
	c.Expect("NICK " + nick)
	c.Expect("USER *")
	c.Send(":irc.test CAP * LS :%s", offered)
	for {
		line := c.Read()
		names, request := strings.CutPrefix(line, "CAP REQ ")
		names = strings.TrimPrefix(names, ":")
		switch {
		case request:
			asked = append(asked, strings.Fields(names)...)
			c.Send(":irc.test CAP * ACK :%s", names)
		case line == "CAP END":
			c.Greet(nick)
			return asked
		default:
			c.t.Fatalf("got line %q, want CAP REQ or CAP END", line)
		}
	}
}

// Greet grants a nick.
func (c *IRCConn) Greet(nick string) {
	c.t.Helper()
	c.Send(":irc.test 001 %s :Welcome", nick)
	c.Send(":irc.test 005 %s CASEMAPPING=rfc1459 NICKLEN=16 :are supported", nick)
	c.Send(":irc.test 376 %s :End of MOTD", nick)
}

// Joined expects JOIN and grants it, with these others in the channel, and waits until the client is there.
func (c *IRCConn) Joined(nick, channel, others string) {
	c.t.Helper()
	c.Expect("JOIN " + channel)
	c.Enter(nick, channel, others)
	c.Handled()
}

// Enter lets a nick into a channel with these others.
func (c *IRCConn) Enter(nick, channel, others string) {
	c.t.Helper()
	c.Send(":%s!%s@host.test JOIN %s", nick, nick, channel)
	c.Send(":irc.test 353 %s = %s :%s %s", nick, channel, nick, others)
	c.Send(":irc.test 366 %s %s :End of NAMES", nick, channel)
}

// Pong expects a PING and answers it.
func (c *IRCConn) Pong() {
	c.t.Helper()
	token := c.Expect("PING :*")[len("PING :"):]
	c.Send(":irc.test PONG irc.test :%s", token)
}

// Remote is where the connection comes from.
func (c *IRCConn) Remote() net.Addr { return c.conn.RemoteAddr() }

// Close ends the connection.
func (c *IRCConn) Close() { _ = c.conn.Close() }
