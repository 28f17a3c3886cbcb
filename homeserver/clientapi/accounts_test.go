package clientapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"causeway/homeserver/account"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/notify"
	"causeway/homeserver/push"
	"causeway/homeserver/room"
	"causeway/homeserver/storetest"
	"causeway/homeserver/usersync"
	"causeway/registration"
)

// accountServer is the client-server API with the account of alice, whose token is "ALICE" in requests.
type accountServer struct {
	t      *testing.T
	mux    http.Handler
	tokens *strings.Replacer
}

// newAccountServer serves the routes that it is given of the API.
func newAccountServer(t *testing.T, routes func(*API) []httpapi.Route, limits map[httpapi.Class]httpapi.Limit) *accountServer {
	t.Helper()
	ctx := context.Background()
	db, bus := storetest.New(t), new(notify.Local)
	set, err := registration.NewSet(&registration.Registration{
		ID: "irc", ASToken: "irc-as-token", HSToken: "irc-hs-token", SenderLocalpart: "ircbot",
		Namespaces: registration.Namespaces{Users: []registration.Namespace{{Regex: "@irc_.*:test", Exclusive: true}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(account.Config{ServerName: "test", OpenRegistration: true}, db, bus, func() *registration.Set { return set })
	if _, err := accounts.CreateUser(ctx, "alice", "secret", false); err != nil {
		t.Fatal(err)
	}
	login, err := accounts.Login(ctx, account.LoginRequest{Type: "m.login.password", User: "alice", Password: "secret", DeviceID: "PHONE"})
	if err != nil {
		t.Fatal(err)
	}
	pushes := push.New(push.Config{DB: db, Bus: bus})
	api := &API{Services{
		ServerName: "test", PublicURL: "https://matrix.test/", Accounts: accounts, Push: pushes,
		Rooms: room.New(room.Config{ServerName: "test", DB: db, Bus: bus}),
		Sync:  usersync.New(usersync.Config{DB: db, Bus: bus, Push: pushes}),
	}}
	return &accountServer{
		t: t, tokens: strings.NewReplacer("ALICE", login.AccessToken, "IRC", "irc-as-token"),
		mux: httpapi.NewMux(routes(api), httpapi.Options{Identifier: Identifier(accounts), Limits: limits}),
	}
}

// do sends "METHOD /path token" with a body, and returns the status and the answer.
func (s *accountServer) do(request, body string) (int, string) {
	s.t.Helper()
	method, rest, _ := strings.Cut(request, " ")
	path, token, _ := strings.Cut(rest, " ")
	r := httptest.NewRequest(method, "/_matrix/client"+path, strings.NewReader(body))
	if path, ok := strings.CutPrefix(path, "//"); ok {
		r = httptest.NewRequest(method, "/"+path, nil)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+s.tokens.Replace(token))
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const (
	flows        = `{"flows":\[{"stages":\["m.login.dummy"\]}\],"params":{},"session":"[a-z]{24}"}`
	passwordFlow = `{"flows":\[{"stages":\["m.login.password"\]}\],"params":{},"session":"[a-z]{24}"}`
	session      = `"access_token":"[\w-]+","device_id":"[A-Z]{10}","home_server":"test"}`
)

// TestAccountEndpoints runs the steps in order. The answers are regular expressions.
func TestAccountEndpoints(t *testing.T) {
	steps := []struct {
		name, request, body string
		status              int
		want                string
	}{
		{"versions", "GET /versions", "", 200, `{"versions":\["r0.6.1","v1.1",.*"v1.19"\],"unstable_features":{.*"fi.mau.msc2659.stable":true.*}}`},
		{"versions with an old token", "GET /versions x", "", 200, `{"versions".*`},
		{"well-known", "GET //.well-known/matrix/client", "", 200, `{"m.homeserver":{"base_url":"https://matrix.test"}}`},
		{"capabilities", "GET /v3/capabilities ALICE", "", 200, `{"capabilities":{"m.change_password":{"enabled":true},"m.room_versions":{"default":"12","available":{.*"11":"stable","12":"stable".*}},"m.set_displayname":{"enabled":true},"m.set_avatar_url":{"enabled":true},"m.profile_fields":{"enabled":true},"m.3pid_changes":{"enabled":false},"m.get_login_token":{"enabled":true},"m.delayed_events":{"max_delay_ms":86400000,"max_scheduled":100},"org.matrix.msc4140.delayed_events":{"max_delay_ms":86400000,"max_scheduled":100}}}`},
		{"capabilities without a token", "GET /v3/capabilities", "", 401, `{"errcode":"M_MISSING_TOKEN".*`},

		{"login flows", "GET /v3/login", "", 200, `{"flows":\[{"type":"m.login.password"},{"type":"m.login.token","get_login_token":true},{"type":"m.login.application_service"}\]}`},
		{"login", "POST /v3/login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"secret"}`, 200, `{"user_id":"@alice:test",` + session},
		{"login on r0", "POST /r0/login", `{"type":"m.login.password","user":"alice","password":"secret"}`, 200, `{"user_id":"@alice:test",` + session},
		{"login with an old token", "POST /v3/login x", `{"type":"m.login.password","user":"alice","password":"secret"}`, 200, `{"user_id":.*`},
		{"wrong password", "POST /v3/login", `{"type":"m.login.password","user":"alice","password":"x"}`, 403, `{"errcode":"M_FORBIDDEN".*`},
		{"login of another type", "POST /v3/login", `{"type":"m.login.sso"}`, 400, `{"errcode":"M_UNKNOWN","error":"Bad login type."}`},
		{"login without JSON", "POST /v3/login", `x`, 400, `{"errcode":"M_NOT_JSON".*`},
		{"login with a number", "POST /v3/login", `{"type":1}`, 400, `{"errcode":"M_BAD_JSON".*`},
		{"whoami", "GET /v3/account/whoami ALICE", "", 200, `{"user_id":"@alice:test","device_id":"PHONE","is_guest":false}`},
		{"whoami of nobody", "GET /v3/account/whoami x", "", 401, `{"errcode":"M_UNKNOWN_TOKEN".*`},
		{"whoami of a service", "GET /v3/account/whoami IRC", "", 200, `{"user_id":"@ircbot:test","is_guest":false}`},
		{"whoami of no ghost yet", "GET /v3/account/whoami?user_id=@irc_x:test IRC", "", 403, `{"errcode":"M_FORBIDDEN","error":"Application service has not registered this user"}`},

		{"available", "GET /v3/register/available?username=bob", "", 200, `{"available":true}`},
		{"not available", "GET /v3/register/available?username=alice", "", 400, `{"errcode":"M_USER_IN_USE".*`},
		{"available?", "GET /v3/register/available", "", 400, `{"errcode":"M_MISSING_PARAM".*`},
		{"reserved", "GET /v3/register/available?username=irc_x", "", 400, `{"errcode":"M_EXCLUSIVE".*`},
		{"register, which flows", "POST /v3/register", `{}`, 401, flows},
		{"register, wrong stage", "POST /v3/register", `{"auth":{"type":"m.login.registration_token","token":"x"}}`, 401, `{"errcode":"M_FORBIDDEN","error":".*","flows":.*}`},
		{"register", "POST /v3/register", `{"username":"bob","password":"x","auth":{"type":"m.login.dummy"}}`, 200, `{"user_id":"@bob:test",` + session},
		{"register a guest", "POST /v3/register?kind=guest", `{}`, 403, `{"errcode":"M_GUEST_ACCESS_FORBIDDEN".*`},
		{"register a ghost", "POST /v3/register IRC", `{"type":"m.login.application_service","username":"irc_x","inhibit_login":true}`, 200, `{"user_id":"@irc_x:test","home_server":"test"}`},
		{"register a ghost again", "POST /v3/register IRC", `{"type":"m.login.application_service","username":"irc_x","inhibit_login":true}`, 400, `{"errcode":"M_USER_IN_USE".*`},
		{"register a ghost as a person", "POST /v3/register", `{"type":"m.login.application_service","username":"irc_y"}`, 401, `{"errcode":"M_MISSING_TOKEN".*`},
		{"token validity", "GET /v1/register/m.login.registration_token/validity?token=x", "", 200, `{"valid":false}`},
		{"token validity?", "GET /v1/register/m.login.registration_token/validity", "", 400, `{"errcode":"M_MISSING_PARAM".*`},
		{"whoami of a ghost", "GET /v3/account/whoami?user_id=@irc_x:test IRC", "", 200, `{"user_id":"@irc_x:test","is_guest":false}`},

		{"name", "PUT /v3/profile/@alice:test/displayname ALICE", `{"displayname":"Alice"}`, 200, `{}`},
		{"profile", "GET /v3/profile/@alice:test", "", 200, `{"displayname":"Alice"}`},
		{"avatar", "PUT /v3/profile/@alice:test/avatar_url ALICE", `{"avatar_url":"mxc://test/a"}`, 200, `{}`},
		{"avatar alone", "GET /v3/profile/@alice:test/avatar_url", "", 200, `{"avatar_url":"mxc://test/a"}`},
		{"whole profile", "GET /v3/profile/@alice:test", "", 200, `{"avatar_url":"mxc://test/a","displayname":"Alice"}`},
		{"no name", "DELETE /v3/profile/@alice:test/displayname ALICE", "", 200, `{}`},
		{"no name now", "GET /v3/profile/@alice:test/displayname", "", 404, `{"errcode":"M_NOT_FOUND".*`},
		{"no avatar", "PUT /v3/profile/@alice:test/avatar_url ALICE", `{"avatar_url":null}`, 200, `{}`},
		{"nothing now", "GET /v3/profile/@alice:test", "", 200, `{}`},
		{"another's name", "PUT /v3/profile/@bob:test/displayname ALICE", `{"displayname":"x"}`, 403, `{"errcode":"M_FORBIDDEN".*`},
		{"a ghost's name", "PUT /v3/profile/@irc_x:test/displayname?user_id=@irc_x:test IRC", `{"displayname":"x"}`, 200, `{}`},
		{"other field", "PUT /v3/profile/@alice:test/m.tz ALICE", `{"m.tz":"x"}`, 200, `{}`},
		{"other field's value", "GET /v3/profile/@alice:test/m.tz", "", 200, `{"m.tz":"x"}`},
		{"name missing", "PUT /v3/profile/@alice:test/displayname ALICE", `{}`, 400, `{"errcode":"M_MISSING_PARAM".*`},
		{"name is a number", "PUT /v3/profile/@alice:test/displayname ALICE", `{"displayname":1}`, 400, `{"errcode":"M_BAD_JSON".*`},
		{"unknown user", "GET /v3/profile/@nobody:test", "", 404, `{"errcode":"M_NOT_FOUND".*`},
		{"no user", "GET /v3/profile/x", "", 400, `{"errcode":"M_INVALID_PARAM".*`},

		{"account data", "PUT /v3/user/@alice:test/account_data/m.direct ALICE", `{"a":1}`, 200, `{}`},
		{"account data back", "GET /v3/user/@alice:test/account_data/m.direct ALICE", "", 200, `{"a":1}`},
		{"no account data", "GET /v3/user/@alice:test/account_data/x ALICE", "", 404, `{"errcode":"M_NOT_FOUND".*`},
		{"another's account data", "GET /v3/user/@bob:test/account_data/x ALICE", "", 403, `{"errcode":"M_FORBIDDEN".*`},
		{"account data that is none", "PUT /v3/user/@alice:test/account_data/x ALICE", `[]`, 400, `{"errcode":"M_BAD_JSON".*`},
		{"push rules as account data", "PUT /v3/user/@alice:test/account_data/m.push_rules ALICE", `{}`, 405, `{"errcode":"M_BAD_JSON","error":"Cannot set m.push_rules through this API."}`},
		{"push rules among account data", "GET /v3/user/@alice:test/account_data/m.push_rules ALICE", "", 200, `{"global":{"override":\[{"rule_id":".m.rule.master".*`},
		{"fully read", "PUT /v3/user/@alice:test/rooms/!r/account_data/m.fully_read ALICE", `{}`, 405, `{"errcode":"M_BAD_JSON".*`},
		{"no such room", "PUT /v3/user/@alice:test/rooms/!r/account_data/m.tag ALICE", `{}`, 404, `{"errcode":"M_NOT_FOUND".*`},
		{"no room id", "GET /v3/user/@alice:test/rooms/r/account_data/m.tag ALICE", "", 400, `{"errcode":"M_INVALID_PARAM".*`},

		{"filter", "POST /v3/user/@alice:test/filter ALICE", `{"room":{"timeline":{"limit":1}}}`, 200, `{"filter_id":"1"}`},
		{"filter again", "POST /v3/user/@alice:test/filter ALICE", `{ "room": {"timeline":{"limit":1}}}`, 200, `{"filter_id":"1"}`},
		{"filter back", "GET /v3/user/@alice:test/filter/1 ALICE", "", 200, `{"room":{"timeline":{"limit":1}}}`},
		{"no filter", "GET /v3/user/@alice:test/filter/2 ALICE", "", 404, `{"errcode":"M_NOT_FOUND".*`},
		{"another's filter", "GET /v3/user/@bob:test/filter/1 ALICE", "", 403, `{"errcode":"M_FORBIDDEN".*`},
		{"bad filter", "POST /v3/user/@alice:test/filter ALICE", `{"room":1}`, 400, `{"errcode":"M_BAD_JSON".*`},

		{"push rules", "GET /v3/pushrules/ ALICE", "", 200, `{"global":{"override":.*`},
		{"push rules without the slash", "GET /v3/pushrules ALICE", "", 200, `{"global":{"override":.*`},
		{"global push rules", "GET /v3/pushrules/global/ ALICE", "", 200, `{"override":.*,"content":\[\],"room":\[\],"sender":\[\],"underride":.*`},
		{"push rule", "PUT /v3/pushrules/global/content/cake ALICE", `{"actions":["notify"],"pattern":"cake*"}`, 200, `{}`},
		{"push rule back", "GET /v3/pushrules/global/content/cake ALICE", "", 200, `{"rule_id":"cake","default":false,"enabled":true,"pattern":"cake\*","actions":\["notify"\]}`},
		{"push rule of a room", "PUT /v3/pushrules/global/room/%21r%3Atest ALICE", `{"actions":[]}`, 200, `{}`},
		{"push rule of a kind there is not", "GET /v3/pushrules/global/postcontent/.x ALICE", "", 404, `{"errcode":"M_NOT_FOUND".*`},
		{"push rule of a kind there is not off", "PUT /v3/pushrules/global/postcontent/.x/enabled ALICE", `{"enabled":false}`, 404, `{"errcode":"M_NOT_FOUND".*`},
		{"new push rule of a kind there is not", "PUT /v3/pushrules/global/postcontent/x ALICE", `{"actions":[]}`, 400, `{"errcode":"M_INVALID_PARAM".*`},
		{"push rule with a slash", "PUT /v3/pushrules/global/room/a%2Fb ALICE", `{"actions":[]}`, 400, `{"errcode":"M_INVALID_PARAM".*`},
		{"push rule of the server", "PUT /v3/pushrules/global/content/.x ALICE", `{"actions":[],"pattern":"x"}`, 400, `{"errcode":"M_INVALID_PARAM".*`},
		{"push rule nowhere", "PUT /v3/pushrules/global/content/x?before=y ALICE", `{"actions":[],"pattern":"x"}`, 400, `{"errcode":"M_UNKNOWN","error":"before/after rule not found: y"}`},
		{"push rule off", "PUT /v3/pushrules/global/content/cake/enabled ALICE", `{"enabled":false}`, 200, `{}`},
		{"push rule off?", "GET /v3/pushrules/global/content/cake/enabled ALICE", "", 200, `{"enabled":false}`},
		{"push rule enabled?", "PUT /v3/pushrules/global/content/cake/enabled ALICE", `{}`, 400, `{"errcode":"M_MISSING_PARAM".*`},
		{"actions", "PUT /v3/pushrules/global/override/.m.rule.master/actions ALICE", `{"actions":["notify",{"set_tweak":"highlight"}]}`, 200, `{}`},
		{"actions back", "GET /v3/pushrules/global/override/.m.rule.master/actions ALICE", "", 200, `{"actions":\["notify",{"set_tweak":"highlight"}\]}`},
		{"delete", "DELETE /v3/pushrules/global/content/cake ALICE", "", 200, `{}`},
		{"delete again", "DELETE /v3/pushrules/global/content/cake ALICE", "", 404, `{"errcode":"M_NOT_FOUND".*`},
		{"gone", "GET /v3/pushrules/global/content/cake/enabled ALICE", "", 404, `{"errcode":"M_NOT_FOUND".*`},

		{"password without a token", "POST /v3/account/password", `{"new_password":"x"}`, 401, `{"errcode":"M_MISSING_TOKEN".*`},
		{"password, which flows", "POST /v3/account/password ALICE", `{"new_password":"x"}`, 401, passwordFlow},
		{"password", "POST /v3/account/password ALICE", `{"new_password":"new","auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"secret"}}`, 200, `{}`},
		{"logout of a service", "POST /v3/logout IRC", `{}`, 403, `{"errcode":"M_FORBIDDEN".*`},
		{"logout", "POST /v3/logout ALICE", ``, 200, `{}`},
		{"logged out", "GET /v3/account/whoami ALICE", "", 401, `{"errcode":"M_UNKNOWN_TOKEN".*`},
	}
	s := newAccountServer(t, (*API).Routes, nil)
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			status, got := s.do(step.request, step.body)
			if status != step.status || !regexp.MustCompile(`\A`+step.want+`\z`).MatchString(got) {
				t.Errorf("%s %s\n got %d %s\nwant %d %s", step.request, step.body, status, got, step.status, step.want)
			}
		})
	}
}

// TestLoginsAreLimited: strangers are, but not an application service that has ghosts to make.
func TestLoginsAreLimited(t *testing.T) {
	routes := func(a *API) []httpapi.Route {
		return []httpapi.Route{
			{Method: "POST", Path: "/_matrix/client/v3/login", Access: httpapi.Public, Endpoint: httpapi.JSON(a.login)},
			{Method: "POST", Path: "/_matrix/client/v3/register", Access: httpapi.Public, Endpoint: httpapi.JSON(a.register)},
		}
	}
	s := newAccountServer(t, routes, map[httpapi.Class]httpapi.Limit{
		httpapi.ClassLogin: {PerSecond: 0.001, Burst: 2}, httpapi.ClassRegister: {PerSecond: 0.001, Burst: 2},
	})
	for i, want := range []int{403, 403, 429} {
		if got, body := s.do("POST /v3/login", `{"type":"m.login.password","user":"alice","password":"x"}`); got != want {
			t.Errorf("login %d: got %d %s, want %d", i, got, body, want)
		}
	}
	for i, want := range []int{401, 401, 429} {
		if got, body := s.do("POST /v3/register", `{"auth":{"type":"x"}}`); got != want {
			t.Errorf("registration %d: got %d %s, want %d", i, got, body, want)
		}
	}
	if got, body := s.do("POST /v3/register", `{}`); got != 401 {
		t.Errorf("flows: got %d %s, want 401", got, body)
	}
	for i := range 5 {
		ghost, _ := json.Marshal(map[string]any{"type": "m.login.application_service", "username": "irc_" + string(rune('a'+i))})
		if got, body := s.do("POST /v3/register IRC", string(ghost)); got != 200 {
			t.Errorf("ghost %d: got %d %s, want 200", i, got, body)
		}
	}
}
