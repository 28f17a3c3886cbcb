package holder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ergochat/irc-go/ircreader"
	"golang.org/x/sys/unix"
)

// DialFunc connects as a specification says, and tells of the connection before what is said on it: before TLS.
type DialFunc func(ctx context.Context, spec json.RawMessage, tcp func(net.Conn)) (conn net.Conn, secure bool, err error)

// Holder is the process. Make it with New, then Run it.
type Holder struct {
	path string
	dial DialFunc
	idle time.Duration // idleExit, but in tests

	mu    sync.Mutex // guards what follows; may be taken while held.mu is
	conns map[Key]*held
	kept  map[*held]int // bytes of those without a server
	total int
	links map[net.Conn]bool // of servers
	used  time.Time
	ended bool
	done  chan struct{} // closed by END
	wg    sync.WaitGroup
}

// New makes a holder that listens at a path and connects by dial.
func New(path string, dial DialFunc) *Holder {
	return &Holder{
		path: path, dial: dial, idle: idleExit, conns: map[Key]*held{}, kept: map[*held]int{}, links: map[net.Conn]bool{},
		used: time.Now(), done: make(chan struct{}),
	}
}

// Run serves until ctx ends, END, or there has been nothing to hold for a while; then it quits what it holds. ready is
// called when servers can come. The errors are those of the socket; another holder that runs is one.
func (h *Holder) Run(ctx context.Context, ready func()) (err error) {
	if err := errors.Join(checkPath(h.path), checkFolder(h.path)); err != nil {
		return err
	}
	lock, err := h.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	l, err := listen(h.path)
	if err != nil {
		return err
	}
	h.wg.Go(func() { h.accept(l) })
	ready()
	ticker := time.NewTicker(h.idle / 2)
	defer ticker.Stop()
wait:
	for {
		select {
		case <-ctx.Done():
			break wait
		case <-h.done:
			break wait
		case <-ticker.C:
			if h.isIdle() {
				break wait
			}
		}
	}
	_ = l.Close()
	h.quitAll("the bridge stops")
	h.wg.Wait()
	return nil
}

// lock keeps a second holder out. The file stays: who removes a lock's file lets two have it.
func (h *Holder) lock() (*os.File, error) {
	f, err := os.OpenFile(strings.TrimSuffix(h.path, ".sock")+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another holder runs: %w", err), f.Close())
	}
	return f, nil
}

func (h *Holder) isIdle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns) == 0 && len(h.links) == 0 && time.Since(h.used) >= h.idle
}

func (h *Holder) accept(l *net.UnixListener) {
	for {
		link, err := l.AcceptUnix()
		if err != nil {
			return // it is closed, or the process has no file descriptors, and then is no use
		}
		if !h.enter(link) {
			_ = link.Close()
			continue
		}
		h.wg.Go(func() {
			defer h.leave(link)
			if err := checkPeer(link); err == nil {
				h.serve(link)
			}
		})
	}
}

func (h *Holder) enter(link net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || len(h.links) >= maxConnections {
		return false
	}
	h.links[link] = true
	return true
}

func (h *Holder) leave(link net.Conn) {
	_ = link.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.links, link)
	h.used = time.Now()
}

// serve answers what a server asks.
func (h *Holder) serve(link *net.UnixConn) {
	_ = link.SetDeadline(time.Now().Add(askTimeout))
	if _, err := fmt.Fprintf(link, "%s%d\n", greeting, Version); err != nil {
		return
	}
	line, err := readSmall(link)
	if err != nil {
		return
	}
	_ = link.SetDeadline(time.Time{})
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "LIST":
		h.list(link)
	case "TAKE":
		h.take(link, rest)
	case "DIAL":
		h.make(link, rest)
	case "END":
		h.end(rest)
	}
}

// readSmall reads a line byte by byte, so that nothing behind it is taken.
func readSmall(conn net.Conn) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < maxFrame; {
		if _, err := conn.Read(one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
		line = append(line, one[0])
	}
	return "", ircreader.ErrReadQ
}

func (h *Holder) list(link net.Conn) {
	h.mu.Lock()
	var conns []*held
	for _, c := range h.conns {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	list := []Listed{}
	for _, c := range conns {
		c.mu.Lock()
		if c.welcomed && !c.quitting {
			list = append(list, Listed{
				Key: c.req.Key, Mark: c.req.Mark, Nick: c.prelude.Nick, UserHost: c.prelude.UserHost, Leads: c.leads,
				Channels: slices.Clone(c.prelude.Channels),
			})
		}
		c.mu.Unlock()
	}
	_ = json.NewEncoder(link).Encode(list)
}

func (h *Holder) take(link net.Conn, rest string) {
	var req Request
	if json.Unmarshal([]byte(rest), &req) != nil {
		return
	}
	h.mu.Lock()
	c := h.conns[req.Key]
	h.mu.Unlock()
	if c != nil && c.req.Mark == req.Mark {
		taken := c.attach(link, func(s State) error {
			c.req.HoldMS = req.HoldMS
			text, err := json.Marshal(s)
			if err == nil {
				_, err = fmt.Fprintf(link, "OK %s\n", text)
			}
			return err
		})
		if taken {
			return
		}
	}
	_, _ = fmt.Fprint(link, "NONE\n")
}

// dialRequest is what DIAL has.
type dialRequest struct {
	Request
	Spec json.RawMessage `json:"spec"`
}

func (h *Holder) make(link net.Conn, rest string) {
	var req dialRequest
	if json.Unmarshal([]byte(rest), &req) != nil {
		return
	}
	conn, secure, err := h.dial(context.Background(), req.Spec, func(conn net.Conn) {
		text, _ := json.Marshal(addressOf(conn, false))
		_, _ = fmt.Fprintf(link, "TCP %s\n", text)
	})
	if err != nil {
		_, _ = fmt.Fprintf(link, "ERR %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	c := newHeld(h, req.Request, conn, secure)
	if !h.add(c) {
		_ = conn.Close()
		_, _ = fmt.Fprint(link, "ERR too many connections\n")
		return
	}
	text, _ := json.Marshal(c.addr)
	if _, err := fmt.Fprintf(link, "OK %s\n", text); err != nil {
		_ = conn.Close()
		h.drop(c)
		return
	}
	h.wg.Go(c.read)
	c.attach(link, nil)
}

// add takes a connection in. One of the same key is given up.
func (h *Holder) add(c *held) bool {
	h.mu.Lock()
	before := h.conns[c.req.Key]
	if h.ended || len(h.conns) >= maxConnections {
		h.mu.Unlock()
		return false
	}
	h.conns[c.req.Key] = c
	h.mu.Unlock()
	if before != nil {
		before.quit("connected anew")
	}
	return true
}

// drop takes a connection out.
func (h *Holder) drop(c *held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[c.req.Key] == c {
		delete(h.conns, c.req.Key)
	}
	h.total -= h.kept[c]
	delete(h.kept, c)
	h.used = time.Now()
}

// grew counts bytes of a connection without a server, or, with none, forgets those of one that has one. When there are
// too many in all, the connection with most is quit. The caller holds c.mu.
func (h *Holder) grew(c *held, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n == 0 {
		h.total -= h.kept[c]
		delete(h.kept, c)
		return
	}
	h.kept[c] += n
	if h.total += n; h.total <= maxTotal {
		return
	}
	most := c
	for other, n := range h.kept {
		if n > h.kept[most] {
			most = other
		}
	}
	h.total -= h.kept[most]
	delete(h.kept, most)
	go most.quit("too much was said while the bridge was away") // c.mu is held
}

// end is END.
func (h *Holder) end(words string) {
	h.quitAll(words)
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.done:
	default:
		close(h.done)
	}
}

// quitAll says goodbye on all connections, those of servers too, and waits until they have ended.
func (h *Holder) quitAll(words string) {
	h.mu.Lock()
	h.ended = true
	var conns []*held
	for _, c := range h.conns {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			c.mu.Lock()
			c.quitLocked(words)
			c.mu.Unlock()
			c.await()
			c.mu.Lock()
			if c.link != nil {
				_ = c.link.Close()
			}
			c.mu.Unlock()
		})
	}
	wg.Wait()
}
