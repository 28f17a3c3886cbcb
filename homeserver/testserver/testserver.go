// Package testserver is a whole homeserver in a test: handlers, services and a store, without a socket. It is imported by tests
// only.
package testserver

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Name is the server name of a test server.
const Name = "test"

// Server is a homeserver with open registration.
type Server struct {
	*homeserver.Server
	DB  *store.DB
	Bus notify.Bus
	t   testing.TB
}

// New returns a homeserver on db. change, if given, may alter the configuration first.
func New(t testing.TB, db *store.DB, change ...func(*homeserver.Config)) *Server {
	t.Helper()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // as the program has it: the OAuth library logs each refused request
	config := homeserver.Config{
		ServerName: Name, PublicURL: "http://test", DB: db, Bus: new(notify.Local), OpenRegistration: true,
		Key:      &event.Key{ServerName: Name, KeyID: "ed25519:test", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))},
		OAuth:    homeserver.OAuthConfig{Enabled: true, QRLogin: homeserver.QRLoginPublic},
		Presence: homeserver.PresenceConfig{Enabled: true, MaxRoomMembers: 200},
		// Nothing here is about how long it takes to hash a password, and argon2id was a sixth of all that these tests cost.
		QuickPasswords: true,
		Log:            zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	}
	for _, c := range change {
		c(&config)
	}
	return &Server{Server: homeserver.New(config), DB: db, Bus: config.Bus, t: t}
}

// Answer is what a request was answered with.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes a request. token may be empty. body may be nil, a string that is sent as it is, or a value that is sent as JSON. Whatever
// else the test looks for, the answer must have what the specification requires of it (testdata/answers.txt).
func (s *Server) Do(method, path, token string, body any) Answer {
	s.t.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			s.t.Fatal(err)
		}
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, bytes.NewReader(raw))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	a := Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
	if problem := checkAnswer(method, path, a); problem != "" {
		s.t.Errorf("%s %s: %s, in %s", method, path, problem, a.Body)
	}
	return a
}

// OK makes a request that must be answered with 200 and decodes the body into out, unless that is nil.
func (s *Server) OK(method, path, token string, body, out any) {
	s.t.Helper()
	a := s.Do(method, path, token, body)
	if a.Status != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
	a.Decode(s.t, out)
}

// Decode decodes the body into out, unless that is nil.
func (a Answer) Decode(t testing.TB, out any) {
	t.Helper()
	if out == nil {
		return
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		t.Fatalf("%v in %s", err, a.Body)
	}
}

// Code returns the errcode of the body, "" when there is none.
func (a Answer) Code() string {
	var body struct {
		Code string `json:"errcode"`
	}
	_ = json.Unmarshal(a.Body, &body) // what is no JSON has no code
	return body.Code
}

// User is a registered user.
type User struct {
	ID    id.UserID
	Token string
}

// Register makes an account with the dummy flow.
func (s *Server) Register(localpart string) User {
	s.t.Helper()
	var out struct {
		UserID id.UserID `json:"user_id"`
		Token  string    `json:"access_token"`
	}
	s.OK("POST", "/_matrix/client/v3/register", "", map[string]any{
		"username": localpart, "password": "correct horse battery", "auth": map[string]any{"type": "m.login.dummy"},
	}, &out)
	return User{ID: out.UserID, Token: out.Token}
}
