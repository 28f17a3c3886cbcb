package turn

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// streams is a listener for TCP or TLS. It hands pion connections whose handshake is done, and of which a read returns one whole message: pion
// itself would go in circles on a length that wraps around, and wait for ever for who says nothing.
type streams struct {
	net.Listener
	front *front
	ready chan net.Conn
	done  chan struct{} // closed when the listener ends
	tasks sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[netip.AddrPort]*stream
	closed bool
}

func newStreams(f *front, l net.Listener) *streams {
	return &streams{Listener: l, front: f, ready: make(chan net.Conn), done: make(chan struct{}), conns: map[netip.AddrPort]*stream{}}
}

func (l *streams) start() { l.tasks.Go(l.accept) }

// acceptPause is how long nothing is accepted when the machine has no room for another connection.
const acceptPause = 100 * time.Millisecond

func (l *streams) accept() {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			if s := l.admit(conn); s != nil {
				l.tasks.Go(func() { l.handshake(s) })
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-l.done:
				return
			case <-time.After(acceptPause):
			}
		}
	}
}

// admit takes a connection in, or closes it.
func (l *streams) admit(conn net.Conn) *stream {
	server := l.front.server
	s := &stream{Conn: conn, list: l, from: addrPort(conn.RemoteAddr()), patience: server.cfg.Limits.Patience}
	s.alone = server.now().Add(s.patience)
	if !server.visitors.mayAsk(s.from.Addr(), server.now()) { // a handshake costs more than a request
		server.counters.refuse(TooFast)
		_ = conn.Close()
		return nil
	}
	l.mu.Lock()
	room := len(l.conns) < server.cfg.Limits.Connections && !l.closed && server.visitors.come(s.from.Addr())
	if room {
		l.conns[s.from] = s
	}
	l.mu.Unlock()
	if !room {
		server.counters.refuse(TooManyConnected)
		_ = conn.Close()
		return nil
	}
	return s
}

// handshake brings a connection to where pion can read it.
func (l *streams) handshake(s *stream) {
	if tls, ok := s.Conn.(interface{ Handshake() error }); ok {
		_ = s.SetDeadline(s.alone)
		if tls.Handshake() != nil {
			_ = s.Close()
			return
		}
	}
	s.wait()
	select {
	case l.ready <- s:
	case <-l.done:
		_ = s.Close()
	}
}

// Accept returns the next connection.
func (l *streams) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener and all connections.
func (l *streams) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	all := slices.Collect(maps.Values(l.conns))
	l.mu.Unlock()
	if !first {
		return nil
	}
	close(l.done)
	err := l.Listener.Close()
	for _, s := range all {
		_ = s.Close()
	}
	l.tasks.Wait()
	return err
}

func (l *streams) connected() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// allocated notes whether a connection has an allocation.
func (l *streams) allocated(from netip.AddrPort, yes bool) {
	l.mu.Lock()
	s := l.conns[from]
	l.mu.Unlock()
	if s != nil {
		s.allocated(yes)
	}
}

// stream is a connection of a client, of which a read returns one whole message.
type stream struct {
	net.Conn
	list     *streams
	from     netip.AddrPort
	patience time.Duration

	buf      [maxMessage]byte
	have     int // bytes of buf, of which those of the last message
	consumed int // go before the next read
	family   familyAnswer

	mu      sync.Mutex // guards what follows
	alone   time.Time  // until when it may be without an allocation; zero for one that has one
	partial time.Time  // until when the message under way has to be there; zero for none
	closed  bool
}

// wait sets until when a read waits: the earlier of both times.
func (s *stream) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.alone
	if !s.partial.IsZero() && (until.IsZero() || s.partial.Before(until)) {
		until = s.partial
	}
	_ = s.SetReadDeadline(until)
}

func (s *stream) allocated(yes bool) {
	s.mu.Lock()
	before, server := s.alone.IsZero(), s.list.front.server
	change := before != yes && !s.closed
	switch {
	case !change:
	case yes:
		s.alone = time.Time{}
		server.visitors.leave(s.from.Addr())
	default:
		s.alone = server.now().Add(s.patience)
		server.visitors.back(s.from.Addr())
	}
	s.mu.Unlock()
	if change {
		s.wait()
	}
}

// setPartial notes that a message is under way.
func (s *stream) setPartial(yes bool) {
	s.mu.Lock()
	change := s.partial.IsZero() == yes
	if change {
		s.partial = time.Time{}
		if yes {
			s.partial = s.list.front.server.now().Add(s.patience)
		}
	}
	s.mu.Unlock()
	if change {
		s.wait()
	}
}

var errNoMessage = errors.New("what a client has sent is no message of TURN")

// Read returns the next message that pion is to see, whole.
func (s *stream) Read(p []byte) (int, error) {
	s.list.front.settle(s.from)
	server := s.list.front.server
	for {
		n, err := s.next()
		if err != nil {
			if errors.Is(err, errNoMessage) {
				server.counters.refuse(Malformed)
			} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				server.counters.refuse(TooSlow)
			}
			return 0, err
		}
		s.consumed = n
		if n <= len(p) && s.list.front.admits(s.buf[:n], s.from, server.now()) {
			s.family.note(s.list.front.server.relays, s.buf[:n])
			return copy(p, s.buf[:n]), nil
		}
	}
}

// next reads until a message is whole, and returns its size with the padding of ChannelData (RFC 8656, section 12.5).
func (s *stream) next() (int, error) {
	copy(s.buf[:], s.buf[s.consumed:s.have])
	s.have -= s.consumed
	s.consumed = 0
	for {
		size, ok := messageSize(s.buf[:s.have])
		size = (size + 3) &^ 3
		switch {
		case !ok || size >= maxMessage: // pion drops what fills its room
			return 0, errNoMessage
		case size > 0 && size <= s.have:
			s.setPartial(false)
			return size, nil
		}
		s.setPartial(s.have > 0)
		n, err := s.Conn.Read(s.buf[s.have:])
		s.have += n
		if err != nil {
			return 0, err
		}
	}
}

// Write sends a message. Who does not read is not waited for.
func (s *stream) Write(p []byte) (int, error) {
	sent := p
	if isResponse(p) {
		s.list.front.settle(s.from)
		sent = s.family.correct(p)
	}
	_ = s.SetWriteDeadline(s.list.front.server.now().Add(s.patience))
	if n, err := s.Conn.Write(sent); err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			s.list.front.server.counters.refuse(TooSlow)
		}
		_ = s.Close() // what was sent of the message leaves the other end nothing to read
		return min(n, len(p)), err
	}
	return len(p), nil
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.mu.Lock()
	first, alone := !s.closed, !s.alone.IsZero()
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	if alone {
		s.list.front.server.visitors.leave(s.from.Addr())
	}
	l := s.list
	l.mu.Lock()
	if l.conns[s.from] == s {
		delete(l.conns, s.from)
	}
	l.mu.Unlock()
	return s.Conn.Close()
}
