// Package node makes an SFU one of several machines of a Matrix server. The server's own process, elsewhere, opens calls on it, puts
// participants out, and asks who is there, by the part of LiveKit's RoomService that package focus uses; the node tells it who comes and goes by
// LiveKit's webhooks. So focus has one way for a LiveKit and for nodes.
//
// Of all that, a node knows a secret alone: where it tells, and what it is called, it is told when it is asked whether it is there. It has no
// database. Calls run on when the server does not answer; nobody comes into a call that the server has not opened.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"causeway/sfu"

	"github.com/rs/zerolog"
)

// Bounds.
const (
	// openWithin is how long somebody is kept waiting whose call is not open, after a start of the node: the server opens those again that it had.
	openWithin = 5 * time.Second
	// maxWaiting is how many wait for that.
	maxWaiting = 1000
	// emptyTimeout is how long a call stays open that nobody has come into, and departureTimeout one that all have left, where the server does not
	// say.
	emptyTimeout     = 5 * time.Minute
	departureTimeout = 20 * time.Second
	// longestTimeout bounds what the server says.
	longestTimeout = time.Hour
	// arriving is how long somebody who was admitted may take until they are in.
	arriving = 30 * time.Second
	// sweepEvery is how often calls end in which nobody is.
	sweepEvery = time.Second
	// maxRooms bounds the calls in which somebody is, maxOpen those that are open, and maxRevoked the participants of each whose tokens are taken
	// back, in memory alone.
	maxRooms   = 2000
	maxOpen    = 20_000
	maxRevoked = 10_000
	// maxName bounds names of calls and participants, in bytes.
	maxName = 1024
)

// Config is what a Node needs.
type Config struct {
	// Key and Secret sign access tokens, what the server asks, and what it is told.
	Key, Secret string
	// SFU is that of the node; its Keys, Admit, Joined and Left are set by New.
	SFU    sfu.Config
	Client *http.Client // by which the server is told; nil for one with a timeout
	Log    zerolog.Logger
}

// Node is an SFU that another process opens calls on.
type Node struct {
	cfg      Config
	sfu      *sfu.Server
	instance string // of this start
	tell     teller
	stopping atomic.Bool
	complete atomic.Bool   // all calls are open that the server had here
	waiting  chan struct{} // has a place for each who waits

	mu      sync.Mutex // guards what follows
	rooms   map[string]*room
	running int           // rooms in which somebody is
	opened  chan struct{} // closed, and another made, when a call is opened
	server  server
	warned  time.Time // when the log was told that a server is refused
}

// room is a call that is open.
type room struct {
	sid       string
	here      map[string]string // identities by SID: those of a call that has ended may go later than others come into the next
	closes    time.Time         // when nobody is there
	departure time.Duration
	revoked   map[string]int64 // up to which second tokens were made that are not taken, by identity
	created   time.Time
}

// server is whose calls these are.
type server struct {
	name  string
	heard time.Time
}

// New makes a node. Run must run.
func New(cfg Config) (*Node, error) {
	n := &Node{
		cfg: cfg, instance: rand.Text(), rooms: map[string]*room{}, opened: make(chan struct{}), waiting: make(chan struct{}, maxWaiting),
	}
	n.tell.init(cfg)
	c := cfg.SFU
	c.Keys = map[string]string{cfg.Key: cfg.Secret}
	c.Limits.Rooms = maxRooms
	c.Admit, c.Joined, c.Left = n.admit, n.joined, n.left
	var err error
	n.sfu, err = sfu.New(c)
	return n, err
}

// SFU is the SFU of the node.
func (n *Node) SFU() *sfu.Server { return n.sfu }

// Run serves until ctx ends. The server is not told then that all have left: it finds out that the node is gone, and gives them time to come
// back.
func (n *Node) Run(ctx context.Context) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { n.tell.run(serving) })
	running.Go(func() { n.sweep(serving) })
	ended := make(chan error, 1)
	running.Go(func() { ended <- n.sfu.Run(serving) })
	<-ctx.Done()
	n.stopping.Store(true)
	stop()
	running.Wait()
	return <-ended
}

// sweep ends calls in which nobody is, until ctx ends.
func (n *Node) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			n.mu.Lock()
			for name, r := range n.rooms {
				if len(r.here) == 0 && now.After(r.closes) {
					delete(n.rooms, name)
				}
			}
			n.mu.Unlock()
		}
	}
}

var (
	errNotOpen = errors.New("this call is not here: ask for another access token")
	errRevoked = errors.New("the access token is of no use any more: ask for another")
)

// admit is asked by the SFU who may come in. Whose call is not here is told so at once, when that is sure: it has moved, and by another token they
// find it.
func (n *Node) admit(ctx context.Context, g *sfu.Grant) error {
	err := n.look(g)
	if !errors.Is(err, errNotOpen) || n.complete.Load() {
		return err
	}
	select {
	case n.waiting <- struct{}{}:
		defer func() { <-n.waiting }()
	default:
		return errors.Join(err, sfu.ErrLater)
	}
	timeout := time.NewTimer(openWithin)
	defer timeout.Stop()
	for {
		n.mu.Lock()
		opened := n.opened
		n.mu.Unlock()
		if err = n.look(g); !errors.Is(err, errNotOpen) || n.complete.Load() {
			return err
		}
		select {
		case <-opened:
		case <-timeout.C:
			return errors.Join(err, sfu.ErrLater)
		case <-ctx.Done():
			return errors.Join(err, sfu.ErrLater)
		}
	}
}

// look finds out whether somebody may come in now.
func (n *Node) look(g *sfu.Grant) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.rooms[g.Room]
	if r == nil {
		return errNotOpen
	}
	if until, ok := r.revoked[g.Identity]; ok && g.Minted.Unix() < until {
		return errRevoked
	}
	if by := time.Now().Add(arriving); r.closes.Before(by) {
		r.closes = by
	}
	return nil
}

// joined is told by the SFU who has come.
func (n *Node) joined(who sfu.Presence, may sfu.Permission) {
	n.mu.Lock()
	r := n.rooms[who.Room]
	if r != nil {
		if len(r.here) == 0 {
			n.running++
		}
		r.here[who.SID] = who.Identity
	}
	n.mu.Unlock()
	if r == nil { // it has ended at this moment
		n.sfu.Close(who.Room)
		return
	}
	n.tell.add(newEvent("participant_joined", who, r.sid, &may))
}

// left is told by the SFU who has gone.
func (n *Node) left(who sfu.Presence) {
	if n.stopping.Load() {
		return
	}
	n.mu.Lock()
	r := n.rooms[who.Room]
	if r != nil && r.here[who.SID] != "" {
		if delete(r.here, who.SID); len(r.here) == 0 {
			n.running--
		}
		r.closes = time.Now().Add(r.departure)
	}
	n.mu.Unlock()
	sid := ""
	if r != nil {
		sid = r.sid
	}
	n.tell.add(newEvent("participant_left", who, sid, nil))
}

// Seated is whether somebody is in a call by an identity: only then TURN relays for it.
func (n *Node) Seated(identity string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.rooms {
		for _, here := range r.here {
			if here == identity {
				return true
			}
		}
	}
	return false
}
