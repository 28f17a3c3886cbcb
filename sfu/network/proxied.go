package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// What a connection may do before its PROXY header is there (HAProxy, "The PROXY protocol", version 1, section 2.1).
const (
	maxProxyHeader   = 107 // bytes, with the end of the line
	proxyHeaderWait  = 5 * time.Second
	maxProxyWaiting  = 256 // connections at a time
	proxyHeaderStart = "PROXY "
)

var errProxyHeader = errors.New("a proxy has sent no PROXY header")

// proxied is a listener behind a proxy that hands on connections by TCP, and says in a line before all else whom each is from.
type proxied struct {
	net.Listener
	trusted func(netip.Addr) bool
	ready   chan accepted
	done    chan struct{} // closed by Close
	tasks   sync.WaitGroup

	mu      sync.Mutex // guards waiting
	waiting map[net.Conn]struct{}
	closed  bool
}

type accepted struct {
	conn net.Conn
	err  error
}

// Proxied gives the connections of a listener the addresses that a proxy says they are from, by the PROXY protocol of version 1, as nginx's and
// HAProxy's streams speak it. Connections from others than trusted addresses are closed, and so are those without a header. Close
// closes the listener.
func Proxied(l net.Listener, trusted func(netip.Addr) bool) net.Listener {
	p := &proxied{Listener: l, trusted: trusted, ready: make(chan accepted), done: make(chan struct{}), waiting: map[net.Conn]struct{}{}}
	p.tasks.Go(p.accept)
	return p
}

func (l *proxied) accept() {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err != nil:
			if !l.hand(accepted{err: err}) {
				return
			}
		case !l.trusted(remote(conn)) || !l.admit(conn):
			_ = conn.Close()
		default:
			l.tasks.Go(func() { l.read(conn) })
		}
	}
}

// hand gives what has come to whoever accepts; false when the listener is closed.
func (l *proxied) hand(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.done:
		return false
	}
}

// admit notes a connection that is to send its header.
func (l *proxied) admit(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.waiting) >= maxProxyWaiting {
		return false
	}
	l.waiting[conn] = struct{}{}
	return true
}

func (l *proxied) read(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(proxyHeaderWait))
	whole, err := readProxyHeader(conn)
	_ = conn.SetReadDeadline(time.Time{})
	l.mu.Lock()
	delete(l.waiting, conn)
	l.mu.Unlock()
	if err != nil || !l.hand(accepted{conn: whole}) {
		_ = conn.Close()
	}
}

// Accept returns the next connection whose header has come.
func (l *proxied) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener, and the connections that nobody has accepted.
func (l *proxied) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	for conn := range l.waiting {
		_ = conn.Close()
	}
	l.mu.Unlock()
	if !first {
		return nil
	}
	close(l.done)
	err := l.Listener.Close()
	l.tasks.Wait()
	return err
}

// proxiedConn is a connection behind its header.
type proxiedConn struct {
	net.Conn
	from net.Addr
	rest []byte // read with the header
}

func (c *proxiedConn) RemoteAddr() net.Addr { return c.from }

func (c *proxiedConn) Read(p []byte) (int, error) {
	if len(c.rest) > 0 {
		n := copy(p, c.rest)
		c.rest = c.rest[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// readProxyHeader reads a header, and gives the connection behind it.
func readProxyHeader(conn net.Conn) (*proxiedConn, error) {
	b := make([]byte, 0, maxProxyHeader)
	for {
		n, err := conn.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if line, rest, ok := bytes.Cut(b, []byte("\r\n")); ok {
			from, err := parseProxyHeader(string(line))
			if err != nil {
				return nil, err
			}
			c := &proxiedConn{Conn: conn, from: conn.RemoteAddr(), rest: rest}
			if from.IsValid() {
				c.from = net.TCPAddrFromAddrPort(from)
			}
			return c, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a PROXY header: %w", err)
		}
		start := min(len(b), len(proxyHeaderStart))
		if len(b) == cap(b) || string(b[:start]) != proxyHeaderStart[:start] {
			return nil, errProxyHeader
		}
	}
}

// parseProxyHeader reads whom a connection is from: "PROXY TCP4 192.0.2.1 192.0.2.2 4711 443", or nobody of whom the proxy can say it, as when it
// asks by itself whether the server is there: "PROXY UNKNOWN".
func parseProxyHeader(line string) (from netip.AddrPort, err error) {
	f := strings.Split(line, " ")
	if len(f) < 2 || f[0] != strings.TrimSpace(proxyHeaderStart) {
		return netip.AddrPort{}, errProxyHeader
	}
	switch f[1] {
	case "UNKNOWN":
		return netip.AddrPort{}, nil
	case "TCP4", "TCP6":
		if len(f) != 6 {
			return netip.AddrPort{}, errProxyHeader
		}
		a, err := netip.ParseAddr(f[2])
		if err != nil || a.Is4() != (f[1] == "TCP4") || a.Zone() != "" {
			return netip.AddrPort{}, errProxyHeader
		}
		if from, err = netip.ParseAddrPort(net.JoinHostPort(f[2], f[4])); err != nil {
			return netip.AddrPort{}, errProxyHeader
		}
		return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), nil
	}
	return netip.AddrPort{}, errProxyHeader
}

// remote is the address of the other end.
func remote(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
