package sfu

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// What a client's signalling may be.
const (
	maxFrame    = 2 << 20 // bytes; a description has some thousands for each media section
	maxUnsent   = 4 << 20 // bytes that wait for a client that does not read
	writeWithin = 10 * time.Second
	// maxUndone is how much a client may have sent that has not been handled, in bytes, where each message counts for messageCost more.
	maxUndone   = 1 << 20
	messageCost = 16 << 10
	// What a client may ask for in a second, and at once, that is work for others, or for long. It waits for more.
	weightyMessages, weightyBurst = 20, 300
	pingInterval                  = 5 * time.Second
	pingTimeout                   = 15 * time.Second
)

// session is a client's WebSocket.
type session struct {
	conn      *websocket.Conn
	order     uint64       // greater than those of sessions that clients have asked for before
	lastHeard atomic.Int64 // Unix nanoseconds
	taken     atomic.Bool  // a participant has it

	mu     sync.Mutex // guards what follows
	queue  [][]byte
	bytes  int
	ending bool // the queue is sent, and then it ends
	bell   chan struct{}
	cancel context.CancelFunc
}

func newSession(conn *websocket.Conn, order uint64) *session {
	conn.SetReadLimit(maxFrame)
	s := &session{conn: conn, order: order, bell: make(chan struct{}, 1)}
	s.lastHeard.Store(time.Now().UnixNano())
	return s
}

// heard is when the client was last heard.
func (s *session) heard() time.Time { return time.Unix(0, s.lastHeard.Load()) }

// send sends a message after those before. A client that does not read is cut off.
func (s *session) send(m *signalling.SignalResponse) {
	b := signalling.Marshal(m)
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return
	}
	s.queue = append(s.queue, b)
	s.bytes += len(b)
	over := s.bytes > maxUnsent
	s.mu.Unlock()
	if over {
		s.cut()
		return
	}
	s.ring()
}

func (s *session) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// finish ends the session when everything has been sent.
func (s *session) finish() {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	s.ring()
}

// cut ends the session at once.
func (s *session) cut() {
	s.mu.Lock()
	s.ending = true
	cancel := s.cancel
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// write sends what is queued until the session ends.
func (s *session) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.bell:
		}
		s.mu.Lock()
		queue, ending := s.queue, s.ending
		s.queue, s.bytes = nil, 0
		s.mu.Unlock()
		for _, b := range queue {
			within, cancel := context.WithTimeout(ctx, writeWithin)
			err := s.conn.Write(within, websocket.MessageBinary, b)
			cancel()
			if err != nil {
				s.cut()
				return
			}
		}
		if ending {
			_ = s.conn.Close(websocket.StatusNormalClosure, "")
			s.cut()
			return
		}
	}
}

// serve reads the client's messages, and posts them to its participant, until the session ends.
func (s *session) serve(r *http.Request, p *Participant) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	s.mu.Lock()
	s.cancel = cancel
	if s.ending && len(s.queue) == 0 {
		cancel()
	}
	s.mu.Unlock()
	var writing sync.WaitGroup
	writing.Go(func() { s.write(ctx) })
	writing.Go(func() {
		select {
		case <-p.dead:
			s.orphaned()
		case <-ctx.Done():
		}
	})
	s.read(ctx, p)
	select {
	case <-p.dead: // the client is still to be told why
	default:
		cancel()
	}
	writing.Wait()
	_ = s.conn.CloseNow()
	p.post(func() { p.lostSession(s) })
}

// read posts the client's messages to its participant, until one of them is gone. Who sends faster than can be done waits.
func (s *session) read(ctx context.Context, p *Participant) {
	undone := semaphore.NewWeighted(maxUndone)
	weighty := rate.NewLimiter(weightyMessages, weightyBurst)
	for {
		_, b, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		s.lastHeard.Store(time.Now().UnixNano())
		m := new(signalling.SignalRequest)
		if err := signalling.Unmarshal(b, m); err != nil {
			p.log.Debug().Err(err).Msg("A message of signalling cannot be read")
			continue
		}
		if isWeighty(m) && weighty.Wait(ctx) != nil {
			return
		}
		cost := min(int64(len(b)+messageCost), maxUndone)
		if undone.Acquire(ctx, cost) != nil {
			return
		}
		if !p.post(func() { defer undone.Release(cost); p.handle(s, m) }) {
			return
		}
	}
}

// orphaned ends the session of a participant that has gone, maybe before it knew of the session.
func (s *session) orphaned() {
	if !s.taken.Load() {
		s.send(&signalling.SignalResponse{Leave: &signalling.LeaveRequest{
			Reason: signalling.StateMismatch, Action: signalling.Reconnect, CanReconnect: true,
		}})
	}
	s.finish()
}

// isWeighty is whether a message has everybody else negotiate anew, or takes long by itself.
func isWeighty(m *signalling.SignalRequest) bool {
	return m.Offer != nil || m.Answer != nil || m.Subscription != nil || m.SubscriptionPermission != nil || m.SyncState != nil
}
