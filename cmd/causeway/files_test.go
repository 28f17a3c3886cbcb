package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"causeway/bridges/irc"
)

// TestFiles finds the way to a bridge's files, and leaves all other requests as they are.
func TestFiles(t *testing.T) {
	cfg, _ := installed(t)
	cfg.Bridges.IRC.Networks = map[string]irc.NetworkConfig{"net": {Address: "127.0.0.1:6667"}}
	cfg.Bridges.MediaLinks.Expiry = time.Hour
	set, err := openBridges(cfg, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer set.close(zerolog.Nop())
	var passed []string
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passed = append(passed, r.URL.EscapedPath())
		w.WriteHeader(http.StatusTeapot)
	})
	handler := set.withFiles(next, zerolog.Nop())
	for _, c := range []struct {
		path   string
		status int
		text   string
	}{
		{"/_causeway/files/irc/abc", http.StatusNotFound, "not found"}, // the bridge does not run yet
		{"/_causeway/files/irc/abc/name.png", http.StatusNotFound, "not found"},
		{"/_causeway/files/irc/", http.StatusNotFound, ""},
		{"/_causeway/files/other/abc", http.StatusNotFound, ""},
		{"/_causeway/filesystem", http.StatusTeapot, ""},
		{"/_matrix/client/v3/rooms/%21a%2Fb//c", http.StatusTeapot, ""},
	} {
		resp := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "http://hs.test"+c.path, nil)
		req.Header.Set("Authorization", "Bearer secret")
		handler.ServeHTTP(resp, req)
		if resp.Code != c.status || !strings.Contains(resp.Body.String(), c.text) {
			t.Errorf("%s: got %d, %q", c.path, resp.Code, resp.Body.String())
		}
		if c.text != "" && !strings.HasPrefix(resp.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: got headers %v", c.path, resp.Header())
		}
	}
	if got := strings.Join(passed, " "); got != "/_causeway/filesystem /_matrix/client/v3/rooms/%21a%2Fb//c" {
		t.Errorf("passed on are %s", got)
	}
}
