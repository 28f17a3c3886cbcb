package testserver_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/event"
	"causeway/homeserver/testserver"
	"causeway/sfu/focus"

	"maunium.net/go/mautrix/id"
)

// callTypes are the events of a call of two people, in the order in which they come. Client-Server API, "Voice over IP".
var callTypes = []string{
	"m.call.invite", "m.call.candidates", "m.call.candidates", "m.call.candidates", "m.call.answer", "m.call.select_answer", "m.call.negotiate",
	"m.call.sdp_stream_metadata_changed", "m.call.hangup",
}

// TestCallsOfTwo has the events of a call come to the other side in order, each at once, and ring.
func TestCallsOfTwo(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"trusted_private_chat","is_direct":true,"invite":["<bob>"]}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		since := s.text("bob GET /sync", "", "next_batch")
		for n, eventType := range callTypes {
			got := make(chan testserver.Answer)
			go func() {
				got <- s.Do(http.MethodGet, "/_matrix/client/v3/sync?timeout=60000&since="+since, s.tokens["bob"], nil)
			}()
			started := time.Now()
			sent := s.text(fmt.Sprintf("alice PUT /rooms/<room>/send/%s/%d", eventType, n), `{"call_id":"1","party_id":"p","version":"1"}`, "event_id")
			out := decode(s.t, (<-got).Body)
			if took := time.Since(started); took > 20*time.Second {
				s.t.Errorf("%s: it took %v", eventType, took)
			}
			since = textAt(s.t, out, "next_batch")
			s.must(eventType, out, s.fill("rooms/join/<room>/timeline/events/0/event_id="+sent+" rooms/join/<room>/timeline/events/1:absent "+
				"rooms/join/<room>/timeline/events/0/type="+eventType+" rooms/join/<room>/unread_notifications/notification_count=1", plainText))
		}
		// .m.rule.call
		s.must("it rings", s.get("bob GET /notifications", ""), "notifications/0/event/type=m.call.invite notifications/0/actions/0=notify "+
			"notifications/0/actions/1/set_tweak=sound notifications/0/actions/1/value=ring notifications/1:absent")
		s.must("the rule", s.get("bob GET /pushrules/global/underride/.m.rule.call", ""), "rule_id=.m.rule.call default=true enabled=true "+
			"conditions/0/kind=event_match conditions/0/key=type conditions/0/pattern=m.call.invite")
	})
}

// TestRoomsForCalls makes rooms of each version in each way, and has somebody be in a call there who has no power.
func TestRoomsForCalls(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		device := s.text("bob GET /account/whoami", "", "device_id")
		s.words["member"] = "_" + s.words["bob"] + "_" + device + "_m.call"
		try := func(room string) {
			s.t.Helper()
			s.words["room"] = s.text("alice POST /createRoom", room, "room_id")
			s.get("bob POST /rooms/<room>/join", "")
			for _, request := range []string{
				"bob PUT /rooms/<room>/state/org.matrix.msc3401.call.member/<member>", "bob PUT /rooms/<room>/send/m.rtc.member/1",
				"bob PUT /rooms/<room>/send/org.matrix.msc4143.rtc.member/2", "bob PUT /rooms/<room>/send/org.matrix.msc4075.rtc.notification/3",
			} {
				if a := s.ask(request, `{"application":"m.call"}`); a.Status != http.StatusOK {
					s.t.Errorf("%s: %s: got %d %s", room, request, a.Status, a.Body)
				}
			}
			access, err := s.calls.Access(s.t.Context(), id.RoomID(s.words["room"]), id.UserID(s.words["bob"]), id.DeviceID(device))
			if err != nil || !access.Joined || !access.ByState || !access.BySticky {
				s.t.Errorf("%s: got %+v, %v", room, access, err)
			}
		}
		for _, version := range event.Versions() {
			for _, preset := range []string{"private_chat", "public_chat", "trusted_private_chat"} {
				try(fmt.Sprintf(`{"room_version":%q,"preset":%q,"invite":["<bob>"]}`, version.ID, preset))
			}
		}
		for _, override := range []string{
			`{}`, `{"events":{}}`, `{"events":{"m.room.name":100,"x.y":1}}`, `{"users_default":0,"events_default":0,"state_default":50}`, `{"events_default":-1}`,
			`{"state_default":0}`, `{"invite":100,"kick":100}`,
		} {
			try(`{"invite":["<bob>"],"power_level_content_override":` + override + `}`)
		}
	})
}

// TestCallsWithoutDelegation asks a server whose calls work, and which ends nobody's membership for them: it has no delayed events. The endpoint for
// that is not there, also for those who show no token.
func TestCallsWithoutDelegation(t *testing.T) {
	without := func(c *homeserver.Config) {
		calls := c.Calls.(*testCalls)
		calls.focus = focus.New(focus.Config{ServerName: "test", OpenID: calls, Membership: calls, SFU: calls, Mint: func(focus.Grant, time.Duration) (string, error) { return "jwt", nil }})
		c.CallWatch = calls.focus
	}
	each(t, "alice", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.must("a token", s.get("alice POST "+getToken, member+`}}`), "jwt=jwt")
		for _, who := range []string{"alice", "nobody"} {
			for _, path := range []string{delegateLeave, "/_matrix/client/v1/rtc/livekit/delegate_delayed_leave"} {
				if a := s.ask(who+" POST "+path, member+`},"delay_id":"x"}`); a.Status != http.StatusNotFound || a.Code() != "M_UNRECOGNIZED" {
					s.t.Errorf("%s POST %s: got %d %s, want 404 M_UNRECOGNIZED", who, path, a.Status, a.Body)
				}
			}
		}
	}, without)
}
