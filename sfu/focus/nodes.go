package focus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// askEvery is how often each node is asked whether it is there, and askWithin how long it has to answer that.
	askEvery  = time.Second
	askWithin = 1500 * time.Millisecond
	// deadAfter is how long a node may be silent until its calls move. One that is started anew is back before that.
	deadAfter = 4 * time.Second
	// openWithin bounds the search for a node that takes a call: it is longer than deadAfter, and what two nodes have to answer.
	openWithin = 10 * time.Second
	// compareEvery is how often it is looked which calls a node has, compareWithin how long that may take, and comparers how many calls are made
	// again at once.
	compareEvery  = 20 * time.Second
	compareWithin = 15 * time.Second
	comparers     = 8
	// statusWithin is how long nodes have to tell which calls run.
	statusWithin = 3 * time.Second
	// forgetAfter is how long it is known which calls a dead node had, that are made there again when it is back.
	forgetAfter = 10 * time.Minute
	// nodeDeparture is how long a call that all have left stays where it is, in seconds: tokens of before are good for that long. Clients try for a
	// minute to come back.
	nodeDeparture = 300
	// maxTries is how often a node that answers is asked to open a call, which it does not.
	maxTries = 3
)

// NodeAddress is where a node is.
type NodeAddress struct {
	// Name is what it is called in logs and by itself. No two have the same.
	Name string
	// URL is the WebSocket address for clients, and API that of its API, https://host/path, both without a slash at their ends.
	URL, API string
}

// NodesConfig is what Nodes need.
type NodesConfig struct {
	Nodes []NodeAddress
	// Key and Secret sign what this server asks of nodes, and what they tell it.
	Key, Secret string
	// ServerName is of this server, and Webhook where it is told who comes and goes. Nodes learn both when they are asked.
	ServerName, Webhook string
	Client              *http.Client // nil for one with a timeout
	Log                 zerolog.Logger
}

// Nodes are SFUs of ours on other machines. A call is on one of them: on that which a hash of its name prefers, of those that answer,
// and on the same as long as it runs there. It is made again elsewhere when its node does not answer any more.
type Nodes struct {
	cfg NodesConfig

	mu      sync.Mutex // guards what follows
	all     []*node
	placed  map[string]*placement // by the names of calls
	changed chan struct{}         // closed, and another made, when a node answers or is given up
}

// node is one of them. Its fields are guarded by Nodes.mu, but for the first three, which never change.
type node struct {
	NodeAddress
	api     LiveKit
	ring    chan struct{} // has it be asked now
	heard   time.Time     // when it has answered last
	failing bool          // it did not answer when it was asked last
	live    bool          // it answers, and what runs there is known
	// instance is what the node calls itself since its start, and anew that it is another one than before, which was not told of its calls yet.
	instance string
	anew     bool
	compared time.Time // when it was looked which calls it has
}

// placement is where a call is.
type placement struct {
	on     *node
	opened time.Time // when the node has said so last; zero while it has not
}

var (
	// errNodeAway is of a node that does not answer.
	errNodeAway = errors.New("the node does not answer")
	errNoNode   = matrixError(http.StatusServiceUnavailable, "M_UNKNOWN", "No server for calls answers: try again later")
)

// NewNodes makes what Config.SFU and Config.Elsewhere can be. Run of the service asks them.
func NewNodes(cfg NodesConfig) *Nodes {
	ns := &Nodes{cfg: cfg, placed: map[string]*placement{}, changed: make(chan struct{})}
	for _, a := range cfg.Nodes {
		ns.all = append(ns.all, &node{
			NodeAddress: a, api: LiveKit{URL: a.URL, API: a.API, Key: cfg.Key, Secret: cfg.Secret, Client: cfg.Client, departure: nodeDeparture}, ring: make(chan struct{}, 1),
		})
	}
	return ns
}

// rank is how much a call prefers a node: rendezvous hashing, so that a node that comes or goes moves no call of the others.
func (n *node) rank(room string) uint64 {
	sum := sha256.Sum256([]byte(n.Name + "\x00" + room))
	return binary.BigEndian.Uint64(sum[:])
}

// place returns on which node a call is to be, and whether it is known to be there. nil is for none that answers; a channel comes with a
// node of which it is not clear whether it will, and is closed when that may have changed.
func (ns *Nodes) place(room string, but map[*node]bool) (n *node, sure bool, wait <-chan struct{}) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	p := ns.placed[room]
	if p != nil && !but[p.on] {
		switch {
		case p.on.live && !p.on.failing:
			return p.on, !p.opened.IsZero(), nil
		case p.on.live && !p.opened.IsZero():
			return p.on, true, ns.changed
		}
	}
	var best *node
	for _, n := range ns.all {
		if n.live && !n.failing && !but[n] && (best == nil || cmp.Compare(n.rank(room), best.rank(room)) > 0) {
			best = n
		}
	}
	if best != nil {
		ns.placed[room] = &placement{on: best}
	}
	return best, false, nil
}

// Open implements SFU. Where the call is on a node that has just ceased to answer, it waits until that is given up or is back, for
// deadAfter at most. Errors: 503 M_UNKNOWN when there is no node that answers.
func (ns *Nodes) Open(ctx context.Context, room string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	refused, tries := map[*node]bool{}, map[*node]int{}
	for {
		n, sure, wait := ns.place(room, refused)
		if n == nil {
			return "", errNoNode
		}
		if wait != nil {
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return "", errNoNode
			}
		}
		url, err := ns.openOn(ctx, n, room)
		switch {
		case err == nil && ns.confirm(room, n):
			return url, nil
		case err == nil: // it has been given up meanwhile
		case ctx.Err() != nil:
			ns.unplace(room, n)
			return "", errors.Join(errNoNode, err)
		default:
			ns.cfg.Log.Warn().Err(err).Str("node", n.Name).Msg("A node does not take a call")
			tries[n]++
			refused[n] = !sure || isRefusal(err) || tries[n] >= maxTries
			ns.unplace(room, n)
		}
	}
}

// openOn has a node open a call. One that does not answer is taken for failing.
func (ns *Nodes) openOn(ctx context.Context, n *node, room string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	url, err := n.api.open(ctx, room)
	if err != nil && !isRefusal(err) {
		ns.mu.Lock()
		n.failing = true
		ns.mu.Unlock()
		ring(n.ring)
	}
	return url, err
}

// isRefusal is whether a node has answered, and does not do what it is asked to.
func isRefusal(err error) bool {
	refusal, ok := errors.AsType[*refusal](err)
	return ok && refusal.code != ""
}

// confirm records that a node has opened a call, and is false when the call has moved meanwhile.
func (ns *Nodes) confirm(room string, n *node) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	p := ns.placed[room]
	if p == nil || p.on != n {
		return false
	}
	p.opened = time.Now()
	return true
}

// unplace forgets where a call is, if its node has never said so.
func (ns *Nodes) unplace(room string, n *node) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if p := ns.placed[room]; p != nil && p.on == n && p.opened.IsZero() {
		delete(ns.placed, room)
	}
}

// of returns on which node a call is: nil for none. The error is errNodeAway when it does not answer.
func (ns *Nodes) of(room string) (*node, error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	p := ns.placed[room]
	switch {
	case p == nil:
		return nil, nil
	case !p.on.live || p.on.failing:
		return p.on, errNodeAway
	}
	return p.on, nil
}

// Remove implements SFU. The node takes no token from before, either. From a node that is given up nobody has to be removed: those who are
// found there when it is back are looked at again.
func (ns *Nodes) Remove(ctx context.Context, room, identity string) error {
	n, err := ns.of(room)
	if n == nil || err != nil {
		return ns.unlessDead(n, err)
	}
	var out struct{}
	err = n.api.call(ctx, "RemoveParticipant", apiGrant{RoomAdmin: true, Room: room}, map[string]any{
		"room": room, "identity": identity, "revoke_token_ts": time.Now().Unix(),
	}, &out)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// SetPublish implements SFU.
func (ns *Nodes) SetPublish(ctx context.Context, room, identity string, publish bool) error {
	n, err := ns.of(room)
	if n == nil || err != nil {
		return ns.unlessDead(n, err)
	}
	return n.api.SetPublish(ctx, room, identity, publish)
}

// unlessDead is an error of a node that may be back soon.
func (ns *Nodes) unlessDead(n *node, err error) error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if n == nil || !n.live {
		return nil
	}
	return err
}

// Present implements SFU.
func (ns *Nodes) Present(ctx context.Context, room string) ([]string, error) {
	n, err := ns.of(room)
	if n == nil || err != nil {
		return nil, err
	}
	return n.api.Present(ctx, room)
}

func (ns *Nodes) verify(authorization, sum string) error {
	l := LiveKit{Key: ns.cfg.Key, Secret: ns.cfg.Secret}
	return l.verify(authorization, sum)
}

// ours implements Elsewhere.
func (ns *Nodes) ours() bool { return true }

func (ns *Nodes) speaksFor(name, room string) bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	p := ns.placed[room]
	return p != nil && p.on.Name == name
}

// Live tells of each node, by its name, whether calls are placed on it.
func (ns *Nodes) Live() map[string]bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	all := make(map[string]bool, len(ns.all))
	for _, n := range ns.all {
		all[n.Name] = n.live && !n.failing
	}
	return all
}

// Status asks the nodes that answer for what they tell of their calls, by their names. What does not come in time is left out.
func (ns *Nodes) Status(ctx context.Context) map[string]json.RawMessage {
	ctx, cancel := context.WithTimeout(ctx, statusWithin)
	defer cancel()
	var (
		mu      sync.Mutex // guards all
		all     = map[string]json.RawMessage{}
		running sync.WaitGroup
	)
	live := ns.Live()
	for _, n := range ns.all {
		if !live[n.Name] {
			continue
		}
		running.Go(func() {
			var out json.RawMessage
			if err := n.api.callAt(ctx, nodeService, "Status", apiGrant{RoomList: true}, struct{}{}, &out); err != nil {
				ns.cfg.Log.Warn().Err(err).Str("node", n.Name).Msg("A node does not tell which calls run")
				return
			}
			mu.Lock()
			all[n.Name] = out
			mu.Unlock()
		})
	}
	running.Wait()
	return all
}

// rooms returns the calls that are on a node. The caller holds mu.
func (ns *Nodes) rooms(n *node) []string {
	rooms := map[string]bool{}
	for room, p := range ns.placed {
		if p.on == n && !p.opened.IsZero() {
			rooms[room] = true
		}
	}
	return slices.Sorted(maps.Keys(rooms))
}
