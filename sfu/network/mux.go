package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
)

// Mux shares UDP sockets among the connections of all participants: it is an ice.UDPMux. A packet belongs to the connection that has sent
// something to the address from which it comes; one from another address is taken if it is a STUN message that names the connection, by its
// username fragment. That is not proved before ICE has looked at it, and only then it sends something there.
type Mux struct {
	log     logging.LeveledLogger
	sockets []*socket
	readers sync.WaitGroup
	closing sync.Once
	closed  chan struct{}
}

// socket is a UDP socket, and who has a share in it.
type socket struct {
	conn   *Conn
	addr   *net.UDPAddr
	shared chan struct{} // rung when somebody has a share again

	mu     sync.RWMutex // guards what follows
	lines  map[string]*line
	ways   map[netip.AddrPort]*line
	closed bool
}

// maxUnread is how many packets wait for one connection until they are read. More are dropped: it does not read any more.
const maxUnread = 256

// line is what one connection has of a socket.
type line struct {
	socket *socket
	ufrag  string
	in     chan *packet
	shares atomic.Int32 // how many read; it ends with the last
	ended  chan struct{}
	last   atomic.Pointer[netip.AddrPort] // where something was sent to just now

	reached int // addresses that are its own; guarded by the socket's mu
}

// packet is one that has come.
type packet struct {
	from netip.AddrPort
	n    int
	data [maxDatagram]byte
}

// maxDatagram is how long a packet may be that comes; what is longer is cut off, and no packet of WebRTC is.
const maxDatagram = 1600

var packets = sync.Pool{New: func() any { return new(packet) }}

func newMux(conns []*Conn, log logging.LeveledLogger) *Mux {
	m := &Mux{log: log, closed: make(chan struct{})}
	for _, c := range conns {
		s := &socket{
			conn: c, addr: c.LocalAddr().(*net.UDPAddr), shared: make(chan struct{}, 1),
			lines: map[string]*line{}, ways: map[netip.AddrPort]*line{},
		}
		m.sockets = append(m.sockets, s)
		m.readers.Go(func() { m.read(s) })
		if c.aside != nil {
			m.readers.Go(func() { m.gather(s) })
		}
	}
	return m
}

const (
	// gatherEvery is how often feedback is taken that was put aside: each packet by itself would wake several goroutines, and the processor that they
	// run on.
	gatherEvery = 25 * time.Millisecond
	// Where more than so many come at a time, whoever sends them, they are taken more often, so that the kernel's buffer is never full.
	manyGathered    = 256
	gatherManyEvery = 5 * time.Millisecond
	// maxGathered is how many packets are taken at a time.
	maxGathered = 4096
)

// gather hands out the feedback that was put aside, as long as somebody is there.
func (m *Mux) gather(s *socket) {
	in, tick := newIntake(), time.NewTicker(gatherEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.closed:
			return
		case <-tick.C:
		}
		total := 0
		for total < maxGathered {
			n := s.conn.aside.take(in)
			for i := range n {
				in.packets[i] = s.hand(in.packets[i])
			}
			if total += n; n < len(in.packets) {
				break
			}
		}
		every := gatherEvery
		if total > manyGathered {
			every = gatherManyEvery
		}
		tick.Reset(every)
		if !s.empty() {
			continue
		}
		select {
		case <-m.closed:
			return
		case <-s.shared:
		}
	}
}

func (s *socket) empty() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.lines) == 0
}

// read hands out what comes until the socket is closed.
func (m *Mux) read(s *socket) {
	err := newIntake().each(s.conn.UDPConn, m.closed, s.hand, func(err error) { m.log.Debugf("Read packets: %v", err) })
	if err != nil && !errors.Is(err, net.ErrClosed) {
		m.log.Errorf("Nothing is read: %v", err)
	}
}

// hand hands a packet out, and gives one to read the next into.
func (s *socket) hand(p *packet) *packet {
	l := s.lineOf(p)
	if l == nil {
		return p
	}
	select {
	case l.in <- p:
		return packets.Get().(*packet)
	default:
		return p
	}
}

// lineOf finds who a packet is for, or nil.
func (s *socket) lineOf(p *packet) *line {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.ways[p.from]; l != nil {
		return l
	}
	if ufrag, ok := ufragOf(p.data[:p.n]); ok {
		if l := s.lines[string(ufrag)]; l != nil && l.reached < maxWays {
			return l
		}
	}
	return nil
}

// GetListenAddresses gives the addresses of the sockets, as *net.UDPAddr.
func (m *Mux) GetListenAddresses() []net.Addr {
	var all []net.Addr
	for _, s := range m.sockets {
		all = append(all, s.addr)
	}
	return all
}

// GetConn gives what a connection has of the socket with an address. Whoever asks for the same again gets another share of it; each is to be
// closed.
func (m *Mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	for _, s := range m.sockets {
		if s.addr.String() == addr.String() {
			return s.share(ufrag)
		}
	}
	return nil, fmt.Errorf("no socket listens on %s", addr)
}

func (s *socket) share(ufrag string) (net.PacketConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, io.ErrClosedPipe
	}
	l := s.lines[ufrag]
	if l == nil {
		l = &line{socket: s, ufrag: ufrag, in: make(chan *packet, maxUnread), ended: make(chan struct{})}
		s.lines[ufrag] = l
		select {
		case s.shared <- struct{}{}:
		default:
		}
	}
	l.shares.Add(1)
	return &share{line: l, closed: make(chan struct{})}, nil
}

// RemoveConnByUfrag hands nothing out to a connection any more.
func (m *Mux) RemoveConnByUfrag(ufrag string) {
	for _, s := range m.sockets {
		s.mu.Lock()
		s.drop(s.lines[ufrag])
		s.mu.Unlock()
	}
}

// drop forgets a line; s.mu is held.
func (s *socket) drop(l *line) {
	if l == nil || s.lines[l.ufrag] != l {
		return
	}
	delete(s.lines, l.ufrag)
	for way, of := range s.ways {
		if of == l {
			delete(s.ways, way)
		}
	}
	close(l.ended)
}

// Close closes the sockets, and ends all connections.
func (m *Mux) Close() error {
	var errs []error
	m.closing.Do(func() { close(m.closed) })
	for _, s := range m.sockets {
		s.mu.Lock()
		s.closed = true
		for _, l := range s.lines {
			s.drop(l)
		}
		s.mu.Unlock()
		if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	m.readers.Wait()
	return errors.Join(errs...)
}

// share is a net.PacketConn and an ice.AddrPortReaderWriter.
type share struct {
	*line
	once   sync.Once
	closed chan struct{}
}

// ReadFromAddrPort waits for a packet.
func (c *share) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-c.in:
		n, from := copy(b, p.data[:p.n]), p.from
		packets.Put(p)
		return n, from, nil
	case <-c.closed:
	case <-c.ended:
	}
	return 0, netip.AddrPort{}, io.EOF
}

// ReadFrom is ReadFromAddrPort.
func (c *share) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToAddrPort sends a packet. From then on, what comes from there is for this connection.
func (c *share) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if last := c.last.Load(); last == nil || *last != to {
		if err := c.reach(netip.AddrPortFrom(to.Addr().Unmap(), to.Port())); err != nil {
			return 0, err
		}
		c.last.Store(&to)
	}
	return c.socket.conn.WriteToAddrPort(b, to)
}

// maxWays is from how many addresses one connection takes packets, and has others tried. More are only tried by who tries much: pion keeps a candidate
// for each.
const maxWays = 64

var errManyWays = errors.New("the connection has too many addresses")

func (l *line) reach(to netip.AddrPort) error {
	s := l.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines[l.ufrag] != l {
		return io.ErrClosedPipe
	}
	of := s.ways[to]
	switch {
	case of == l:
		return nil
	case l.reached >= maxWays:
		return errManyWays
	case of != nil:
		of.reached--
	}
	s.ways[to] = l
	l.reached++
	return nil
}

// WriteTo is WriteToAddrPort.
func (c *share) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("%s is no address of UDP", to)
	}
	return c.WriteToAddrPort(b, a.AddrPort())
}

// Close ends the share, and the connection with the last of them.
func (c *share) Close() error {
	c.once.Do(func() {
		close(c.closed)
		if c.shares.Add(-1) > 0 {
			return
		}
		s := c.socket
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(c.line)
	})
	return nil
}

// LocalAddr is that of the socket.
func (c *share) LocalAddr() net.Addr { return c.socket.addr }

// SetReadDeadline ends the share when the time has passed, which is how ICE stops reading; other deadlines there are none.
func (c *share) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		return c.Close()
	}
	if !at.IsZero() {
		return os.ErrNoDeadline
	}
	return nil
}

// SetWriteDeadline does nothing: writing does not wait.
func (c *share) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (c *share) SetDeadline(at time.Time) error { return c.SetReadDeadline(at) }
