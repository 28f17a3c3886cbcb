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

// TestApplicationService has a service that is down while it is sent all there is, and while the server is killed. It gets it all, once
// and in order, as soon as it asks for a ping.
func TestApplicationService(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		r := &receiver{bodies: make(map[string][]byte), got: newJournal[string]()}
		service := httptest.NewServer(r)
		defer service.Close()
		server := install(t, options{database: database})
		file := filepath.Join(server.dir, "registration", "full.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, fullRegistration, service.URL), 0o600); err != nil {
			t.Fatal(err)
		}
		server.start()
		const asToken, client = "full-as-token-0123456789", "/_matrix/client/v3"
		ghost, alice := "@full_ghost:"+serverName, "@alice:"+serverName
		token := server.registerHTTP(t, "alice")
		do := func(method, path, token string, body, out any) {
			t.Helper()
			if out == nil {
				out = &struct{}{}
			}
			server.do(t, method, client+path, token, body).decode(t, out)
		}
		do("POST", "/register", asToken, map[string]any{"type": "m.login.application_service", "username": "full_ghost", "inhibit_login": true}, nil)
		do("POST", "/login", asToken, map[string]any{"type": "m.login.application_service", "device_id": "DEV",
			"identifier": map[string]any{"type": "m.id.user", "user": "full_ghost"}}, nil)
		var created struct {
			RoomID string `json:"room_id"`
		}
		do("POST", "/createRoom", token, map[string]any{"invite": []string{ghost}}, &created)
		room := "/rooms/" + url.PathEscape(created.RoomID)
		do("POST", room+"/join?user_id="+url.QueryEscape(ghost), asToken, map[string]any{}, nil)
		want := []string{"m.room.memberinvite[]", "m.room.memberjoin[]"}
		for n := range 3 {
			var sent struct {
				EventID string `json:"event_id"`
			}
			text := fmt.Sprint("line ", n)
			do("PUT", fmt.Sprint(room, "/send/m.room.message/", n), token, map[string]any{"msgtype": "m.text", "body": text}, &sent)
			do("PUT", fmt.Sprint("/sendToDevice/m.test/", n), token, map[string]any{"messages": map[string]any{ghost: map[string]any{"DEV": map[string]any{"body": text}}}}, nil)
			do("POST", room+"/receipt/m.read/"+url.PathEscape(sent.EventID), token, map[string]any{}, nil)
			do("PUT", room+"/typing/"+url.PathEscape(alice), token, map[string]any{"typing": true, "timeout": 30000}, nil)
			want = append(want, "m.room.message"+text+"[]", "m.test"+ghost+"DEV"+text+"[]")
			server.kill()
			server.start()
		}
		do("PUT", room+"/typing/"+url.PathEscape(alice), token, map[string]any{"typing": true, "timeout": 30000}, nil)
		r.up.Store(true)
		server.do(t, "POST", "/_matrix/client/v1/appservice/full/ping", asToken, map[string]any{}).decode(t, &struct{}{})
		r.got.await(t, 0, "that alice types", func(s string) bool { return s == "m.typing["+alice+"]" })
		r.got.await(t, 0, "the last message", func(s string) bool { return s == want[len(want)-1] })
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, wrong := range r.wrong {
			t.Error(wrong)
		}
		var got []string
		receipts := 0
		for _, s := range r.got.all() {
			switch {
			case s == "m.receipt[]":
				receipts++
			case s != "m.typing["+alice+"]" && s != "m.presence[]" && s != "m.typing[]":
				got = append(got, s)
			}
		}
		slices.Sort(got) // a transaction has events before messages
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the service got\n%q, want\n%q", got, want)
		}
		if receipts < 1 || receipts > 3 {
			t.Errorf("the service got %d receipts, want the newest, and others at the most", receipts)
		}
	})
}
