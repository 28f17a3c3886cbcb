package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

const nodeSecret = "a secret of nodes that is long enough"

// startCallNode starts a process that is an SFU alone, and returns when it listens.
func startCallNode(t *testing.T, address string) *causeway {
	t.Helper()
	dir := t.TempDir()
	c := &causeway{t: t, dir: dir, config: filepath.Join(dir, "causeway.yaml"), address: address, binary: causewayBinary}
	config := fmt.Sprintf("role: sfu\nlisten: %s\nturn: {enabled: false}\nlog: {level: debug, format: text}\ncalls: {listen: %q, sfu: {secret: %q}}\n",
		address, freePort(t), nodeSecret)
	if err := os.WriteFile(c.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c.launch()
	c.awaitListener(t, address)
	return c
}

// callNodes is a server with two nodes, and a room with people.
type callNodes struct {
	t       *testing.T
	server  *causeway
	nodes   map[string]*causeway // by their host
	people  map[string]string    // access tokens
	root    string               // that of an administrator
	room    string
	metrics string // where those of the server are
}

func startCallNodes(t *testing.T, people ...string) *callNodes {
	t.Helper()
	w := &callNodes{t: t, nodes: map[string]*causeway{}, people: map[string]string{}}
	var list []string
	w.metrics = freePort(t)
	for range 2 {
		at := freePort(t)
		w.nodes[at] = startCallNode(t, at)
		list = append(list, fmt.Sprintf("{url: \"ws://%s\"}", at))
	}
	w.server = install(t, options{extra: fmt.Sprintf("calls: {sfu: {nodes: [%s], secret: %q}}\nmetrics: {listen: %q}\n",
		strings.Join(list, ", "), nodeSecret, w.metrics)})
	account := w.server.account("root")
	create := w.server.command("user", "create", "--config", w.server.config, "root", "--admin", "--password", account.Password)
	if code, output := startProcess(t, "causeway user create", create, nil).awaitExit(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	w.server.start()
	var in struct {
		Token string `json:"access_token"`
	}
	w.server.do(t, "POST", "/_matrix/client/v3/login", "", map[string]any{
		"type": "m.login.password", "identifier": map[string]string{"type": "m.id.user", "user": account.Username}, "password": account.Password,
	}).decode(t, &in)
	w.root = in.Token
	for i, name := range people {
		w.people[name] = w.server.registerHTTP(t, name)
		if i == 0 {
			var made struct {
				Room string `json:"room_id"`
			}
			w.ok("POST", "/createRoom", name, map[string]any{"preset": "public_chat"}).decode(t, &made)
			w.room = made.Room
			continue
		}
		w.ok("POST", w.at("/join"), name, struct{}{})
	}
	return w
}

func (w *callNodes) at(path string) string { return "/rooms/" + url.PathEscape(w.room) + path }

// ok asks the client-server API for something that works.
func (w *callNodes) ok(method, path, who string, body any) answer {
	w.t.Helper()
	a := w.server.do(w.t, method, "/_matrix/client/v3"+path, w.people[who], body)
	if a.status != http.StatusOK {
		w.t.Fatalf("%s %s: %d %s", method, path, a.status, a.raw)
	}
	return a
}

// comes has somebody come into the call.
func (w *callNodes) comes(who string, sends bool) *caller {
	w.t.Helper()
	k := w.server.newCaller(w.t)
	if sends {
		k.sends(signalling.Microphone)
	} else {
		k.gets(webrtc.RTPCodecTypeAudio)
	}
	k.enter(w.people[who], w.room)
	if sends { // those who listen ask for what there is when they come
		w.server.awaitCalls(w.t, w.root, `"source":"microphone"`)
	}
	return k
}

// host is the node that somebody's call is on.
func (k *caller) host() string {
	k.t.Helper()
	u, err := url.Parse(k.url)
	if err != nil {
		k.t.Fatal(err)
	}
	return u.Host
}

func (k *caller) awaitLeave() signalling.DisconnectReason {
	k.t.Helper()
	select {
	case reason := <-k.left:
		return reason
	case <-time.After(10 * time.Second):
		k.t.Fatal("nobody puts the caller out")
		return 0
	}
}

// says has somebody say by an event that they are in the call, and hands its end over to the server.
func (w *callNodes) says(who string) {
	w.t.Helper()
	user := "@" + who + ":" + serverName
	state := w.at("/state/org.matrix.msc3401.call.member/" + url.PathEscape(user))
	var delay struct {
		ID string `json:"delay_id"`
	}
	w.ok("PUT", state+"?org.matrix.msc4140.delay=3600000", who, struct{}{}).decode(w.t, &delay)
	w.ok("PUT", state, who, map[string]any{"application": "m.call"})
	a := w.server.do(w.t, "POST", "/_matrix/client/v1/rtc/livekit/delegate_delayed_leave", w.people[who], map[string]any{
		"room_id": w.room, "slot_id": "m.call#ROOM", "member_id": "member", "delay_id": delay.ID,
	})
	if a.status != http.StatusOK {
		w.t.Fatalf("delegate: %d %s", a.status, a.raw)
	}
}

// isMember is whether somebody's membership has not ended.
func (w *callNodes) isMember(who string) bool {
	w.t.Helper()
	user := "@" + who + ":" + serverName
	return strings.Contains(string(w.ok("GET", w.at("/state/org.matrix.msc3401.call.member/"+url.PathEscape(user)), who, nil).raw), "m.call")
}

// awaitEnd waits until somebody's membership has ended.
func (w *callNodes) awaitEnd(who string) {
	w.t.Helper()
	since := ""
	for begun := time.Now(); time.Since(begun) < 40*time.Second; {
		var sync struct {
			Next string `json:"next_batch"`
		}
		w.ok("GET", "/sync?timeout=5000&since="+since, who, nil).decode(w.t, &sync)
		since = sync.Next
		if !w.isMember(who) {
			w.t.Logf("the membership of %s has ended after %s", who, time.Since(begun))
			return
		}
	}
	w.t.Fatalf("the membership of %s has not ended", who)
}

// TestCallNodes has a call on one of two machines: people are put out at once, the server stops and starts while the call goes on, and when the
// machine dies, those who ask for a token are on the other, and those who do not are no members any more.
func TestCallNodes(t *testing.T) {
	w := startCallNodes(t, "alice", "bob", "carol", "dave", "erin", "frank")
	alice, bob, carol, dave := w.comes("alice", true), w.comes("bob", false), w.comes("carol", false), w.comes("dave", false)
	for who, k := range map[string]*caller{"bob": bob, "carol": carol, "dave": dave} {
		if k.url != alice.url {
			t.Fatalf("alice is on %s, %s on %s", alice.url, who, k.url)
		}
	}
	bob.awaitMedia()
	w.server.awaitCalls(t, w.root, `"node":"`+alice.host()+`"`)
	w.says("bob")
	w.says("dave")
	w.doctor()

	w.ok("POST", w.at("/ban"), "alice", map[string]string{"user_id": "@carol:" + serverName})
	if reason := carol.awaitLeave(); reason != signalling.ParticipantRemoved {
		t.Errorf("carol is put out for reason %d", reason)
	}
	if status := validate(t, carol); status != http.StatusUnauthorized {
		t.Errorf("her token from before: %d, want 401", status)
	}

	// The server stops, and knows after its start which call is where.
	w.server.kill()
	bob.awaitMedia()
	w.server.start()
	if erin := w.comes("erin", false); erin.url != alice.url {
		t.Errorf("after a start of the server, erin is on %s, and alice on %s", erin.url, alice.url)
	}
	if !w.isMember("bob") || !w.isMember("dave") {
		t.Error("those who are in the call are no members any more")
	}

	dead := alice.host()
	w.nodes[dead].kill()
	begun := time.Now()
	alice, bob = w.comes("alice", true), w.comes("bob", false)
	t.Logf("they are in again after %s", time.Since(begun))
	if alice.host() == dead || bob.url != alice.url {
		t.Fatalf("alice is on %s, bob on %s", alice.url, bob.url)
	}
	bob.awaitMedia()
	w.awaitEnd("dave")
	if !w.isMember("bob") {
		t.Error("bob has come back, and is no member")
	}

	// The call stays where it is when the other machine is back.
	w.nodes[dead] = startCallNode(t, dead)
	w.awaitUp(dead)
	if frank := w.comes("frank", false); frank.url != alice.url {
		t.Errorf("frank is on %s, alice on %s", frank.url, alice.url)
	}
	bob.awaitMedia()
}

// awaitUp waits until the server has heard of a node.
func (w *callNodes) awaitUp(node string) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for {
		response, err := http.Get("http://" + w.metrics + "/_causeway/metrics")
		if err != nil {
			w.t.Fatal(err)
		}
		raw, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			w.t.Fatal(err)
		}
		if strings.Contains(string(raw), fmt.Sprintf("causeway_sfu_node_up{node=%q} 1\n", node)) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			w.t.Fatalf("%s is not up in\n%s", node, raw)
		}
	}
}

// validate asks the SFU whether somebody's token is still good.
func validate(t *testing.T, k *caller) int {
	t.Helper()
	response, err := http.Get("http" + strings.TrimPrefix(k.url, "ws") + "/rtc/validate?access_token=" + url.QueryEscape(k.jwt))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// doctor has the program test calls: signalling and media of the node.
func (w *callNodes) doctor() {
	w.t.Helper()
	cmd := w.server.command("doctor", "calls", "--url", w.server.url(""), "--token", w.people["alice"])
	_, output := startProcess(w.t, "causeway doctor calls", cmd, nil).awaitExit(w.t)
	for _, words := range []string{"comes into a call by the WebSocket at ws://", "Media gets through by UDP"} {
		if !strings.Contains(output, words) {
			w.t.Errorf("doctor calls does not say %q:\n%s", words, output)
		}
	}
}
