package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"causeway/sfu"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

// bodies are requests that are good.
var bodies = map[string]string{
	"livekit.RoomService/CreateRoom":        `{"name":"R"}`,
	"livekit.RoomService/DeleteRoom":        `{"room":"R"}`,
	"livekit.RoomService/ListRooms":         `{}`,
	"livekit.RoomService/ListParticipants":  `{"room":"R"}`,
	"livekit.RoomService/RemoveParticipant": `{"room":"R","identity":"alice"}`,
	"livekit.RoomService/UpdateParticipant": `{"room":"R","identity":"alice","permission":{"can_publish":true}}`,
	"causeway.Node/Ping":                    `{"node":"n1","server":"test","webhook":"http://other"}`,
	"causeway.Node/Status":                  `{}`,
}

// TestStrangers ask without a token, and with all kinds of bad ones.
func TestStrangers(t *testing.T) {
	w := newWorld(t)
	w.ping()
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R"}`)
	alice := w.join("R", "alice")
	w.told("participant_joined", "alice")
	grants := map[string]any{"roomCreate": true, "roomList": true, "roomAdmin": true, "room": "R"}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": testKey, "exp": time.Now().Add(time.Hour).Unix(), "video": grants}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	forever, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": testKey, "video": grants}).SignedString([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"none": "", "nonsense": "nonsense", "unsigned": unsigned, "one without an end": forever,
		"another secret": apiToken(t, testKey, strings.Repeat("x", 40), time.Minute, grants),
		"another key":    apiToken(t, "other", testSecret, time.Minute, grants),
		"one that ended": apiToken(t, testKey, testSecret, -2*time.Minute, grants),
	} {
		for method, body := range bodies {
			if status, out := w.askBy(token, method, body); status != http.StatusUnauthorized || out["code"] != "unauthenticated" {
				t.Errorf("%s with %s: %d %v, want 401", method, name, status, out)
			}
		}
	}
	for name, c := range map[string]struct {
		token string
		may   string // the methods that it is for
	}{
		"that of a participant":   {participantToken(t, "R", "alice"), ""},
		"one for another call":    {apiToken(t, testKey, testSecret, time.Minute, map[string]any{"roomAdmin": true, "room": "other"}), ""},
		"one for no call":         {apiToken(t, testKey, testSecret, time.Minute, map[string]any{"roomAdmin": true}), ""},
		"one to list calls":       {apiToken(t, testKey, testSecret, time.Minute, map[string]any{"roomList": true}), "ListRooms Ping Status"},
		"one for that call alone": {apiToken(t, testKey, testSecret, time.Minute, map[string]any{"roomAdmin": true, "room": "R"}), "ListParticipants RemoveParticipant UpdateParticipant"},
		"one to make calls":       {apiToken(t, testKey, testSecret, time.Minute, map[string]any{"roomCreate": true}), "CreateRoom DeleteRoom"},
	} {
		for method, body := range bodies {
			if _, short, _ := strings.Cut(method, "/"); strings.Contains(c.may, short) {
				continue
			}
			if status, out := w.askBy(c.token, method, body); status != http.StatusForbidden || out["code"] != "permission_denied" {
				t.Errorf("%s with %s: %d %v, want 403", method, name, status, out)
			}
		}
	}
	if _, there := w.ok("livekit.RoomService/ListParticipants", `{"room":"R"}`)["participants"].([]any); !there {
		t.Error("alice was put out")
	}
	_ = alice
	// A call's token does not come into another, nor does one of the API into any.
	w.ok("livekit.RoomService/CreateRoom", `{"name":"S"}`)
	if v, status := w.dial(apiToken(t, testKey, testSecret, time.Minute, grants)); v != nil || status != http.StatusUnauthorized {
		t.Errorf("a token of the API for a call: %d, want 401", status)
	}
}

// TestTwoServers has another server, which knows the secret, take a node for its own, and end the calls that it does not know.
func TestTwoServers(t *testing.T) {
	w := newWorld(t)
	w.ping()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another server is told of the calls") }))
	defer other.Close()
	status, out := w.ask("causeway.Node/Ping", fmt.Sprintf(`{"node":"n1","server":"other","webhook":%q}`, other.URL))
	if status != http.StatusPreconditionFailed || out["code"] != "failed_precondition" {
		t.Errorf("another server: %d %v, want 412", status, out)
	}
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R"}`)
	w.join("R", "alice")
	w.told("participant_joined", "alice")
	w.node.mu.Lock()
	w.node.server.heard = time.Now().Add(-serverAway)
	w.node.mu.Unlock()
	w.ok("causeway.Node/Ping", `{"node":"n1","server":"other","webhook":"http://none.invalid"}`)
}

// TestBadRequests are answered with what is wrong.
func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", maxName+1)
	for _, c := range []struct {
		method, body string
		want         int
	}{
		{"livekit.RoomService/CreateRoom", `{"name":""}`, 400},
		{"livekit.RoomService/CreateRoom", `{"name":"` + long + `"}`, 400},
		{"livekit.RoomService/CreateRoom", `nonsense`, 400},
		{"livekit.RoomService/CreateRoom", `[]`, 400},
		{"livekit.RoomService/CreateRoom", `{"name":"` + strings.Repeat("x", maxRequest) + `"}`, 400},
		{"livekit.RoomService/UpdateParticipant", `{"room":"R","identity":"alice"}`, 400},
		{"livekit.RoomService/MutePublishedTrack", `{"room":"R"}`, 404},
		{"livekit.Egress/StartRoomCompositeEgress", `{}`, 404},
		{"causeway.Node/Ping", `{"node":"n","server":"s","webhook":"file:///etc/passwd"}`, 400},
		{"causeway.Node/Ping", `{"node":"n","server":"s","webhook":""}`, 400},
		{"causeway.Node/Ping", `{"server":"s","webhook":"http://x"}`, 400},
	} {
		if status, out := w.ask(c.method, c.body); status != c.want || out["code"] == nil {
			t.Errorf("%s %.60s: %d %v, want %d", c.method, c.body, status, out, c.want)
		}
	}
	for i := range maxOpen {
		if _, err := w.node.createRoom(&request{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if status, out := w.ask("livekit.RoomService/CreateRoom", `{"name":"one more"}`); status != http.StatusTooManyRequests || out["code"] != "resource_exhausted" {
		t.Errorf("one call too many: %d %v", status, out)
	}
	w.node.mu.Lock()
	clear(w.node.rooms)
	w.node.running = maxRooms - 1
	w.node.mu.Unlock()
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R"}`)
	w.join("R", "alice")
	if status, _ := w.ask("livekit.RoomService/CreateRoom", `{"name":"S"}`); status != http.StatusTooManyRequests {
		t.Errorf("as many calls run as may: %d, want 429", status)
	}
	w.ok("livekit.RoomService/CreateRoom", `{"name":"R"}`)
	w.ok("livekit.RoomService/DeleteRoom", `{"room":"R"}`)
	w.ok("livekit.RoomService/CreateRoom", `{"name":"S"}`)
}

// FuzzRequest asks what is signed.
func FuzzRequest(f *testing.F) {
	for method, body := range bodies {
		f.Add(method, []byte(body))
	}
	n, err := New(Config{Key: testKey, Secret: testSecret, Log: zerolog.Nop(), SFU: sfu.Config{Log: zerolog.Nop()}})
	if err != nil {
		f.Fatal(err)
	}
	handler := n.Handler()
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/twirp/x", bytes.NewReader(body))
		r.URL.Path = "/twirp/" + method
		r.Header.Set("Authorization", apiToken(t, testKey, testSecret, time.Minute, map[string]any{
			"roomCreate": true, "roomList": true, "roomAdmin": true, "room": "R",
		}))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 || w.Code != http.StatusTemporaryRedirect && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// TestRefusedServerInTheLog tells the log of a node why its server is refused, once for many requests, and nothing of strangers.
func TestRefusedServerInTheLog(t *testing.T) {
	grants := map[string]any{"roomList": true}
	for name, c := range map[string]struct{ token, want string }{
		"another secret": {apiToken(t, testKey, strings.Repeat("x", 40), time.Minute, grants), "calls.sfu.secret is another one there"},
		"another clock":  {apiToken(t, testKey, testSecret, -2*time.Minute, grants), "its clock and that of this node differ"},
		"a stranger":     {apiToken(t, "other", strings.Repeat("x", 40), time.Minute, grants), ""},
		"nonsense":       {"nonsense", ""},
	} {
		var log bytes.Buffer
		n, err := New(Config{Key: testKey, Secret: testSecret, Log: zerolog.New(&log), SFU: sfu.Config{Log: zerolog.Nop()}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := n.verify("Bearer " + c.token); err == nil {
				t.Errorf("%s is let in", name)
			}
		}
		lines := strings.Count(log.String(), "\n")
		if c.want == "" && lines != 0 || c.want != "" && (lines != 1 || !strings.Contains(log.String(), c.want)) {
			t.Errorf("%s: the log has %q, want one line of %q", name, log.String(), c.want)
		}
	}
}
