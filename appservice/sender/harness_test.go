package sender

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/registration"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

const (
	serverName = "test"
	alice      = id.UserID("@alice:test")
	bot        = id.UserID("@irc_bot:test")
	ghost      = id.UserID("@irc_nick:test")
	other      = id.UserID("@irc_other:test")
)

// patience bounds every wait of a test.
const patience = 20 * time.Second

// house is a homeserver's database to which a test adds rooms and events.
type house struct {
	t    testing.TB
	db   *store.DB
	bus  *notify.Local
	key  *event.Key
	step func() // called after each event, unless it is nil

	rooms  int
	newest int64
}

func newHouse(t testing.TB, db *store.DB) *house {
	return &house{t: t, db: db, bus: new(notify.Local), key: &event.Key{
		ServerName: serverName, KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
	}}
}

// testRoom is a room whose events a test writes without asking whether they are allowed.
type testRoom struct {
	*house
	id      id.RoomID
	nid     int64
	version *event.RoomVersion
	last    id.EventID
	state   map[[2]string]int64
}

// room makes a room with a create event and alice in it. Its id begins with name.
func (h *house) room(name string) *testRoom {
	h.t.Helper()
	version, err := event.LookupVersion("11")
	if err != nil {
		h.t.Fatal(err)
	}
	h.rooms++
	r := &testRoom{house: h, id: id.RoomID(fmt.Sprintf("!%s-%d:test", name, h.rooms)), version: version, state: make(map[[2]string]int64)}
	h.write(func(tx *store.Tx) (err error) {
		r.nid, err = tx.InsertRoom(r.id, version, false)
		return err
	})
	r.setState(alice, event.TypeCreate, "", `{"room_version":"11"}`)
	r.member(alice, "join")
	return r
}

func (h *house) write(fn func(*store.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(context.Background(), fn); err != nil {
		h.t.Fatal(err)
	}
}

// say sends a text, and returns the event's id.
func (r *testRoom) say(sender id.UserID, text string) id.EventID {
	r.t.Helper()
	content, _ := json.Marshal(map[string]string{"msgtype": "m.text", "body": text})
	return r.add(sender, "m.room.message", nil, string(content), "")
}

func (r *testRoom) member(user id.UserID, membership string) id.EventID {
	r.t.Helper()
	return r.setState(user, event.TypeMember, string(user), fmt.Sprintf(`{"membership":%q}`, membership))
}

func (r *testRoom) setState(sender id.UserID, evType, stateKey, content string) id.EventID {
	r.t.Helper()
	return r.add(sender, evType, &stateKey, content, "")
}

func (r *testRoom) add(sender id.UserID, evType string, stateKey *string, content string, redacts id.EventID) id.EventID {
	r.t.Helper()
	e := r.build(sender, evType, stateKey, content, redacts)
	r.write(func(tx *store.Tx) error { return r.insert(tx, e) })
	if stateKey != nil {
		r.state[[2]string{evType, *stateKey}] = e.NID
	}
	r.newest = e.Pos
	r.bus.Publish(notify.Signal{Key: notify.Events, Pos: e.Pos})
	if r.step != nil {
		r.step()
	}
	return e.EventID
}

// build makes an event that comes after the last.
func (r *testRoom) build(sender id.UserID, evType string, stateKey *string, content string, redacts id.EventID) *store.Event {
	r.t.Helper()
	b := event.Builder{
		RoomID: r.id, Sender: sender, Type: evType, StateKey: stateKey, Content: json.RawMessage(content), Redacts: redacts,
		Depth: 1, OriginServerTS: time.Now().UnixMilli(),
	}
	if r.last != "" {
		b.PrevEvents = []id.EventID{r.last}
	}
	pdu, err := b.Build(r.version, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.last = pdu.EventID
	return &store.Event{PDU: pdu, RoomNID: r.nid}
}

func (r *testRoom) insert(tx *store.Tx, e *store.Event) (err error) {
	if e.Pos, err = tx.NextPos(); err != nil {
		return err
	}
	e.NID = e.Pos
	if e.StateKey != nil {
		e.Replaces = r.state[[2]string{e.Type, *e.StateKey}]
	}
	if err := tx.InsertEvent(e); err != nil {
		return err
	}
	if e.Redacts != "" {
		target, err := tx.EventByID(e.Redacts)
		if err != nil {
			return err
		}
		pruned, err := target.Redact()
		if err != nil {
			return err
		}
		return tx.RedactEvent(target.NID, e.NID, pruned.JSON())
	}
	if e.Type != event.TypeMember {
		return nil
	}
	user, err := tx.NID(*e.StateKey)
	if err != nil {
		return err
	}
	return tx.SetMembership(store.Membership{RoomNID: r.nid, UserNID: user, Membership: e.Membership(), EventNID: e.NID, Pos: e.Pos})
}

// pos returns the position of the newest event.
func (h *house) pos() int64 { return h.newest }

// cursor returns what is stored of the service irc.
func (h *house) cursor() (a store.AppService) {
	h.t.Helper()
	err := h.db.View(context.Background(), func(tx *store.Tx) (err error) {
		a, err = tx.AppService("irc")
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// sender returns a Sender for the registrations, whose services are all reached through transport.
func (h *house) sender(transport http.RoundTripper, set *registration.Set) *Sender {
	return New(Options{
		DB: h.db, Bus: h.bus, ServerName: serverName, Log: zerolog.Nop(),
		Registrations: func() *registration.Set { return set },
		Transport:     func(*registration.Registration) http.RoundTripper { return transport },
	})
}

// senderOf returns a Sender whose services have a transport each; one without is reached over the network.
func (h *house) senderOf(transports map[string]http.RoundTripper, set *registration.Set) *Sender {
	s := h.sender(nil, set)
	s.opt.Transport = func(reg *registration.Registration) http.RoundTripper { return transports[reg.ID] }
	return s
}

func noPause(time.Duration) time.Duration { return time.Nanosecond }

// onFailure returns a jitter that tells of every failure, and makes the pause long.
func onFailure(failed chan<- struct{}) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration {
		ring(failed)
		return time.Hour
	}
}

func longPause(time.Duration) time.Duration { return time.Hour }

// looked returns how far each of the workers has looked at the stream.
func (s *Sender) looked() (all []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		all = append(all, r.health.position())
	}
	return all
}

// stepper returns a function that waits until all of a sender's workers have looked at the whole stream.
func (h *house) stepper(s *Sender) func() {
	return func() {
		h.t.Helper()
		deadline := time.Now().Add(patience)
		for pos := h.pos(); ; {
			all := s.looked()
			behind := slices.ContainsFunc(all, func(looked int64) bool { return looked < pos })
			if len(all) > 0 && !behind {
				return
			}
			if time.Now().After(deadline) {
				h.t.Fatalf("the sender does not come to %d: %+v", pos, all)
			}
			runtime.Gosched()
		}
	}
}

// start runs a Sender. The function that it returns stops it and waits.
func (h *house) start(s *Sender) (stop func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.Prepare(ctx); err != nil {
		h.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
	h.t.Cleanup(stop)
	return stop
}

// request is what a service was asked.
type request struct {
	method, path, token string
	body                []byte
}

// events returns the texts, or else the types, of a transaction's events.
func (r request) events(t *testing.T) []string {
	t.Helper()
	var txn struct {
		Events []struct {
			Type    string
			Content struct{ Body string }
		}
	}
	if err := json.Unmarshal(r.body, &txn); err != nil {
		t.Fatalf("transaction is not JSON: %v\n%s", err, r.body)
	}
	all := []string{}
	for _, e := range txn.Events {
		if e.Content.Body != "" {
			all = append(all, e.Content.Body)
		} else {
			all = append(all, e.Type)
		}
	}
	return all
}

// service is an application service in memory: an http.RoundTripper.
type service struct {
	requests chan request
	mu       sync.Mutex // guards answer
	answer   func(request) (status int, body string, err error)
}

func newService() *service {
	s := &service{requests: make(chan request, 10_000)}
	s.answers(http.StatusOK, "{}", nil)
	return s
}

func (s *service) answers(status int, body string, err error) {
	s.does(func(request) (int, string, error) { return status, body, err })
}

func (s *service) does(f func(request) (int, string, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	q := request{method: r.Method, path: r.URL.EscapedPath(), token: r.Header.Get("Authorization")}
	if r.Body != nil {
		q.body, _ = io.ReadAll(r.Body)
	}
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	status, body, err := answer(q)
	s.requests <- q
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header),
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// next waits for a request.
func (s *service) next(t testing.TB) request {
	t.Helper()
	select {
	case r := <-s.requests:
		return r
	case <-time.After(patience):
		t.Fatal("the service got no request")
		return request{}
	}
}

// collect waits until n events have come, and returns them with the requests that brought them.
func (s *service) collect(t *testing.T, n int) (events []string, requests []request) {
	t.Helper()
	for len(events) < n {
		r := s.next(t)
		requests = append(requests, r)
		events = append(events, r.events(t)...)
	}
	return events, requests
}

// ircRegistration is the registration of a service whose users are @irc_*:test.
func ircRegistration(t testing.TB) *registration.Registration {
	return register(t, "irc", `{"users":[{"exclusive":true,"regex":"@irc_.*"}],"aliases":[{"regex":"#irc_.*"}],"rooms":[]}`)
}

// reopen closes the database, a SQLite file, and opens it again.
func (h *house) reopen(path string) {
	h.t.Helper()
	if h.db != nil {
		if err := h.db.Close(); err != nil {
			h.t.Fatal(err)
		}
	}
	db, err := store.Open(context.Background(), path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.db = db
}

// newFile returns a house on a SQLite file that can be reopened.
func newFile(t *testing.T) (h *house, path string) {
	path = filepath.Join(t.TempDir(), "causeway.db")
	h = newHouse(t, nil)
	h.reopen(path)
	t.Cleanup(func() {
		if err := h.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, path
}

func sameRequest(a, b request) bool {
	return a.method == b.method && a.path == b.path && bytes.Equal(a.body, b.body)
}

// deafBus hears nothing.
type deafBus struct{ *notify.Local }

func (b deafBus) Register(...notify.Key) *notify.Bell { return b.Local.Register() }

// registrations are a set that changes.
type registrations struct {
	mu  sync.Mutex // guards now
	now *registration.Set
}

func (r *registrations) set(set *registration.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = set
}

func (r *registrations) get() *registration.Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// awaitServices waits until the workers are exactly those of the services.
func (h *house) awaitServices(s *Sender, want ...string) {
	h.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var got []string
		for _, status := range s.Status() {
			got = append(got, status.ID)
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("workers of %q, want %q", got, want)
		}
		runtime.Gosched()
	}
}
