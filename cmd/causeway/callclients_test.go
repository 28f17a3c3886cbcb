package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestCallsForBrowsers has pages of other origins ask for all that a group call takes: they may, and can read whatever they are answered.
func TestCallsForBrowsers(t *testing.T) {
	s := startCallServer(t)
	const msc4143, msc4195 = "/_matrix/client/unstable/org.matrix.msc4143", "/_matrix/client/unstable/io.element.msc4195"
	for _, test := range []struct {
		method, path string
		status       int // without a token, and with a body that is none
		code         string
	}{
		{"GET", "/.well-known/matrix/client", 200, ""},
		{"GET", "/_matrix/client/v1/rtc/transports", 401, "M_MISSING_TOKEN"},
		{"GET", msc4143 + "/rtc/transports", 401, "M_MISSING_TOKEN"},
		{"POST", "/_matrix/client/v1/rtc/livekit/get_token", 401, "M_MISSING_TOKEN"},
		{"POST", msc4195 + "/rtc/livekit/get_token", 401, "M_MISSING_TOKEN"},
		{"POST", "/_matrix/client/v1/rtc/livekit/delegate_delayed_leave", 401, "M_MISSING_TOKEN"},
		{"POST", msc4195 + "/rtc/livekit/delegate_delayed_leave", 401, "M_MISSING_TOKEN"},
		{"POST", client + "/user/x/openid/request_token", 401, "M_MISSING_TOKEN"},
		{"GET", client + "/voip/turnServer", 401, "M_MISSING_TOKEN"},
		{"POST", "/livekit/jwt/sfu/get", 400, "M_NOT_JSON"},
		{"POST", "/livekit/jwt/get_token", 400, "M_NOT_JSON"},
		{"POST", "/livekit/jwt/delegate_delayed_leave", 400, "M_NOT_JSON"},
		{"GET", "/livekit/jwt/healthz", 200, ""},
		{"GET", "/livekit/jwt/sfu/get", 405, "M_UNRECOGNIZED"},
		{"POST", "/livekit/jwt/nothing", 404, "M_UNRECOGNIZED"},
		{"GET", "/livekit/sfu/rtc/validate", 401, ""},
		{"GET", "/livekit/sfu/rtc/v1/validate", 401, ""},
	} {
		for _, method := range []string{http.MethodOptions, test.method} {
			answer := s.fromPage(method, test.path)
			var refusal struct {
				Code string `json:"errcode"`
			}
			_ = json.NewDecoder(answer.Body).Decode(&refusal) // what the SFU says is no JSON
			_ = answer.Body.Close()
			if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "*" {
				t.Errorf("%s %s: Access-Control-Allow-Origin is %q, want *", method, test.path, got)
			}
			if method == test.method {
				if answer.StatusCode != test.status || refusal.Code != test.code {
					t.Errorf("%s %s: got %d %s, want %d %s", method, test.path, answer.StatusCode, refusal.Code, test.status, test.code)
				}
				continue
			}
			if answer.StatusCode < 200 || answer.StatusCode > 299 {
				t.Errorf("OPTIONS %s: got %d", test.path, answer.StatusCode)
			}
			// GET and POST need no leave. Fetch Standard, "CORS-safelisted method".
			allowed := strings.Split(strings.ReplaceAll(strings.ToLower(answer.Header.Get("Access-Control-Allow-Headers")), " ", ""), ",")
			for _, header := range []string{"authorization", "content-type"} {
				if !slices.Contains(allowed, header) {
					t.Errorf("OPTIONS %s: only the headers %q are allowed", test.path, allowed)
				}
			}
		}
	}
}

// fromPage asks as a page of another origin does.
func (s *callServer) fromPage(method, path string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader("{"))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Origin", "https://page.test")
	if method == http.MethodOptions {
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// TestCallsWithinLimits has as many candidates be sent at once as a call of two may have, with the limits that servers have.
func TestCallsWithinLimits(t *testing.T) {
	s := startCallServer(t, func(c *Config) { c.RateLimits.Enabled = true })
	alice := s.register("alice")
	room := s.ok("POST", client+"/createRoom", alice, `{}`)["room_id"].(string)
	for n := range 40 {
		s.ok("PUT", client+"/rooms/"+url.PathEscape(room)+fmt.Sprintf("/send/m.call.candidates/%d", n), alice, `{"call_id":"1","party_id":"p","version":"1","candidates":[]}`)
	}
}
