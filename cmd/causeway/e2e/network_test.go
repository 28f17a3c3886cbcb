package e2e

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// ircNetwork is the configuration of an IRC network without flood control, which
// the tests' server does not need, and with short pauses between attempts to
// reach it.
func ircNetwork(name, address string) string {
	return fmt.Sprintf(`      %s:
        address: %s
        tls: false
        flood: {unlimited: true}
        connect: {burst: 100, interval: 10ms, retry_min: 100ms, retry_max: 1s}
`, name, address)
}

// relay is the network between the bridge and an IRC server. It can be cut and
// mended, while those who are connected directly stay.
type relay struct {
	t               *testing.T
	address, target string // host:port
	running         sync.WaitGroup

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    []net.Conn
}

// newRelay forwards connections to the target until the test ends.
func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	r := &relay{t: t, address: freePort(t), target: target}
	r.mend()
	t.Cleanup(r.cut)
	return r
}

// mend accepts connections, again.
func (r *relay) mend() {
	r.t.Helper()
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = listener
	r.mu.Unlock()
	r.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.forward(conn) })
		}
	})
}

// cut ends all connections and refuses new ones. It returns when the last byte
// was forwarded.
func (r *relay) cut() {
	r.mu.Lock()
	r.listener.Close()
	for _, conn := range r.conns {
		conn.Close()
	}
	r.listener, r.conns = closedListener{}, nil
	r.mu.Unlock()
	r.running.Wait()
}

// forward copies both ways until one side ends.
func (r *relay) forward(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	r.mu.Lock()
	_, cut := r.listener.(closedListener)
	r.conns = append(r.conns, conn, server)
	r.mu.Unlock()
	if cut {
		return
	}
	r.running.Go(func() {
		io.Copy(server, conn)
		server.Close()
	})
	io.Copy(conn, server)
}

// closedListener stands for the listener of a relay that is cut.
type closedListener struct{ net.Listener }

// Close does nothing.
func (closedListener) Close() error { return nil }

// TestNetworkComesBack cuts the bridge off from the IRC server while Matrix users
// talk, and mends that: what they said arrives, once and in order.
func TestNetworkComesBack(t *testing.T) {
	irc := startNgircd(t)
	relay := newRelay(t, irc.address)
	m := meetThrough(t, "", irc, relay.address)

	onIRC := m.ian.lines.position()
	relay.cut()
	for _, c := range m.people() {
		m.ian.awaitFrom(onIRC, m.nicks[c], "QUIT")
	}
	lines := script("mary", 10)
	for _, line := range lines {
		if _, err := m.mary.send(m.roomID, "m.text", line); err != nil {
			t.Fatal(err)
		}
	}
	onIRC = m.ian.lines.position()
	relay.mend()
	for _, c := range m.people() {
		m.nicks[c] = m.ian.awaitPuppet(onIRC, c.name)
	}
	m.ian.awaitFrom(onIRC, m.nicks[m.mary], "PRIVMSG", channel, lines[len(lines)-1])
	compareSpoken(t, "ian", m.ian.heard(onIRC, channel), map[string][]string{m.nicks[m.mary]: lines})

	onMatrix := m.mike.events.position()
	m.ian.say(channel, "welcome back")
	m.ian.say(channel, "all of you")
	m.mike.awaitMessage(onMatrix, ghost("ian"), "m.text", "all of you")
	compareSpoken(t, "mike", m.mike.heard(onMatrix, m.roomID), map[string][]string{
		string(ghost("ian")): {"welcome back", "all of you"},
	})
}
