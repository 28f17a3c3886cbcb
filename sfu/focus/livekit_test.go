package focus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

const (
	liveKitKey    = "APIkey"
	liveKitSecret = "a secret of thirty-two characters"
)

// scriptedLiveKit answers as RoomService does.
type scriptedLiveKit struct {
	t *testing.T

	mu      sync.Mutex // guards what follows
	calls   []string
	present string // the answer to ListParticipants
	broken  bool
}

func (l *scriptedLiveKit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var claims struct {
		jwt.RegisteredClaims
		Video map[string]any `json:"video"`
	}
	_, err := jwt.ParseWithClaims(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), &claims, func(*jwt.Token) (any, error) {
		return []byte(liveKitSecret), nil
	}, jwt.WithIssuer(liveKitKey), jwt.WithExpirationRequired())
	var in map[string]any
	if err != nil || json.Unmarshal(raw, &in) != nil || r.Header.Get("Content-Type") != "application/json" {
		l.t.Errorf("LiveKit was asked with %v: %s", err, raw)
	}
	method := strings.TrimPrefix(r.URL.Path, "/twirp/livekit.RoomService/")
	room, _ := in["room"].(string)
	if method == "CreateRoom" && claims.Video["roomCreate"] != true || method != "CreateRoom" && (claims.Video["roomAdmin"] != true || claims.Video["room"] != room) {
		l.t.Errorf("%s: the token grants %v", method, claims.Video)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case l.broken:
		w.WriteHeader(http.StatusBadGateway)
		return
	case in["identity"] == "gone" || room == "gone":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":"not_found","msg":"no"}`)
		return
	case method == "ListParticipants":
		_, _ = io.WriteString(w, l.present)
		return
	}
	l.calls = append(l.calls, method+" "+string(raw))
	_, _ = io.WriteString(w, `{"sid":"RM_x"}`)
}

func (l *scriptedLiveKit) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.calls
	l.calls = nil
	return calls
}

func startLiveKit(t *testing.T) (*scriptedLiveKit, *LiveKit) {
	t.Helper()
	script := &scriptedLiveKit{t: t, present: `{"participants":[]}`}
	server := httptest.NewServer(script)
	t.Cleanup(server.Close)
	return script, &LiveKit{API: server.URL, Key: liveKitKey, Secret: liveKitSecret}
}

// TestRoomService compares what LiveKit is asked with what its API wants.
func TestRoomService(t *testing.T) {
	script, l := startLiveKit(t)
	ctx := t.Context()
	for _, test := range []struct {
		name string
		do   func() error
		want string
	}{
		{"open", func() error { _, err := l.Open(ctx, "R"); return err }, `CreateRoom {"departure_timeout":20,"empty_timeout":300,"name":"R"}`},
		{"remove", func() error { return l.Remove(ctx, "R", "I") }, `RemoveParticipant {"identity":"I","room":"R"}`},
		{"silence", func() error { return l.SetPublish(ctx, "R", "I", false) },
			`UpdateParticipant {"identity":"I","permission":{"can_publish":false,"can_publish_data":false,"can_subscribe":true,"can_update_metadata":true},"room":"R"}`},
		{"remove who is gone", func() error { return l.Remove(ctx, "R", "gone") }, ""},
		{"silence who is gone", func() error { return l.SetPublish(ctx, "R", "gone", true) }, ""},
	} {
		if err := test.do(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := strings.Join(script.told(), "; "); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	script.present = `{"participants":[{"sid":"PA_a","identity":"a","state":"ACTIVE"},{"identity":"b","state":"DISCONNECTED"},{"identity":"c","state":"JOINED"}]}`
	if got, err := l.Present(ctx, "R"); err != nil || fmt.Sprint(got) != "[a c]" {
		t.Errorf("present: %v, %v", got, err)
	}
	if got, err := l.Present(ctx, "gone"); err != nil || len(got) > 0 {
		t.Errorf("present in a room that is gone: %v, %v", got, err)
	}
	script.broken = true
	if _, err := l.Present(ctx, "R"); err == nil {
		t.Error("a broken LiveKit: no error")
	}
	// A token is made for no room that could not be.
	w := newWorld()
	w.let(alice, "D", everything)
	s := w.service(func(c *Config) { c.SFU, c.Elsewhere = l, l })
	if a := ask(t, s, http.MethodPost, "/sfu/get", legacyBody); a.status != http.StatusServiceUnavailable || a.ErrCode != "M_UNKNOWN" || a.JWT != "" {
		t.Errorf("a token while LiveKit is broken: %d %s", a.status, a.body)
	}
	script.broken = false
	if a := ask(t, s, http.MethodPost, "/sfu/get", legacyBody); a.status != http.StatusOK || len(script.told()) != 1 {
		t.Errorf("a token: %d %s, want one and its room", a.status, a.body)
	}
}

// hook is a webhook.
type hook struct {
	body, key, secret string
	sum               string // "" for that of the body
	lasts             time.Duration
}

func (h hook) send(t *testing.T, s *Service) answer {
	t.Helper()
	if h.sum == "" {
		sum := sha256.Sum256([]byte(h.body))
		h.sum = base64.StdEncoding.EncodeToString(sum[:])
	}
	claims := jwt.MapClaims{"iss": h.key, "sha256": h.sum, "nbf": time.Now().Unix(), "exp": time.Now().Add(h.lasts).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(h.secret))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/sfu_webhook", bytes.NewReader([]byte(h.body)))
	r.Header.Set("Authorization", token)
	r.Header.Set("Content-Type", "application/webhook+json")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	a := answer{status: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// participantHook tells of a participant as LiveKit 1.13 does.
func participantHook(event string, k key, sid string) hook {
	body := fmt.Sprintf(`{"event":%q,"room":{"sid":"RM_x","name":%q},"participant":{"sid":%q,"identity":%q,"state":"ACTIVE","permission":{"canSubscribe":true,"canPublish":true}},"id":"EV_x","createdAt":"1"}`,
		event, k.alias, sid, k.identity)
	return hook{body: body, key: liveKitKey, secret: liveKitSecret, lasts: 5 * time.Minute}
}

// TestForgedWebhooks has others tell that somebody has left.
func TestForgedWebhooks(t *testing.T) {
	w := newWorld()
	w.let(alice, "D", everything)
	l := &LiveKit{API: "http://none", Key: liveKitKey, Secret: liveKitSecret}
	s := w.service(func(c *Config) { c.Elsewhere = l })
	if err := s.take(t.Context(), Seat{Alias: mine.alias, Identity: mine.identity, RoomID: room, UserID: alice, DeviceID: "D"}); err != nil {
		t.Fatal(err)
	}
	if a := participantHook("participant_joined", mine, "PA_1").send(t, s); a.status != http.StatusOK || s.seats[mine].here != 1 {
		t.Fatalf("she comes: %d %s", a.status, a.ErrCode)
	}
	good := participantHook("participant_left", mine, "PA_1")
	for name, change := range map[string]func(*hook){
		"another secret":     func(h *hook) { h.secret = strings.Repeat("x", 40) },
		"another key":        func(h *hook) { h.key = "other" },
		"another body":       func(h *hook) { h.sum = base64.StdEncoding.EncodeToString(make([]byte, 32)) },
		"a token of minutes": func(h *hook) { h.lasts = -2 * time.Minute },
	} {
		h := good
		change(&h)
		if a := h.send(t, s); a.status != http.StatusUnauthorized || s.seats[mine].here != 1 {
			t.Errorf("%s: %d %s, and %d are here", name, a.status, a.ErrCode, s.seats[mine].here)
		}
	}
	// An access token of a participant is signed with the same key, and says nothing of a body.
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": liveKitKey, "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte(liveKitSecret))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{"", "nonsense", token, "Bearer " + token} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/sfu_webhook", strings.NewReader(good.body))
		r.Header.Set("Authorization", header)
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		if rec.Code != http.StatusUnauthorized {
			t.Errorf("with %.10q: %d", header, rec.Code)
		}
	}
	large := good
	large.body = `{"x":"` + strings.Repeat("x", maxWebhook) + `"}`
	if a := large.send(t, s); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large one: %d", a.status)
	}
	nonsense := good
	nonsense.body = `[]`
	if a := nonsense.send(t, s); a.status != http.StatusBadRequest {
		t.Errorf("nonsense: %d", a.status)
	}
	if a := good.send(t, s); a.status != http.StatusOK || s.seats[mine].here != 0 {
		t.Errorf("a good one: %d", a.status)
	}
	// Where the SFU is our own, there are none.
	if a := good.send(t, w.service()); a.status != http.StatusNotFound {
		t.Errorf("without a LiveKit: %d, want 404", a.status)
	}
}

// elsewhere is live with a LiveKit elsewhere, whose requests go to the world.
func elsewhere(t *testing.T, test func(t *testing.T, w *world, s *Service), change ...func(*Config)) {
	t.Helper()
	live(t, func(t *testing.T, w *world, _ *Service) {
		s := w.service(append([]func(*Config){func(c *Config) { c.Elsewhere = &LiveKit{Key: liveKitKey, Secret: liveKitSecret} }}, change...)...)
		stop := start(t, s)
		defer stop()
		if _, err := s.Token(t.Context(), whoAlice, member); err != nil {
			t.Fatal(err)
		}
		test(t, w, s)
	})
}

// TestWebhooks has them come twice, late, and not at all.
func TestWebhooks(t *testing.T) {
	elsewhere(t, func(t *testing.T, w *world, s *Service) {
		send := func(event, sid string) {
			t.Helper()
			if a := participantHook(event, mine, sid).send(t, s); a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", event, a.status, a.ErrCode)
			}
		}
		if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
			t.Fatal(err)
		}
		w.setThere(mine.alias, mine.identity)
		send("participant_joined", "PA_1")
		send("participant_joined", "PA_1")
		w.expect(t, "she comes", time.Second, "restart leave")
		send("participant_joined", "PA_2")
		send("participant_left", "PA_1")
		send("participant_left", "PA_1")
		send("participant_left", "PA_0")
		w.expect(t, "she comes anew", time.Minute, "")
		w.setThere(mine.alias)
		w.expect(t, "she goes, and nothing is told", pollEvery, "send leave")
	})
}

// TestNoWebhooks has a LiveKit that tells nothing by itself.
func TestNoWebhooks(t *testing.T) {
	elsewhere(t, func(t *testing.T, w *world, s *Service) {
		if err := s.Delegate(t.Context(), whoAlice, member, "leave"); err != nil {
			t.Fatal(err)
		}
		w.setThere(mine.alias, mine.identity, "somebody else's")
		w.expect(t, "she is found", pollEvery, "restart leave; "+mine.identity+" publishes true")
		w.setThere(mine.alias)
		w.expect(t, "she is not found any more", pollEvery, "send leave")
	})
}

// TestBannedElsewhere has somebody who was put out come back by the token from before, which LiveKit takes.
func TestBannedElsewhere(t *testing.T) {
	elsewhere(t, func(t *testing.T, w *world, s *Service) {
		if a := participantHook("participant_joined", mine, "PA_1").send(t, s); a.status != http.StatusOK {
			t.Fatal(a.status)
		}
		w.setThere(mine.alias, mine.identity)
		w.expect(t, "she is in", time.Second, "")
		w.let(alice, "D", Access{})
		s.AccessChanged(room, alice)
		w.expect(t, "she is put out", time.Millisecond, "remove "+mine.identity)
		participantHook("participant_left", mine, "PA_1").send(t, s)
		w.setThere(mine.alias)
		w.expect(t, "and stays out", 5*time.Minute, "")
		participantHook("participant_joined", mine, "PA_2").send(t, s)
		w.expect(t, "she comes back", time.Millisecond, "remove "+mine.identity)
		participantHook("participant_left", mine, "PA_2").send(t, s)
		next := w.service(func(c *Config) { c.Elsewhere = s.cfg.Elsewhere })
		stop := start(t, next)
		defer stop()
		w.told()
		participantHook("participant_joined", mine, "PA_3").send(t, next)
		w.expect(t, "and after a restart", time.Millisecond, "remove "+mine.identity)
		participantHook("participant_left", mine, "PA_3").send(t, next)
		w.let(alice, "D", everything)
		next.AccessChanged(room, alice)
		participantHook("participant_joined", mine, "PA_4").send(t, next)
		w.expect(t, "she may again", time.Second, "")
	})
}

// TestOpenElsewhere tells who asks for a token what is wrong with the LiveKit, and the log once.
func TestOpenElsewhere(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		status       int // 0 for nobody who listens
		want         string
	}{
		{"nothing", "", 0, "cannot be reached"},
		{"another secret", `{"code":"unauthenticated","msg":"invalid token"}`, 401, "does not take the key and the secret of this server"},
		{"another path", `{"code":"bad_route","msg":"no handler"}`, 404, "is no LiveKit: it answers 404"},
		{"a proxy", `<html>`, 502, "is no LiveKit: it answers 502"},
		{"a page", `<html>`, 200, "is no LiveKit: it answers 200"},
		{"a LiveKit that is full", `{"code":"resource_exhausted","msg":"no"}`, 429, "opens no call (resource_exhausted)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.answer)
			}))
			defer server.Close()
			if test.status == 0 {
				server.Close()
			}
			var lines bytes.Buffer
			w := newWorld()
			w.let(alice, "D", everything)
			l := &LiveKit{URL: "ws://livekit", API: server.URL, Key: liveKitKey, Secret: liveKitSecret}
			s := w.service(func(c *Config) { c.SFU, c.Elsewhere, c.Log = l, l, zerolog.New(&lines) })
			for range 2 {
				a := ask(t, s, http.MethodPost, "/sfu/get", legacyBody)
				if want := "The SFU at ws://livekit (calls.sfu.livekit) " + test.want; a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, want) {
					t.Errorf("got %d %s, want 503 and %q", a.status, a.body, want)
				}
			}
			want := 1
			if test.status == http.StatusTooManyRequests { // it is there
				want = 0
			}
			if got := strings.Count(lines.String(), "cannot be reached, or does not know this server"); got != want {
				t.Errorf("the log tells of it %d times, want %d: %s", got, want, &lines)
			}
		})
	}
}

// TestLiveKitAway tries again to put somebody out, and tells once that it is away, and once that it is back.
func TestLiveKitAway(t *testing.T) {
	broken := &brokenSFU{err: errors.New("away")}
	var lines logLines
	logged := func(t *testing.T, when string, want ...string) {
		t.Helper()
		var got []string
		for line := range strings.Lines(lines.take()) {
			if !strings.Contains(line, `"user_id"`) { // that she may not be in the call
				got = append(got, line)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: the log has %q, want %d lines", when, got, len(want))
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: the log has %q, want %q", when, got[i], want[i])
			}
		}
	}
	elsewhere(t, func(t *testing.T, w *world, s *Service) {
		w.let(alice, "D", Access{})
		s.AccessChanged(room, "")
		w.expect(t, "while it is away", 10*time.Second, "")
		w.expect(t, "and longer", 5*time.Minute, "")
		logged(t, "while it is away", "cannot be reached")
		broken.repair()
		w.expect(t, "when it is back", lookRetry+time.Second, "remove "+mine.identity)
		logged(t, "when it is back", "is reached again")
	}, func(c *Config) {
		broken.world = c.SFU.(*world)
		c.SFU, c.Log = broken, zerolog.New(&lines)
	})
}

// logLines is a log.
type logLines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns what was logged since it was called last.
func (l *logLines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// brokenSFU puts nobody out, and does not tell who is there, until it is repaired.
type brokenSFU struct {
	*world
	once sync.Mutex // guards err
	err  error
}

func (b *brokenSFU) repair() {
	b.once.Lock()
	defer b.once.Unlock()
	b.err = nil
}

func (b *brokenSFU) Present(ctx context.Context, room string) ([]string, error) {
	b.once.Lock()
	defer b.once.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	return b.world.Present(ctx, room)
}

func (b *brokenSFU) Remove(ctx context.Context, room, identity string) error {
	b.once.Lock()
	defer b.once.Unlock()
	if b.err != nil {
		return b.err
	}
	return b.world.Remove(ctx, room, identity)
}

// FuzzWebhook reads what is signed.
func FuzzWebhook(f *testing.F) {
	f.Add([]byte(participantHook("participant_joined", mine, "PA").body))
	f.Add([]byte(`{"event":"participant_left"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newWorld().service(func(c *Config) { c.Elsewhere = &LiveKit{Key: liveKitKey, Secret: liveKitSecret} })
		h := hook{body: string(body), key: liveKitKey, secret: liveKitSecret, lasts: time.Minute}
		if a := h.send(t, s); a.status != http.StatusOK && a.status != http.StatusBadRequest {
			t.Errorf("%d %s", a.status, a.ErrCode)
		}
	})
}
