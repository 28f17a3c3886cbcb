package network

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of connections by TCP. Who is in a call has one or two; who is not is closed soon (firstMessage).
const (
	maxTCP        = 4000 // at a time
	maxTCPAddress = 200  // of an address, or a /64 of IPv6: those of a company may come by one
	// firstMessage is how long a connection may be silent, and how long one is kept of which no call knows: clients are told of the SFU's address
	// when it knows theirs.
	firstMessage = 10 * time.Second
	// acceptPause is how long nothing is accepted when the machine has no room for another connection.
	acceptPause = 100 * time.Millisecond
)

// bounded is a listener with as many connections as it may have.
type bounded struct {
	net.Listener
	done chan struct{} // closed by Close
	once sync.Once

	mu   sync.Mutex // guards what follows
	all  int
	from map[netip.Addr]int
}

func bound(l net.Listener) *bounded {
	return &bounded{Listener: l, done: make(chan struct{}), from: map[netip.Addr]int{}}
}

// Close closes the listener.
func (l *bounded) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// Accept returns the next connection that there is room for; others are closed. What keeps one from being accepted passes, as when the process has
// too many files: pion would take the first such error for the end.
func (l *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil:
			select {
			case <-l.done:
				return nil, net.ErrClosed
			case <-time.After(acceptPause):
			}
			continue
		}
		from := household(remote(conn))
		if l.come(from) {
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = conn.Close()
	}
}

func (l *bounded) come(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxTCP || l.from[from] >= maxTCPAddress {
		return false
	}
	l.all++
	l.from[from]++
	return true
}

func (l *bounded) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

// boundedConn is a connection that counts until it is closed.
type boundedConn struct {
	net.Conn
	leave func()
}

func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// household is by what an address counts: those of IPv6 by the network that a customer has.
func household(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
