package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMetrics fetches the metrics of a server with a service that is down, as a collector does.
func TestMetrics(t *testing.T) {
	const secret = "a-secret-of-the-collector"
	address := freePort(t)
	c := install(t, options{extra: "metrics: {listen: \"" + address + "\", token: " + secret + "}\n"})
	file := filepath.Join(c.dir, "registration", "down.yaml")
	if code, output := c.run(t, "registration", "generate", "down", "--url", "http://"+freePort(t), "--user", "@down_.*", "--out", file); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	c.start()
	c.awaitListener(t, address)
	fetch := func(token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/_causeway/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	mary := c.registerHTTP(t, "mary")
	for _, token := range []string{"", "wrong", mary} {
		if code, body := fetch(token); code != http.StatusUnauthorized || strings.Contains(body, "causeway_up") {
			t.Errorf("with the token %q: got %d %s, want nothing", token, code, body)
		}
	}
	for _, token := range []string{"", mary, secret} {
		if a := c.do(t, "GET", "/_causeway/metrics", token, nil); a.status != http.StatusNotFound || bytes.Contains(a.raw, []byte("causeway_up")) {
			t.Errorf("where clients are served: got %d %s, want nothing", a.status, a.raw)
		}
	}

	var room struct {
		RoomID string `json:"room_id"`
	}
	c.do(t, "POST", "/_matrix/client/v3/createRoom", mary, map[string]any{"preset": "public_chat"}).decode(t, &room)
	c.do(t, "POST", "/_matrix/client/v3/rooms/"+url.PathEscape(room.RoomID)+"/invite", mary, map[string]any{"user_id": "@_down_bot:" + serverName})
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for {
		code, body := fetch(secret)
		if code != http.StatusOK {
			t.Fatalf("got %d %s", code, body)
		}
		if strings.Contains(body, `causeway_appservice_last_error{service="down",error="`) &&
			strings.Contains(body, `causeway_appservice_position{service="down"} `) &&
			strings.Contains(body, `causeway_appservice_oldest_undelivered_seconds{service="down"} `) &&
			!strings.Contains(body, `causeway_appservice_oldest_undelivered_seconds{service="down"} 0`+"\n") {
			if strings.Contains(body, secret) {
				t.Error("the token is told")
			}
			return
		}
		select {
		case <-retry.C:
		case <-deadline:
			t.Fatalf("the service is down, and the metrics do not say so:\n%s", body)
		}
	}
}
