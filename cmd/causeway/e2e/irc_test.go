package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"github.com/ergochat/irc-go/ircreader"
)

// Sizes of ircreader's buffer: a line without tags has at most 512 bytes.
const (
	ircInitialBuffer = 1024
	ircMaxLine       = 8192
)

// ircClient is a person on IRC with a plain client.
type ircClient struct {
	t     *testing.T
	nick  string
	lines *journal[ircmsg.Message] // all that the server sent, but PING

	mu   sync.Mutex // guards writes to conn
	conn net.Conn
}

// connectIRC logs in with a nick.
func connectIRC(t *testing.T, address, nick string) *ircClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &ircClient{t: t, nick: nick, lines: newJournal[ircmsg.Message](), conn: conn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	c.send("NICK", nick)
	c.send("USER", nick, "0", "*", "the real "+nick)
	c.lines.await(t, 0, "welcome for "+nick, func(m ircmsg.Message) bool { return m.Command == "001" })
	return c
}

// read collects lines until the connection ends.
func (c *ircClient) read() {
	var reader ircreader.Reader
	reader.Initialize(c.conn, ircInitialBuffer, ircMaxLine)
	for {
		line, err := reader.ReadLine()
		if err != nil {
			return // by the test's end, or the server's; what then is missing is the failure
		}
		message, err := ircmsg.ParseLine(string(line))
		switch {
		case errors.Is(err, ircmsg.ErrorLineIsEmpty):
		case err != nil:
			c.t.Errorf("%s got the line %q: %v", c.nick, line, err)
		case message.Command == "PING":
			c.send("PONG", message.Params...)
		default:
			c.lines.add(message)
		}
	}
}

// send writes one line. It may be called from any goroutine.
func (c *ircClient) send(command string, params ...string) {
	c.t.Helper()
	message := ircmsg.MakeMessage(nil, "", command, params...)
	line, err := message.Line()
	if err != nil {
		c.t.Errorf("%s sends %s %q: %v", c.nick, command, params, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := io.WriteString(c.conn, line); err != nil {
		c.t.Errorf("%s sends %s: %v", c.nick, command, err)
	}
}

// join enters a channel and returns when the server has listed its members.
func (c *ircClient) join(channel string) {
	c.t.Helper()
	start := c.lines.position()
	c.send("JOIN", channel)
	c.await(start, "end of NAMES of "+channel, "366", channel)
}

func (c *ircClient) say(channel, text string)    { c.send("PRIVMSG", channel, text) }
func (c *ircClient) notice(channel, text string) { c.send("NOTICE", channel, text) }
func (c *ircClient) action(channel, text string) { c.say(channel, "\x01ACTION "+text+"\x01") }

// await waits for a line since position with this command and, among its
// parameters, all these.
func (c *ircClient) await(position int, what, command string, params ...string) ircmsg.Message {
	c.t.Helper()
	return c.lines.await(c.t, position, c.nick+" saw no "+what, func(m ircmsg.Message) bool {
		if m.Command != command {
			return false
		}
		for _, p := range params {
			if !slices.Contains(m.Params, p) {
				return false
			}
		}
		return true
	})
}

// awaitFrom is await for a line of one sender.
func (c *ircClient) awaitFrom(position int, nick, command string, params ...string) ircmsg.Message {
	c.t.Helper()
	return c.lines.await(c.t, position, fmt.Sprintf("%s from %s for %s", command, nick, c.nick), func(m ircmsg.Message) bool {
		if m.Command != command || !strings.EqualFold(m.Nick(), nick) {
			return false
		}
		for _, p := range params {
			if !slices.Contains(m.Params, p) {
				return false
			}
		}
		return true
	})
}

// spoken is one line of talk, on either side.
type spoken struct{ sender, text string }

// heard returns what was said in a channel since position, by whom, in order.
func (c *ircClient) heard(position int, channel string) []spoken {
	entries, _ := c.lines.from(position)
	var all []spoken
	for _, m := range entries {
		if m.Command == "PRIVMSG" && strings.EqualFold(m.Params[0], channel) {
			all = append(all, spoken{m.Nick(), m.Params[1]})
		}
	}
	return all
}
