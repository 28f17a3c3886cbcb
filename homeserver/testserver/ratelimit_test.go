package testserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
)

// TestRateLimitClasses asks twice for what may be asked for once: the second answer says when to come back, in both forms (Client-Server API,
// "Rate limiting").
func TestRateLimitClasses(t *testing.T) {
	each(t, "", func(s *script) {
		for class, request := range map[httpapi.Class][2]string{
			httpapi.ClassMessage:     {"PUT /rooms/!none:test/send/a.b/1", `{}`},
			httpapi.ClassJoin:        {"POST /join/!none:test", `{}`},
			httpapi.ClassInvite:      {"POST /rooms/!none:test/invite", `{"user_id":"@x:test"}`},
			httpapi.ClassProfile:     {"PUT /profile/<user>/m.tz", `{"m.tz":"UTC"}`},
			httpapi.ClassDelayed:     {"GET /_matrix/client/v1/delayed_events", ``},
			httpapi.ClassReport:      {"POST /users/@x:test/report", `{"reason":""}`},
			httpapi.ClassOpenID:      {"POST /user/<user>/openid/request_token", `{}`},
			httpapi.ClassAccountData: {"PUT /user/<user>/account_data/a.b", `{"x":1}`},
			httpapi.ClassEphemeral:   {"POST /rooms/!none:test/read_markers", `{}`},
			httpapi.ClassDevice:      {"POST /keys/query", `{"device_keys":{}}`},
			httpapi.ClassDirectory:   {"GET /publicRooms", ``},
			httpapi.ClassSearch:      {"POST /search", `{"search_categories":{}}`},
			httpapi.ClassRead:        {"GET /rooms/!none:test/messages?dir=b", ``},
		} {
			user := s.Register("of-" + string(class))
			s.tokens["user"], s.words["user"] = user.Token, string(user.ID)
			for i, limited := range []bool{false, true} {
				a := s.ask("user "+request[0], request[1])
				if (a.Status == http.StatusTooManyRequests) != limited {
					t.Errorf("%s, request %d: %d %s", class, i, a.Status, a.Body)
				}
				if !limited {
					continue
				}
				var body struct {
					Code string `json:"errcode"`
					Wait int64  `json:"retry_after_ms"`
				}
				seconds, err := strconv.ParseInt(a.Header.Get("Retry-After"), 10, 64)
				if json.Unmarshal(a.Body, &body) != nil || err != nil || body.Code != "M_LIMIT_EXCEEDED" || body.Wait <= 0 || seconds*1000 < body.Wait {
					t.Errorf("%s: %s, Retry-After %q", class, a.Body, a.Header.Get("Retry-After"))
				}
			}
		}
		// The class of another endpoint is another count; who has no token is counted by address.
		a := s.ask("nobody POST "+msc4140+"/delayed_events/x/restart", `{}`)
		b := s.ask("nobody POST "+msc4140+"/delayed_events/x/send", `{}`)
		if a.Status != http.StatusNotFound || b.Status != http.StatusTooManyRequests {
			t.Errorf("without a token: %d, then %d", a.Status, b.Status)
		}
	}, func(c *homeserver.Config) {
		c.Limits = make(map[httpapi.Class]httpapi.Limit)
		for _, class := range []httpapi.Class{
			httpapi.ClassMessage, httpapi.ClassJoin, httpapi.ClassInvite, httpapi.ClassProfile, httpapi.ClassDelayed, httpapi.ClassReport,
			httpapi.ClassOpenID, httpapi.ClassAccountData, httpapi.ClassDirectory, httpapi.ClassRead, httpapi.ClassEphemeral, httpapi.ClassDevice,
			httpapi.ClassSearch,
		} {
			c.Limits[class] = httpapi.Limit{PerSecond: 0.01, Burst: 1}
		}
	})
}

// What a redaction takes along is paid for.
func TestRedactionsAlongAreCounted(t *testing.T) {
	const burst, along = 20, 11
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		s.message("alice", "room", "root", "")
		for i := range along {
			s.react("bob", "room", fmt.Sprint("like ", i), "root", fmt.Sprint(i))
		}
		s.get("alice PUT /rooms/<room>/redact/<root>/r", `{"with_rel_types":["*"]}`)
		left := 0
		for ; left < burst; left++ {
			if a := s.ask(fmt.Sprintf("alice PUT /rooms/<room>/send/a.b/%d", left), `{}`); a.Status == http.StatusTooManyRequests {
				break
			}
		}
		if want := burst - 2 - 3; left != want { // the message and the redaction, and three for the eleven
			s.t.Errorf("alice can send %d events more, want %d", left, want)
		}
	}, func(c *homeserver.Config) {
		c.Limits = map[httpapi.Class]httpapi.Limit{httpapi.ClassMessage: {PerSecond: 0.0001, Burst: burst}}
	})
}

// Who asks by registrations who is there, without ever registering, is counted, too.
func TestNamesAreLimited(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.run([]step{
			{name: "which flows there are", request: "nobody POST /register", body: `{}`, status: 401, want: "flows:array"},
			{name: "again", request: "nobody POST /register", body: `{}`, status: 401, want: "flows:array"},
			{name: "a name", request: "nobody POST /register", body: `{"username":"alice","password":"x"}`, status: 400, want: "M_USER_IN_USE"},
			{name: "another", request: "nobody POST /register", body: `{"username":"bob","password":"x"}`, status: 429, want: "M_LIMIT_EXCEEDED"},
		})
	}, func(c *homeserver.Config) {
		c.Limits = map[httpapi.Class]httpapi.Limit{httpapi.ClassDirectory: {PerSecond: 0.01, Burst: 1}}
	})
}
