package testserver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/room"
	"causeway/sfu"
	"causeway/sfu/focus"

	"maunium.net/go/mautrix/id"
)

// allRoutes are the routes of a server that has everything.
func allRoutes() []httpapi.Route {
	return (&clientapi.API{Services: clientapi.Services{Calls: &testCalls{focus: focus.New(focus.Config{Delays: new(testCalls)})}}}).Routes()
}

// testCalls are group calls as cmd/causeway wires them, with an SFU that only notes what it is told.
type testCalls struct {
	*homeserver.Server
	focus *focus.Service

	mu   sync.Mutex // guards told
	told []string
	bell chan struct{}
}

const (
	callKey    = "key"
	callSecret = "a secret of thirty-two characters"
)

func newTestCalls() *testCalls {
	c := &testCalls{bell: make(chan struct{}, 1)}
	c.focus = focus.New(focus.Config{
		ServerName: "test", OpenID: c, Membership: c, Delays: c, SFU: c,
		Mint: func(g focus.Grant, valid time.Duration) (string, error) {
			return sfu.Mint(callKey, callSecret, sfu.Grant{Room: g.Room, Identity: g.Identity, Permission: sfu.Permission{Publish: g.Publish, Subscribe: true}}, valid)
		},
	})
	return c
}

// configure gives a server the calls.
func (c *testCalls) configure(cfg *homeserver.Config) { cfg.Calls, cfg.CallWatch = c, c.focus }

func (c *testCalls) Access(ctx context.Context, room id.RoomID, user id.UserID, device id.DeviceID) (focus.Access, error) {
	joined, byState, bySticky, err := c.CallAccess(ctx, room, user, device)
	return focus.Access{Joined: joined, ByState: byState, BySticky: bySticky}, err
}

func (c *testCalls) DelayedEvent(ctx context.Context, user id.UserID, delayID string) (focus.Delay, error) {
	room, after, err := c.Server.DelayedEvent(ctx, user, delayID)
	return focus.Delay{RoomID: room, After: after}, err
}

func (c *testCalls) Transports() []clientapi.CallTransport {
	return []clientapi.CallTransport{{Type: "livekit", ServiceURL: "http://test/livekit/jwt", URL: "ws://test/livekit/sfu"}}
}

func (c *testCalls) Delegates() bool { return c.focus.Delegates() }

func (c *testCalls) CallToken(ctx context.Context, m clientapi.CallMember) (clientapi.CallToken, error) {
	who, member := callMember(m)
	token, err := c.focus.Token(ctx, who, member)
	return clientapi.CallToken{JWT: token.JWT, URL: token.URL}, err
}

func (c *testCalls) DelegateLeave(ctx context.Context, m clientapi.CallMember, delayID string) error {
	who, member := callMember(m)
	return c.focus.Delegate(ctx, who, member, delayID)
}

func callMember(m clientapi.CallMember) (focus.Who, focus.Member) {
	return focus.Who{UserID: m.UserID, DeviceID: m.DeviceID},
		focus.Member{RoomID: m.RoomID, SlotID: m.SlotID, DeviceID: m.ClaimedDeviceID, MemberID: m.MemberID}
}

// tell notes what the SFU is told.
func (c *testCalls) tell(format string, args ...any) error {
	c.mu.Lock()
	c.told = append(c.told, fmt.Sprintf(format, args...))
	c.mu.Unlock()
	select {
	case c.bell <- struct{}{}:
	default:
	}
	return nil
}

// await waits until the SFU is told something, for less time than the server takes to look by itself at what it was not told of.
func (c *testCalls) await(t *testing.T, what string) {
	t.Helper()
	for {
		c.mu.Lock()
		told := fmt.Sprint(c.told)
		for i, line := range c.told {
			if line == what {
				c.told = c.told[i+1:]
				c.mu.Unlock()
				return
			}
		}
		c.mu.Unlock()
		select {
		case <-c.bell:
		case <-time.After(8 * time.Second):
			t.Fatalf("the SFU was told %s, want %q", told, what)
		}
	}
}

func (c *testCalls) Open(context.Context, string) (string, error) {
	return "ws://test/livekit/sfu", nil
}

func (c *testCalls) Remove(_ context.Context, _, identity string) error {
	return c.tell("remove %s", identity)
}

func (c *testCalls) SetPublish(_ context.Context, _, identity string, publish bool) error {
	return c.tell("%s publishes %t", identity, publish)
}

func (c *testCalls) Present(context.Context, string) ([]string, error) { return nil, nil }

const (
	rtcTransports = "/_matrix/client/v1/rtc/transports"
	getToken      = "/_matrix/client/v1/rtc/livekit/get_token"
	unstableToken = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token"
	delegateLeave = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/delegate_delayed_leave"
)

// TestCalls asks for what clients need for a group call (MSC4143, MSC4195).
func TestCalls(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat"}`, "room_id")
		s.run(callSteps)
	})
}

const member = `{"room_id":"<room>","slot_id":"m.call#ROOM","member":{"id":"m"`

var callSteps = []step{
	{"transports", "alice GET " + rtcTransports, ``, 200, "rtc_transports/0/type=livekit rtc_transports/0/livekit_service_url=http://test/livekit/jwt rtc_transports/0/url=ws://test/livekit/sfu", ""},
	{"transports by the name of the proposal", "alice GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports", ``, 200, "rtc_transports/0/type=livekit", ""},
	{"transports without a token", "nobody GET " + rtcTransports, ``, 401, "M_MISSING_TOKEN", ""},
	{"for clients that ask nothing else", "nobody GET /.well-known/matrix/client", ``, 200, "m.homeserver/base_url:string org.matrix.msc4143.rtc_foci/0/type=livekit org.matrix.msc4143.rtc_foci/0/livekit_service_url=http://test/livekit/jwt", ""},
	{"the flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4143=true", ""},
	{"everybody may be in calls", "alice GET /rooms/<room>/state/m.room.power_levels", ``, 200, "events/org.matrix.msc3401.call.member=0 events/org.matrix.msc4143.rtc.member=0 events/m.rtc.member=0 events/m.room.name=50", ""},
	{"a token", "alice POST " + getToken, member + `}}`, 200, "jwt:string url=ws://test/livekit/sfu", ""},
	{"by the name of the proposal", "alice POST " + unstableToken, member + `}}`, 200, "jwt:string url=ws://test/livekit/sfu", ""},
	{"by the newer form", "alice POST " + getToken, `{"room_id":"<room>","slot_id":"m.call#ROOM","member_id":"m","other":{}}`, 200, "jwt:string", ""},
	{"of this server by name", "alice POST " + getToken, member + `},"server_name":"test"}`, 200, "jwt:string", ""},
	{"of another server", "alice POST " + getToken, member + `},"server_name":"elsewhere"}`, 403, "M_FORBIDDEN", ""},
	{"for another", "alice POST " + getToken, member + `,"claimed_user_id":"<bob>"}}`, 403, "M_FORBIDDEN", ""},
	{"for another device", "alice POST " + getToken, member + `,"claimed_device_id":"OTHER"}}`, 403, "M_FORBIDDEN", ""},
	{"who is not in the room", "bob POST " + getToken, member + `}}`, 401, "M_UNAUTHORIZED", ""},
	{"of no room", "alice POST " + getToken, `{"room_id":"!none:test","slot_id":"x","member_id":"m"}`, 401, "M_UNAUTHORIZED", ""},
	{"of a room that is none", "alice POST " + getToken, `{"room_id":"nonsense","slot_id":"x","member_id":"m"}`, 400, "M_BAD_JSON", ""},
	{"with a slot that is too long", "alice POST " + getToken, `{"room_id":"<room>","slot_id":"` + strings.Repeat("x", 300) + `","member_id":"m"}`, 400, "M_BAD_JSON", ""},
	{"schedule a leave", "alice PUT /rooms/<room>/delayed_event/org.matrix.msc3401.call.member/1", `{"delay_ms":3600000,"state_key":"_<alice>_X_m.call","content":{}}`, 200, "delay_id:string", "delay=delay_id"},
	{"delegate it", "alice POST " + delegateLeave, member + `},"delay_id":"<delay>"}`, 200, "{}", ""},
	{"delegate what is not there", "alice POST " + delegateLeave, member + `},"delay_id":"none"}`, 400, "M_BAD_JSON", ""},
	{"delegate another's", "bob POST " + delegateLeave, member + `},"delay_id":"<delay>"}`, 401, "M_UNAUTHORIZED", ""},
	{"another room", "bob POST /createRoom", `{}`, 200, "room_id:roomid", "other=room_id"},
	{"delegate another's for a room of one's own", "bob POST " + delegateLeave, `{"room_id":"<other>","slot_id":"m.call#ROOM","member_id":"m","delay_id":"<delay>"}`, 400, "M_BAD_JSON", ""},
	{"a room for few speakers", "alice POST /createRoom", `{"power_level_content_override":{"events_default":50}}`, 200, "room_id:roomid", "quiet=room_id"},
	{"in which few may be in calls", "alice GET /rooms/<quiet>/state/m.room.power_levels", ``, 200, "events/org.matrix.msc3401.call.member:absent events/m.rtc.member:absent", ""},
	{"a room whose creator says who", "alice POST /createRoom", `{"power_level_content_override":{"events":{"org.matrix.msc3401.call.member":50}}}`, 200, "room_id:roomid", "said=room_id"},
	{"has it so", "alice GET /rooms/<said>/state/m.room.power_levels", ``, 200, "events/org.matrix.msc3401.call.member=50 events/m.rtc.member=0 events/m.room.name:absent", ""},
}

// TestNoCalls asks a server without calls. What is not there is so without a token, too: clients take 401 for a yes.
func TestNoCalls(t *testing.T) {
	none := func(c *homeserver.Config) { c.Calls = nil }
	each(t, "alice", func(s *script) {
		for _, who := range []string{"alice", "nobody"} {
			for _, request := range []string{
				"GET " + rtcTransports, "GET /_matrix/client/unstable/org.matrix.msc4143/rtc/transports", "POST " + getToken, "POST " + unstableToken,
				"POST " + delegateLeave, "POST /_matrix/client/v1/rtc/livekit/delegate_delayed_leave",
			} {
				if a := s.ask(who+" "+request, ""); a.Status != 404 || a.Code() != "M_UNRECOGNIZED" {
					t.Errorf("%s %s: got %d %s, want 404 M_UNRECOGNIZED", who, request, a.Status, a.Body)
				}
			}
		}
		s.run([]step{
			{"no foci", "nobody GET /.well-known/matrix/client", ``, 200, "org.matrix.msc4143.rtc_foci:absent", ""},
			{"no flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4143:absent", ""},
		})
	}, none)
}

// askFocus makes a request of the service for tokens, as clients do that ask no homeserver.
func (s *script) askFocus(path string, body any) (status int, code string, jwt map[string]any) {
	s.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.calls.focus.Handler().ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, path, bytes.NewReader(raw)))
	var out struct {
		Code string `json:"errcode"`
		JWT  string `json:"jwt"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		s.t.Fatal(err)
	}
	if parts := strings.Split(out.JWT, "."); len(parts) == 3 {
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			s.t.Fatal(err)
		}
		if err := json.Unmarshal(claims, &jwt); err != nil {
			s.t.Fatal(err)
		}
	}
	return w.Code, out.Code, jwt
}

// openID asks for an OpenID token.
func (s *script) openID(who string) map[string]any {
	s.t.Helper()
	return s.get(who+" POST /user/<"+who+">/openid/request_token", `{}`).(map[string]any)
}

// TestOpenIDForCalls tries tokens for calls by OpenID tokens: those of others, forged ones, and those of a session that has ended.
func TestOpenIDForCalls(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		roomID := s.text("alice POST /createRoom", `{"preset":"private_chat"}`, "room_id")
		other := s.text("bob POST /createRoom", `{"preset":"private_chat"}`, "room_id")
		device := s.text("alice GET /account/whoami", ``, "device_id")
		bobs := s.text("bob GET /account/whoami", ``, "device_id")
		alice, bob := s.openID("alice"), s.openID("bob")
		forged := map[string]any{"access_token": "cwt_forged", "matrix_server_name": "test"}
		elsewhere := map[string]any{"access_token": alice["access_token"], "matrix_server_name": "elsewhere"}
		access := map[string]any{"access_token": s.tokens["alice"], "matrix_server_name": "test"}
		ask := func(name string, token any, room, device string, status int, code string) map[string]any {
			t.Helper()
			got, gotCode, jwt := s.askFocus("/sfu/get", map[string]any{"room": room, "openid_token": token, "device_id": device, "other": 1})
			if got != status || gotCode != code {
				t.Errorf("%s: got %d %s, want %d %s", name, got, gotCode, status, code)
			}
			return jwt
		}
		jwt := ask("the room's member", alice, roomID, device, 200, "")
		video, _ := jwt["video"].(map[string]any)
		if jwt["sub"] != s.words["alice"]+":"+device || video["room"] != focus.Alias(id.RoomID(roomID), "m.call#ROOM") || video["canPublish"] != true {
			t.Errorf("got the token %v", jwt)
		}
		ask("who is not in the room", bob, roomID, bobs, 401, "M_UNAUTHORIZED")
		ask("a room where one is not", alice, other, device, 401, "M_UNAUTHORIZED")
		ask("no room", alice, "!none:test", device, 401, "M_UNAUTHORIZED")
		ask("another's device", alice, roomID, bobs, 401, "M_UNAUTHORIZED")
		ask("a forged token", forged, roomID, device, 401, "M_UNAUTHORIZED")
		ask("an access token", access, roomID, device, 401, "M_UNAUTHORIZED")
		ask("a token of another server", elsewhere, roomID, device, 403, "M_FORBIDDEN")
		ask("no device", alice, roomID, "", 400, "M_BAD_JSON")
		member := map[string]any{"id": "m", "claimed_user_id": s.words["bob"], "claimed_device_id": device}
		body := map[string]any{"room_id": roomID, "slot_id": "m.call#ROOM", "openid_token": alice, "member": member}
		if status, code, _ := s.askFocus("/get_token", body); status != 403 || code != "M_FORBIDDEN" {
			t.Errorf("a forged member: got %d %s", status, code)
		}
		member["claimed_user_id"] = s.words["alice"]
		if _, _, jwt := s.askFocus("/get_token", body); jwt["sub"] != focus.Identity(id.UserID(s.words["alice"]), id.DeviceID(device), "m") {
			t.Errorf("a member: got the token %v", jwt)
		}
		s.login("alice", "again", "SECOND")
		s.get("alice POST /logout", `{}`)
		ask("after the session has ended", alice, roomID, device, 401, "M_UNAUTHORIZED")
		ask("for a session that has not", alice, roomID, "SECOND", 401, "M_UNAUTHORIZED")
	})
}

// TestAccessToCalls has members of a call lose what they need for it, one way after another.
func TestAccessToCalls(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.withRoot()
		defer s.runServer()()
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","room_version":"11"}`, "room_id")
		call := s.newCall("bob")
		s.get("alice PUT /rooms/<room>/state/m.room.power_levels", `{"users":{"<alice>":100},"events":{"m.rtc.member":50,"org.matrix.msc3401.call.member":0}}`)
		s.calls.await(t, call.identity+" publishes false")
		s.get("alice PUT /rooms/<room>/state/m.room.power_levels", `{"users":{"<alice>":100},"events":{"m.rtc.member":0,"org.matrix.msc3401.call.member":0}}`)
		s.calls.await(t, call.identity+" publishes true")
		s.get("root PUT /_matrix/client/v1/admin/suspend/<bob>", `{"suspended":true}`)
		s.calls.await(t, call.identity+" publishes false")
		const state = "bob PUT /rooms/<room>/state/org.matrix.msc3401.call.member/<bob>"
		if a := s.ask(state, `{"application":"m.call"}`); a.Code() != "M_USER_SUSPENDED" {
			t.Errorf("to say that one is in a call while one is suspended: %d %s", a.Status, a.Body)
		}
		s.get(state, `{}`) // that one is not
		s.get("root PUT /_matrix/client/v1/admin/suspend/<bob>", `{"suspended":false}`)
		s.calls.await(t, call.identity+" publishes true")
		ends := []struct{ name, request, body, undo, undoBody string }{
			{"leave", "bob POST /rooms/<room>/leave", `{}`, "", ""},
			{"kick", "alice POST /rooms/<room>/kick", `{"user_id":"<bob>"}`, "", ""},
			{"ban", "alice POST /rooms/<room>/ban", `{"user_id":"<bob>"}`, "alice POST /rooms/<room>/unban", `{"user_id":"<bob>"}`},
			{"lock", "root PUT /_matrix/client/v1/admin/lock/<bob>", `{"locked":true}`, "root PUT /_matrix/client/v1/admin/lock/<bob>", `{"locked":false}`},
			{"logout", "bob POST /logout", `{}`, "", ""},
			{"deactivation", "", "", "", ""},
		}
		for _, end := range ends {
			if _, err := s.calls.focus.Admit(t.Context(), call.alias, call.identity); err != nil {
				t.Fatalf("%s: before: %v", end.name, err)
			}
			if end.request == "" {
				if err := s.Accounts.EndAccount(t.Context(), id.UserID(s.words["bob"]), false); err != nil {
					t.Fatal(err)
				}
			} else {
				s.get(end.request, end.body)
			}
			s.calls.await(t, "remove "+call.identity)
			if _, err := s.calls.focus.Admit(t.Context(), call.alias, call.identity); err == nil {
				t.Errorf("%s: the token from before lets in", end.name)
			}
			if end.undo != "" {
				s.get(end.undo, end.undoBody)
			}
			if _, err := s.calls.focus.Admit(t.Context(), call.alias, call.identity); err == nil {
				t.Errorf("%s: the token from before lets in again", end.name)
			}
			if end.name == "logout" {
				s.login("bob", "bob", "THIRD")
			}
			if end.request != "" {
				call = s.newCall("bob")
			}
		}
	})
}

// call is a participant of a call.
type call struct{ alias, identity string }

// newCall has somebody come into the call of <room>.
func (s *script) newCall(who string) call {
	s.t.Helper()
	s.get(who+" POST /join/<room>", `{}`)
	device := s.text(who+" GET /account/whoami", ``, "device_id")
	s.get(who+" POST "+getToken, member+`}}`)
	c := call{focus.Alias(id.RoomID(s.words["room"]), "m.call#ROOM"), focus.Identity(id.UserID(s.words[who]), id.DeviceID(device), "m")}
	publish, err := s.calls.focus.Admit(s.t.Context(), c.alias, c.identity)
	if err != nil {
		s.t.Fatal(err)
	}
	s.calls.focus.Joined(c.alias, c.identity, publish)
	return c
}

// runServer has the server and its calls do what they do by themselves.
func (s *script) runServer() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	running.Go(func() { _ = s.calls.focus.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// TestDelegatedLeave has a client vanish whose membership the server ends.
func TestDelegatedLeave(t *testing.T) {
	each(t, "alice", func(s *script) {
		defer s.runServer()()
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		const state = "/rooms/<room>/state/org.matrix.msc3401.call.member/_<alice>_X_m.call"
		c := s.newCall("alice")
		s.get("alice PUT "+state, `{"application":"m.call"}`)
		s.words["delay"] = s.text("alice PUT /rooms/<room>/delayed_event/org.matrix.msc3401.call.member/1",
			`{"delay_ms":3600000,"state_key":"_<alice>_X_m.call","content":{}}`, "delay_id")
		s.get("alice POST "+delegateLeave, member+`},"delay_id":"<delay>"}`)
		since := s.text("alice GET /sync", ``, "next_batch")
		s.calls.focus.Left(c.alias, c.identity)
		for {
			out := s.get("alice GET /sync?timeout=20000&since="+since, ``)
			since = textAt(t, out, "next_batch")
			if check(out, "rooms/join/<room>:object") == "" {
				break
			}
			if check(decode(t, s.ask("alice GET "+state, ``).Body), "application:absent") == "" {
				break
			}
		}
		s.run([]step{
			{"the membership has ended", "alice GET " + state, ``, 200, "application:absent", ""},
			{"and is not sent twice", "alice GET /_matrix/client/v1/delayed_events/<delay>", ``, 200, "finalised/event_id:eventid", ""},
		})
	}, func(c *homeserver.Config) { c.Delayed = room.DelayedConfig{MaxDelay: 2 * time.Hour} })
}
