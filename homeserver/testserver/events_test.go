package testserver_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/threepid"
)

// TestEvents sends events and state, and reads them one by one. Client-Server API, "Sending events to a room" and "Getting
// events for a room".
func TestEvents(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["other room"] = s.text("carol POST /createRoom", `{}`, "room_id")
		s.words["elsewhere"] = s.text("carol PUT /rooms/<other room>/send/m.room.message/o", `{"body":"o"}`, "event_id")
		s.run(sendSteps)
		s.run(stateSteps)
		s.run(redactSteps)
		s.run(readSteps)
	})
}

var (
	tooLarge = `{"body":"` + strings.Repeat("x", 65536) + `"}`
	hugeBody = `{"body":"` + strings.Repeat("x", 300<<10) + `"}`
	longName = strings.Repeat("n", 256)
)

var sendSteps = []step{
	{"a room", "alice POST /createRoom", `{"preset":"public_chat","name":"N","power_level_content_override":{"events_default":0}}`, 200, "room_id:roomid", "room=room_id"},
	{"a member", "bob POST /rooms/<room>/join", ``, 200, "room_id:roomid", ""},
	{"without a token", "nobody PUT /rooms/<room>/send/m.room.message/1", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"not in it", "carol PUT /rooms/<room>/send/m.room.message/1", `{}`, 403, "M_FORBIDDEN", ""},
	{"no such room", "alice PUT /rooms/!none:test/send/m.room.message/1", `{}`, 403, "M_FORBIDDEN", ""},
	{"no room ID", "alice PUT /rooms/nonsense/send/m.room.message/1", `{}`, 403, "M_FORBIDDEN", ""},
	{"without a body", "alice PUT /rooms/<room>/send/m.room.message/1", ``, 400, "M_NOT_JSON", ""},
	{"malformed", "alice PUT /rooms/<room>/send/m.room.message/1", `{"a"}`, 400, "M_NOT_JSON", ""},
	{"an array", "alice PUT /rooms/<room>/send/m.room.message/1", `[1]`, 400, "M_BAD_JSON", ""},
	{"a string", "alice PUT /rooms/<room>/send/m.room.message/1", `"x"`, 400, "M_BAD_JSON", ""},
	{"two values", "alice PUT /rooms/<room>/send/m.room.message/1", `{}{}`, 400, "M_NOT_JSON", ""},
	{"not UTF-8", "alice PUT /rooms/<room>/send/m.room.message/1", "{\"body\":\"\xff\"}", 400, "M_NOT_JSON", ""},
	{"a fraction", "alice PUT /rooms/<room>/send/m.room.message/1", `{"x":1.5}`, 400, "M_BAD_JSON", ""},
	{"a number too large", "alice PUT /rooms/<room>/send/m.room.message/1", `{"x":9007199254740992}`, 400, "M_BAD_JSON", ""},
	{"too large for an event", "alice PUT /rooms/<room>/send/m.room.message/1", tooLarge, 413, "M_TOO_LARGE", ""},
	{"too large for a body", "alice PUT /rooms/<room>/send/m.room.message/1", hugeBody, 413, "M_TOO_LARGE", ""},
	{"type too long", "alice PUT /rooms/<room>/send/" + longName + "/1", `{}`, 413, "M_TOO_LARGE", ""},
	{"none of those is sent", "alice GET /rooms/<room>/messages?dir=b&limit=1", ``, 200, "chunk/0/type=m.room.member", ""},
	{"send", "alice PUT /rooms/<room>/send/m.room.message/1", `{"msgtype":"m.text","body":"žluťoučký 🐎 \u0001 < & >"}`, 200, "event_id:eventid", "sent=event_id"},
	{"its content is kept", "bob GET /rooms/<room>/event/<sent>", ``, 200, "content/msgtype=m.text :event unsigned:object unsigned/transaction_id:absent", ""},
	{"by r0", "alice PUT /_matrix/client/r0/rooms/<room>/send/m.room.message/r0", `{}`, 200, "event_id:eventid", ""},
	{"type with a slash", "alice PUT /rooms/<room>/send/x%2Fy/slash", `{}`, 200, "event_id:eventid", "slash=event_id"},
	{"its type", "alice GET /rooms/<room>/event/<slash>", ``, 200, "type=x/y", ""},
	{"state by send is a message", "alice PUT /rooms/<room>/send/m.room.topic/topic", `{"topic":"fake"}`, 200, "event_id:eventid", ""},
	{"it changes no state", "alice GET /rooms/<room>/state/m.room.topic", ``, 404, "M_NOT_FOUND", ""},
	{"members may send", "bob PUT /rooms/<room>/send/a.b/1", `{}`, 200, "event_id:eventid", ""},
	{"raise the level", "alice PUT /rooms/<room>/state/m.room.power_levels", `{"events":{"a.b":10}}`, 200, "event_id:eventid", ""},
	{"too little power", "bob PUT /rooms/<room>/send/a.b/2", `{}`, 403, "M_FORBIDDEN", ""},
}

var stateSteps = []step{
	{"without a token", "nobody PUT /rooms/<room>/state/x.y", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"not in it", "carol PUT /rooms/<room>/state/x.y", `{}`, 403, "M_FORBIDDEN", ""},
	{"no such room", "alice PUT /rooms/!none:test/state/x.y", `{}`, 403, "M_FORBIDDEN", ""},
	{"canonical alias of no such room", "alice PUT /rooms/!none:test/state/m.room.canonical_alias", `{}`, 403, "M_FORBIDDEN", ""},
	{"too little power", "bob PUT /rooms/<room>/state/m.room.name", `{"name":"B"}`, 403, "M_FORBIDDEN", ""},
	{"levels above one's own", "bob PUT /rooms/<room>/state/m.room.power_levels", `{"users_default":100}`, 403, "M_FORBIDDEN", ""},
	{"another user's key", "alice PUT /rooms/<room>/state/x.y/<bob>", `{}`, 403, "M_FORBIDDEN", ""},
	{"a member's join by another", "alice PUT /rooms/<room>/state/m.room.member/<carol>", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
	{"a membership that there is not", "bob PUT /rooms/<room>/state/m.room.member/<bob>", `{"membership":"x"}`, 403, "M_FORBIDDEN", ""},
	{"a second create event", "alice PUT /rooms/<room>/state/m.room.create", `{}`, 400, "M_INVALID_PARAM", ""},
	{"without a body", "alice PUT /rooms/<room>/state/x.y", ``, 400, "M_NOT_JSON", ""},
	{"malformed", "alice PUT /rooms/<room>/state/x.y/k", `{`, 400, "M_NOT_JSON", ""},
	{"an array", "alice PUT /rooms/<room>/state/x.y/", `[]`, 400, "M_BAD_JSON", ""},
	{"too large", "alice PUT /rooms/<room>/state/x.y/k", tooLarge, 413, "M_TOO_LARGE", ""},
	{"key too long", "alice PUT /rooms/<room>/state/x.y/" + longName, `{}`, 413, "M_TOO_LARGE", ""},

	{"empty key", "alice PUT /rooms/<room>/state/x.y", `{"n":1}`, 200, "event_id:eventid", "first=event_id"},
	{"empty key, with a slash", "alice GET /rooms/<room>/state/x.y/", ``, 200, "n=1", ""},
	{"the same with a slash is no new event", "alice PUT /rooms/<room>/state/x.y/", `{"n":1}`, 200, "event_id:eventid", "second=event_id"},
	{"whole", "bob GET /rooms/<room>/state/x.y?format=event", ``, 200, ":state state_key= content/n=1", "third=event_id"},
	{"whole, with a slash", "bob GET /rooms/<room>/state/x.y/?format=event", ``, 200, ":state", ""},
	{"content", "bob GET /rooms/<room>/state/x.y?format=content", ``, 200, "n=1 content:absent", ""},
	{"another format", "bob GET /rooms/<room>/state/x.y?format=x", ``, 400, "M_INVALID_PARAM", ""},
	{"another content", "alice PUT /rooms/<room>/state/x.y/", `{"n":2}`, 200, "event_id:eventid", "changed=event_id"},
	{"without a slash", "alice GET /rooms/<room>/state/x.y", ``, 200, "n=2", ""},
	{"what it replaced", "alice GET /rooms/<room>/event/<changed>", ``, 200, ":state unsigned/prev_content/n=1 unsigned/replaces_state:eventid unsigned/membership=join", ""},
	{"key with a slash", "alice PUT /rooms/<room>/state/x.y/a%2Fb", `{"n":3}`, 200, "event_id:eventid", ""},
	{"key with a slash", "alice GET /rooms/<room>/state/x.y/a%2Fb?format=event", ``, 200, ":state state_key=a/b", ""},
	{"key with an escaped percent", "alice PUT /rooms/<room>/state/x.y/a%252Fb", `{"n":4}`, 200, "event_id:eventid", ""},
	{"key with an escaped percent", "alice GET /rooms/<room>/state/x.y/a%252Fb?format=event", ``, 200, "state_key=a%2Fb content/n=4", ""},
	{"key in unicode", "alice PUT /rooms/<room>/state/x.y/%F0%9F%90%8E%20%C3%BC", `{"n":5}`, 200, "event_id:eventid", ""},
	{"key in unicode", "alice GET /rooms/<room>/state/x.y/%F0%9F%90%8E%20%C3%BC", ``, 200, "n=5", ""},
	{"key with a dot", "alice PUT /rooms/<room>/state/x.y/%2E", `{"n":6}`, 200, "event_id:eventid", ""},
	{"type with a slash", "alice PUT /rooms/<room>/state/x%2Fy/k", `{"n":7}`, 200, "event_id:eventid", ""},
	{"type with a slash", "alice GET /rooms/<room>/state/x%2Fy/k", ``, 200, "n=7", ""},
	{"two slashes", "alice GET /rooms/<room>/state/x.y/a/b", ``, 404, "M_UNRECOGNIZED", ""},
	{"by r0", "alice PUT /_matrix/client/r0/rooms/<room>/state/x.y/", `{"n":8}`, 200, "event_id:eventid", ""},
	{"by r0", "alice GET /_matrix/client/r0/rooms/<room>/state/x.y", ``, 200, "n=8", ""},
	{"no such state", "alice GET /rooms/<room>/state/x.z", ``, 404, "M_NOT_FOUND", ""},
	{"no such key", "alice GET /rooms/<room>/state/x.y/z", ``, 404, "M_NOT_FOUND", ""},
	{"one's own key", "bob PUT /rooms/<room>/state/m.room.member/<bob>", `{"membership":"join","displayname":"Bob"}`, 200, "event_id:eventid", ""},
	{"name for this room", "bob GET /rooms/<room>/joined_members", ``, 200, "joined/@bob:test/display_name=Bob joined/@alice:test:object", ""},
}

var redactSteps = []step{
	{"to redact", "alice PUT /rooms/<room>/send/m.room.message/redact", `{"body":"secret"}`, 200, "event_id:eventid", "target=event_id"},
	{"without a token", "nobody PUT /rooms/<room>/redact/<target>/r1", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"not in it", "carol PUT /rooms/<room>/redact/<target>/r1", `{}`, 403, "M_FORBIDDEN", ""},
	{"no such room", "alice PUT /rooms/!none:test/redact/<target>/r1", `{}`, 403, "M_FORBIDDEN", ""},
	{"no such event", "alice PUT /rooms/<room>/redact/$none/r1", `{}`, 404, "M_NOT_FOUND", ""},
	{"of another room", "alice PUT /rooms/<room>/redact/<elsewhere>/r1", `{}`, 404, "M_NOT_FOUND", ""},
	{"another's without power", "bob PUT /rooms/<room>/redact/<target>/r1", `{}`, 403, "M_FORBIDDEN", ""},
	{"malformed", "alice PUT /rooms/<room>/redact/<target>/r1", `{`, 400, "M_NOT_JSON", ""},
	{"reason of the wrong type", "alice PUT /rooms/<room>/redact/<target>/r1", `{"reason":1}`, 400, "M_BAD_JSON", ""},
	{"by send, without a target", "alice PUT /rooms/<room>/send/m.room.redaction/0", `{}`, 400, "M_BAD_JSON", ""},
	{"redact", "alice PUT /rooms/<room>/redact/<target>/r1", `{"reason":"spam"}`, 200, "event_id:eventid", "redaction=event_id"},
	{"repeat", "alice PUT /rooms/<room>/redact/<target>/r1", `{"reason":"spam"}`, 200, "event_id:eventid", "again=event_id"},
	{"what is left", "bob GET /rooms/<room>/event/<target>", ``, 200, ":event content/body:absent unsigned/redacted_because:event unsigned/redacted_because/content/reason=spam", ""},
	{"the redaction", "bob GET /rooms/<room>/event/<redaction>", ``, 200, ":event type=m.room.redaction content/redacts:eventid redacts:eventid", ""},
	{"of one's own", "bob PUT /rooms/<room>/send/m.room.message/own", `{"body":"mine"}`, 200, "event_id:eventid", "own=event_id"},
	{"of one's own, without a body", "bob PUT /rooms/<room>/redact/<own>/2", ``, 200, "event_id:eventid", ""},
	{"of state", "alice PUT /rooms/<room>/redact/<changed>/3", `{}`, 200, "event_id:eventid", ""},
}

var readSteps = []step{
	{"event", "bob GET /rooms/<room>/event/<sent>", ``, 200, ":event room_id:roomid", ""},
	{"no such event", "bob GET /rooms/<room>/event/$none", ``, 404, "M_NOT_FOUND", ""},
	{"event of another room", "bob GET /rooms/<room>/event/<elsewhere>", ``, 404, "M_NOT_FOUND", ""},
	{"event, not in it", "carol GET /rooms/<room>/event/<sent>", ``, 404, "M_NOT_FOUND", ""},
	{"event without a token", "nobody GET /rooms/<room>/event/<sent>", ``, 401, "M_MISSING_TOKEN", ""},
	{"state", "bob GET /rooms/<room>/state", ``, 200, "*:state", ""},
	{"state, not in it", "carol GET /rooms/<room>/state", ``, 403, "M_FORBIDDEN", ""},
	{"state of no room", "carol GET /rooms/!none:test/state", ``, 403, "M_FORBIDDEN", ""},
	{"members", "bob GET /rooms/<room>/members", ``, 200, "chunk/*:state chunk/*/type=m.room.member", ""},
	{"members who joined", "bob GET /rooms/<room>/members?membership=join", ``, 200, "chunk/0:state chunk/1:state chunk/2:absent", ""},
	{"members who did not", "bob GET /rooms/<room>/members?not_membership=join", ``, 200, "chunk:empty", ""},
	{"members of no kind", "bob GET /rooms/<room>/members?membership=x", ``, 400, "M_INVALID_PARAM", ""},
	{"members at no time", "bob GET /rooms/<room>/members?at=x", ``, 400, "M_INVALID_PARAM", ""},
	{"members, not in it", "carol GET /rooms/<room>/members", ``, 403, "M_FORBIDDEN", ""},
	{"joined members", "bob GET /rooms/<room>/joined_members", ``, 200, "joined/*:object", ""},
	{"joined members, not in it", "carol GET /rooms/<room>/joined_members", ``, 403, "M_FORBIDDEN", ""},
	{"messages", "bob GET /rooms/<room>/messages?dir=b&limit=3", ``, 200, "start:string end:string chunk/*:event chunk/2:event chunk/3:absent", "end=end"},
	{"more", "bob GET /rooms/<room>/messages?dir=b&from=<end>", ``, 200, "start:string end:string chunk/*:event chunk/9:event", ""},
	{"all", "bob GET /rooms/<room>/messages?dir=b&limit=1000", ``, 200, "start:string end:absent chunk/*:event", ""},
	{"forwards", "bob GET /rooms/<room>/messages?dir=f&limit=1", ``, 200, "start:string end:string chunk/0/type=m.room.create", ""},
	{"members at the beginning", "bob GET /rooms/<room>/members?at=<end>", ``, 200, "chunk/*:state", ""},
	{"lazily", `bob GET /rooms/<room>/messages?dir=b&limit=1&filter={"lazy_load_members":true}`, ``, 200, "state/*:state chunk/0:event", ""},
	{"filtered", `bob GET /rooms/<room>/messages?dir=b&filter={"types":["m.room.create"]}`, ``, 200, "chunk/0/type=m.room.create chunk/1:absent end:absent", ""},
	{"without dir", "bob GET /rooms/<room>/messages", ``, 400, "M_MISSING_PARAM", ""},
	{"dir unknown", "bob GET /rooms/<room>/messages?dir=x", ``, 400, "M_INVALID_PARAM", ""},
	{"limit malformed", "bob GET /rooms/<room>/messages?dir=b&limit=x", ``, 400, "M_INVALID_PARAM", ""},
	{"limit negative", "bob GET /rooms/<room>/messages?dir=b&limit=-1", ``, 400, "M_INVALID_PARAM", ""},
	{"from malformed", "bob GET /rooms/<room>/messages?dir=b&from=x", ``, 400, "M_INVALID_PARAM", ""},
	{"to malformed", "bob GET /rooms/<room>/messages?dir=b&to=x", ``, 400, "M_INVALID_PARAM", ""},
	{"filter malformed", "bob GET /rooms/<room>/messages?dir=b&filter=x", ``, 400, "M_INVALID_PARAM", ""},
	{"filter of the wrong type", `bob GET /rooms/<room>/messages?dir=b&filter={"types":1}`, ``, 400, "M_INVALID_PARAM", ""},
	{"without dir, not in it", "carol GET /rooms/<room>/messages", ``, 403, "M_FORBIDDEN", ""},
	{"messages, not in it", "carol GET /rooms/<room>/messages?dir=b", ``, 403, "M_FORBIDDEN", ""},
	{"context", "bob GET /rooms/<room>/context/<slash>?limit=2", ``, 200, "event:event events_before/0:event events_before/1:absent events_after/0:event events_after/1:absent start:string end:string state/*:state", ""},
	{"context of nothing", "bob GET /rooms/<room>/context/<slash>?limit=0", ``, 200, "event:event events_before:empty events_after:empty state/*:state", ""},
	{"context of no event", "bob GET /rooms/<room>/context/$none", ``, 404, "M_NOT_FOUND", ""},
	{"context of another room", "bob GET /rooms/<room>/context/<elsewhere>", ``, 404, "M_NOT_FOUND", ""},
	{"context, not in it", "carol GET /rooms/<room>/context/<sent>", ``, 404, "M_NOT_FOUND", ""},
	{"context, limit malformed", "bob GET /rooms/<room>/context/<sent>?limit=x", ``, 400, "M_INVALID_PARAM", ""},
}

// TestRepeatedState has a state event that says what the state says already answered with the one that said so.
func TestRepeatedState(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		first := s.text("alice PUT /rooms/<room>/state/x.y", `{"a":1,"b":2}`, "event_id")
		if second := s.text("alice PUT /rooms/<room>/state/x.y/", `{"b":2,"a":1}`, "event_id"); second != first {
			s.t.Errorf("got %s, want %s again", second, first)
		}
		if third := s.text("alice PUT /rooms/<room>/state/x.y", `{}`, "event_id"); third == first {
			s.t.Error("another content has the same event")
		}
	})
}

// TestTransactions repeats requests. Client-Server API, "Transaction identifiers".
func TestTransactions(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		var login map[string]string
		s.OK("POST", "/_matrix/client/v3/login", "", map[string]any{"type": "m.login.password", "user": "alice", "password": "correct horse battery"}, &login)
		s.tokens["second"] = login["access_token"]
		for _, room := range []string{"room", "another"} {
			s.words[room] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
			s.get("bob POST /rooms/<"+room+">/join", "")
		}
		first := s.text("alice PUT /rooms/<room>/send/m.room.message/t", `{"body":"1"}`, "event_id")
		s.words["first"] = first
		table := []struct {
			name, request, body string
			same                bool
		}{
			{"again", "alice PUT /rooms/<room>/send/m.room.message/t", `{"body":"1"}`, true},
			{"again, with another body", "alice PUT /rooms/<room>/send/m.room.message/t", `{"body":"2"}`, true},
			{"another id", "alice PUT /rooms/<room>/send/m.room.message/t2", `{"body":"1"}`, false},
			{"another device", "second PUT /rooms/<room>/send/m.room.message/t", `{"body":"1"}`, false},
			{"another user", "bob PUT /rooms/<room>/send/m.room.message/t", `{"body":"1"}`, false},
			{"another room", "alice PUT /rooms/<another>/send/m.room.message/t", `{"body":"1"}`, false},
			{"another type", "alice PUT /rooms/<room>/send/x.y/t", `{"body":"1"}`, false},
			{"another endpoint", "alice PUT /rooms/<room>/redact/<first>/t", `{}`, false},
		}
		seen := make(map[string]string)
		for _, row := range table {
			eventID := s.text(row.request, row.body, "event_id")
			if same := eventID == first; same != row.same {
				s.t.Errorf("%s: same event %t, want %t", row.name, same, row.same)
			}
			if other, taken := seen[eventID]; taken && !row.same {
				s.t.Errorf("%s has the event of %s", row.name, other)
			}
			seen[eventID] = row.name
		}
		for _, row := range []struct{ reader, want string }{
			{"alice", "unsigned/transaction_id=t"}, {"second", "unsigned/transaction_id:absent"}, {"bob", "unsigned/transaction_id:absent"},
		} {
			if problem := check(s.get(row.reader+" GET /rooms/<room>/event/<first>", ""), row.want); problem != "" {
				s.t.Errorf("%s: %s", row.reader, problem)
			}
		}
	})
}

var wordInBraces = regexp.MustCompile(`\{[^}]*\}`)

// TestEveryRoute asks for each path of the API with the wrong methods, and without a token where one is needed.
func TestEveryRoute(t *testing.T) {
	each(t, "alice", func(s *script) {
		methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH"}
		allowed := make(map[string][]string)
		for _, route := range allRoutes() {
			path := strings.NewReplacer("(v3|r0)", "v3", "/{$}", "").Replace(route.Path)
			path = wordInBraces.ReplaceAllString(path, "x")
			allowed[path] = append(allowed[path], route.Method)
		}
		for path, has := range allowed {
			for _, method := range methods {
				a := s.Do(method, path, s.tokens["alice"], nil)
				if a.Header.Get("Access-Control-Allow-Origin") != "*" {
					s.t.Errorf("%s %s: no CORS header", method, path)
				}
				kind := "application/json"
				if path == threepid.ConfirmPath && slices.Contains(has, method) {
					kind = "text/html; charset=utf-8" // a page for people
				}
				page := path == "/_matrix/static/client/login" && a.Status == http.StatusOK
				if a.Header.Get("Content-Type") != kind && !page {
					s.t.Errorf("%s %s: content type %q", method, path, a.Header.Get("Content-Type"))
				}
				if slices.Contains(has, method) {
					if a.Status == http.StatusMethodNotAllowed && a.Code() == "M_UNRECOGNIZED" || a.Status == 500 {
						s.t.Errorf("%s %s: got %d %s", method, path, a.Status, a.Body)
					}
					continue
				}
				allow := strings.Split(strings.ReplaceAll(a.Header.Get("Allow"), " ", ""), ",")
				if a.Status != http.StatusMethodNotAllowed || a.Code() != "M_UNRECOGNIZED" || !slices.Contains(allow, has[0]) {
					s.t.Errorf("%s %s: got %d %s, Allow %q, want 405 M_UNRECOGNIZED and %q", method, path, a.Status, a.Body, allow, has)
				}
			}
		}
	})
}

// TestBrowsers checks what browsers need. Client-Server API, "Web Browser Clients".
func TestBrowsers(t *testing.T) {
	each(t, "alice", func(s *script) {
		for _, row := range []struct {
			name, method, path, token string
			status                    int
			code                      string
		}{
			{"preflight", "OPTIONS", "/_matrix/client/v3/sync", "", 204, ""},
			{"preflight of an unknown path", "OPTIONS", "/_matrix/client/v3/nonsense", "", 204, ""},
			{"without a token", "GET", "/_matrix/client/v3/sync", "", 401, "M_MISSING_TOKEN"},
			{"unknown token", "GET", "/_matrix/client/v3/sync", "nonsense", 401, "M_UNKNOWN_TOKEN"},
			{"forbidden", "GET", "/_matrix/client/v3/rooms/!none:test/state", s.tokens["alice"], 403, "M_FORBIDDEN"},
			{"unknown path", "GET", "/_matrix/client/v3/nonsense", s.tokens["alice"], 404, "M_UNRECOGNIZED"},
			{"unknown version", "GET", "/_matrix/client/v9/sync", s.tokens["alice"], 404, "M_UNRECOGNIZED"},
			{"unknown API", "GET", "/_matrix/nonsense", "", 404, "M_UNRECOGNIZED"},
			{"outside", "GET", "/nonsense", "", 404, "M_UNRECOGNIZED"},
			{"no such page", "GET", "/elsewhere", "", 404, "M_UNRECOGNIZED"},
			{"trailing slash", "GET", "/_matrix/client/v3/sync/", s.tokens["alice"], 404, "M_UNRECOGNIZED"},
			{"twice the slash", "GET", "/_matrix/client/v3//sync", s.tokens["alice"], 404, "M_UNRECOGNIZED"},
			{"dots", "GET", "/_matrix/client/v3/x/../sync", s.tokens["alice"], 404, "M_UNRECOGNIZED"},
			{"wrong method", "DELETE", "/_matrix/client/v3/sync", s.tokens["alice"], 405, "M_UNRECOGNIZED"},
			{"success", "GET", "/_matrix/client/v3/joined_rooms", s.tokens["alice"], 200, ""},
		} {
			a := s.Do(row.method, row.path, row.token, nil)
			if a.Status != row.status || a.Code() != row.code {
				s.t.Errorf("%s: got %d %s, want %d %s", row.name, a.Status, a.Body, row.status, row.code)
			}
			for header, want := range map[string]string{
				"Access-Control-Allow-Origin":  "*",
				"Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
				"Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match",
			} {
				if got := a.Header.Get(header); got != want {
					s.t.Errorf("%s: %s is %q, want %q", row.name, header, got, want)
				}
			}
		}
	})
}
