package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"causeway/sfu/signalling"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

// callServer is the whole server in this process, with people who call each other.
type callServer struct {
	t    *testing.T
	base string
	cfg  *Config
	said bytes.Buffer // what people are told at starts; read it when the server has stopped
	stop func()
}

func startCallServer(t *testing.T, change ...func(*Config)) *callServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	cfg.Listen, cfg.Registration.Open = listener.Addr().String(), true
	cfg.RateLimits.Enabled = false
	_ = listener.Close()
	dir := t.TempDir()
	for _, c := range change {
		c(cfg)
	}
	cfg.resolve(func(string) string { return dir })
	s := &callServer{t: t, base: "http://" + cfg.Listen, cfg: cfg}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *callServer) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, greeted := make(chan error, 1), make(greeting, 1)
	go func() {
		ended <- serve(ctx, s.cfg, zerolog.New(zerolog.NewTestWriter(s.t)).Level(zerolog.WarnLevel), io.MultiWriter(&s.said, greeted))
	}()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
		s.stop = func() {}
	}
	select {
	case err := <-ended:
		s.t.Fatalf("the server has ended: %v", err)
	case <-greeted:
	}
}

// greeting rings when the server tells where it is: it listens then.
type greeting chan struct{}

func (g greeting) Write(p []byte) (int, error) {
	select {
	case g <- struct{}{}:
	default:
	}
	return len(p), nil
}

// ask makes a request, and returns the decoded answer.
func (s *callServer) ask(method, path, token, body string) (int, map[string]any) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&out); err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, out
}

func (s *callServer) ok(method, path, token, body string) map[string]any {
	s.t.Helper()
	status, out := s.ask(method, path, token, body)
	if status != http.StatusOK {
		s.t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	return out
}

const client = "/_matrix/client/v3"

// register makes an account, whose device is called as it.
func (s *callServer) register(name string) (token string) {
	s.t.Helper()
	out := s.ok("POST", client+"/register", "", `{"username":"`+name+`","password":"correct horse battery","device_id":"`+name+`","auth":{"type":"m.login.dummy"}}`)
	return out["access_token"].(string)
}

// administrator makes the account of an administrator. The server starts anew for that.
func (s *callServer) administrator(name string) (token string) {
	s.t.Helper()
	s.stop()
	const password = "correct horse battery"
	if _, err := createUser(s.t.Context(), s.cfg, zerolog.Nop(), newUser{Localpart: name, Password: password, Admin: true}); err != nil {
		s.t.Fatal(err)
	}
	s.start()
	out := s.ok("POST", client+"/login", "", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"`+name+`"},"password":"`+password+`","device_id":"`+name+`"}`)
	return out["access_token"].(string)
}

// callToken asks for a token of a call, and says by a state event that one is in it.
func (s *callServer) callToken(token, room string) string {
	s.t.Helper()
	out := s.ok("POST", "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token", token, `{"room_id":"`+room+`","slot_id":"m.call#ROOM","member":{"id":"m"}}`)
	return out["jwt"].(string)
}

// participant is a bare client of the SFU.
type participant struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *callServer) dial(jwt string) (*participant, int) {
	s.t.Helper()
	address := "ws" + strings.TrimPrefix(s.base, "http") + "/livekit/sfu/rtc?protocol=16&auto_subscribe=1&access_token=" + url.QueryEscape(jwt)
	conn, answer, err := websocket.Dial(s.t.Context(), address, nil)
	if err != nil {
		if answer == nil {
			s.t.Fatal(err)
		}
		return nil, answer.StatusCode
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return &participant{s.t, conn}, http.StatusSwitchingProtocols
}

// join comes into a call.
func (s *callServer) join(jwt string) *participant {
	s.t.Helper()
	p, status := s.dial(jwt)
	if p == nil {
		s.t.Fatalf("to come into the call: %d", status)
	}
	p.until("join", func(m *signalling.SignalResponse) bool { return m.Join != nil })
	return p
}

// until reads messages up to one that is wanted.
func (p *participant) until(what string, wanted func(*signalling.SignalResponse) bool) *signalling.SignalResponse {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, raw, err := p.conn.Read(ctx)
		if err != nil {
			p.t.Fatalf("waiting for %s: %v", what, err)
		}
		m := new(signalling.SignalResponse)
		if err := signalling.Unmarshal(raw, m); err != nil {
			p.t.Fatal(err)
		}
		if wanted(m) {
			return m
		}
	}
}

// TestCallEndsWithMembership bans somebody who is in a call, takes the right to speak from another, and logs a third out.
func TestCallEndsWithMembership(t *testing.T) {
	s := startCallServer(t)
	alice, bob, carol, dave := s.register("alice"), s.register("bob"), s.register("carol"), s.register("dave")
	room := s.ok("POST", client+"/createRoom", alice, `{"preset":"public_chat"}`)["room_id"].(string)
	at := client + "/rooms/" + url.PathEscape(room)
	for _, token := range []string{bob, carol, dave} {
		s.ok("POST", at+"/join", token, `{}`)
	}
	tokens := map[string]string{"bob": s.callToken(bob, room), "carol": s.callToken(carol, room), "dave": s.callToken(dave, room)}
	bobs, carols, daves := s.join(tokens["bob"]), s.join(tokens["carol"]), s.join(tokens["dave"])

	s.ok("POST", at+"/ban", alice, `{"user_id":"@bob:localhost"}`)
	leave := bobs.until("the end of the call", func(m *signalling.SignalResponse) bool { return m.Leave != nil })
	if leave.Leave.Reason != signalling.ParticipantRemoved {
		t.Errorf("got the reason %d, want %d", leave.Leave.Reason, signalling.ParticipantRemoved)
	}
	if _, _, err := bobs.conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("after it: %v, want the end of the connection", err)
	}
	if p, status := s.dial(tokens["bob"]); p != nil || status != http.StatusUnauthorized {
		t.Errorf("the token from before the ban: %d, want 401", status)
	}

	s.ok("PUT", at+"/state/m.room.power_levels", alice, `{"events":{"m.rtc.member":50}}`)
	carols.until("silence", func(m *signalling.SignalResponse) bool {
		if m.Update == nil {
			return false
		}
		for _, info := range m.Update.Participants {
			if info.Permission != nil && !info.Permission.CanPublish {
				return true
			}
		}
		return false
	})
	s.ok("POST", client+"/logout", dave, `{}`)
	daves.until("the end of the call", func(m *signalling.SignalResponse) bool { return m.Leave != nil })
}

// TestCallStatusNamesRooms tells administrators by what name people know the room of a call, by its alias where it has none, and else none.
func TestCallStatusNamesRooms(t *testing.T) {
	s := startCallServer(t)
	alice := s.administrator("alice")
	for _, c := range []struct {
		room string
		want any
	}{
		{`{"name":"Team call","room_alias_name":"team"}`, "Team call"},
		{`{"name":" ","room_alias_name":"others"}`, "#others:localhost"},
		{`{}`, nil},
	} {
		room := s.ok("POST", client+"/createRoom", alice, c.room)["room_id"].(string)
		p := s.join(s.callToken(alice, room))
		calls := s.ok("GET", "/_causeway/calls/status", alice, "")["calls"].([]any)
		found := false
		for _, call := range calls {
			if call := call.(map[string]any); call["room_id"] == room {
				found = true
				if call["room"] != c.want {
					t.Errorf("%s is called %v, want %v", c.room, call["room"], c.want)
				}
			}
		}
		if !found {
			t.Errorf("the call is not among %v", calls)
		}
		_ = p.conn.CloseNow()
	}
}

// TestGreetingTellsOfCalls says at the start where calls are, and their page.
func TestGreetingTellsOfCalls(t *testing.T) {
	at := freeMedia(t)
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // what follows "Group calls:"
		page   bool
	}{
		{"here", func(c *Config) { c.Calls.Listen, c.Calls.Page = at, callPageFolder(t) }, at + " (UDP, TCP)", true},
		{"on nodes", func(c *Config) {
			c.Calls.SFU.Nodes, c.Calls.SFU.Secret = []NodeConfig{{URL: "ws://127.0.0.1:9"}, {URL: "ws://127.0.0.1:10"}}, testNodeSecret
		}, "on 127.0.0.1:10, 127.0.0.1:9", false},
		{"on a LiveKit", func(c *Config) {
			c.Calls.SFU.LiveKit = LiveKitConfig{URL: "ws://127.0.0.1:9", Key: "key", Secret: testNodeSecret}
		}, "on ws://127.0.0.1:9", false},
		{"off", func(c *Config) { c.Calls.Enabled = false }, "", false},
	} {
		s := startCallServer(t, c.change)
		s.stop()
		_, got, told := strings.Cut(s.said.String(), "Group calls:")
		got, _, _ = strings.Cut(got, "\n")
		if told != (c.want != "") || strings.TrimSpace(got) != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if told := regexp.MustCompile(`Page for calls: +` + s.base + "/\n").MatchString(s.said.String()); told != c.page {
			t.Errorf("%s: the page is told %t, want %t", c.name, told, c.page)
		}
	}
	if got := (*calls)(nil).where(); got != "none, as the log says" {
		t.Errorf("without a port: got %q", got)
	}
}

// TestCallRelays has a participant be told of TURN with credentials that are the user's, by whatever identity it comes.
func TestCallRelays(t *testing.T) {
	s := startCallServer(t, func(c *Config) { c.TURN.Listen = []string{"127.0.0.1:0"} })
	alice := s.register("alice")
	room := s.ok("POST", client+"/createRoom", alice, `{"preset":"public_chat"}`)["room_id"].(string)
	p, _ := s.dial(s.callToken(alice, room))
	if p == nil {
		t.Fatal("alice cannot come in")
	}
	join := p.until("join", func(m *signalling.SignalResponse) bool { return m.Join != nil }).Join
	if len(join.ICEServers) != 1 || !strings.HasSuffix(join.ICEServers[0].Username, ":@alice:localhost") {
		t.Errorf("got %+v", join.ICEServers)
	}
}

// TestCallOverARestart has a token from before be good, and the membership end of who does not come back.
func TestCallOverARestart(t *testing.T) {
	s := startCallServer(t)
	alice := s.register("alice")
	room := s.ok("POST", client+"/createRoom", alice, `{"preset":"public_chat"}`)["room_id"].(string)
	token := s.callToken(alice, room)
	s.join(token)
	s.stop()
	s.start()
	s.join(token)
}

// TestCallerWhoCrashes has the membership end within seconds of who is gone without a word.
func TestCallerWhoCrashes(t *testing.T) {
	s := startCallServer(t)
	alice := s.register("alice")
	room := s.ok("POST", client+"/createRoom", alice, `{"preset":"public_chat"}`)["room_id"].(string)
	at := client + "/rooms/" + url.PathEscape(room)
	state := "/state/org.matrix.msc3401.call.member/_@alice:localhost_alice_m.call"
	delay := s.ok("PUT", at+state+"?org.matrix.msc4140.delay=3600000", alice, `{}`)["delay_id"].(string)
	s.ok("PUT", at+state, alice, `{"application":"m.call"}`)
	p := s.join(s.callToken(alice, room))
	s.ok("POST", "/_matrix/client/v1/rtc/livekit/delegate_delayed_leave", alice, `{"room_id":"`+room+`","slot_id":"m.call#ROOM","member_id":"m","delay_id":"`+delay+`"}`)
	since := s.ok("GET", client+"/sync", alice, "")["next_batch"].(string)
	if err := p.conn.CloseNow(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	const within = 15 * time.Second
	for begun := time.Now(); ; {
		since = s.ok("GET", client+"/sync?timeout=1000&since="+since, alice, "")["next_batch"].(string)
		_, there := s.ok("GET", at+state, alice, "")["application"]
		after := time.Since(begun)
		if after > within {
			t.Fatalf("after %s the membership is there %t, and was to end within %s", after, there, within)
		}
		if !there {
			t.Logf("the membership has ended after %s", after)
			return
		}
	}
}

// TestMediaPort has two servers on one machine: the second takes another port, unless it is told which: then it does not start.
func TestMediaPort(t *testing.T) {
	const own = "127.0.0.7" // so that no other test has its ports
	take := func(port int) string {
		conn, err := net.ListenPacket("udp", net.JoinHostPort(own, strconv.Itoa(port)))
		if port > 0 && errors.Is(err, syscall.EADDRINUSE) {
			return "" // by somebody who listens on all addresses
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn.LocalAddr().String()
	}
	take(defaultMediaPort)
	var log bytes.Buffer
	cfg := defaultConfig()
	cfg.Listen = own + ":8008"
	second, err := openMedia(cfg, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
	if !strings.Contains(log.String(), "calls.listen") {
		t.Errorf("the log says nothing of the port: %s", log.String())
	}
	taken := take(0)
	// Whoever has named the port is told who stands in the way, and the process ends.
	for _, role := range []string{roleHomeserver, roleSFU} {
		cfg := defaultConfig()
		dir := t.TempDir()
		cfg.Role, cfg.Listen, cfg.Calls.SFU.Secret = role, "127.0.0.1:0", testNodeSecret
		cfg.Calls.Listen = taken
		cfg.resolve(func(string) string { return dir })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := serve(ctx, cfg, zerolog.Nop(), io.Discard)
		cancel()
		want := "another program listens on " + taken + " (UDP): stop it, or set another address in calls.listen"
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", role, err, want)
		}
	}
}
