package accountpages_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/callstatus"
)

// TestCallsPage shows which calls run to administrators alone, and what others have made up as text.
func TestCallsPage(t *testing.T) {
	asked := 0
	source := func(context.Context) callstatus.Status {
		asked++
		return callstatus.Status{Silent: []string{"sfu<I>2"}, Calls: []callstatus.Call{{RoomID: "!room:test", Room: "<b>Team call", Name: "hash", Node: "sfu<I>1", SinceTS: 1, Members: []callstatus.Member{
			{UserID: "@bob:test", DeviceID: "<b>BOB", Identity: "i", Connected: true, Signalling: true, Estimate: 2_400_000,
				Sends: []callstatus.Track{{ID: "TR_1", Source: "camera", Codec: "<I>VP8", Encrypted: true, Subscribers: 3, Layers: []callstatus.Layer{
					{Layer: 0, Bitrate: 150_400, Packets: 90, Lost: 10, Loss: 0.1, Asked: 12, KeyFrames: 7}, {Layer: 2, Bitrate: 1_700_000},
				}}, {ID: "TR_2", Source: "microphone", Codec: "opus", Muted: true}, {ID: "TR_3", Source: "screen_share_audio", Codec: "opus", Layers: []callstatus.Layer{{Bitrate: 32_000}}}}},
			{Identity: "j", Gets: []callstatus.Subscription{
				{ID: "TR_1", From: "@bob:test", Source: "camera", Layers: 2, Layer: 0, Wanted: 2, Bitrate: 150_400, Loss: 0.025, RTT: 35},
				{ID: "TR_2", From: "@bob:test", Source: "microphone", Layer: -1, Wanted: -1},
			}},
		}}}}
	}
	each(t, func(s *site) {
		asked = 0
		alice, bob := s.Register("alice"), s.Register("bob")
		s.exec(`UPDATE users SET admin = CASE WHEN nid = (SELECT nid FROM strings WHERE value = '@alice:test') THEN 1 ELSE 0 END`)
		stranger, other, admin := s.browser(), s.browser(), s.browser()
		stranger.visit("/_causeway/calls/").want(200, "Password", "Sign in")
		refused := other.open("/_causeway/calls/").signIn("bob").want(403, "Only administrators")
		if strings.Contains(refused.text, "!room:test") || strings.Contains(other.visit("/_causeway/account/").text, "/_causeway/calls/") {
			t.Error("somebody who is no administrator sees calls, or is led to them")
		}
		for token, want := range map[string]int{"": 401, "nonsense": 401, bob.Token: 403} {
			if got := s.Do("GET", "/_causeway/calls/status", token, nil); got.Status != want {
				t.Errorf("JSON with the token %q: got %d, want %d", token, got.Status, want)
			}
		}
		if asked > 0 {
			t.Error("the calls were looked at for somebody who may not see them")
		}

		page := admin.open("/_causeway/calls/").signIn("alice").want(200, "1 call runs, with 2 participants", "<b>Team call", "!room:test", "Node sfu<I>2 does not answer", "@bob:test", "<b>BOB", "<I>VP8",
			"low: <b>150 kbit/s</b>, 10.0 % lost, 12 asked again, 7 key frames asked", "<b>32 kbit/s</b>, 0 % lost, 0 asked again</dd>", "high: <b>1.7 Mbit/s</b>", "Connected; 2.4 Mbit/s can be sent to them", "Somebody who is leaving",
			"Sound and picture are not connected; signalling is interrupted", "Gets: Camera of @bob:test", "on the way to high, 2.5 % lost", "35 ms there and back",
			"Microphone, Opus, muted, not encrypted end to end", "nothing has come")
		if strings.Contains(page.text, "<b>BOB") || strings.Contains(page.text, "<I>VP8") || strings.Contains(page.text, "<b>Team") || strings.Contains(page.text, "<I>2") {
			t.Error("what others have made up is taken for HTML")
		}
		policy := page.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("got the policy %s", policy)
		}
		admin.visit("/_causeway/account/").want(200, "Calls")
		answer := s.Do("GET", "/_causeway/calls/status", alice.Token, nil)
		var said callstatus.Status
		if err := json.Unmarshal(answer.Body, &said); err != nil || answer.Status != 200 || len(said.Calls) != 1 || said.Calls[0].Room != "<b>Team call" || !slices.Equal(said.Silent, []string{"sfu<I>2"}) || said.Calls[0].Members[0].Sends[0].Layers[1].Bitrate != 1_700_000 {
			t.Errorf("got %d %s: %v", answer.Status, answer.Body, err)
		}
		s.exec(`UPDATE users SET admin = 0`)
		admin.visit("/_causeway/calls/").want(403)
	}, func(c *homeserver.Config) { c.CallStatus = source })

	// Without an SFU there is nothing.
	each(t, func(s *site) {
		s.Register("alice")
		s.exec(`UPDATE users SET admin = 1`)
		page := s.browser().open("/_causeway/account/").signIn("alice").want(200)
		if strings.Contains(page.text, "/_causeway/calls/") {
			t.Error("there is a way to a page that is not there")
		}
		s.browser().visit("/_causeway/calls/").want(404)
	})
}
