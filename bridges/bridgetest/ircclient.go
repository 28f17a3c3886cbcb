package bridgetest

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
)

// IRCClient is a plain IRC user. It answers PING and keeps every line it gets.
type IRCClient struct {
	Nick string

	t    testing.TB
	conn net.Conn

	mu     sync.Mutex // guards what follows
	lines  []ircmsg.Message
	change chan struct{}
}

// DialIRC connects a user and waits until the server has welcomed it. It asks for these capabilities first.
func DialIRC(t testing.TB, address, nick string, capabilities ...string) *IRCClient {
	t.Helper()
	c := rawIRC(t, address)
	c.Nick = nick
	if len(capabilities) > 0 {
		c.Send("CAP LS 302")
		c.Send("CAP REQ :%s", strings.Join(capabilities, " "))
		c.Send("CAP END")
	}
	c.Send("NICK %s", nick)
	c.Send("USER %s 0 * :%s", nick, nick)
	c.Await("welcome", func(m ircmsg.Message) bool { return m.Command == "376" || m.Command == "422" })
	return c
}

// rawIRC connects and says nothing yet.
func rawIRC(t testing.TB, address string) *IRCClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &IRCClient{t: t, conn: conn, change: make(chan struct{})}
	var reader sync.WaitGroup
	reader.Add(1)
	go func() { defer reader.Done(); c.read() }()
	t.Cleanup(func() { _ = conn.Close(); reader.Wait() })
	return c
}

// Address is where the user is connected to.
func (c *IRCClient) Address() string { return c.conn.RemoteAddr().String() }

func (c *IRCClient) read() {
	scanner := bufio.NewScanner(c.conn)
	for scanner.Scan() {
		m, err := ircmsg.ParseLine(scanner.Text())
		if err != nil {
			continue
		}
		if m.Command == "PING" {
			_, _ = fmt.Fprintf(c.conn, "PONG :%s\r\n", m.Params[len(m.Params)-1])
		}
		c.mu.Lock()
		c.lines = append(c.lines, m)
		close(c.change)
		c.change = make(chan struct{})
		c.mu.Unlock()
	}
}

// Send sends a line.
func (c *IRCClient) Send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.conn, format+"\r\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// Join joins a channel and waits until it is in.
func (c *IRCClient) Join(channel string) {
	c.t.Helper()
	c.Send("JOIN %s", channel)
	c.Await("end of names", func(m ircmsg.Message) bool {
		return m.Command == "366" && strings.EqualFold(m.Params[1], channel)
	})
}

// Say says something in a channel.
func (c *IRCClient) Say(channel, text string) {
	c.t.Helper()
	c.Send("PRIVMSG %s :%s", channel, text)
}

// Quit closes the connection in order.
func (c *IRCClient) Quit(reason string) { c.Send("QUIT :%s", reason) }

// Lines are the lines so far that fit.
func (c *IRCClient) Lines(fits func(m ircmsg.Message) bool) []ircmsg.Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.lines), func(m ircmsg.Message) bool { return !fits(m) })
}

// Await waits for a line that fits; lines from before the call count.
func (c *IRCClient) Await(what string, fits func(m ircmsg.Message) bool) ircmsg.Message {
	c.t.Helper()
	return c.AwaitCount(what, 1, fits)[0]
}

// AwaitCount waits for a number of lines that fit.
func (c *IRCClient) AwaitCount(what string, count int, fits func(m ircmsg.Message) bool) []ircmsg.Message {
	c.t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	for {
		c.mu.Lock()
		change := c.change
		c.mu.Unlock()
		lines := c.Lines(fits)
		if len(lines) >= count {
			return lines
		}
		select {
		case <-change:
		case <-timer.C:
			c.t.Fatalf("%s: got %d of %d lines in %v: %s", c.Nick, len(lines), count, Patience, what)
		}
	}
}

// Said fits what a nick says in a channel; an empty nick is anybody.
func Said(channel, nick string) func(m ircmsg.Message) bool {
	return func(m ircmsg.Message) bool {
		return (m.Command == "PRIVMSG" || m.Command == "NOTICE") && strings.EqualFold(m.Params[0], channel) &&
			strings.Contains(m.Source, "!") && (nick == "" || m.Nick() == nick)
	}
}

// Texts are the last parameters of lines.
func Texts(lines []ircmsg.Message) []string {
	texts := make([]string, len(lines))
	for i, m := range lines {
		texts[i] = m.Params[len(m.Params)-1]
	}
	return texts
}

// AwaitCommand waits for a command from a nick about a channel (or, without one, the first parameter).
func (c *IRCClient) AwaitCommand(command, nick, param string) ircmsg.Message {
	c.t.Helper()
	return c.Await(fmt.Sprintf("%s by %s on %s", command, nick, param), func(m ircmsg.Message) bool {
		return m.Command == command && m.Nick() == nick && (param == "" || len(m.Params) > 0 && strings.EqualFold(m.Params[0], param))
	})
}

// AwaitOccupant asks for the names in a channel until a nick is among them.
func (c *IRCClient) AwaitOccupant(channel, nick string) {
	c.t.Helper()
	c.ask("NAMES "+channel, "366", func(m ircmsg.Message) bool {
		return m.Command == "353" && slices.Contains(strings.Fields(strings.ReplaceAll(m.Params[3], "@", "")), nick)
	})
}

// AwaitAbsent asks for a nick until nobody has it.
func (c *IRCClient) AwaitAbsent(nick string) {
	c.t.Helper()
	c.ask("WHOIS "+nick, "318", func(m ircmsg.Message) bool { return m.Command == "401" })
}

// AwaitPresent asks for a nick until somebody has it.
func (c *IRCClient) AwaitPresent(nick string) {
	c.t.Helper()
	c.ask("WHOIS "+nick, "318", func(m ircmsg.Message) bool { return m.Command == "311" })
}

// AwaitNotice waits for a notice of a nick to us that contains a text.
func (c *IRCClient) AwaitNotice(nick, text string) ircmsg.Message {
	c.t.Helper()
	return c.Await("notice of "+nick+" with "+text, func(m ircmsg.Message) bool {
		return m.Command == "NOTICE" && strings.EqualFold(m.Nick(), nick) && strings.Contains(m.Params[1], text)
	})
}

// ask repeats a command until, by the end of an answer, a line fits.
func (c *IRCClient) ask(command, end string, fits func(m ircmsg.Message) bool) {
	c.t.Helper()
	ended := func(m ircmsg.Message) bool { return m.Command == end }
	for last := time.Now().Add(Patience); time.Now().Before(last); {
		before := len(c.Lines(ended))
		c.Send("%s", command)
		c.AwaitCount(command, before+1, ended)
		if len(c.Lines(fits)) > 0 {
			return
		}
	}
	c.t.Fatalf("%s: asked in vain: %s", c.Nick, command)
}
