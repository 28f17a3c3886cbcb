package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// callPageFolder is what npm unpacks, in small, with a link in it that leads out.
func callPageFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.txt")
	dist := filepath.Join(dir, "dist")
	for name, content := range map[string]string{
		secret:                                    "secret",
		filepath.Join(dist, "index.html"):         `<!doctype html><script>window.global = window;</script><script type="module" src="./assets/index-1.js"></script>`,
		filepath.Join(dist, "config.json"):        `{"matrix_rtc_session":{"wait_for_key_rotation_ms":5000}}`,
		filepath.Join(dist, "assets/index-1.js"):  "run()",
		filepath.Join(dist, "assets/a-1.woff2"):   "font",
		filepath.Join(dist, "assets/a-1.unheard"): "what",
		filepath.Join(dist, "assets/sub/b.css"):   "style",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(dist, "assets", "link.js")); err != nil {
		t.Fatal(err)
	}
	return dist
}

// get asks for a path as it is written, without following where it leads.
func (s *callServer) get(path string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.base, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL.Opaque = path
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer, string(body)
}

// TestCallPage has the files of Element Call at the root of the server's address, and nothing else of the machine.
func TestCallPage(t *testing.T) {
	dist := callPageFolder(t)
	s := startCallServer(t, func(c *Config) { c.Calls.Page = dist })
	for _, test := range []struct {
		path, contentType, body string
		status                  int
	}{
		{"/", "text/html; charset=utf-8", "index-1.js", 200},
		{"/login", "text/html; charset=utf-8", "index-1.js", 200},
		{"/room", "text/html; charset=utf-8", "index-1.js", 200},
		{"/room/", "text/html; charset=utf-8", "index-1.js", 200},
		{"/room/anything?at=all", "text/html; charset=utf-8", "index-1.js", 200},
		{"/assets/index-1.js", "text/javascript; charset=utf-8", "run()", 200},
		{"/room/assets/index-1.js", "text/javascript; charset=utf-8", "run()", 200},
		{"/assets/a-1.woff2", "font/woff2", "font", 200},
		{"/assets/a-1.unheard", "application/octet-stream", "what", 200},
		{"/assets/sub/b.css", "text/css; charset=utf-8", "style", 200},
		{"/assets/", "", "", 404},
		{"/assets/sub", "", "", 404},
		{"/assets/link.js", "", "", 404},
		{"/assets/none.js", "", "", 404},
		{"/assets/..%2f..%2fsecret.txt", "", "", 404},
		{"/assets/%2e%2e%2f%2e%2e%2fsecret.txt", "", "", 404},
		{"/assets/../../secret.txt", "", "", 404},
		{"/assets/sub%2f..%2findex-1.js", "", "", 404},
		// What is the homeserver's stays so: clients find out by 404 what it does not have.
		{"/nothing", "application/json", "M_UNRECOGNIZED", 404},
		{"/_matrix/client/versions", "application/json", "versions", 200},
		{"/_matrix/client/v3/nothing", "application/json", "M_UNRECOGNIZED", 404},
	} {
		answer, body := s.get(test.path)
		if answer.StatusCode != test.status || !strings.Contains(body, test.body) || strings.Contains(body, "secret") {
			t.Errorf("%s: got %d %q, want %d with %q", test.path, answer.StatusCode, body, test.status, test.body)
		}
		if got := answer.Header.Get("Content-Type"); test.contentType != "" && got != test.contentType {
			t.Errorf("%s: got the type %q, want %q", test.path, got, test.contentType)
		}
	}
	answer, _ := s.get("/room/")
	policy := answer.Header.Get("Content-Security-Policy")
	for _, want := range []string{
		"script-src 'self' 'wasm-unsafe-eval' 'sha256-pQY0fuQAnnVQH5nQfjo80rzGkQzeN3JeAtAJ+1KcD4k='; ", "frame-ancestors 'none'",
		" wss: " + s.base + " ws" + strings.TrimPrefix(s.base, "http") + ";",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q does not say %q", policy, want)
		}
	}
}

// TestCallPageConfig has the page know this server, and keep what else the package says.
func TestCallPageConfig(t *testing.T) {
	dist := callPageFolder(t)
	s := startCallServer(t, func(c *Config) { c.Calls.Page = dist })
	for _, path := range []string{"/config.json", "/room/config.json"} {
		answer, body := s.get(path)
		var got struct {
			Session map[string]int `json:"matrix_rtc_session"`
			Server  map[string]struct {
				BaseURL    string `json:"base_url"`
				ServerName string `json:"server_name"`
			} `json:"default_server_config"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		here := got.Server["m.homeserver"]
		if here.BaseURL != s.base || here.ServerName != "localhost" || got.Session["wait_for_key_rotation_ms"] != 5000 {
			t.Errorf("%s: got %s", path, body)
		}
		if got, want := answer.Header.Get("Cache-Control"), "no-cache"; got != want {
			t.Errorf("%s: got Cache-Control %q, want %q", path, got, want)
		}
	}
}

// TestNoCallPage has a server without one, and one whose folder is none.
func TestNoCallPage(t *testing.T) {
	s := startCallServer(t)
	if answer, body := s.get("/"); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("got %d %s, want the way to the account pages", answer.StatusCode, body)
	}
	if answer, _ := s.get("/room/"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("/room/: got %d, want 404", answer.StatusCode)
	}
	around := t.TempDir()
	if err := os.MkdirAll(filepath.Join(around, "package", "dist"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(around, "package", "dist", "index.html"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := defaultConfig()
	cfg.Calls.Page = around
	if _, err := openCallPage(cfg, ""); err == nil || !strings.HasSuffix(err.Error(), "take "+filepath.Join(around, "package", "dist")) {
		t.Errorf("the folder of the package: got %v, want to be told which is the page", err)
	}
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		cfg := defaultConfig()
		cfg.Calls.Page = dir
		if _, err := openCallPage(cfg, ""); err == nil || !strings.Contains(err.Error(), "calls.page") {
			t.Errorf("%s: got %v, want an error that names calls.page", dir, err)
		}
	}
}
