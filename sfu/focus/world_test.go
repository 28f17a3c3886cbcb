package focus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

const (
	alice = id.UserID("@alice:test")
	bob   = id.UserID("@bob:test")
	carol = id.UserID("@carol:elsewhere")
	room  = id.RoomID("!room:test")
)

// world is a homeserver, an SFU and a ledger that do what a test says.
type world struct {
	mu     sync.Mutex // guards what follows
	access map[string]Access
	openID map[string]id.UserID
	delays map[string]Delay
	rows   map[key]Seat
	done   []string // what the others were told
	broken error    // what the homeserver's database says
	there  map[string][]string
	grants []Grant
	opened func()       // runs when a room is made, after access was looked at
	log    bytes.Buffer // what the service and nodes log
}

func newWorld() *world {
	return &world{
		access: map[string]Access{}, openID: map[string]id.UserID{"alice's": alice, "bob's": bob}, delays: map[string]Delay{}, rows: map[key]Seat{},
		there: map[string][]string{},
	}
}

var everything = Access{Joined: true, ByState: true, BySticky: true}

func (w *world) service(change ...func(*Config)) *Service {
	cfg := Config{
		ServerName: "test", OpenID: w, Membership: w, SFU: w, Delays: w, Ledger: w, Log: w.logger(),
		Mint: func(g Grant, valid time.Duration) (string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.grants = append(w.grants, g)
			return fmt.Sprintf("%s %s %t %s", g.Room, g.Identity, g.Publish, valid), nil
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	return New(cfg)
}

// logger logs to the world.
func (w *world) logger() zerolog.Logger { return zerolog.New(worldLog{w}) }

type worldLog struct{ *world }

func (l worldLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(line)
}

// logged returns the lines that were logged since it was called last and have a text in them.
func (w *world) logged(text string) (lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	w.log.Reset()
	return lines
}

func (w *world) let(user id.UserID, device id.DeviceID, a Access) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.access[fmt.Sprint(room, user, device)] = a
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, fmt.Sprintf(format, args...))
}

// told returns what the others were told since it was called last.
func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := w.done
	w.done = nil
	slices.Sort(done)
	return strings.Join(done, "; ")
}

func (w *world) row(k key) (Seat, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	row, ok := w.rows[k]
	return row, ok
}

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

var errNoToken = matrixError(http.StatusUnauthorized, "M_UNKNOWN_TOKEN", "no")

func (w *world) OpenIDUser(_ context.Context, token string) (id.UserID, error) {
	if user, ok := w.openID[token]; ok {
		return user, nil
	}
	return "", errNoToken
}

func (w *world) RemoteOpenIDUser(_ context.Context, server, token string) (id.UserID, error) {
	switch token {
	case "carol's":
		return carol, nil
	case "alice's": // a server that vouches for another's user
		return alice, nil
	case "down":
		return "", errors.New("the server does not answer")
	}
	return "", errNoToken
}

func (w *world) Access(_ context.Context, room id.RoomID, user id.UserID, device id.DeviceID) (Access, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.access[fmt.Sprint(room, user, device)], w.broken
}

func (w *world) Open(context.Context, string) (string, error) {
	if w.opened != nil {
		w.opened()
	}
	return "wss://test/livekit/sfu", nil
}

func (w *world) Remove(_ context.Context, _, identity string) error {
	w.note("remove %s", identity)
	return nil
}

func (w *world) SetPublish(_ context.Context, _, identity string, publish bool) error {
	w.note("%s publishes %t", identity, publish)
	return nil
}

func (w *world) Present(_ context.Context, room string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.there[room], nil
}

var errNoDelay = matrixError(http.StatusNotFound, "M_NOT_FOUND", "no")

func (w *world) DelayedEvent(_ context.Context, user id.UserID, delayID string) (Delay, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok := w.delays[string(user)+delayID]
	if !ok {
		return d, errNoDelay
	}
	return d, nil
}

func (w *world) RestartDelayed(_ context.Context, user id.UserID, delayID string) error {
	return w.act("restart", user, delayID)
}

func (w *world) SendDelayed(_ context.Context, user id.UserID, delayID string) error {
	return w.act("send", user, delayID)
}

func (w *world) CancelDelayed(_ context.Context, user id.UserID, delayID string) error {
	return w.act("cancel", user, delayID)
}

func (w *world) act(what string, user id.UserID, delayID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	if _, ok := w.delays[string(user)+delayID]; !ok {
		return errNoDelay
	}
	w.done = append(w.done, what+" "+delayID)
	if what != "restart" {
		delete(w.delays, string(user)+delayID)
	}
	return nil
}

func (w *world) Seats(context.Context) ([]Seat, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Seat
	for _, row := range w.rows {
		all = append(all, row)
	}
	return all, nil
}

func (w *world) SaveSeat(_ context.Context, seat Seat) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[key{seat.Alias, seat.Identity}] = seat
	return nil
}

func (w *world) DropSeat(_ context.Context, alias, identity string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.rows, key{alias, identity})
	return nil
}

// answer is what a request was answered with.
type answer struct {
	status            int
	header            http.Header
	URL, JWT, ErrCode string
	body              string
}

// ask makes a request of the service.
func ask(t *testing.T, s *Service, method, path, body string) answer {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader([]byte(body))))
	a := answer{status: w.Code, header: w.Header(), body: w.Body.String()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	if a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%s %s: pages of other origins cannot read the answer", method, path)
	}
	return a
}

// setThere says who is in a room of the SFU.
func (w *world) setThere(room string, identities ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there[room] = identities
}

// delay has a user schedule a delayed event, or with none of a room, cancel it.
func (w *world) delay(user id.UserID, delayID string, d Delay) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delays[string(user)+delayID] = d
	if d.RoomID == "" {
		delete(w.delays, string(user)+delayID)
	}
}
