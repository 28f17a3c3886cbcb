package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a homeserver with one timeline, and with faults that a real one
// cannot be asked to make.
type fake struct {
	*httptest.Server
	token     string                          // registration token it wants, "" for none
	fault     func(n int) (drop, double bool) // for the n-th message, from 0
	failEvery int                             // every n-th PUT is answered with 500
	limits    int                             // how many registrations are answered 429 first

	mu     sync.Mutex // guards what follows
	bell   chan struct{}
	events []event
	txns   map[string]bool
	joined map[string]int
	rooms  int
	puts   int
	logins []string
}

type event struct{ room, body string }

func newFake(t *testing.T) *fake {
	f := &fake{bell: make(chan struct{}), txns: map[string]bool{}, joined: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_matrix/client/v3/register", f.register)
	mux.HandleFunc("POST /_matrix/client/v3/login", f.login)
	mux.HandleFunc("POST /_matrix/client/v3/createRoom", f.createRoom)
	mux.HandleFunc("POST /_matrix/client/v3/join/{room}", f.join)
	mux.HandleFunc("POST /_matrix/client/v3/user/{user}/filter", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"filter_id": "1"})
	})
	mux.HandleFunc("PUT /_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}", f.send)
	mux.HandleFunc("GET /_matrix/client/v3/sync", f.sync)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (f *fake) register(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Username string
		Auth     struct{ Type, Session, Token string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		answer(w, 400, map[string]string{"errcode": "M_NOT_JSON"})
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	want := stageDummy
	if f.token != "" {
		want = stageToken
	}
	switch {
	case f.limits > 0:
		f.limits--
		answer(w, 429, map[string]any{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1})
	case in.Auth.Type != want || in.Auth.Session != "s" || in.Auth.Token != f.token:
		answer(w, 401, map[string]any{
			"session": "s", "flows": []any{
				map[string]any{"stages": []string{"m.login.recaptcha"}},
				map[string]any{"stages": []string{want}},
			},
		})
	default:
		answer(w, 200, map[string]string{"user_id": "@" + in.Username + ":fake", "access_token": "t_" + in.Username})
	}
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Identifier struct{ User string }
		Password   string
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins = append(f.logins, in.Identifier.User+" "+in.Password)
	answer(w, 200, map[string]string{"user_id": in.Identifier.User, "access_token": "t"})
}

func (f *fake) createRoom(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rooms++
	answer(w, 200, map[string]string{"room_id": fmt.Sprintf("!room/%d", f.rooms)})
}

func (f *fake) join(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.joined[r.PathValue("room")]++
	answer(w, 200, map[string]string{"room_id": r.PathValue("room")})
}

func (f *fake) send(w http.ResponseWriter, r *http.Request) {
	var in struct{ Msgtype, Body string }
	err := json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	txn := r.Header.Get("Authorization") + r.PathValue("txn")
	if err != nil || in.Msgtype != "m.text" || f.txns[txn] || !strings.HasPrefix(in.Body, r.PathValue("txn")) {
		answer(w, 400, map[string]string{"errcode": "M_BAD_JSON", "error": "of the test: " + in.Body})
		return
	}
	f.txns[txn] = true
	f.puts++
	if f.failEvery > 0 && f.puts%f.failEvery == 0 {
		answer(w, 500, map[string]string{"errcode": "M_UNKNOWN", "error": "out of order"})
		return
	}
	drop, double := false, false
	if parts := strings.Split(r.PathValue("txn"), "-"); f.fault != nil && parts[1] == deliverSeries {
		n, _ := strconv.Atoi(parts[2])
		drop, double = f.fault(n)
	}
	e := event{r.PathValue("room"), in.Body}
	if !drop {
		f.events = append(f.events, e)
	}
	if double {
		f.events = append(f.events, e)
	}
	close(f.bell)
	f.bell = make(chan struct{})
	answer(w, 200, map[string]string{"event_id": "$" + r.PathValue("txn")})
}

func (f *fake) sync(w http.ResponseWriter, r *http.Request) {
	timeout, _ := strconv.Atoi(r.URL.Query().Get("timeout"))
	end := time.NewTimer(time.Duration(timeout) * time.Millisecond)
	defer end.Stop()
	since, _ := strconv.Atoi(r.URL.Query().Get("since"))
	for {
		f.mu.Lock()
		bell, fresh := f.bell, f.events[since:]
		f.mu.Unlock()
		if len(fresh) > 0 || timeout == 0 {
			answer(w, 200, syncBody(fresh, since+len(fresh)))
			return
		}
		select {
		case <-bell:
		case <-end.C:
			timeout = 0
		case <-r.Context().Done():
			return
		}
	}
}

func syncBody(events []event, next int) map[string]any {
	rooms := map[string]any{}
	for _, e := range events {
		room, _ := rooms[e.room].(map[string]any)
		if room == nil {
			room = map[string]any{"timeline": map[string]any{"events": []any{}}}
			rooms[e.room] = room
		}
		timeline := room["timeline"].(map[string]any)
		timeline["events"] = append(timeline["events"].([]any), map[string]any{
			"type": "m.room.message", "content": map[string]string{"body": e.body, "msgtype": "m.text"},
		})
	}
	return map[string]any{"next_batch": strconv.Itoa(next), "rooms": map[string]any{"join": rooms}}
}

// site connects to the fake.
func (f *fake) site(t *testing.T) *site {
	u, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(u)
	t.Cleanup(s.close)
	return s
}
