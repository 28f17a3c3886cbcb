package network

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseProxyHeader(t *testing.T) {
	for line, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443":               "192.0.2.1:4711",
		"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443":           "[2001:db8::1]:4711",
		"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 4711 443": "192.0.2.1:4711",
		"PROXY UNKNOWN":                       "nobody",
		"PROXY UNKNOWN and more":              "nobody",
		"":                                    "",
		"PROXY":                               "",
		"PROXY TCP4":                          "",
		"PROXY TCP4 192.0.2.1 192.0.2.2 4711": "",
		"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443 0":   "",
		"PROXY TCP4 2001:db8::1 2001:db8::2 4711 443": "",
		"PROXY TCP6 192.0.2.1 192.0.2.2 4711 443":     "",
		"PROXY TCP4 example.org 192.0.2.2 4711 443":   "",
		"PROXY TCP4 192.0.2.1 192.0.2.2 99999 443":    "",
		"PROXY UDP4 192.0.2.1 192.0.2.2 4711 443":     "",
		"GET / HTTP/1.1": "",
	} {
		from, err := parseProxyHeader(line)
		got := ""
		switch {
		case err == nil && from.IsValid():
			got = from.String()
		case err == nil:
			got = "nobody"
		}
		if got != want {
			t.Errorf("%q is from %q, want %q", line, got, want)
		}
	}
}

// pipes is a listener whose connections a test makes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial gives the far end of a connection.
func (p *pipes) dial() net.Conn {
	far, near := net.Pipe()
	p.conns <- near
	return far
}

// closed is whether the other end of a connection has closed it.
func closed(conn net.Conn) bool {
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func anybody(netip.Addr) bool { return true }

// TestProxied has connections that a proxy hands on, and others, beside those that are stuck in their header.
func TestProxied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outside := newPipes()
		l := Proxied(outside, anybody)
		slow, silent := outside.dial(), outside.dial()
		begin := time.Now()
		if _, err := slow.Write([]byte("PROXY T")); err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]string{
			"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\nhello": "192.0.2.1:4711",
			"PROXY UNKNOWN\r\nhello":                           "pipe",
		} {
			for _, size := range []int{1, 7, len(text)} { // however it comes
				conn := outside.dial()
				go func() {
					for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
						_, _ = io.WriteString(conn, rest[:min(size, len(rest))])
					}
					_ = conn.Close()
				}()
				got, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(got)
				if got.RemoteAddr().String() != want || string(body) != "hello" || err != nil {
					t.Errorf("by %d bytes: %q from %v, %v; want hello from %s", size, body, got.RemoteAddr(), err, want)
				}
				_ = got.Close()
			}
		}
		for _, text := range []string{"GET / HTTP/1.1\r\n", "\x16\x03\x01", "PROXY TCP4 x\r\n", "PROXY " + strings.Repeat("x", 200)} {
			conn := outside.dial()
			go func() { _, _ = io.WriteString(conn, text) }()
			if !closed(conn) {
				t.Errorf("%q is let in", text)
			}
		}
		if time.Since(begin) != 0 {
			t.Error("somebody waited for those who are slow")
		}
		if !closed(slow) || !closed(silent) || time.Since(begin) != proxyHeaderWait {
			t.Errorf("those who are slow are closed after %v", time.Since(begin))
		}
		// No more wait than may, and all are closed at the end.
		var waiting []net.Conn
		for range maxProxyWaiting {
			waiting = append(waiting, outside.dial())
		}
		if !closed(outside.dial()) {
			t.Error("one too many waits")
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		for _, conn := range waiting {
			if !closed(conn) {
				t.Fatal("one is left")
			}
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestProxiedTrust(t *testing.T) {
	outside, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Proxied(outside, func(a netip.Addr) bool { return a != netip.MustParseAddr("127.0.0.2") })
	defer l.Close()
	dial := func(from string) net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp4", outside.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	stranger := dial("127.0.0.2")
	if _, err := stranger.Read(make([]byte, 1)); err == nil {
		t.Error("a stranger is let in")
	}
	proxy := dial("127.0.0.1")
	if _, err := io.WriteString(proxy, "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n"); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil || conn.RemoteAddr().String() != "[2001:db8::1]:4711" {
		t.Errorf("got %v, %v", conn, err)
	}
	_ = conn.Close()
}

// TestBounded has an address have no more connections by TCP than it may.
func TestBounded(t *testing.T) {
	outside, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := bound(outside)
	defer l.Close()
	l.from[netip.MustParseAddr("127.0.0.1")] = maxTCPAddress - 1
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp4", outside.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	last, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := l.Accept()
		accepted <- conn
	}()
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("one too many is let in")
	}
	_ = last.Close()
	_ = last.Close() // which counts once
	dial()
	if conn := <-accepted; conn == nil {
		t.Error("there is no room again")
	} else {
		_ = conn.Close()
	}
	if got := l.from[netip.MustParseAddr("127.0.0.1")]; l.all != 0 || got != maxTCPAddress-1 {
		t.Errorf("%d connections are counted, %d of the address", l.all, got)
	}
	a, b := household(netip.MustParseAddr("2001:db8::1")), household(netip.MustParseAddr("2001:db8::2:0:0:3"))
	if a != b {
		t.Errorf("%v and %v are apart", a, b)
	}
}

// failing is a listener that cannot accept for once.
type failing struct {
	net.Listener
	err chan error
}

func (l *failing) Accept() (net.Conn, error) {
	select {
	case err := <-l.err:
		return nil, err
	default:
		return l.Listener.Accept()
	}
}

// TestAcceptGoesOn has no more files be there for a moment, which does not end the listener; closing it does.
func TestAcceptGoesOn(t *testing.T) {
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 1)
	errs <- syscall.EMFILE
	l := bound(&failing{plain, errs})
	conn, err := net.Dial("tcp4", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = accepted.Close()
	_ = l.Close()
	_ = l.Close()
	for _, last := range []error{syscall.EMFILE, net.ErrClosed} {
		errs <- last
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener that is closed, and has %v, gives %v", last, err)
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add("PROXY TCP4 192.0.2.1 192.0.2.2 4711 443")
	f.Add("PROXY TCP6 2001:db8::1 2001:db8::2 4711 443")
	f.Add("PROXY UNKNOWN")
	f.Fuzz(func(t *testing.T, line string) {
		if from, err := parseProxyHeader(line); err != nil && from.IsValid() {
			t.Errorf("%q is refused, and from %v", line, from)
		}
	})
}
