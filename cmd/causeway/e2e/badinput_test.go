package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

const (
	asToken = "token-of-the-application-service"
	// downNetwork is an IRC network whose server does not run.
	downNetwork = "down"
)

// registrationFile is an application service that is asked for nothing (it has
// no URL) and may act as users whose names begin with masq_.
const registrationFile = `id: masquerade
url: null
as_token: ` + asToken + `
hs_token: token-of-the-homeserver
sender_localpart: masq_bot
rate_limited: false
namespaces:
  users:
    - exclusive: true
      regex: '@masq_.*:causeway\.test'
`

// badServer is a server with an application service, a user in a room of her
// own, and an IRC network that is down.
type badServer struct {
	*causeway
	token  string // of the user mary
	roomID id.RoomID
}

func startBadServer(t *testing.T) *badServer {
	t.Helper()
	irc := startNgircd(t)
	networks := ircNetwork(network, irc.address) + ircNetwork(downNetwork, freePort(t))
	server := install(t, options{networks: networks})
	file := filepath.Join(server.dir, "registration", "masquerade.yaml")
	if err := os.WriteFile(file, []byte(registrationFile), 0o600); err != nil {
		t.Fatal(err)
	}
	server.start()
	s := &badServer{causeway: server, token: server.registerHTTP(t, "mary")}
	var created struct {
		RoomID id.RoomID `json:"room_id"`
	}
	s.do(t, "POST", "/_matrix/client/v3/createRoom", s.token, map[string]any{}).decode(t, &created)
	s.roomID = created.RoomID
	return s
}

// sendPath is where a message is put.
func (s *badServer) sendPath(transaction string) string {
	return "/_matrix/client/v3/rooms/" + url.PathEscape(string(s.roomID)) + "/send/m.room.message/" + transaction
}

// checkAlive checks that the server is still the same process, and works.
func (s *badServer) checkAlive(t *testing.T, transaction string) {
	t.Helper()
	if !s.running() {
		t.Fatal("the server has ended")
	}
	var sent struct {
		EventID id.EventID `json:"event_id"`
	}
	message := map[string]any{"msgtype": "m.text", "body": "still here"}
	s.do(t, "PUT", s.sendPath(transaction), s.token, message).decode(t, &sent)
	if sent.EventID == "" {
		t.Error("a message got no event ID")
	}
}

func TestBadInput(t *testing.T) {
	s := startBadServer(t)
	message := map[string]any{"msgtype": "m.text", "body": "hello"}
	join := func(room string) string { return "/_matrix/client/v3/join/" + url.PathEscape(room) }
	tests := []struct {
		name         string
		method, path string
		token        string
		body         any
		status       int
		errcode      string
		says         string // a part of the error's text
	}{
		{"malformed JSON", "PUT", s.sendPath("1"), s.token, `{"body": "hello`, 400, "M_NOT_JSON", ""},
		{"not UTF-8", "PUT", s.sendPath("2"), s.token, "{\"body\": \"\xff\"}", 400, "M_NOT_JSON", ""},
		{"two values", "PUT", s.sendPath("3"), s.token, `{} {}`, 400, "M_NOT_JSON", ""},
		{"no body", "PUT", s.sendPath("4"), s.token, "", 400, "M_NOT_JSON", ""},
		{"deep nesting", "PUT", s.sendPath("5"), s.token, strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), 400, "", ""},
		{"a list as content", "PUT", s.sendPath("6"), s.token, `[]`, 400, "M_BAD_JSON", ""},
		{"a number as type of login", "POST", "/_matrix/client/v3/login", "", `{"type": 7}`, 400, "M_BAD_JSON", ""},
		{"a fraction in content", "PUT", s.sendPath("7"), s.token, `{"body": 1.5}`, 400, "M_BAD_JSON", ""},
		{"an integer past 2^53", "PUT", s.sendPath("8"), s.token, `{"body": 9007199254740993}`, 400, "M_BAD_JSON", ""},
		{"70 kB event", "PUT", s.sendPath("9"), s.token, map[string]any{"body": strings.Repeat("x", 70_000)}, 413, "M_TOO_LARGE", ""},
		{"20 MB body", "PUT", s.sendPath("10"), s.token, strings.Repeat("x", 20_000_000), 413, "M_TOO_LARGE", ""},
		{"event type of 300 bytes", "PUT", strings.Replace(s.sendPath("11"), "m.room.message", strings.Repeat("x", 300), 1), s.token, message, 0, "", ""},
		{"wrong token", "PUT", s.sendPath("12"), "syt_no_such_token", message, 401, "M_UNKNOWN_TOKEN", ""},
		{"no token", "PUT", s.sendPath("13"), "", message, 401, "M_MISSING_TOKEN", ""},
		{"forged sender", "PUT", s.sendPath("14") + "?user_id=" + url.QueryEscape("@mary:"+serverName), asToken, message, 403, "M_FORBIDDEN", ""},
		{"forged sender of another server", "PUT", s.sendPath("15") + "?user_id=" + url.QueryEscape("@masq_a:other.test"), asToken, message, 403, "M_FORBIDDEN", ""},
		{"a name of an exclusive namespace", "POST", "/_matrix/client/v3/register", "", map[string]any{"username": "masq_x", "password": "p", "auth": map[string]any{"type": "m.login.dummy"}}, 400, "M_EXCLUSIVE", ""},
		{"a room that is not hers", "PUT", strings.Replace(s.sendPath("16"), url.PathEscape(string(s.roomID)), "!nowhere", 1), s.token, message, 403, "M_FORBIDDEN", ""},
		{"alias of an unknown network", "POST", join(channelAlias("nosuchnet", channel)), s.token, map[string]any{}, 404, "M_NOT_FOUND", "nosuchnet"},
		{"alias that does not exist", "POST", join("#nowhere:" + serverName), s.token, map[string]any{}, 404, "M_NOT_FOUND", ""},
		{"not a room", "POST", join("nowhere"), s.token, map[string]any{}, 400, "M_INVALID_PARAM", ""},
		{"unknown path", "GET", "/_matrix/client/v3/nowhere", s.token, nil, 404, "M_UNRECOGNIZED", ""},
		{"unknown path outside of Matrix", "GET", "/nowhere", "", nil, 404, "M_UNRECOGNIZED", ""},
		{"wrong method", "DELETE", "/_matrix/client/v3/login", s.token, nil, 405, "M_UNRECOGNIZED", ""},
		{"forged creation of a room", "PUT", "/_matrix/client/v3/rooms/" + url.PathEscape(string(s.roomID)) + "/state/m.room.create/", s.token, map[string]any{}, 0, "", ""},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := s.do(t, test.method, test.path, test.token, test.body)
			if test.status != 0 && got.status != test.status || got.status < 400 || got.status > 499 {
				t.Errorf("status is %d, want %d (0: any 4xx): %s", got.status, test.status, got.raw)
			}
			if got.ErrCode == "" || test.errcode != "" && got.ErrCode != test.errcode {
				t.Errorf("errcode is %q, want %q: %s", got.ErrCode, test.errcode, got.raw)
			}
			if got.Message == "" || !strings.Contains(got.Message, test.says) {
				t.Errorf("error is %q, want a text with %q", got.Message, test.says)
			}
			if origin := got.header.Get("Access-Control-Allow-Origin"); origin != "*" {
				t.Errorf("Access-Control-Allow-Origin is %q, want *", origin)
			}
			s.checkAlive(t, fmt.Sprintf("after-%d", i))
		})
	}
}

// TestMasquerade has an application service act as its own user, and a person
// try the same.
func TestMasquerade(t *testing.T) {
	s := startBadServer(t)
	ghost := "@masq_someone:" + serverName
	registration := map[string]any{"type": "m.login.application_service", "username": "masq_someone"}
	s.do(t, "POST", "/_matrix/client/v3/register", asToken, registration).decode(t, &struct{}{})
	whoami := "/_matrix/client/v3/account/whoami?user_id=" + url.QueryEscape(ghost)
	tests := []struct{ name, token, want string }{
		{"application service", asToken, ghost},
		{"person", s.token, "@mary:" + serverName},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got struct {
				UserID string `json:"user_id"`
			}
			s.do(t, "GET", whoami, test.token, nil).decode(t, &got)
			if got.UserID != test.want {
				t.Errorf("user_id is %s, want %s", got.UserID, test.want)
			}
		})
	}
}

// TestPreflight asks as a browser does before a request to another origin.
func TestPreflight(t *testing.T) {
	s := startBadServer(t)
	for _, path := range []string{"/_matrix/client/versions", s.sendPath("1"), "/.well-known/matrix/client", "/_matrix/client/v3/nowhere"} {
		got := s.do(t, http.MethodOptions, path, "", nil)
		if got.status != http.StatusOK && got.status != http.StatusNoContent {
			t.Errorf("OPTIONS %s is %d, want 200 or 204", path, got.status)
		}
		for header, wants := range map[string][]string{
			"Access-Control-Allow-Origin":  {"*"},
			"Access-Control-Allow-Methods": {"GET", "POST", "PUT", "DELETE", "OPTIONS"},
			"Access-Control-Allow-Headers": {"Authorization", "Content-Type", "X-Requested-With"},
		} {
			for _, want := range wants {
				if got := got.header.Get(header); !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
					t.Errorf("OPTIONS %s: %s is %q, want it to hold %s", path, header, got, want)
				}
			}
		}
	}
}

// TestNetworkIsDown joins a channel of an IRC server that does not answer: the
// join fails with a clear error, or it works and a notice in the room says so.
func TestNetworkIsDown(t *testing.T) {
	s := startBadServer(t)
	alias := channelAlias(downNetwork, channel)
	got := s.do(t, "POST", "/_matrix/client/v3/join/"+url.PathEscape(alias), s.token, map[string]any{})
	if got.status != http.StatusOK {
		if got.ErrCode == "" || !strings.Contains(got.Message, downNetwork) {
			t.Errorf("join is %d %s, want an error that names the network %q", got.status, got.raw, downNetwork)
		}
		s.checkAlive(t, "after")
		return
	}
	var joined struct {
		RoomID id.RoomID `json:"room_id"`
	}
	got.decode(t, &joined)
	notice := s.awaitNotice(t, joined.RoomID)
	if !strings.Contains(notice.text("body"), downNetwork) {
		t.Errorf("the notice is %q, want the name of the network %q in it", notice.text("body"), downNetwork)
	}
	s.checkAlive(t, "after")
}

// awaitNotice follows /sync until there is a notice in the room.
func (s *badServer) awaitNotice(t *testing.T, roomID id.RoomID) matrixEvent {
	t.Helper()
	seen := newJournal[matrixEvent]()
	go func() {
		for since := ""; t.Context().Err() == nil; {
			var answer struct {
				NextBatch string `json:"next_batch"`
				Rooms     struct {
					Join map[id.RoomID]struct {
						Timeline struct {
							Events []matrixEvent `json:"events"`
						} `json:"timeline"`
					} `json:"join"`
				} `json:"rooms"`
			}
			if err := s.sync(t, since, &answer); err != nil {
				return // the test has ended, or its time is over
			}
			since = answer.NextBatch
			for _, e := range answer.Rooms.Join[roomID].Timeline.Events {
				seen.add(e)
			}
		}
	}()
	return seen.await(t, 0, "notice in the room", func(e matrixEvent) bool {
		return e.Type == "m.room.message" && e.text("msgtype") == "m.notice"
	})
}
