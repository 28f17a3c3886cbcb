// Package sfu is a selective forwarding unit for group calls: each participant of a room sends its sound and picture once, and
// gets those of the others, in the layers that suit it. Clients speak LiveKit's signalling with it (package signalling).
//
// It knows nothing of Matrix: who may come in is said by an access token, which package focus makes for members of a room; Remove and
// SetPermission change that while the call runs.
//
// A Participant's state belongs to its own goroutine, to which everything else posts. Media never passes through it: package
// track hands packets on.
package sfu

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/ice/v4"
	"github.com/rs/zerolog"
)

// Version is what clients are told: they choose by it what they may use. It is that of the LiveKit server whose signalling this is.
const Version = "1.13.5"

// protocol is the version of the signalling.
const protocol = 16

// Limits bound what participants may do. Zero values are replaced by the defaults.
type Limits struct {
	Participants int // in a room; 500 by default
	Tracks       int // that one participant publishes; 16 by default
	Rooms        int // on this server; 1,000 by default
}

func (l *Limits) fill() {
	for _, d := range []struct {
		field *int
		value int
	}{{&l.Participants, 500}, {&l.Tracks, 16}, {&l.Rooms, 1000}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
}

// Config is what a Server needs.
type Config struct {
	// Keys are the secrets of access tokens by the name of their key.
	Keys map[string]string
	// UDP takes media of all participants on one port, TCP that of those who cannot send UDP. One may be nil.
	UDP ice.UDPMux
	TCP ice.TCPMux
	// Flush sends what is waiting to be sent; nil where nothing waits.
	Flush func()
	// PublicIPs are told to clients beside this machine's own addresses: those of a NAT that hands on the ports of UDP and TCP to this machine. It is
	// asked whenever addresses are told, and must not block; nil is for none.
	PublicIPs func() []netip.Addr
	// Addresses says which addresses of this machine clients are told; nil for all but loopback.
	Addresses func(net.IP) bool
	Loopback  bool // whether loopback addresses are told
	// ICEServers are the STUN and TURN servers that a participant of a room is told; nil for none.
	ICEServers func(room, identity string) []signalling.ICEServer
	// Admit is asked when somebody comes, or comes back, whose access token is good; an error keeps them out, whose words they are told. It
	// may lessen what the grant allows. One that is ErrLater has the client try again. nil lets everybody in.
	Admit func(ctx context.Context, g *Grant) error
	// Joined is called when a participant has come, with what it may do, and Left once for each of them, when it has gone for good. One that
	// takes the place of another of the same identity may have come before that is gone. They must not block.
	Joined func(who Presence, may Permission)
	Left   func(who Presence)
	Limits Limits
	Log    zerolog.Logger
}

// Presence is a participant in a room. Its SID is its own, which its identity is not: another may take its place.
type Presence struct{ Room, Identity, SID string }

// Server is an SFU.
type Server struct {
	cfg    Config
	engine *engine
	tally  *tally
	coming attempts
	order  atomic.Uint64 // of the session that was asked for last

	mu     sync.Mutex // guards what follows
	rooms  map[string]*Room
	closed bool

	wake     chan struct{}  // rung when a room is made
	sessions sync.WaitGroup // participants that run
}

// New makes a server. It serves when Handler is reached by clients, until Run ends.
func New(cfg Config) (*Server, error) {
	if len(cfg.Keys) == 0 {
		return nil, errors.New("an SFU needs a key for access tokens")
	}
	cfg.Limits.fill()
	e, err := newEngine(&cfg)
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, engine: e, tally: newTally(), rooms: map[string]*Room{}, wake: make(chan struct{}, 1)}, nil
}

// Run serves until ctx ends; then all participants are told that the server stops, and it returns when they are gone.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(roomTick)
	defer tick.Stop()
	for {
		rooms := s.all()
		if len(rooms) == 0 { // nothing is done for nobody
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
		}
		select {
		case <-ctx.Done():
			s.close()
			return nil
		case at := <-tick.C:
			for _, r := range rooms {
				r.tick(at)
			}
			if s.cfg.Flush != nil {
				s.cfg.Flush()
			}
		}
	}
}

// roomTick is how often packets are asked for again.
const roomTick = 20 * time.Millisecond

func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, r := range s.all() {
		for _, p := range r.everybody() {
			p.Leave(signalling.ServerShutdown)
		}
	}
	s.sessions.Wait()
}

func (s *Server) all() []*Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	rooms := make([]*Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}

// Why somebody cannot come in.
var (
	errStopping     = errors.New("the server stops")
	errTooManyRooms = errors.New("too many calls run on this server")
	errOvertaken    = errors.New("the client has come again since")
	errRoomFull     = errors.New("too many participants are in this call")
	// ErrLater is for Config.Admit, of who may be let in soon.
	ErrLater = errors.New("try again in some seconds")
)

// enter brings a participant into a room, which is made if need be, and gives who has to leave for that.
func (s *Server) enter(name string, p *Participant) (before *Participant, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStopping
	}
	r := s.rooms[name]
	if r == nil {
		if len(s.rooms) >= s.cfg.Limits.Rooms {
			return nil, errTooManyRooms
		}
		r = newRoom(s, name)
		s.rooms[name] = r
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	if before, err = r.add(p); err != nil {
		return nil, err
	}
	s.sessions.Add(1) // here, so that close does not wait already
	return before, nil
}

// forget ends a room that is empty.
func (s *Server) forget(r *Room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[r.name] == r && r.empty() {
		delete(s.rooms, r.name)
	}
}

func (s *Server) room(name string) *Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[name]
}

// Remove puts a participant out of a room, and tells it so; it is false when there is none.
func (s *Server) Remove(room, identity string) bool {
	p := s.find(room, identity)
	if p != nil {
		p.Leave(signalling.ParticipantRemoved)
	}
	return p != nil
}

// Close puts all out of a room, and tells them that it has ended. It never blocks.
func (s *Server) Close(room string) {
	if r := s.room(room); r != nil {
		for _, p := range r.everybody() {
			p.Leave(signalling.RoomDeleted)
		}
	}
}

// SetPermission changes what a participant may do, at once: tracks that it may not publish any more are ended. It is false when there is none.
func (s *Server) SetPermission(room, identity string, may Permission) bool {
	p := s.find(room, identity)
	return p != nil && p.post(func() { p.setPermission(may) })
}

// Present returns who is in a room.
func (s *Server) Present(room string) []Presence {
	r := s.room(room)
	if r == nil {
		return nil
	}
	var all []Presence
	for _, p := range r.everybody() {
		all = append(all, p.presence())
	}
	return all
}

func (s *Server) find(room, identity string) *Participant {
	r := s.room(room)
	if r == nil {
		return nil
	}
	return r.byIdentity(identity)
}

// Handler serves signalling: /rtc and /rtc/v1 are WebSockets, and /rtc/validate and /rtc/v1/validate tell in words why one of them
// would be refused.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rtc", s.serve(false))
	mux.HandleFunc("GET /rtc/v1", s.serve(true))
	for _, method := range []string{"GET", "OPTIONS"} {
		mux.HandleFunc(method+" /rtc/validate", s.validate)
		mux.HandleFunc(method+" /rtc/v1/validate", s.validate)
	}
	return mux
}
