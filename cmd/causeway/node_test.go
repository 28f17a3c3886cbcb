package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

const testNodeSecret = "a secret of nodes that is long enough"

// TestNodeConfig has what an operator may get wrong.
func TestNodeConfig(t *testing.T) {
	const secret = `secret: "` + testNodeSecret + `"`
	for _, c := range []struct{ name, yaml, want string }{
		{"a node", `{role: sfu, calls: {sfu: {` + secret + `}}}`, ""},
		{"its server", `{calls: {sfu: {` + secret + `, nodes: [{url: "wss://a"}, {url: "https://b", api_url: "http://10.0.0.1:8008"}]}}}`, ""},
		{"no role", `{role: sfus}`, "neither homeserver nor sfu"},
		{"a node without a secret", `{role: sfu}`, "calls.sfu.secret: must not be empty: where the role is sfu"},
		{"a node without calls", `{role: sfu, calls: {enabled: false, sfu: {` + secret + `}}}`, "calls.enabled"},
		{"a node with nodes", `{role: sfu, calls: {sfu: {` + secret + `, nodes: [{url: "wss://a"}]}}}`, "role"},
		{"a short secret", `{calls: {sfu: {secret: short, nodes: [{url: "wss://a"}]}}}`, "32 characters"},
		{"no secret", `{calls: {sfu: {nodes: [{url: "wss://a"}]}}}`, "calls.sfu.secret: must not be empty"},
		{"no address", `{calls: {sfu: {` + secret + `, nodes: [{api_url: "https://a"}]}}}`, "nodes[0].url: must not be empty"},
		{"a strange address", `{calls: {sfu: {` + secret + `, nodes: [{url: "udp://a"}]}}}`, "nodes[0].url"},
		{"a path", `{calls: {sfu: {` + secret + `, nodes: [{url: "wss://a/livekit/sfu"}]}}}`, `nodes[0].url: "wss://a/livekit/sfu" has a path`},
		{"a path of the API", `{calls: {sfu: {` + secret + `, nodes: [{url: "wss://a/", api_url: "http://b/c"}]}}}`, `nodes[0].api_url: "http://b/c" has a path`},
		{"the same twice", `{calls: {sfu: {` + secret + `, nodes: [{url: "wss://a"}, {url: "https://a/"}]}}}`, "twice"},
		{"a LiveKit, too", `{calls: {sfu: {` + secret + `, nodes: [{url: "wss://a"}], livekit: {url: "wss://b", key: k, ` + secret + `}}}}`, "one or the other"},
	} {
		_, err := parseConfig("causeway.yaml", []byte(c.yaml), nil)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want something of %q", c.name, err, c.want)
		}
	}
	a := NodeConfig{URL: "wss://sfu.example.org:8443/", APIURL: "http://10.0.0.1:8008"}
	if a.media() != "wss://sfu.example.org:8443/livekit/sfu" || a.api() != "http://10.0.0.1:8008/livekit/sfu" || a.name() != "sfu.example.org:8443" {
		t.Errorf("got %s, %s, %s", a.media(), a.api(), a.name())
	}
	if name, key := nodeKey(testNodeSecret); name == "" || strings.Contains(key, testNodeSecret) || len(key) < 32 {
		t.Errorf("the key is %s %s", name, key)
	}
}

// TestNodeIsNoServer has a node serve calls and metrics, and nothing of a homeserver, and each line of its log name one part.
func TestNodeIsNoServer(t *testing.T) {
	cfg := defaultConfig()
	dir := t.TempDir()
	cfg.Role, cfg.Listen, cfg.Calls.Listen, cfg.Metrics.Listen = roleSFU, freeMedia(t), freeMedia(t), freeMedia(t)
	cfg.TURN.Listen = []string{freeMedia(t)}
	cfg.Calls.SFU.Secret = testNodeSecret
	cfg.resolve(func(string) string { return dir })
	ctx, cancel := context.WithCancel(t.Context())
	greeted, ended := make(greeting, 1), make(chan error, 1)
	var log bytes.Buffer
	go func() { ended <- serve(ctx, cfg, zerolog.New(zerolog.SyncWriter(&log)), greeted) }()
	select {
	case <-greeted:
	case err := <-ended:
		t.Fatal(err)
	}
	get := func(at string) (int, string) {
		t.Helper()
		answer, err := http.Get("http://" + at)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	for path, want := range map[string]int{
		"/livekit/sfu/rtc/validate": 401, "/livekit/sfu/twirp/causeway.Node/Ping": 401, "/_matrix/client/versions": 404, "/livekit/jwt/healthz": 404,
		"/_causeway/account/": 404, "/": 404,
	} {
		if status, body := get(cfg.Listen + path); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	if _, text := get(cfg.Metrics.Listen + metricsPath); !strings.Contains(text, "causeway_sfu_rooms 0\n") || !strings.Contains(text, "causeway_turn_") {
		t.Errorf("the metrics are %s", text)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Count(line, `"part"`) > 1 {
			t.Errorf("a line of the log has two parts: %s", line)
		}
	}
	if !strings.Contains(log.String(), `"part":"turn"`) {
		t.Errorf("the log says nothing of TURN: %s", log.String())
	}
	if files, err := os.ReadDir(filepath.Join(dir, defaultDataDir)); err == nil && len(files) > 0 {
		t.Errorf("it has made %v", files)
	}
	if _, _, err := openStore(t.Context(), cfg); err == nil {
		t.Error("it has a database")
	}
}

// TestCallPageReachesNodes lets Element Call's page connect to all nodes, and ask them by HTTP why a WebSocket cannot be opened.
func TestCallPageReachesNodes(t *testing.T) {
	policy := callPagePolicy(nil, "http://here", []string{"ws://a:1/livekit/sfu", "wss://b/livekit/sfu"})
	for _, want := range []string{" http://here ", " ws://a:1 http://a:1 ", " wss://b https://b;"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy has no %q: %s", want, policy)
		}
	}
}

// TestServerWithNodes has a server whose node does not answer: it starts, and tells so.
func TestServerWithNodes(t *testing.T) {
	at := freeMedia(t)
	s := startCallServer(t, func(c *Config) {
		c.Metrics.Listen = at
		c.Calls.SFU.Nodes, c.Calls.SFU.Secret = []NodeConfig{{URL: "ws://127.0.0.1:9"}}, testNodeSecret
	})
	alice := s.register("alice")
	room := s.ok("POST", client+"/createRoom", alice, `{}`)["room_id"].(string)
	status, out := s.ask("POST", "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token", alice, `{"room_id":"`+room+`","slot_id":"m.call#ROOM","member":{"id":"m"}}`)
	if status != http.StatusServiceUnavailable {
		t.Errorf("a token: %d %v, want 503", status, out)
	}
	transports := s.ok("GET", "/_matrix/client/v1/rtc/transports", alice, "")["rtc_transports"].([]any)[0].(map[string]any)
	if _, there := transports["url"]; there || transports["livekit_service_url"] != s.base+callTokensPath {
		t.Errorf("the transport is %v", transports)
	}
	if silent := s.ok("GET", "/_causeway/calls/status", s.administrator("carol"), "")["silent_nodes"]; !reflect.DeepEqual(silent, []any{"127.0.0.1:9"}) {
		t.Errorf("administrators are told of %v, want the node that does not answer", silent)
	}
	answer, err := http.Get("http://" + at + metricsPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(raw), `causeway_sfu_node_up{node="127.0.0.1:9"} 0`) {
		t.Errorf("the metrics are %s, %v", raw, err)
	}
}
