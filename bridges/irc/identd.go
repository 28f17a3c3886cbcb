package irc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// maxIdentQueries is how many connections ask at once; who comes then is not listened to. maxIdentPerAddress is how many of
	// them may be one stranger's.
	maxIdentQueries    = 256
	maxIdentPerAddress = 32
	// maxIdentLine bounds a question, in bytes: "65535 , 65535" and spaces.
	maxIdentLine = 64
	// identTimeout bounds a connection. RFC 1413, section 6, has 30 s at least for an open one; ours asks once.
	identTimeout = 10 * time.Second
	// identPatience is how long an answer waits for connections that are just being made: the server may ask about one
	// before we know that it has been accepted.
	identPatience = 2 * time.Second
)

// wire is a connection of ours as identd is asked for it: our port, and the server's address and port.
type wire struct {
	local  uint16
	remote netip.AddrPort
}

// identd answers servers that ask whose a connection is (RFC 1413). Only the server at the other end of a connection
// hears anything about it; to anybody else there is no such connection.
type identd struct {
	log zerolog.Logger

	mu      sync.Mutex // guards what follows
	users   map[wire]string
	dialing int
	changed chan struct{} // closed when users or dialing change
	open    map[netip.Addr]int
	total   int

	listener net.Listener
	wg       sync.WaitGroup
	ctx      context.Context // ends with close
	cancel   context.CancelFunc
}

// startIdentd listens, until close.
func startIdentd(ctx context.Context, cfg IdentdConfig, log zerolog.Logger) (*identd, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("bridges.irc.identd.listen: %w", err)
	}
	d := &identd{
		log: log, users: map[wire]string{}, changed: make(chan struct{}), open: map[netip.Addr]int{}, listener: l,
	}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.wg.Add(1)
	go d.accept()
	return d, nil
}

// close ends the listener and all conversations, and waits for them.
func (d *identd) close() {
	d.cancel()
	_ = d.listener.Close()
	d.wg.Wait()
}

func (d *identd) accept() {
	defer d.wg.Done()
	for {
		conn, err := d.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			d.log.Warn().Err(err).Msg("identd")
			select {
			case <-time.After(time.Second): // no file descriptors, for instance
			case <-d.ctx.Done():
				return
			}
			continue
		}
		peer := addrPort(conn.RemoteAddr()).Addr()
		if !d.enter(peer) {
			_ = conn.Close()
			continue
		}
		d.wg.Add(1)
		go func() {
			defer d.wg.Done()
			defer d.leave(peer)
			d.serve(conn)
		}()
	}
}

// enter counts a conversation, or reports false for one too many.
func (d *identd) enter(peer netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.total >= maxIdentQueries || d.open[peer] >= maxIdentPerAddress {
		return false
	}
	d.total++
	d.open[peer]++
	return true
}

func (d *identd) leave(peer netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	if d.open[peer]--; d.open[peer] == 0 {
		delete(d.open, peer)
	}
}

// serve answers one question.
func (d *identd) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(identTimeout))
	line, err := bufio.NewReaderSize(io.LimitReader(conn, maxIdentLine), maxIdentLine).ReadString('\n')
	if err != nil {
		return
	}
	ours, theirs, ok := parseIdent(line)
	if !ok {
		return // RFC 1413 has INVALID-PORT; who sends no ports is no IRC server
	}
	answer := "ERROR : NO-USER"
	peer := addrPort(conn.RemoteAddr()).Addr()
	if user := d.await(wire{local: ours, remote: netip.AddrPortFrom(peer, theirs)}); user != "" {
		answer = "USERID : UNIX : " + user
	}
	_, _ = fmt.Fprintf(conn, "%d , %d : %s\r\n", ours, theirs, answer)
}

// parseIdent reads "our port , their port". RFC 1413, section 3.
func parseIdent(line string) (ours, theirs uint16, ok bool) {
	first, second, found := strings.Cut(strings.TrimRight(line, "\r\n"), ",")
	a, errA := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(second), 10, 16)
	return uint16(a), uint16(b), found && errA == nil && errB == nil && a != 0 && b != 0
}

// await looks up whose a connection is. While some are being made, it may wait for them.
func (d *identd) await(w wire) string {
	timer := time.NewTimer(identPatience)
	defer timer.Stop()
	for {
		d.mu.Lock()
		user, dialing, changed := d.users[w], d.dialing, d.changed
		d.mu.Unlock()
		if user != "" || dialing == 0 {
			return user
		}
		select {
		case <-changed:
		case <-timer.C:
			return ""
		case <-d.ctx.Done():
			return ""
		}
	}
}

// begin tells that a connection is being made; the result ends that.
func (d *identd) begin() (end func()) {
	count := func(n int) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.dialing += n
		d.ring()
	}
	count(1)
	return sync.OnceFunc(func() { count(-1) })
}

// add enters a connection of a user.
func (d *identd) add(conn net.Conn, user string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[wireOf(conn)] = user
	d.ring()
}

// remove takes a connection out that has ended.
func (d *identd) remove(conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.users, wireOf(conn))
}

// ring wakes who waits; the caller holds mu.
func (d *identd) ring() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func wireOf(conn net.Conn) wire {
	return wire{local: addrPort(conn.LocalAddr()).Port(), remote: addrPort(conn.RemoteAddr())}
}

func addrPort(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// identConn is a connection that identd forgets when it is closed.
type identConn struct {
	net.Conn
	d    registrar
	once sync.Once
}

func (c *identConn) Close() error {
	c.once.Do(func() { c.d.remove(c.Conn) })
	return c.Conn.Close()
}
