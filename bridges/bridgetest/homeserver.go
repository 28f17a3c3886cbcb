// Package bridgetest holds the two ends a bridge is tested between: a recording homeserver, and networks (a
// scripted IRC server, a real ngircd, a plain IRC client).
//
// Tests of bridges call it. It checks nothing about Matrix: for that there is the real homeserver. It imports
// nothing of ours, so that it cannot share a mistake with what it tests.
package bridgetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"
)

// Patience is how long the Await functions wait before they fail the test.
const Patience = 30 * time.Second

// Event is one event of a room as the homeserver recorded it.
type Event struct {
	ID       id.EventID
	Room     id.RoomID
	Sender   id.UserID
	Type     string
	StateKey *string
	Content  map[string]any
	TS       int64
	// TxnID is the transaction ID it was sent under, empty for state.
	TxnID string
	prev  map[string]any
}

// Text is content.body.
func (e *Event) Text() string { s, _ := e.Content["body"].(string); return s }

// MsgType is content.msgtype.
func (e *Event) MsgType() string { s, _ := e.Content["msgtype"].(string); return s }

// Membership is content.membership.
func (e *Event) Membership() string { s, _ := e.Content["membership"].(string); return s }

// Homeserver answers what bridgev2 asks of a homeserver, records the events of all rooms, and sends them to
// the bridge in transactions as a homeserver does: in order, again and again until they are acknowledged.
type Homeserver struct {
	ServerName string
	// Fault, when set, may answer a client-server request with an error status (anything but 0).
	Fault func(r *http.Request) int

	t       testing.TB
	mux     *http.ServeMux
	sent    chan struct{}
	stopped chan struct{}

	mu       sync.Mutex // guards what follows
	change   chan struct{}
	app      http.Handler
	bot      id.UserID
	hsToken  string
	events   []*Event
	state    map[id.RoomID]map[[2]string]*Event
	aliases  map[id.RoomAlias]id.RoomID
	names    map[id.UserID]string
	listed   map[id.RoomID]bool
	listedOn map[[2]string]bool // by network and room
	presence map[id.UserID]string
	txns     map[string]id.EventID
	users    map[id.UserID]bool
	count    int
	cursor   int
	requests map[string]int
	typists  map[[2]string]bool // user and room
	foreign  map[id.UserID]bool // nil for a homeserver that does not tell
	uploads  map[string]string  // by address
	kinds    map[string]string  // of uploads
	held     func(*http.Request)
}

// NewHomeserver returns an empty homeserver. Its sender begins with SetBridge.
func NewHomeserver(t testing.TB, serverName string) *Homeserver {
	h := &Homeserver{
		ServerName: serverName, t: t, mux: http.NewServeMux(),
		sent: make(chan struct{}, 1), stopped: make(chan struct{}), change: make(chan struct{}),
		state: map[id.RoomID]map[[2]string]*Event{}, aliases: map[id.RoomAlias]id.RoomID{},
		names: map[id.UserID]string{}, txns: map[string]id.EventID{}, users: map[id.UserID]bool{},
		requests: map[string]int{},
	}
	h.routes()
	var sender sync.WaitGroup
	sender.Add(1)
	go func() { defer sender.Done(); h.send() }()
	t.Cleanup(func() { close(h.stopped); sender.Wait() })
	return h
}

// SetBridge connects a bridge: where it is called, what it calls itself and the token for calling it. A nil
// handler is a bridge that is down.
func (h *Homeserver) SetBridge(app http.Handler, bot id.UserID, hsToken string) {
	h.mu.Lock()
	h.app, h.bot, h.hsToken = app, bot, hsToken
	h.users[bot] = true
	h.mu.Unlock()
	h.ring()
}

// SetForeign has users be those of other application services. It comes before the bridge asks about anybody.
func (h *Homeserver) SetForeign(users ...id.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.foreign = map[id.UserID]bool{}
	for _, user := range users {
		h.foreign[user] = true
	}
}

// RoundTrip implements http.RoundTripper, so that the homeserver can be a bridge's transport.
func (h *Homeserver) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	served := r.Clone(r.Context())
	if served.Body == nil {
		served.Body = http.NoBody
	}
	h.ServeHTTP(w, served)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// ServeHTTP implements http.Handler: the client-server API.
func (h *Homeserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Fault != nil {
		if status := h.Fault(r); status != 0 {
			answerError(w, status, "M_UNKNOWN", "a fault was asked for")
			return
		}
	}
	h.mux.ServeHTTP(w, r)
	h.mu.Lock()
	held := h.held
	h.mu.Unlock()
	if held != nil {
		held(r)
	}
}

// Hold has the bridge wait for the answers to some of its requests, which have been carried out, until they are released.
func (h *Homeserver) Hold(fits func(r *http.Request) bool) (release func()) {
	released := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = func(r *http.Request) {
		if fits(r) {
			<-released
		}
	}
	return sync.OnceFunc(func() { close(released) })
}

func (h *Homeserver) ring() {
	select {
	case h.sent <- struct{}{}:
	default:
	}
}

// add records an event; the caller holds mu.
func (h *Homeserver) add(e *Event) *Event {
	h.count++
	e.ID = id.EventID(fmt.Sprintf("$event%d", h.count))
	if e.TS == 0 {
		e.TS = time.Now().UnixMilli()
	}
	if e.StateKey != nil {
		room := h.state[e.Room]
		if room == nil {
			room = map[[2]string]*Event{}
			h.state[e.Room] = room
		}
		key := [2]string{e.Type, *e.StateKey}
		if before := room[key]; before != nil {
			e.prev = before.Content
		}
		room[key] = e
	}
	h.events = append(h.events, e)
	close(h.change)
	h.change = make(chan struct{})
	h.ring()
	return e
}

// send is the application service sender: it keeps a cursor and moves it when a transaction is acknowledged.
func (h *Homeserver) send() {
	const retry = 50 * time.Millisecond
	timer := time.NewTimer(retry)
	defer timer.Stop()
	for {
		select {
		case <-h.stopped:
			return
		case <-h.sent:
		case <-timer.C:
		}
		for h.sendOne() {
		}
		timer.Reset(retry)
	}
}

// sendOne sends one transaction and reports whether there may be another.
func (h *Homeserver) sendOne() bool {
	const most = 100
	h.mu.Lock()
	app, from := h.app, h.cursor
	batch := h.events[from:]
	if len(batch) > most {
		batch = batch[:most]
	}
	h.mu.Unlock()
	if app == nil || len(batch) == 0 {
		return false
	}
	if h.Put(fmt.Sprint("from", from), batch...) != http.StatusOK {
		return false
	}
	h.mu.Lock()
	if h.cursor == from {
		h.cursor += len(batch)
	}
	close(h.change)
	h.change = make(chan struct{})
	h.mu.Unlock()
	return true
}

// Put sends one transaction with these events, whatever the cursor says, and returns the status.
func (h *Homeserver) Put(txnID string, events ...*Event) int {
	list := make([]json.RawMessage, len(events))
	for i, e := range events {
		list[i] = clientForm(e)
	}
	body, _ := json.Marshal(map[string]any{"events": list})
	status, _ := h.call(http.MethodPut, "/_matrix/app/v1/transactions/"+txnID, body)
	return status
}

// Present sends the presence of a user.
func (h *Homeserver) Present(user id.UserID, presence, words string) {
	h.mu.Lock()
	h.count++
	txn := fmt.Sprint("presence", h.count)
	h.mu.Unlock()
	body, _ := json.Marshal(map[string]any{"events": []any{}, "ephemeral": []any{map[string]any{
		"type": "m.presence", "sender": user, "content": map[string]any{"presence": presence, "status_msg": words},
	}}})
	if status, answer := h.call(http.MethodPut, "/_matrix/app/v1/transactions/"+txn, body); status != http.StatusOK {
		h.t.Errorf("presence: %d %s", status, answer)
	}
}

// call makes a request of the bridge.
func (h *Homeserver) call(method, path string, body []byte) (int, string) {
	h.mu.Lock()
	app, token := h.app, h.hsToken
	h.mu.Unlock()
	if app == nil {
		return http.StatusBadGateway, ""
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// QueryAlias asks the bridge for an alias, as a homeserver does that does not know it.
func (h *Homeserver) QueryAlias(alias id.RoomAlias) (status int, body string) {
	return h.call(http.MethodGet, "/_matrix/app/v1/rooms/"+url.PathEscape(string(alias)), nil)
}

func clientForm(e *Event) json.RawMessage {
	form := map[string]any{
		"event_id": e.ID, "room_id": e.Room, "sender": e.Sender, "type": e.Type, "content": e.Content,
		"origin_server_ts": e.TS,
	}
	if e.StateKey != nil {
		form["state_key"] = *e.StateKey
	}
	if e.prev != nil {
		form["unsigned"] = map[string]any{"prev_content": e.prev}
	}
	raw, _ := json.Marshal(form)
	return raw
}
