package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// accounts is an Identifier over a fixed table of tokens.
type accounts map[string]*Requester

func (a accounts) Identify(_ context.Context, token, asUser string, asDevice id.DeviceID) (*Requester, error) {
	switch token {
	case "broken":
		return nil, errors.New("read token: disk on fire")
	case "expired":
		return nil, UnknownToken(true)
	}
	requester := a[token]
	if requester == nil || requester.AppService == "" {
		return requester, nil
	}
	masked := *requester
	if asUser != "" {
		if !strings.HasPrefix(asUser, "@irc_") {
			return nil, Forbidden("%s is not in the namespaces", asUser)
		}
		masked.UserID = id.UserID(asUser)
	}
	masked.DeviceID = asDevice
	return &masked, nil
}

var people = accounts{
	"alice":  {UserID: "@alice:hs", DeviceID: "PHONE", RateLimited: true},
	"admin":  {UserID: "@admin:hs", IsAdmin: true},
	"guest":  {UserID: "@1:hs", IsGuest: true, RateLimited: true},
	"bridge": {UserID: "@irc:hs", AppService: "irc"},
}

type echoIn struct {
	Name string    `json:"name"`
	Age  int       `json:"age"`
	Sub  *echoIn   `json:"sub"`
	User id.UserID `json:"user"`
}

type fast string

func (f fast) AppendJSON(dst []byte) []byte {
	return append(append(dst, `{"fast":"`+string(f)...), `"}`...)
}

func whoami(_ context.Context, r *Request, _ Empty) (map[string]any, error) {
	if r.Requester == nil {
		return map[string]any{}, nil
	}
	return map[string]any{"user_id": r.Requester.UserID, "device_id": r.Requester.DeviceID, "ts": r.Requester.TS}, nil
}

func state(_ context.Context, r *Request, _ Empty) ([]string, error) {
	return []string{r.Path("roomId"), r.Path("eventType"), r.Path("stateKey")}, nil
}

func testRoutes() []Route {
	echo := JSON(func(_ context.Context, _ *Request, in echoIn) (echoIn, error) { return in, nil })
	rawEcho := JSON(func(_ context.Context, _ *Request, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	fails := func(err error) Endpoint {
		return JSON(func(context.Context, *Request, Empty) (Empty, error) { return Empty{}, err })
	}
	return append(Under("/(v3|r0)", []Route{
		{"GET", "/rooms/{roomId}/state/{eventType}/{$}", Public, JSON(state)},
		{"GET", "/rooms/{roomId}/state/{eventType}/{stateKey}", Public, JSON(state)},
		{"GET", "/profile/{userId}/displayname", Public, JSON(state)},
		{"DELETE", "/profile/{userId}/{key}", Public, JSON(whoami)},
	}), []Route{
		{"POST", "/echo", Public, echo},
		{"POST", "/optional-body", Public, echo.BodyOptional()},
		{"POST", "/raw-echo", Public, rawEcho},
		{"POST", "/small", Public, echo.MaxBody(32)},
		{"POST", "/nobody", Public, JSON(whoami).MaxBody(32)},
		{"GET", "/public", Public, JSON(whoami)},
		{"GET", "/optional", Optional, JSON(whoami)},
		{"GET", "/guest", Guest, JSON(whoami)},
		{"GET", "/user", User, JSON(whoami)},
		{"GET", "/appservice", AppService, JSON(whoami)},
		{"GET", "/admin", Admin, JSON(whoami)},
		{"PATCH", "/created", Public, JSON(func(context.Context, *Request, Empty) (Response, error) {
			return Response{Status: 201, Header: http.Header{"X-Made": {"yes"}}, Body: fast("<b>")}, nil
		})},
		{"GET", "/html", Public, Dynamic(func(context.Context, *Request) (any, error) {
			return map[string]string{"a": "<&>\u2028"}, nil
		})},
		{"GET", "/fast", Public, Dynamic(func(context.Context, *Request) (any, error) { return fast("x"), nil })},
		{"GET", "/unmarshallable", Public, Dynamic(func(context.Context, *Request) (any, error) { return func() {}, nil })},
		{"GET", "/fails/plain", Public, fails(fmt.Errorf("open store: %w", errors.New("secret path")))},
		{"GET", "/fails/matrix", Public, fails(fmt.Errorf("join: %w", Forbidden("You are banned from %s", "!r")))},
		{"GET", "/fails/sentinel", Public, fails(mautrix.MUserDeactivated.WithMessage("gone"))},
		{"GET", "/fails/pointer", Public, fails(&mautrix.RespError{ErrCode: "ORG.X", Err: "odd"})},
		{"GET", "/fails/theirs", Public, fails(mautrix.HTTPError{RespError: &mautrix.RespError{ErrCode: "M_FORBIDDEN", Err: "theirs"}, Response: &http.Response{StatusCode: 403}})},
		{"GET", "/fails/limit", Public, fails(LimitExceeded(1200e6))},
		{"GET", "/fails/extra", Public, fails(mautrix.RespError{StatusCode: 401, ExtraData: map[string]any{"session": "s", "flows": []any{}}})},
		{"GET", "/fails/body", Public, fails(ErrorBody(401, json.RawMessage(`{"session":"<"}`)))},
		{"GET", "/panics", Public, JSON(func(context.Context, *Request, Empty) (Empty, error) { panic("secret") })},
		{"GET", "/raw", Public, Raw(func(_ context.Context, w http.ResponseWriter, r *Request) error {
			_, err := io.WriteString(w, "hello "+r.Query("q"))
			return err
		})},
		{"POST", "/upload", Public, Raw(func(_ context.Context, w http.ResponseWriter, r *Request) error {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				return fmt.Errorf("read upload: %w", err)
			}
			_, err = fmt.Fprint(w, n)
			return err
		}).MaxBody(64)},
	}...)
}

func testMux(logs io.Writer) *Mux {
	return NewMux(testRoutes(), Options{Identifier: people, Logger: zerolog.New(logs)})
}

func deep(n int) string {
	return `{"name":` + strings.Repeat(`[`, n) + strings.Repeat(`]`, n) + `}`
}

func TestMux(t *testing.T) {
	tests := []struct {
		name    string
		request string // method, space, path
		token   string
		body    string
		status  int
		want    string // exact body, or with … at its end the start of it
	}{
		{"unknown path", "GET /nothing", "", "", 404, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`},
		{"root", "GET /", "", "", 404, `{"errcode":"M_UNRECOGNIZED"…`},
		{"double slash", "GET //public", "", "", 404, `{"errcode":"M_UNRECOGNIZED"…`},
		{"dots", "GET /x/../public", "", "", 404, `{"errcode":"M_UNRECOGNIZED"…`},
		{"trailing slash", "GET /public/", "", "", 404, `{"errcode":"M_UNRECOGNIZED"…`},
		{"wrong method", "PUT /echo", "", "", 405, `{"errcode":"M_UNRECOGNIZED"…`},

		{"state key", "GET /v3/rooms/!r:hs/state/m.room.member/@a:hs", "", "", 200, `["!r:hs","m.room.member","@a:hs"]`},
		{"state key with slash", "GET /r0/rooms/!r:hs/state/a%2Fb/c%2Fd%25", "", "", 200, `["!r:hs","a/b","c/d%"]`},
		{"plus is a plus", "GET /r0/rooms/a+b/state/t/k", "", "", 200, `["a+b","t","k"]`},
		{"empty state key", "GET /v3/rooms/!r/state/m.room.name", "", "", 200, `["!r","m.room.name",""]`},
		{"empty state key and slash", "GET /r0/rooms/!r/state/m.room.name/", "", "", 200, `["!r","m.room.name",""]`},
		{"encoded dots", "GET /v3/rooms/%2E%2E/state/t/k", "", "", 200, `["..","t","k"]`},
		{"path not UTF-8", "GET /v3/rooms/%ff/state/t/k", "", "", 400, `{"errcode":"M_INVALID_PARAM"…`},
		{"path with NUL", "GET /v3/rooms/%00/state/t/k", "", "", 400, `{"errcode":"M_INVALID_PARAM"…`},
		{"method of a wildcard beside a literal", "DELETE /v3/profile/@a/displayname", "", "", 200, `{}`},

		{"body", "POST /echo", "", `{"name":"a","age":3}`, 200, `{"name":"a","age":3,"sub":null,"user":""}`},
		{"body with spaces", "POST /echo", "", " \r\n\t{\"age\":3} ", 200, `{"name":"","age":3…`},
		{"no body", "POST /echo", "", "", 400, `{"errcode":"M_NOT_JSON"…`},
		{"no body, optional", "POST /optional-body", "", "", 200, `{"name":""…`},
		{"broken body, optional", "POST /optional-body", "", "{", 400, `{"errcode":"M_NOT_JSON"…`},
		{"cut body", "POST /echo", "", `{"name":"a"`, 400, `{"errcode":"M_NOT_JSON"…`},
		{"two values", "POST /echo", "", `{} {}`, 400, `{"errcode":"M_NOT_JSON"…`},
		{"not UTF-8", "POST /echo", "", "{\"name\":\"\xff\"}", 400, `{"errcode":"M_NOT_JSON"…`},
		{"array", "POST /echo", "", `[]`, 400, `{"errcode":"M_BAD_JSON","error":"The body must be a JSON object"}`},
		{"null", "POST /echo", "", `null`, 400, `{"errcode":"M_BAD_JSON"…`},
		{"form", "POST /echo", "", `name=x`, 400, `{"errcode":"M_NOT_JSON"…`},
		{"number for string", "POST /echo", "", `{"name":1}`, 400, `{"errcode":"M_BAD_JSON","error":"name must be a string"}`},
		{"string for number, inside", "POST /echo", "", `{"sub":{"age":"x"}}`, 400, `{"errcode":"M_BAD_JSON","error":"sub.age must be an integer"}`},
		{"fraction", "POST /echo", "", `{"age":1.5}`, 400, `{"errcode":"M_BAD_JSON","error":"age must be an integer"}`},
		{"string for object", "POST /echo", "", `{"sub":"x"}`, 400, `{"errcode":"M_BAD_JSON","error":"sub must be an object"}`},
		{"object for user", "POST /echo", "", `{"user":{}}`, 400, `{"errcode":"M_BAD_JSON","error":"user must be a string"}`},
		{"deep enough", "POST /raw-echo", "", deep(maxNesting - 1), 200, `{"name":[[…`},
		{"too deep", "POST /raw-echo", "", deep(maxNesting), 400, `{"errcode":"M_BAD_JSON","error":"The body is nested more than 128 deep"}`},
		{"many brackets in a string", "POST /echo", "", `{"name":"\"` + strings.Repeat("[", 1000) + `"}`, 200, `{"name":"\"[[…`},
		{"raw body", "POST /raw-echo", "", `{ "b": 1, "a":"<" }`, 200, `{ "b": 1, "a":"<" }`},
		{"raw body not JSON", "POST /raw-echo", "", `{"b"}`, 400, `{"errcode":"M_NOT_JSON"…`},
		{"raw body an array", "POST /raw-echo", "", `[1]`, 400, `{"errcode":"M_BAD_JSON"…`},
		{"raw body empty", "POST /raw-echo", "", ``, 400, `{"errcode":"M_NOT_JSON"…`},
		{"at the limit", "POST /small", "", `{"name":"` + strings.Repeat("x", 21) + `"}`, 200, `{"name":"xxx…`},
		{"past the limit", "POST /small", "", `{"name":"` + strings.Repeat("x", 22) + `"}`, 413, `{"errcode":"M_TOO_LARGE","error":"The body is larger than 32 bytes"}`},
		{"ignored body", "POST /nobody", "", `nonsense`, 200, `{}`},
		{"ignored body past the limit", "POST /nobody", "", strings.Repeat("x", 33), 413, `{"errcode":"M_TOO_LARGE"…`},

		{"public looks at no token", "GET /public", "broken", "", 200, `{}`},
		{"optional without", "GET /optional", "", "", 200, `{}`},
		{"optional with", "GET /optional", "alice", "", 200, `{"device_id":"PHONE","ts":0,"user_id":"@alice:hs"}`},
		{"optional with a wrong one", "GET /optional", "mallory", "", 401, `{"errcode":"M_UNKNOWN_TOKEN","error":"Unknown access token"}`},
		{"optional guest", "GET /optional", "guest", "", 200, `{"device_id"…`},
		{"user without", "GET /user", "", "", 401, `{"errcode":"M_MISSING_TOKEN","error":"Missing access token"}`},
		{"user with a wrong one", "GET /user", "mallory", "", 401, `{"errcode":"M_UNKNOWN_TOKEN"…`},
		{"user with an endless one", "GET /user", strings.Repeat("x", maxTokenBytes+1), "", 401, `{"errcode":"M_UNKNOWN_TOKEN"…`},
		{"soft logout", "GET /user", "expired", "", 401, `{"errcode":"M_UNKNOWN_TOKEN","error":"Unknown access token","soft_logout":true}`},
		{"identify breaks", "GET /user", "broken", "", 500, `{"errcode":"M_UNKNOWN","error":"Internal server error (request …`},
		{"token in the query", "GET /user?access_token=alice", "", "", 401, `{"errcode":"M_MISSING_TOKEN"…`},
		{"guest where none may", "GET /user", "guest", "", 403, `{"errcode":"M_GUEST_ACCESS_FORBIDDEN"…`},
		{"guest where one may", "GET /guest", "guest", "", 200, `{"device_id":"","ts":0,"user_id":"@1:hs"}`},
		{"person as application service", "GET /appservice", "alice", "", 403, `{"errcode":"M_FORBIDDEN"…`},
		{"person as administrator", "GET /admin", "alice", "", 403, `{"errcode":"M_FORBIDDEN"…`},
		{"administrator", "GET /admin", "admin", "", 200, `{"device_id"…`},
		{"person cannot masquerade", "GET /user?user_id=@bob:hs&ts=5&device_id=X", "alice", "", 200, `{"device_id":"PHONE","ts":0,"user_id":"@alice:hs"}`},
		{"person with a bad ts", "GET /user?ts=x", "alice", "", 200, `{"device_id":"PHONE"…`},
		{"bridge as itself", "GET /appservice", "bridge", "", 200, `{"device_id":"","ts":0,"user_id":"@irc:hs"}`},
		{"bridge as a ghost", "GET /user?user_id=%40irc_a%3Ahs&ts=5&device_id=X", "bridge", "", 200, `{"device_id":"X","ts":5,"user_id":"@irc_a:hs"}`},
		{"bridge with the old device parameter", "GET /user?org.matrix.msc3202.device_id=Y", "bridge", "", 200, `{"device_id":"Y"…`},
		{"bridge out of its namespace", "GET /user?user_id=@bob:hs", "bridge", "", 403, `{"errcode":"M_FORBIDDEN"…`},
		{"bridge with a bad ts", "GET /user?ts=tomorrow", "bridge", "", 400, `{"errcode":"M_INVALID_PARAM"…`},
		{"bridge with a ts past JSON", "GET /user?ts=9007199254740992", "bridge", "", 400, `{"errcode":"M_INVALID_PARAM"…`},
		{"bridge with a negative ts", "GET /user?ts=-1", "bridge", "", 400, `{"errcode":"M_INVALID_PARAM"…`},

		{"status and header", "PATCH /created", "", "", 201, `{"fast":"<b>"}`},
		{"no HTML escaping", "GET /html", "", "", 200, `{"a":"<&>\u2028"}`},
		{"appender", "GET /fast", "", "", 200, `{"fast":"x"}`},
		{"cannot be marshalled", "GET /unmarshallable", "", "", 500, `{"errcode":"M_UNKNOWN"…`},
		{"plain error", "GET /fails/plain", "", "", 500, `{"errcode":"M_UNKNOWN","error":"Internal server error (request …`},
		{"wrapped Matrix error", "GET /fails/matrix", "", "", 403, `{"errcode":"M_FORBIDDEN","error":"You are banned from !r"}`},
		{"error without status", "GET /fails/sentinel", "", "", 403, `{"errcode":"M_USER_DEACTIVATED","error":"gone"}`},
		{"pointer to an error of unknown code", "GET /fails/pointer", "", "", 400, `{"errcode":"ORG.X","error":"odd"}`},
		{"error of another server", "GET /fails/theirs", "", "", 500, `{"errcode":"M_UNKNOWN"…`},
		{"rate limit", "GET /fails/limit", "", "", 429, `{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":1200}`},
		{"error of extra fields only", "GET /fails/extra", "", "", 401, `{"flows":[],"session":"s"}`},
		{"error with a body", "GET /fails/body", "", "", 401, `{"session":"<"}`},
		{"panic", "GET /panics", "", "", 500, `{"errcode":"M_UNKNOWN"…`},
		{"raw", "GET /raw?q=x", "", "", 200, `hello x`},
		{"upload", "POST /upload", "", strings.Repeat("x", 64), 200, `64`},
		{"upload past the limit", "POST /upload", "", strings.Repeat("x", 65), 413, `{"errcode":"M_TOO_LARGE"…`},
	}
	var logs bytes.Buffer
	mux := testMux(&logs)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			method, target, _ := strings.Cut(test.request, " ")
			request := httptest.NewRequest(method, "http://hs"+target, strings.NewReader(test.body))
			if test.token != "" {
				request.Header.Set("Authorization", "Bearer "+test.token)
			}
			recorder := httptest.NewRecorder()
			mux.ServeHTTP(recorder, request)
			if recorder.Code != test.status {
				t.Errorf("got status %d, want %d", recorder.Code, test.status)
			}
			start, partial := strings.CutSuffix(test.want, "…")
			got := recorder.Body.String()
			if got != test.want && !(partial && strings.HasPrefix(got, start)) {
				t.Errorf("got body %s, want %s", got, test.want)
			}
			if strings.Contains(got, "secret") {
				t.Errorf("the body tells the real error: %s", got)
			}
			checkHeader(t, recorder.Header())
		})
	}
	for _, secret := range []string{"alice\"", "@bob:hs", "mallory", "access_token", "tomorrow"} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the log has %q in it", secret)
		}
	}
}

func checkHeader(t *testing.T, header http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":  "*",
		"Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS, PATCH",
		"Access-Control-Allow-Headers": "X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match",
		"Location":                     "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("got %s: %q, want %q", name, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	tests := []struct{ name, method, path, header, want string }{
		{"JSON", "GET", "/public", "Content-Type", "application/json"},
		{"error", "GET", "/nothing", "Content-Type", "application/json"},
		{"no sniffing header left over", "GET", "/nothing", "X-Content-Type-Options", ""},
		{"allowed methods", "PUT", "/echo", "Allow", "POST, OPTIONS"},
		{"allowed methods of a path in two rows", "PUT", "/v3/profile/@a/displayname", "Allow", "DELETE, GET, HEAD, OPTIONS"},
		{"retry after", "GET", "/fails/limit", "Retry-After", "2"},
		{"own header", "PATCH", "/created", "X-Made", "yes"},
	}
	mux := testMux(io.Discard)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			mux.ServeHTTP(recorder, httptest.NewRequest(test.method, test.path, nil))
			if got := recorder.Header().Get(test.header); got != test.want {
				t.Errorf("got %s: %q, want %q", test.header, got, test.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	mux := testMux(io.Discard)
	for _, path := range []string{"/user", "/nothing", "/panics", "//"} {
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, httptest.NewRequest("OPTIONS", path, nil))
		if recorder.Code != http.StatusNoContent || recorder.Body.Len() != 0 {
			t.Errorf("OPTIONS %s: got %d %q, want 204 and nothing", path, recorder.Code, recorder.Body)
		}
		checkHeader(t, recorder.Header())
	}
}

func TestQueryTokens(t *testing.T) {
	mux := NewMux(testRoutes(), Options{Identifier: people, QueryTokens: true})
	tests := []struct {
		name, header, query string
		status              int
	}{
		{"query", "", "?access_token=alice", 200},
		{"header wins", "Bearer mallory", "?access_token=alice", 401},
		{"scheme in small letters", "bearer alice", "", 200},
		{"another scheme", "Basic alice", "", 401},
		{"neither", "", "", 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := httptest.NewRequest("GET", "/user"+test.query, nil)
			if test.header != "" {
				request.Header.Set("Authorization", test.header)
			}
			recorder := httptest.NewRecorder()
			mux.ServeHTTP(recorder, request)
			if recorder.Code != test.status {
				t.Errorf("got status %d, want %d", recorder.Code, test.status)
			}
		})
	}
}

func TestLogs(t *testing.T) {
	var logs bytes.Buffer
	mux := testMux(&logs)
	get := func(path, token string) map[string]any {
		t.Helper()
		logs.Reset()
		request := httptest.NewRequest("GET", path, nil)
		request.Header.Set("Authorization", "Bearer "+token)
		mux.ServeHTTP(httptest.NewRecorder(), request)
		var line map[string]any
		if err := json.NewDecoder(&logs).Decode(&line); err != nil {
			t.Fatal(err)
		}
		return line
	}
	line := get("/user?since=hidden", "alice")
	for key, want := range map[string]any{
		"level": "debug", "method": "GET", "route": "GET /user", "status": 200.0, "user_id": "@alice:hs",
	} {
		if line[key] != want {
			t.Errorf("got %s %v, want %v", key, line[key], want)
		}
	}
	if line["request_id"] == nil || line["duration"] == nil {
		t.Errorf("request_id or duration is missing: %v", line)
	}
	if line := get("/fails/plain", ""); line["error"] != "open store: secret path" || line["level"] != "error" {
		t.Errorf("got %v, want the real error", line)
	}
	if n := strings.Count(logs.String(), "secret path"); n != 0 {
		t.Errorf("the error was logged %d more times", n)
	}
	if line := get("/panics", ""); line["panic"] != "secret" || !strings.Contains(fmt.Sprint(line["stack"]), "mux_test.go") {
		t.Errorf("got %v, want the panic and its stack", line)
	}
}

func TestRequestQuery(t *testing.T) {
	r := &Request{Request: httptest.NewRequest("GET", "/?a=1&b=true&c=x&d=&e=%00&f=1&f=2&n=-3&bad=%zz", nil)}
	if n, err := r.QueryInt("a", 7); n != 1 || err != nil {
		t.Errorf("got %d %v, want 1", n, err)
	}
	if n, err := r.QueryInt("absent", 7); n != 7 || err != nil {
		t.Errorf("got %d %v, want 7", n, err)
	}
	for _, name := range []string{"c", "n"} {
		if _, err := r.QueryInt(name, 0); !errors.Is(err, mautrix.MInvalidParam) {
			t.Errorf("%s: got %v, want M_INVALID_PARAM", name, err)
		}
	}
	if b, err := r.QueryBool("b", false); !b || err != nil {
		t.Errorf("got %v %v, want true", b, err)
	}
	if _, err := r.QueryBool("a", false); !errors.Is(err, mautrix.MInvalidParam) {
		t.Errorf("got %v, want M_INVALID_PARAM", err)
	}
	if got := len(r.QueryAll("f")); got != 2 {
		t.Errorf("got %d values of f, want 2", got)
	}
	if !r.HasQuery("d") || r.HasQuery("e") || r.HasQuery("absent") || r.HasQuery("bad") {
		t.Error("want d, and neither e, bad nor absent")
	}
}

func TestTableFaults(t *testing.T) {
	endpoint := JSON(whoami)
	tests := map[string][]Route{
		"same row twice":     {{"GET", "/a", Public, endpoint}, {"GET", "/a", Public, endpoint}},
		"no endpoint":        {{Method: "GET", Path: "/a"}},
		"bad pattern":        {{"GET", "/{a", Public, endpoint}},
		"unclosed parens":    {{"GET", "/(a|b", Public, endpoint}},
		"conflicting params": {{"GET", "/{a}/b", Public, endpoint}, {"GET", "/a/{b}", Public, endpoint}},
	}
	for name, routes := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("want a panic")
				}
			}()
			NewMux(routes, Options{})
		})
	}
}
