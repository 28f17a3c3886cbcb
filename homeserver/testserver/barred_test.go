package testserver_test

import (
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/httpapi"
)

// routeNames makes of the paths of routes the names that they have in proper.
var routeNames = strings.NewReplacer("/_matrix/client/(v3|r0)", "", "/_matrix/client/v1", "", "/_matrix/client/v4", "", "/_matrix/client/unstable", "")

// everywhere makes a request of each route that looks at tokens, in somebody's name, and hands over the answer's status, code and body.
func (s *script) everywhere(who string, judge func(route httpapi.Route, name string, status int, code, body string), but ...string) {
	s.t.Helper()
	for _, route := range allRoutes() {
		name := route.Method + " " + routeNames.Replace(route.Path)
		if route.Access == httpapi.Public || slices.Contains(but, name) {
			continue
		}
		body := proper[name]
		if body == "" {
			body = `{}`
		}
		path := strings.NewReplacer("(v3|r0)", "v3", "{$}", "", "{roomId}", "<room>", "{roomIdOrAlias}", "<room>", "{userId}", "<"+who+">",
			"{eventId}", "<event>", "{eventType}", "a.b", "{stateKey}", "k", "{txnId}", "t", "{keyName}", "displayname", "{type}", "a.b", "{tag}", "u.x",
			"{filterId}", "0", "{kind}", "override", "{ruleId}", "r", "{receiptType}", "m.read", "{roomAlias}", "%23a:test", "{relType}", "m.annotation",
			"{delayId}", "d", "{action}", "send", "{appserviceId}", "x", "{networkId}", "x").Replace(route.Path)
		a := s.ask(who+" "+route.Method+" "+path+"?"+queries[name], body)
		judge(route, name, a.Status, a.Code(), string(a.Body))
	}
}

// TestLockedEverywhere asks for everything with the token of an account that is locked. Client-Server API, "Account locking".
func TestLockedEverywhere(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.withRoot()
		s.words["room"], s.words["event"] = "!none:test", "$none"
		s.get("root PUT /_matrix/client/v1/admin/lock/<alice>", `{"locked":true}`)
		s.everywhere("alice", func(_ httpapi.Route, name string, status int, code, body string) {
			if status != 401 || code != "M_USER_LOCKED" || !strings.Contains(body, `"soft_logout":true`) {
				t.Errorf("%s: got %d %s", name, status, body)
			}
		}, "POST /logout", "POST /logout/all")
	})
}

// guestsMay are the routes that are open to guests: those of the Client-Server API, "Guest Access", and, behind them, what does the same by
// another name, ends what a guest has begun, has an event wait that a guest may send, or answers for itself whether guests may.
var guestsMay = []string{
	"GET /rooms/{roomId}/state", "GET /rooms/{roomId}/context/{eventId}", "GET /rooms/{roomId}/event/{eventId}", "GET /rooms/{roomId}/state/{eventType}/{stateKey}",
	"GET /rooms/{roomId}/messages", "GET /rooms/{roomId}/members", "GET /rooms/{roomId}/initialSync", "GET /sync", "GET /events",
	"POST /rooms/{roomId}/join", "POST /rooms/{roomId}/leave", "PUT /rooms/{roomId}/send/{eventType}/{txnId}", "PUT /rooms/{roomId}/state/{eventType}/{stateKey}",
	"PUT /sendToDevice/{eventType}/{txnId}", "PUT /profile/{userId}/{keyName}", "DELETE /profile/{userId}/{keyName}",
	"GET /devices", "GET /devices/{deviceId}", "PUT /devices/{deviceId}", "GET /account/whoami", "POST /keys/upload", "POST /keys/query", "POST /keys/claim",

	"GET /rooms/{roomId}/state/{eventType}/{$}", "PUT /rooms/{roomId}/state/{eventType}/{$}", "POST /join/{roomIdOrAlias}", "POST /logout", "POST /logout/all",
	"GET /delayed_events", "GET /delayed_events/{delayId}", "POST /delayed_events/{delayId}/{action}", "PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}",
	"PUT /org.matrix.msc4140/rooms/{roomId}/delayed_event/{eventType}/{txnId}", "GET /org.matrix.msc4140/delayed_events", "GET /org.matrix.msc4140/delayed_events/{delayId}",
	"GET /voip/turnServer",
}

// TestGuestsEverywhere asks for everything as a guest, who may do what the specification names, and nothing else. What strangers may, guests
// may, but not set a password or have an address.
func TestGuestsEverywhere(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.words["room"], s.words["event"] = "!none:test", "$none"
		v := s.get("nobody POST /register?kind=guest", `{}`)
		s.tokens["guest"], s.words["guest"] = textAt(t, v, "access_token"), textAt(t, v, "user_id")
		open := slices.Clone(guestsMay)
		s.everywhere("guest", func(route httpapi.Route, name string, status int, code, body string) {
			own := name == "POST /account/password" || strings.HasSuffix(name, "/requestToken")
			switch {
			case route.Access == httpapi.Guest:
				t.Errorf("%s is open to guests", name)
			case route.Access == httpapi.Optional && own && code != "M_GUEST_ACCESS_FORBIDDEN", route.Access == httpapi.Optional && !own && code == "M_GUEST_ACCESS_FORBIDDEN",
				route.Access == httpapi.User && code != "M_GUEST_ACCESS_FORBIDDEN", route.Access > httpapi.User && status != 403:
				t.Errorf("%s: got %d %s", name, status, body)
			}
		}, open...)
		s.words["device"] = s.text("guest GET /devices", ``, "devices/0/device_id")
		s.get("guest PUT /devices/<device>", `{"display_name":"mine"}`)
		s.must("renamed", s.get("guest GET /devices/<device>", ``), "display_name=mine")
	}, withGuests)
}

// suspendedMayNot are the routes that are closed to users who are suspended: what others would notice, and what takes away how a user can be
// reached. Client-Server API, "Account suspension".
var suspendedMayNot = []string{
	"POST /createRoom", "POST /join/{roomIdOrAlias}", "POST /knock/{roomIdOrAlias}", "POST /rooms/{roomId}/join", "POST /rooms/{roomId}/invite",
	"POST /rooms/{roomId}/kick", "POST /rooms/{roomId}/ban", "POST /rooms/{roomId}/unban", "POST /rooms/{roomId}/upgrade",
	"PUT /directory/room/{roomAlias}", "DELETE /directory/room/{roomAlias}", "PUT /directory/list/room/{roomId}",
	"PUT /rooms/{roomId}/send/{eventType}/{txnId}", "PUT /rooms/{roomId}/state/{eventType}/{$}", "PUT /rooms/{roomId}/state/{eventType}/{stateKey}",
	"PUT /rooms/{roomId}/delayed_event/{eventType}/{txnId}", "PUT /org.matrix.msc4140/rooms/{roomId}/delayed_event/{eventType}/{txnId}",
	"PUT /rooms/{roomId}/typing/{userId}", "PUT /presence/{userId}/status",
	"PUT /profile/{userId}/{keyName}", "DELETE /profile/{userId}/{keyName}",
	"PUT /uk.tcpip.msc4133/profile/{userId}/{keyName}", "DELETE /uk.tcpip.msc4133/profile/{userId}/{keyName}",
	"POST /account/3pid/delete",
}

// TestSuspendedEverywhere asks for everything as a user who is suspended.
func TestSuspendedEverywhere(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.withRoot()
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat"}`, "room_id")
		s.words["event"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"x"}`, "event_id")
		s.get("root PUT /_matrix/client/v1/admin/suspend/<alice>", `{"suspended":true}`)
		s.everywhere("alice", func(_ httpapi.Route, name string, status int, code, body string) {
			if refused := status == 403 && code == "M_USER_SUSPENDED"; refused != slices.Contains(suspendedMayNot, name) {
				t.Errorf("%s: got %d %s", name, status, body)
			}
		}, "POST /logout", "POST /logout/all", "POST /rooms/{roomId}/leave", "GET /events")
	})
}
