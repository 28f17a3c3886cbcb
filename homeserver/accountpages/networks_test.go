package accountpages_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/networks"
)

// fakeBridge answers by method and path with what a bridge does, and notes who asks. The real one is asked in package bridges, and in the
// end-to-end tests.
type fakeBridge struct {
	answers map[string]string
	asked   []string
}

// RoundTrip implements http.RoundTripper.
func (f *fakeBridge) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Method + " " + r.URL.Path
	f.asked = append(f.asked, key+" "+r.URL.Query().Get("user_id"))
	status, text := http.StatusOK, f.answers[key]
	if text == "" {
		status, text = http.StatusNotFound, `{"errcode":"M_NOT_FOUND","error":"there is none"}`
	}
	if r.Header.Get("Authorization") != "Bearer token" {
		status, text = http.StatusUnauthorized, `{}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

// TestNetworkPages shows what a bridge says, which may be hostile, to whom it concerns alone.
func TestNetworkPages(t *testing.T) {
	bridge := &fakeBridge{answers: map[string]string{
		"GET /v3/whoami": `{"login_flows":[{"id":"x","name":"<b>Way</b>","description":"d"}],
			"logins":[{"id":"l","name":"<script>","state":{"state_event":"UNKNOWN_ERROR","message":"<i>no</i>"}}]}`,
		"GET /v3/capabilities": `{"resolve_identifier":{"create_dm":true},"causeway.room_links":true}`,
		"GET /v3/room_links": `{"form":{"bot":"@bot:test","places":["one","two"],"place_name":"Network","chat_name":"Channel","whom_name":"Nick"},"links":[
			{"room_id":"!a:test","room_name":"<u>A</u>","place":"one","chat":"#<u>a","state":"connected","may_end":true},
			{"room_id":"!b:test","place":"one","chat":"#b","state":"waiting","until_ts":1,"may_end":false}]}`,
		"POST /v3/room_links/link":   `{"room_id":"!c:test","state":"waiting"}`,
		"POST /v3/room_links/unlink": `{}`,
		"POST /v3/login/start/x":     `{"login_id":"p1","type":"user_input","step_id":"s","txn_id":"t","user_input":{"fields":[{"type":"username","id":"n","name":"n"}]}}`,
		"GET /v3/login/step/p1":      `{"login_id":"p1","type":"cookies","step_id":"s","txn_id":"t","cookies":{"url":"javascript:alert(1)","fields":[{"id":"n","required":true}]}}`,
		"POST /v3/logout/l":          `{}`,
		"POST /v3/create_dm/..":      `{"id":"x","dm_room_mxid":"!room:test"}`,
		"POST /v3/create_dm/a/b?":    `{"id":"x","dm_room_mxid":"!room:test"}`,
	}}
	each(t, func(s *site) {
		s.Register("alice")
		b, stranger := s.browser(), s.browser()
		for _, path := range []string{"", "irc/signin", "irc/signin/p1", "irc/logout?login_id=l", "irc/chat", "irc/rooms", "irc/rooms/end?room=!a:test&place=one&chat=x"} {
			stranger.visit("/_causeway/bridges/"+path).want(200, "Password", "Sign in")
		}
		if len(bridge.asked) > 0 {
			t.Fatalf("strangers had the bridge asked: %q", bridge.asked)
		}
		page := b.open("/_causeway/bridges/").signIn("alice").want(200, "IRC", "The connection does not work", "<script>", "<i>no")
		for _, header := range []string{"Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options"} {
			if page.header.Get(header) == "" {
				t.Errorf("no %s", header)
			}
		}
		b.visit("/_causeway/bridges/other/signin").want(404)
		flows := b.visit("/_causeway/bridges/irc/signin").want(200, "<b>Way")
		if strings.Contains(page.text+flows.text, "<script>") || strings.Contains(page.text, "<i>") || strings.Contains(flows.text, "<b>") {
			t.Error("what a bridge says is taken for HTML")
		}
		step := flows.form("/_causeway/bridges/irc/signin").send().follow()
		if step.want(200); strings.Contains(step.text, "javascript:") {
			t.Error("a page leads to a script")
		}
		step.form("/_causeway/bridges/irc/signin/p1").send("csrf=x").want(403, "out of date")
		b.visit("/_causeway/bridges/irc/signin/p2").want(404, "Begin again")
		b.visit("/_causeway/bridges/irc/logout?login_id=other").want(404)
		out := b.visit("/_causeway/bridges/irc/logout?login_id=l").want(200, "<script>").form("/_causeway/bridges/irc/logout")
		out.send("login_id=other").want(404)
		out.send().follow().want(200, "signed out of the network")
		chat := b.visit("/_causeway/bridges/irc/chat").want(200).form("/_causeway/bridges/irc/chat")
		chat.send("identifier= ").want(400, "Say whom")
		chat.send("identifier=x").want(404, "There is none")
		for _, name := range []string{"..", "a/b?"} {
			chat.send("do=start", "identifier="+name).want(200, "!room:test", "matrix.to")
		}
		rooms := b.visit("/_causeway/bridges/irc/rooms").want(200, "<u>A", "#<u>a on one", "Connected.", "!b:test", "Waiting for somebody on the network to allow it, until 1 January 1970")
		if strings.Contains(rooms.text, "<u>") || strings.Count(rooms.text, "rooms/end") != 1 {
			t.Error("what a bridge says is taken for HTML, or who may not end it is shown a way to")
		}
		link := rooms.form("/_causeway/bridges/irc/rooms")
		link.send("room= ", "chat=#c").want(400, "Say which room")
		link.send("room=!c:test", "chat=").want(400, "Say with what")
		link.send("room=!c:test", "place=one", "chat=#c", "csrf=x").want(403, "out of date")
		link.send("room=!c:test", "place=one", "chat=#c").follow().want(200, "It is being asked for on the network")
		b.visit("/_causeway/bridges/irc/rooms/end?room=!b:test&place=one&chat=%23b").want(404)
		ends := b.visit("/_causeway/bridges/irc/rooms/end?room=!a:test&place=one&chat=%23%3Cu%3Ea").want(200, "<u>A").form("/_causeway/bridges/irc/rooms/end")
		ends.send("room=!b:test", "chat=#b").want(404)
		ends.send().follow().want(200, "not connected any more")
		for _, asked := range bridge.asked {
			if !strings.HasSuffix(asked, " @alice:test") {
				t.Errorf("got %q, want alice to ask", asked)
			}
		}
		s.exec(`UPDATE users SET suspended = 1`)
		bridge.asked = nil
		for _, path := range []string{"", "irc/signin", "irc/signin/p1", "irc/logout?login_id=l", "irc/chat", "irc/rooms", "irc/rooms/end?room=!a:test&place=one&chat=x"} {
			b.visit("/_causeway/bridges/"+path).want(403, "suspended")
		}
		out.send().want(403, "suspended")
		if len(bridge.asked) > 0 {
			t.Errorf("who is suspended had the bridge asked: %q", bridge.asked)
		}
		s.exec(`UPDATE users SET suspended = 0`)
	}, func(c *homeserver.Config) {
		bridge.asked = nil
		c.Bridges = []networks.Bridge{{ID: "irc", Name: "IRC", URL: "http://bridge", Token: "token", Transport: bridge}}
	})
}
