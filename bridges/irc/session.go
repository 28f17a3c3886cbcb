package irc

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"github.com/ergochat/irc-go/ircreader"

	"causeway/bridges/irc/holder"
)

const (
	// dialTimeout bounds the making of a connection with its TLS handshake.
	dialTimeout = 30 * time.Second
	// writeTimeout is how long one line may take to enter the socket.
	writeTimeout = 30 * time.Second
	// inBuffer is the number of lines read ahead of the client's goroutine. Each connection has the room for them always, 80 bytes
	// a line.
	inBuffer = 4
	// maxInputBytes bounds a line from the server: 8191 bytes of tags and 512 of the rest, and some room.
	maxInputBytes = 8192 + 1024
	// initialInputBytes is what the buffer begins with.
	initialInputBytes = 512
)

// writerIdle is how long the writer waits for more. Most connections say nothing most of the time, and a goroutine is some kilobytes.
const writerIdle = 5 * time.Second

// session is one TCP connection with its two goroutines, a reader and, while there is something to write, a writer. It parses
// lines and knows nothing of IRC beyond that.
type session struct {
	in  chan message // closed when the connection has ended; then err says why
	out chan parcel  // unbuffered: lines accepted are about to be written, with none between them
	err error

	lastInTS  atomic.Int64 // when the last line came, ms
	conn      net.Conn
	charset   charset // of what comes
	done      chan struct{}
	closeOnce sync.Once
	wg        sync.WaitGroup

	mu      sync.Mutex // guards the rest
	offered bool       // the client has something to write
	writing bool       // there is a writer
}

func newSession(conn net.Conn, cs charset) *session {
	s := &session{
		in: make(chan message, inBuffer), out: make(chan parcel), conn: conn, charset: cs, done: make(chan struct{}),
	}
	s.lastInTS.Store(time.Now().UnixMilli())
	s.wg.Go(s.read)
	return s
}

// offer tells whether the client has something to write, and sees to it that there is somebody to take it. Only the client's goroutine
// calls it.
func (s *session) offer(something bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offered = something; something && !s.writing {
		s.writing = true
		s.wg.Go(s.write)
	}
}

// rest ends the writer, unless there is something to write now.
func (s *session) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = s.offered
	return !s.writing
}

// close ends the connection and waits for both goroutines.
func (s *session) close() {
	s.closeOnce.Do(func() {
		close(s.done)
		if held, ok := s.conn.(*holder.Conn); ok {
			_ = held.End("")
			return
		}
		_ = s.conn.Close()
	})
	s.wg.Wait()
}

func (s *session) read() {
	defer close(s.in)
	next := s.reader()
	for {
		m, err := next()
		if errors.Is(err, errNoLine) {
			continue
		}
		if err != nil {
			s.err = err
			return
		}
		select {
		case s.in <- m:
		case <-s.done:
			return
		}
	}
}

func (s *session) write() {
	idle := time.NewTimer(writerIdle)
	defer idle.Stop()
	for {
		idle.Reset(writerIdle)
		select {
		case <-s.done:
			return
		case <-idle.C:
			if s.rest() {
				return
			}
		case p := <-s.out:
			if err := s.send(p); err != nil {
				// The reader notices and reports it.
				_ = s.conn.Close()
				return
			}
		}
	}
}

// errNoLine tells that what came is none, and is left out.
var errNoLine = errors.New("no line")

// reader returns what reads the next line.
func (s *session) reader() func() (message, error) {
	if held, ok := s.conn.(*holder.Conn); ok {
		return func() (message, error) { return s.nextHeld(held) }
	}
	var reader ircreader.Reader
	reader.Initialize(s.conn, initialInputBytes, maxInputBytes)
	return func() (message, error) {
		raw, err := reader.ReadLine()
		if err != nil {
			return message{}, err
		}
		return s.parsed(raw)
	}
}

// parsed takes a line apart that has just come.
func (s *session) parsed(raw []byte) (message, error) {
	s.lastInTS.Store(time.Now().UnixMilli())
	m, err := s.charset.parse(raw)
	if err != nil {
		return message{}, errNoLine
	}
	return m, nil
}

// parcel is lines that go out with none between them. The holder knows by the tag, if it is not 0, that they have.
type parcel struct {
	lines   []string
	tag     uint64
	charset charset
}

func (s *session) send(p parcel) error {
	if held, ok := s.conn.(*holder.Conn); ok {
		lines := make([]string, len(p.lines))
		for i, line := range p.lines {
			lines[i] = p.charset.bytes(withoutLineEnds(line))
		}
		return held.Send(p.tag, lines)
	}
	var b []byte
	for _, line := range p.lines {
		b = append(append(b, p.charset.bytes(withoutLineEnds(line))...), "\r\n"...)
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(b)
	return err
}

// parse takes a line apart, whatever its encoding.
func (cs charset) parse(raw []byte) (message, error) { return ircmsg.ParseLine(cs.read(raw)) }
