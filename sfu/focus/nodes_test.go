package focus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// fakeNode answers as a node does.
type fakeNode struct {
	mu       sync.Mutex // guards what follows
	instance string
	rooms    map[string]bool
	there    map[string][]string // identities by room
	told     []string            // what it was asked to do, but for questions
	gone     bool                // connections are refused
	hangs    bool                // they are not, but nothing is answered
	refuses  bool                // it has another secret
	full     bool                // it takes no other call
	complete bool                // it was told that its calls are all that there are
}

// machines are fake nodes by their host. They are an http.RoundTripper, so that time can be a test's own.
type machines map[string]*fakeNode

var errRefused = errors.New("connection refused")

func (m machines) RoundTrip(r *http.Request) (*http.Response, error) {
	n := m[r.URL.Host]
	n.mu.Lock()
	gone, hangs := n.gone, n.hangs
	n.mu.Unlock()
	switch {
	case gone:
		return nil, errRefused
	case hangs:
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	n.ServeHTTP(w, r)
	return w.Result(), nil
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name, Room, Identity, Instance string }
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &in)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuses {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"code":"unauthenticated","msg":"no"}`)
		return
	}
	var out any = struct{}{}
	switch method := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]; method {
	case "Ping":
		out = map[string]string{"instance": n.instance}
		if in.Instance == n.instance && !n.complete {
			n.complete = true
			n.told = append(n.told, "complete")
		}
	case "ListRooms":
		rooms := []map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(n.rooms)) {
			rooms = append(rooms, map[string]string{"name": name})
		}
		out = map[string]any{"rooms": rooms}
	case "ListParticipants":
		all := []map[string]string{}
		for _, identity := range n.there[in.Room] {
			all = append(all, map[string]string{"identity": identity, "state": "ACTIVE"})
		}
		out = map[string]any{"participants": all}
	case "CreateRoom":
		if n.full && !n.rooms[in.Name] {
			w.WriteHeader(http.StatusTooManyRequests)
			out = map[string]string{"code": "resource_exhausted", "msg": "full"}
			break
		}
		n.rooms[in.Name] = true
		n.told = append(n.told, "open "+in.Name)
	case "DeleteRoom":
		delete(n.rooms, in.Room)
		n.told = append(n.told, "end "+in.Room)
	default:
		n.told = append(n.told, method+" "+in.Identity)
	}
	_ = json.NewEncoder(w).Encode(out)
}

// asked returns what a node was asked to do since it was called last.
func (n *fakeNode) asked() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	told := n.told
	n.told = nil
	return strings.Join(told, "; ")
}

func (n *fakeNode) set(change func(*fakeNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// startAnew has a node forget all.
func (n *fakeNode) startAnew() {
	n.set(func(n *fakeNode) {
		n.instance += "'"
		n.rooms, n.there, n.gone, n.hangs, n.complete = map[string]bool{}, map[string][]string{}, false, false, false
	})
}

func newMachines(names ...string) machines {
	m := machines{}
	for _, name := range names {
		m[name] = &fakeNode{instance: name, rooms: map[string]bool{}, there: map[string][]string{}}
	}
	return m
}

// nodes are Nodes on machines.
func (m machines) nodes(log zerolog.Logger) *Nodes {
	cfg := NodesConfig{
		Key: liveKitKey, Secret: liveKitSecret, ServerName: "test", Webhook: "http://test/hook", Client: &http.Client{Transport: m}, Log: log,
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		cfg.Nodes = append(cfg.Nodes, NodeAddress{Name: name, URL: "ws://" + name, API: "http://" + name})
	}
	return NewNodes(cfg)
}

// onNodes is live with nodes: those of test run, with alice in the room and a delayed event "leave" of hers.
func onNodes(t *testing.T, m machines, test func(t *testing.T, w *world, s *Service)) {
	t.Helper()
	live(t, func(t *testing.T, w *world, _ *Service) {
		s := w.onNodes(m)
		stop := start(t, s)
		defer stop()
		test(t, w, s)
	})
}

func (w *world) onNodes(m machines) *Service {
	return w.service(func(c *Config) {
		nodes := m.nodes(w.logger())
		c.SFU, c.Elsewhere = nodes, nodes
	})
}

// tokenAt asks for a token, and returns the node that it is for and how long that took.
func tokenAt(t *testing.T, s *Service, m Member) (node string, took time.Duration) {
	t.Helper()
	begun := time.Now()
	token, err := s.Token(t.Context(), whoAlice, m)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(token.URL, "ws://"), time.Since(begun)
}

// TestRendezvous spreads calls, and takes a node away.
func TestRendezvous(t *testing.T) {
	m := newMachines("a", "b", "c")
	onNodes(t, m, func(t *testing.T, _ *world, s *Service) {
		nodes, ctx := s.cfg.SFU.(*Nodes), t.Context()
		const calls = 300
		open := func(prefix string) map[string]string {
			on := map[string]string{}
			for i := range calls {
				url, err := nodes.Open(ctx, fmt.Sprint(prefix, i))
				if err != nil {
					t.Fatal(err)
				}
				on[fmt.Sprint(prefix, i)] = url
			}
			return on
		}
		before, count := open("call"), map[string]int{}
		for _, url := range before {
			count[url]++
		}
		for url, n := range count {
			if n < calls/5 || n > calls/2 {
				t.Errorf("%d of %d calls are on %s", n, calls, url)
			}
		}
		m["b"].set(func(n *fakeNode) { n.gone = true })
		time.Sleep(2 * deadAfter)
		for room, was := range open("call") { // the same calls
			switch now := before[room]; {
			case was == "ws://b":
				t.Errorf("%s is on the node that is gone", room)
			case now != "ws://b" && now != was:
				t.Errorf("%s has moved from %s to %s, though that is there", room, now, was)
			}
		}
	})
}

// preferred is the node that alice's call prefers, of a and b, and the other.
func preferred() (first, other string) {
	a, b := &node{NodeAddress: NodeAddress{Name: "a"}}, &node{NodeAddress: NodeAddress{Name: "b"}}
	if a.rank(mine.alias) > b.rank(mine.alias) {
		return "a", "b"
	}
	return "b", "a"
}

// TestSticky has a call stay where it is when a node comes back that it would prefer.
func TestSticky(t *testing.T) {
	m := newMachines("a", "b")
	first, other := preferred()
	m[first].gone = true
	onNodes(t, m, func(t *testing.T, _ *world, s *Service) {
		if at, took := tokenAt(t, s, member); at != other || took > 0 {
			t.Errorf("a token for %s after %s, want one for %s at once", at, took, other)
		}
		m[first].set(func(n *fakeNode) { n.gone = false })
		time.Sleep(5 * time.Second)
		if at, _ := tokenAt(t, s, member); at != other {
			t.Errorf("the call has moved to %s", at)
		}
		// It has ended: another is where it is to be.
		m[other].set(func(n *fakeNode) { n.rooms = map[string]bool{} })
		time.Sleep(compareEvery + 2*time.Second)
		if at, _ := tokenAt(t, s, member); at != first {
			t.Errorf("another call is on %s, want %s", at, first)
		}
	})
}

// enterNode takes a token, comes in, and delegates "leave".
func enterNode(t *testing.T, w *world, s *Service, m machines) (at string) {
	t.Helper()
	at, _ = tokenAt(t, s, member)
	if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
		t.Fatal(err)
	}
	comes(t, s, m, at, "PA_1")
	w.expect(t, "she comes", time.Second, "restart leave")
	return at
}

// comes has alice come into the call on a node, which tells so.
func comes(t *testing.T, s *Service, m machines, at, sid string) {
	t.Helper()
	m[at].set(func(n *fakeNode) { n.there[mine.alias] = []string{mine.identity} })
	if a := nodeHook("participant_joined", mine, sid, at).send(t, s); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.ErrCode)
	}
}

// nodeHook is participantHook of a node.
func nodeHook(event string, k key, sid, node string) hook {
	h := participantHook(event, k, sid)
	h.body = strings.Replace(h.body, "{", fmt.Sprintf("{%q:%q,", "node", node), 1)
	return h
}

func another(at string) string {
	if at == "a" {
		return "b"
	}
	return "a"
}

// TestDeadNode has a node be gone, or say nothing: whoever asks is on the other within a bounded time, and who does not is no member any more.
func TestDeadNode(t *testing.T) {
	for name, die := range map[string]func(*fakeNode){
		"gone":  func(n *fakeNode) { n.gone = true },
		"hangs": func(n *fakeNode) { n.hangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachines("a", "b")
			onNodes(t, m, func(t *testing.T, w *world, s *Service) {
				at := enterNode(t, w, s, m)
				m[at].set(die)
				to, took := tokenAt(t, s, member)
				if to == at || took > openWithin {
					t.Fatalf("a token for %s after %s", to, took)
				}
				t.Logf("the token took %s", took)
				if _, took := tokenAt(t, s, byState); took > 0 {
					t.Errorf("the next token took %s", took)
				}
				w.expect(t, "at first", rejoinWithin-2*time.Second, "")
				w.expect(t, "then", 3*time.Second, "send leave")
			})
			m = newMachines("a", "b")
			onNodes(t, m, func(t *testing.T, w *world, s *Service) {
				at := enterNode(t, w, s, m)
				m[at].set(die)
				to, _ := tokenAt(t, s, member)
				w.told()
				comes(t, s, m, to, "PA_2")
				w.expect(t, "she is in again", time.Second, "restart leave")
				w.expect(t, "and stays", 30*time.Minute, "")
				// The node is back, with what ran there.
				m[at].set(func(n *fakeNode) { n.gone, n.hangs = false, false })
				time.Sleep(5 * time.Second)
				if got := m[at].asked(); !strings.HasSuffix(got, "; end "+mine.alias) && got != "open "+mine.alias+"; end "+mine.alias {
					t.Errorf("the node that is back is asked %q", got)
				}
				nodeHook("participant_left", mine, "PA_1", at).send(t, s)
				w.expect(t, "what it says of the call counts no more", time.Minute, "")
			})
		})
	}
}

// TestDeadNodeInTheLog tells the operator how many calls are lost, of which those in which nobody was are none, and what becomes of them.
func TestDeadNodeInTheLog(t *testing.T) {
	m := newMachines("a", "b")
	onNodes(t, m, func(t *testing.T, w *world, s *Service) {
		at := enterNode(t, w, s, m)
		for i := range 5 { // as a test of calls leaves them
			if _, err := s.cfg.SFU.Open(t.Context(), fmt.Sprint("call", i)); err != nil {
				t.Fatal(err)
			}
		}
		w.logged("")
		m[at].set(func(n *fakeNode) { n.gone = true })
		time.Sleep(2 * deadAfter)
		if lines := w.logged(""); len(lines) != 1 || !strings.Contains(lines[0], `"calls":1,`) || !strings.Contains(lines[0], "join them again get another node") {
			t.Errorf("one is gone: the log has %q", lines)
		}
		m[another(at)].set(func(n *fakeNode) { n.gone = true })
		time.Sleep(2 * deadAfter)
		if lines := w.logged(""); len(lines) != 1 || !strings.Contains(lines[0], `"calls":0,`) || !strings.Contains(lines[0], "there is no other: nobody can call") {
			t.Errorf("both are gone: the log has %q", lines)
		}
	})
}

// TestNodeRefuses has a node with another secret: the log says so, once, and nothing of one that does not answer.
func TestNodeRefuses(t *testing.T) {
	m := newMachines("a")
	m["a"].refuses = true
	onNodes(t, m, func(t *testing.T, w *world, _ *Service) {
		time.Sleep(time.Minute)
		if lines := w.logged(""); len(lines) != 1 || !strings.Contains(lines[0], "calls.sfu.secret is another one there") || strings.Contains(lines[0], "does not answer") {
			t.Errorf("the log has %q", lines)
		}
	})
}

// TestNodeStartsAnew has a node be back at once: its calls are made again there.
func TestNodeStartsAnew(t *testing.T) {
	m := newMachines("a", "b")
	onNodes(t, m, func(t *testing.T, w *world, s *Service) {
		at := enterNode(t, w, s, m)
		m[at].asked()
		m[at].startAnew()
		w.expect(t, "at once", 2*time.Second, "")
		if got := m[at].asked(); got != "open "+mine.alias+"; complete" {
			t.Errorf("the node is asked %q", got)
		}
		if to, took := tokenAt(t, s, member); to != at || took > 0 {
			t.Errorf("a token for %s after %s, want %s", to, took, at)
		}
		comes(t, s, m, at, "PA_2")
		w.expect(t, "she is in again", rejoinWithin+time.Second, "restart leave")
		nodeHook("participant_left", mine, "PA_2", at).send(t, s)
		w.expect(t, "she leaves", time.Millisecond, "send leave")
	})
}

// TestServerStartsAnew takes in what runs on nodes.
func TestServerStartsAnew(t *testing.T) {
	m := newMachines("a", "b")
	first, _ := preferred()
	m[first].gone = true
	onNodes(t, m, func(t *testing.T, w *world, s *Service) {
		at := enterNode(t, w, s, m)
		m[first].set(func(n *fakeNode) { n.gone = false })
		next := w.onNodes(m)
		if err := next.Prepare(t.Context()); err != nil { // before anything is served
			t.Fatal(err)
		}
		if to, took := tokenAt(t, next, member); to != at || took > 0 {
			t.Errorf("a token for %s after %s, but she is on %s", to, took, at)
		}
		stop := start(t, next)
		defer stop()
		w.expect(t, "she is found", time.Second, "restart leave")
		nodeHook("participant_left", mine, "PA_1", at).send(t, next)
		w.expect(t, "she leaves", time.Millisecond, "send leave")
	})
}

// TestNodesPutOut tells the node of a call, and no other.
func TestNodesPutOut(t *testing.T) {
	m := newMachines("a", "b")
	onNodes(t, m, func(t *testing.T, w *world, s *Service) {
		at := enterNode(t, w, s, m)
		m[at].asked()
		m[another(at)].asked()
		w.let(alice, "D", Access{Joined: true})
		s.AccessChanged(room, alice)
		w.after(time.Millisecond)
		if got := m[at].asked(); got != "UpdateParticipant "+mine.identity {
			t.Errorf("she may only listen: the node is asked %q", got)
		}
		w.let(alice, "D", Access{})
		s.AccessChanged(room, alice)
		w.after(time.Millisecond)
		if got := m[at].asked(); got != "RemoveParticipant "+mine.identity {
			t.Errorf("she is banned: the node is asked %q", got)
		}
		if got := m[another(at)].asked(); got != "" {
			t.Errorf("the other node is asked %q", got)
		}
	})
}

// TestNoSeatOnNode puts out who has a token, and no seat any more: such a one, nobody could put out later.
func TestNoSeatOnNode(t *testing.T) {
	m := newMachines("a", "b")
	onNodes(t, m, func(t *testing.T, w *world, s *Service) {
		at := enterNode(t, w, s, m)
		m[at].asked()
		nodeHook("participant_joined", key{mine.alias, "stranger"}, "PA_9", at).send(t, s)
		w.after(time.Millisecond)
		if got := m[at].asked(); got != "RemoveParticipant stranger" {
			t.Errorf("a webhook tells of a stranger: the node is asked %q", got)
		}
		m[at].set(func(n *fakeNode) { n.there[mine.alias] = []string{mine.identity, "other"} })
		w.after(pollEvery)
		if got := m[at].asked(); got != "RemoveParticipant other" {
			t.Errorf("a stranger is found: the node is asked %q", got)
		}
	})
}

// TestNodeForAnother has a node tell of a call that is on another, and others say that they are a node.
func TestNodeForAnother(t *testing.T) {
	m := newMachines("a", "b")
	onNodes(t, m, func(t *testing.T, w *world, s *Service) {
		at := enterNode(t, w, s, m)
		for name, h := range map[string]hook{
			"another node": nodeHook("participant_left", mine, "PA_1", another(at)), "no node": participantHook("participant_left", mine, "PA_1"),
			"an unknown node": nodeHook("participant_left", mine, "PA_1", "c"),
		} {
			if a := h.send(t, s); a.status != http.StatusOK {
				t.Errorf("%s: %d", name, a.status)
			}
			w.expect(t, name, time.Second, "")
		}
		h := nodeHook("participant_left", mine, "PA_1", at)
		h.secret = strings.Repeat("x", 40)
		if a := h.send(t, s); a.status != http.StatusUnauthorized {
			t.Errorf("a node of another server: %d", a.status)
		}
		w.expect(t, "a node of another server", time.Second, "")
	})
}

// TestNoNode has none answer, and one that is full.
func TestNoNode(t *testing.T) {
	m := newMachines("a", "b")
	m["a"].gone, m["b"].hangs = true, true
	onNodes(t, m, func(t *testing.T, _ *world, s *Service) {
		if a := ask(t, s, http.MethodPost, "/sfu/get", legacyBody); a.status != http.StatusServiceUnavailable || a.ErrCode != "M_UNKNOWN" {
			t.Errorf("no node: %d %s", a.status, a.body)
		}
		m["b"].set(func(n *fakeNode) { n.hangs = false })
		time.Sleep(5 * time.Second)
		if at, _ := tokenAt(t, s, member); at != "b" {
			t.Errorf("a token for %s", at)
		}
		m["a"].set(func(n *fakeNode) { n.gone = false })
		m["b"].set(func(n *fakeNode) { n.full = true })
		time.Sleep(5 * time.Second)
		nodes := s.cfg.SFU.(*Nodes)
		for i := range 20 {
			if url, err := nodes.Open(context.Background(), fmt.Sprint("call", i)); err != nil || url != "ws://a" {
				t.Errorf("a call while one is full: %s, %v", url, err)
			}
		}
	})
}
