package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"causeway/sfu"
	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"github.com/pion/ice/v4"
	"github.com/rs/zerolog"
)

const (
	testKey    = "causeway-node"
	testSecret = "a secret of a node that is long enough"
	within     = 20 * time.Second
)

// world is a node, and the server that it tells.
type world struct {
	t     *testing.T
	node  *Node
	url   string
	stop  func()
	hooks chan hook // what the server was told
	home  *httptest.Server
	away  chan struct{} // one for each webhook that the server does not take
}

// hook is a webhook.
type hook struct {
	header string
	body   []byte
	event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: udp})
	n, err := New(Config{
		Key: testKey, Secret: testSecret, Log: zerolog.Nop(),
		SFU: sfu.Config{UDP: mux, Loopback: true, Addresses: func(ip net.IP) bool { return ip.IsLoopback() }, Log: zerolog.Nop()},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, node: n, hooks: make(chan hook, 100), away: make(chan struct{}, 100)}
	w.home = httptest.NewServer(http.HandlerFunc(w.take))
	h := httptest.NewServer(n.Handler())
	w.url = h.URL
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		w.stop()
		h.Close()
		w.home.Close()
		_ = mux.Close()
		_ = udp.Close()
	})
	return w
}

func (w *world) take(rw http.ResponseWriter, r *http.Request) {
	select {
	case <-w.away:
		rw.WriteHeader(http.StatusBadGateway)
		return
	default:
	}
	h := hook{header: r.Header.Get("Authorization")}
	h.body, _ = io.ReadAll(r.Body)
	if err := json.Unmarshal(h.body, &h.event); err != nil {
		w.t.Error(err)
	}
	w.hooks <- h
	_, _ = io.WriteString(rw, "{}")
}

// apiToken is one of the server.
func apiToken(t *testing.T, key, secret string, lasts time.Duration, video map[string]any) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": key, "exp": time.Now().Add(lasts).Unix(), "video": video,
	}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// askBy calls a method with a token.
func (w *world) askBy(token, method, body string) (int, map[string]any) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/twirp/"+method, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]any{}
	if !bytes.Equal(bytes.TrimSpace(raw), []byte("null")) && json.Unmarshal(raw, &out) != nil {
		out["list"] = string(raw)
	}
	return answer.StatusCode, out
}

// ask calls a method with a token for all calls and for the call R.
func (w *world) ask(method, body string) (int, map[string]any) {
	w.t.Helper()
	return w.askBy(apiToken(w.t, testKey, testSecret, time.Minute, map[string]any{
		"roomCreate": true, "roomList": true, "roomAdmin": true, "room": "R",
	}), method, body)
}

func (w *world) ok(method, body string) map[string]any {
	w.t.Helper()
	status, out := w.ask(method, body)
	if status != http.StatusOK {
		w.t.Fatalf("%s %s: %d %v", method, body, status, out)
	}
	return out
}

func (w *world) ping() {
	w.t.Helper()
	w.ok("causeway.Node/Ping", fmt.Sprintf(`{"node":"n1","server":"test","webhook":%q}`, w.home.URL))
}

// participantToken is one for a call.
func participantToken(t *testing.T, room, identity string) string {
	t.Helper()
	token, err := sfu.Mint(testKey, testSecret, sfu.Grant{
		Room: room, Identity: identity, Permission: sfu.Permission{Publish: true, Subscribe: true, Data: true},
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// visitor is somebody in a call, without media.
type visitor struct {
	t    *testing.T
	conn *websocket.Conn
}

// dial comes in, or returns why not.
func (w *world) dial(token string) (*visitor, int) {
	w.t.Helper()
	conn, answer, err := websocket.Dial(w.t.Context(), "ws"+strings.TrimPrefix(w.url, "http")+"/rtc?protocol=16&access_token="+url.QueryEscape(token), nil)
	if err != nil {
		if answer == nil {
			w.t.Fatal(err)
		}
		return nil, answer.StatusCode
	}
	conn.SetReadLimit(1 << 20)
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	return &visitor{w.t, conn}, http.StatusOK
}

func (w *world) join(room, identity string) *visitor {
	w.t.Helper()
	v, status := w.dial(participantToken(w.t, room, identity))
	if v == nil {
		w.t.Fatalf("%s cannot come into %s: %d", identity, room, status)
	}
	v.until(func(m *signalling.SignalResponse) bool { return m.Join != nil })
	return v
}

// leave waits until the visitor is told to leave, and returns why and what to do.
func (v *visitor) leave() (signalling.DisconnectReason, signalling.LeaveAction) {
	v.t.Helper()
	m := v.until(func(m *signalling.SignalResponse) bool { return m.Leave != nil })
	return m.Leave.Reason, m.Leave.Action
}

// until reads messages up to one that is wanted.
func (v *visitor) until(wanted func(*signalling.SignalResponse) bool) *signalling.SignalResponse {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), within)
	defer cancel()
	for {
		_, raw, err := v.conn.Read(ctx)
		if err != nil {
			v.t.Fatal(err)
		}
		m := new(signalling.SignalResponse)
		if err := signalling.Unmarshal(raw, m); err != nil {
			v.t.Fatal(err)
		}
		if wanted(m) {
			return m
		}
	}
}

// told waits for a webhook.
func (w *world) told(kind, identity string) hook {
	w.t.Helper()
	select {
	case h := <-w.hooks:
		if h.Event != kind || h.Participant.Identity != identity {
			w.t.Fatalf("the server was told %s of %s, want %s of %s", h.Event, h.Participant.Identity, kind, identity)
		}
		return h
	case <-time.After(within):
		w.t.Fatalf("the server was not told %s of %s", kind, identity)
		return hook{}
	}
}

// TestCall follows a call from its beginning to its end.
func TestCall(t *testing.T) {
	w := newWorld(t)
	w.ping()
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R","empty_timeout":300,"departure_timeout":20}`)
	alice := w.join("R", "alice")
	came := w.told("participant_joined", "alice")
	if came.Node != "n1" || came.Room.Name != "R" || came.Participant.SID == "" || came.Participant.Permission == nil || !came.Participant.Permission.CanPublish {
		t.Errorf("the server was told %s", came.body)
	}
	var claims struct {
		jwt.RegisteredClaims
		SHA256 string `json:"sha256"`
	}
	sum := sha256.Sum256(came.body)
	_, err := jwt.ParseWithClaims(came.header, &claims, func(*jwt.Token) (any, error) { return []byte(testSecret), nil }, jwt.WithIssuer(testKey), jwt.WithExpirationRequired())
	if err != nil || claims.SHA256 != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("the webhook is signed by %s: %v", came.header, err)
	}
	if !w.node.Seated("alice") || w.node.Seated("bob") {
		t.Error("TURN relays for who is not in a call, or not for who is")
	}
	out := w.ok("livekit.RoomService/ListParticipants", `{"room":"R"}`)
	if got := fmt.Sprint(out["participants"]); !strings.Contains(got, "identity:alice") || !strings.Contains(got, "ACTIVE") {
		t.Errorf("in the call are %s", got)
	}
	if got := fmt.Sprint(w.ok("livekit.RoomService/ListRooms", `{}`)["rooms"]); !strings.Contains(got, "name:R") || !strings.Contains(got, "num_participants:1") {
		t.Errorf("the calls are %s", got)
	}
	if got := fmt.Sprint(w.ok("causeway.Node/Status", `{}`)); !strings.Contains(got, `"Identity":"alice"`) {
		t.Errorf("the status is %s", got)
	}
	w.ok("livekit.RoomService/UpdateParticipant", `{"room":"R","identity":"alice","permission":{"can_subscribe":true}}`)
	again := w.join("R", "alice") // in the place of the first
	if reason, _ := alice.leave(); reason != signalling.DuplicateIdentity {
		t.Errorf("the first is put out for reason %d", reason)
	}
	second := w.told("participant_joined", "alice")
	if left := w.told("participant_left", "alice"); left.Participant.SID != came.Participant.SID || second.Participant.SID == came.Participant.SID {
		t.Errorf("%s has come, %s has left, and %s has come", came.Participant.SID, left.Participant.SID, second.Participant.SID)
	}
	w.ok("livekit.RoomService/DeleteRoom", `{"room":"R"}`)
	if reason, action := again.leave(); reason != signalling.RoomDeleted || action != signalling.Disconnect {
		t.Errorf("the second is put out for reason %d, and is to do %d", reason, action)
	}
	for method, body := range map[string]string{
		"DeleteRoom": `{"room":"R"}`, "ListParticipants": `{"room":"R"}`, "RemoveParticipant": `{"room":"R","identity":"alice"}`,
		"UpdateParticipant": `{"room":"R","identity":"alice","permission":{}}`,
	} {
		if status, out := w.ask("livekit.RoomService/"+method, body); status != http.StatusNotFound || out["code"] != "not_found" {
			t.Errorf("%s of a call that has ended: %d %v", method, status, out)
		}
	}
}

// TestRemoved has somebody come back by the token from before, and by another.
func TestRemoved(t *testing.T) {
	w := newWorld(t)
	w.ping()
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R"}`)
	before := participantToken(t, "R", "alice")
	alice := w.join("R", "alice")
	w.told("participant_joined", "alice")
	revoked := time.Now().Add(2 * time.Second).Unix() // tokens are of seconds
	w.ok("livekit.RoomService/RemoveParticipant", fmt.Sprintf(`{"room":"R","identity":"alice","revoke_token_ts":%d}`, revoked))
	if reason, _ := alice.leave(); reason != signalling.ParticipantRemoved {
		t.Errorf("she is put out for reason %d", reason)
	}
	if v, status := w.dial(before); v != nil || status != http.StatusUnauthorized {
		t.Errorf("the token from before: %d, want 401", status)
	}
	if v, _ := w.dial(participantToken(t, "R", "bob")); v == nil {
		t.Error("bob's token is not taken, either")
	}
	g := sfu.Grant{Room: "R", Identity: "alice", Minted: time.Unix(revoked, 0)}
	if err := w.node.admit(t.Context(), &g); err != nil {
		t.Errorf("a token from afterwards: %v", err)
	}
}

// TestNotOpen has somebody come into a call that the server opens when they are there, and one that it does not open.
func TestNotOpen(t *testing.T) {
	w := newWorld(t)
	w.ping()
	came := make(chan int, 1)
	token := participantToken(t, "R", "alice")
	go func() {
		_, status := w.dial(token)
		came <- status
	}()
	for len(w.node.waiting) == 0 {
		select {
		case status := <-came:
			t.Fatalf("she does not wait: %d", status)
		case <-time.After(time.Millisecond):
		}
	}
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R"}`)
	if status := <-came; status != http.StatusOK {
		t.Errorf("the call is opened: %d", status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := w.node.admit(ctx, &sfu.Grant{Room: "other", Identity: "alice"}); err == nil {
		t.Error("she is in a call that nobody has opened")
	}
	waits := make(chan int, 1)
	go func() {
		_, status := w.dial(participantToken(t, "moved", "alice"))
		waits <- status
	}()
	for len(w.node.waiting) == 0 {
		select {
		case status := <-waits:
			t.Fatalf("she does not wait: %d", status)
		case <-time.After(time.Millisecond):
		}
	}
	w.ok("causeway.Node/Ping", fmt.Sprintf(`{"node":"n1","server":"test","webhook":%q,"instance":"another"}`, w.home.URL))
	select {
	case status := <-waits:
		t.Fatalf("the server has not told of all calls of this start, and she is told %d", status)
	default:
	}
	for range maxWaiting - 1 {
		w.node.waiting <- struct{}{}
	}
	if v, status := w.dial(participantToken(t, "other", "alice")); v != nil || status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d, want 503", status)
	}
	// All calls are known to the node.
	w.ok("causeway.Node/Ping", fmt.Sprintf(`{"node":"n1","server":"test","webhook":%q,"instance":%q}`, w.home.URL, w.node.instance))
	if status := <-waits; status != http.StatusUnauthorized {
		t.Errorf("her call is on another node: %d, want 401", status)
	}
	if v, status := w.dial(participantToken(t, "other", "alice")); v != nil || status != http.StatusUnauthorized {
		t.Errorf("a call that is on another node: %d, want 401", status)
	}
}

// TestServerAway tells all in its order when the server is back.
func TestServerAway(t *testing.T) {
	w := newWorld(t)
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R"}`)
	for range 2 {
		w.away <- struct{}{}
	}
	alice := w.join("R", "alice") // before the node knows where to tell
	w.ping()
	w.join("R", "bob")
	_ = alice.conn.Write(t.Context(), websocket.MessageBinary, signalling.Marshal(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{}}))
	w.told("participant_joined", "alice")
	w.told("participant_joined", "bob")
	w.told("participant_left", "alice")
	// That all leave because the node stops is not told: they come back.
	w.stop()
	for _, e := range w.node.tell.queue {
		if e.Participant.Identity == "bob" {
			t.Errorf("when the node stops, the server is to be told %s of %s", e.Event, e.Participant.Identity)
		}
	}
}

// TestEmptyCalls ends calls in which nobody is, and not one of whose forerunner somebody leaves late.
func TestEmptyCalls(t *testing.T) {
	w := newWorld(t)
	w.ping()
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R","empty_timeout":1,"departure_timeout":1}`)
	w.join("R", "bob")
	w.told("participant_joined", "bob")
	w.node.left(sfu.Presence{Room: "R", Identity: "alice", SID: "PA_before"})
	w.node.mu.Lock()
	w.node.rooms["R"].closes = time.Now() // it has been long
	w.node.mu.Unlock()
	w.ok("livekit.RoomService/CreateRoom", `{"name":"E","empty_timeout":1}`)
	begun, tick := time.Now(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		rooms := fmt.Sprint(w.ok("livekit.RoomService/ListRooms", `{}`)["rooms"])
		if !strings.Contains(rooms, "name:R") {
			t.Fatalf("bob's call has ended: %s", rooms)
		}
		if !strings.Contains(rooms, "name:E") {
			return
		}
		if time.Since(begun) > within {
			t.Fatalf("the empty call does not end: %s", rooms)
		}
	}
}
