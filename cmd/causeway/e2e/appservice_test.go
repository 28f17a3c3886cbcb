package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

const fullRegistration = `id: full
url: %s
as_token: full-as-token-0123456789
hs_token: full-hs-token-0123456789
sender_localpart: full_bot
rate_limited: false
receive_ephemeral: true
org.matrix.msc3202: true
namespaces:
  users:
    - exclusive: true
      regex: '@full_.*:causeway\.test'
`

// receiver is an application service that is up or down.
type receiver struct {
	up atomic.Bool

	mu     sync.Mutex // guards all below
	bodies map[string][]byte
	got    *journal[string] // what the transactions had, each transaction once
	wrong  []string
}

// part is what a transaction has, as far as it matters here.
type part struct {
	Type    string `json:"type"`
	RoomID  string `json:"room_id"`
	To      string `json:"to_user_id"`
	Device  string `json:"to_device_id"`
	Content struct {
		Body       string   `json:"body"`
		Membership string   `json:"membership"`
		UserIDs    []string `json:"user_ids"`
	} `json:"content"`
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	switch {
	case err != nil || q.Header.Get("Authorization") != "Bearer full-hs-token-0123456789":
		w.WriteHeader(http.StatusForbidden)
		return
	case q.Method == http.MethodPost: // a ping, which it answers when it takes nothing, too
	case !r.up.Load():
		r.take(q.URL.Path, body, false)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	default:
		r.take(q.URL.Path, body, true)
	}
	_, _ = w.Write([]byte(`{}`))
}

// take notes a transaction, of which only the first counts.
func (r *receiver) take(path string, body []byte, counts bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, repeated := r.bodies[path]
	if repeated && !bytes.Equal(before, body) {
		r.wrong = append(r.wrong, fmt.Sprintf("%s has two bodies:\n%s\n%s", path, before, body))
	}
	done := repeated && r.bodies[path+" done"] != nil
	r.bodies[path] = body
	if !counts || done {
		return
	}
	r.bodies[path+" done"] = body
	var txn struct {
		Events, Ephemeral []part
		ToDevice          []part `json:"to_device"`
	}
	if err := json.Unmarshal(body, &txn); err != nil {
		r.wrong = append(r.wrong, err.Error())
	}
	for _, p := range slices.Concat(txn.Events, txn.Ephemeral, txn.ToDevice) {
		r.got.add(fmt.Sprint(p.Type, p.To, p.Device, p.Content.Membership, p.Content.Body, p.Content.UserIDs))
	}
}

// fullService is a server with a user, alice, and a service that has a ghost in a room of hers. The ghost has two devices, one of which
// asks /sync itself.
type fullService struct {
	*causeway
	t     *testing.T
	r     *receiver
	token string // of alice
	room  string // path of the room
	want  []string
}

const (
	fullToken = "full-as-token-0123456789"
	fullGhost = "@full_ghost:" + serverName
	fullAlice = "@alice:" + serverName
)

func newFullService(t *testing.T, database string) *fullService {
	t.Helper()
	d := &fullService{t: t, r: &receiver{bodies: make(map[string][]byte), got: newJournal[string]()}}
	service := httptest.NewServer(d.r)
	t.Cleanup(service.Close)
	d.causeway = install(t, options{database: database})
	file := filepath.Join(d.dir, "registration", "full.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, fullRegistration, service.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.token = d.registerHTTP(t, "alice")
	d.ask("POST", "/register", fullToken, map[string]any{"type": "m.login.application_service", "username": "full_ghost", "inhibit_login": true}, nil)
	d.logIn("DEV")
	d.ask("GET", "/sync", d.logIn("SYNC"), nil, nil)
	var created struct {
		RoomID string `json:"room_id"`
	}
	d.ask("POST", "/createRoom", d.token, map[string]any{"invite": []string{fullGhost}}, &created)
	d.room = "/rooms/" + url.PathEscape(created.RoomID)
	d.ask("POST", d.room+"/join?user_id="+url.QueryEscape(fullGhost), fullToken, map[string]any{}, nil)
	d.want = []string{"m.room.memberinvite[]", "m.room.memberjoin[]"}
	return d
}

// ask makes a request of the client-server API that must succeed.
func (d *fullService) ask(method, path, token string, body, out any) {
	d.t.Helper()
	if out == nil {
		out = &struct{}{}
	}
	d.do(d.t, method, "/_matrix/client/v3"+path, token, body).decode(d.t, out)
}

// logIn makes a device of the ghost, and returns its token.
func (d *fullService) logIn(device string) string {
	d.t.Helper()
	var session struct {
		Token string `json:"access_token"`
	}
	d.ask("POST", "/login", fullToken, map[string]any{"type": "m.login.application_service", "device_id": device,
		"identifier": map[string]any{"type": "m.id.user", "user": "full_ghost"}}, &session)
	return session.Token
}

// say has alice say something, in the room and to the ghost's devices, and read it.
func (d *fullService) say(n int) {
	d.t.Helper()
	var sent struct {
		EventID string `json:"event_id"`
	}
	text := fmt.Sprint("line ", n)
	d.ask("PUT", fmt.Sprint(d.room, "/send/m.room.message/", n), d.token, map[string]any{"msgtype": "m.text", "body": text}, &sent)
	toAll := map[string]any{fullGhost: map[string]any{"*": map[string]any{"body": text}}}
	d.ask("PUT", fmt.Sprint("/sendToDevice/m.test/", n), d.token, map[string]any{"messages": toAll}, nil)
	d.ask("POST", d.room+"/receipt/m.read/"+url.PathEscape(sent.EventID), d.token, map[string]any{}, nil)
	d.types()
	d.want = append(d.want, "m.room.message"+text+"[]", "m.test"+fullGhost+"DEV"+text+"[]", "m.test"+fullGhost+"SYNC"+text+"[]")
}

// types has alice type.
func (d *fullService) types() {
	d.t.Helper()
	d.ask("PUT", d.room+"/typing/"+url.PathEscape(fullAlice), d.token, map[string]any{"typing": true, "timeout": 30000}, nil)
}

// checkDevice checks what /sync has for a device.
func (d *fullService) checkDevice(device string, want int) {
	d.t.Helper()
	var synced struct {
		ToDevice struct{ Events []part } `json:"to_device"`
	}
	d.ask("GET", "/sync", d.logIn(device), nil, &synced)
	if got := len(synced.ToDevice.Events); got != want {
		d.t.Errorf("/sync of the device %s has %d messages, want %d", device, got, want)
	}
}

// check checks what the service got: all events and messages once, in any order, and receipts.
func (d *fullService) check() {
	d.t.Helper()
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	for _, wrong := range d.r.wrong {
		d.t.Error(wrong)
	}
	var got []string
	receipts := 0
	for _, s := range d.r.got.all() {
		switch {
		case s == "m.receipt[]":
			receipts++
		case s != "m.typing["+fullAlice+"]" && s != "m.presence[]" && s != "m.typing[]":
			got = append(got, s)
		}
	}
	slices.Sort(got) // a transaction has events before messages
	slices.Sort(d.want)
	if !slices.Equal(got, d.want) {
		d.t.Errorf("the service got\n%q, want\n%q", got, d.want)
	}
	if receipts < 1 || receipts > 3 {
		d.t.Errorf("the service got %d receipts, want the newest, and others at the most", receipts)
	}
}

// TestApplicationService has a service that is down while it is sent all there is, and while the server is killed. It gets it all, once,
// as soon as it asks for a ping.
func TestApplicationService(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		d := newFullService(t, database)
		for n := range 3 {
			d.say(n)
			d.kill()
			d.start()
		}
		last := d.want[len(d.want)-1]
		d.types()
		d.r.up.Store(true)
		d.do(t, "POST", "/_matrix/client/v1/appservice/full/ping", fullToken, map[string]any{}).decode(t, &struct{}{})
		d.r.got.await(t, 0, "that alice types", func(s string) bool { return s == "m.typing["+fullAlice+"]" })
		d.r.got.await(t, 0, "the last message", func(s string) bool { return s == last })
		d.stop(t) // by now the acknowledgement is stored
		d.start()
		d.checkDevice("DEV", 0)
		d.checkDevice("SYNC", 3)
		d.check()
	})
}
