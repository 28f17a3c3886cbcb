package bridges_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/bridges/bridgetest"
	"causeway/bridges/bridgetest/telegraph"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
)

// provisioned is a homeserver whose users sign in to the telegraph.
type provisioned struct {
	*house
	t *testing.T
}

// eachProvisioned runs a test on both databases.
func eachProvisioned(t *testing.T, test func(p *provisioned)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		test(&provisioned{newHouse(t, db, func(h *house) {
			user, block := bridgeconfig.PermissionLevelUser, bridgeconfig.PermissionLevelRelay
			h.other = new(telegraph.Connector)
			h.users = bridgeconfig.PermissionConfig{testserver.Name: &user, "@carol:" + testserver.Name: &block}
		}), t})
	})
}

const apiPath = "/_causeway/bridges/loop/provision/v3"

// stepBody is what is looked at in answers.
type stepBody struct {
	LoginID string `json:"login_id"`
	Type    string `json:"type"`
	StepID  string `json:"step_id"`
	TxnID   string `json:"txn_id"`
	Input   struct {
		Fields []struct{ ID, Name string }
	} `json:"user_input"`
	Display  struct{ Type, Data string } `json:"display_and_wait"`
	Complete struct {
		UserLoginID string `json:"user_login_id"`
	}
	ErrCode string
	Error   string
	Field   string
}

// ask makes a request, and checks the status and, of an error, its code.
func (p *provisioned) ask(token, request, body string, status int, code string) stepBody {
	p.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	var in any
	if body != "" {
		in = body
	}
	a := p.hs.Do(method, apiPath+path, token, in)
	var out stepBody
	if err := json.Unmarshal(a.Body, &out); err != nil {
		p.t.Fatalf("%s: %d %s: %v", request, a.Status, a.Body, err)
	}
	if a.Status != status || out.ErrCode != code {
		p.t.Fatalf("%s: got %d %s, want %d %s", request, a.Status, a.Body, status, code)
	}
	return out
}

// take is the request for a step.
func (s stepBody) take() string {
	return fmt.Sprintf("POST /login/step/%s/%s/%s?txn_id=%s", s.LoginID, s.StepID, s.Type, s.TxnID)
}

// signIn signs a user in.
func (p *provisioned) signIn(token, name string) string {
	p.t.Helper()
	step := p.ask(token, "POST /login/start/key", "", 200, "")
	step = p.ask(token, step.take(), fmt.Sprintf(`{"name":%q,"key":"morse"}`, name), 200, "")
	if step.Type != "complete" {
		p.t.Fatalf("got %+v, want a login", step)
	}
	return step.Complete.UserLoginID
}

func TestProvisioningIsForUsers(t *testing.T) {
	eachProvisioned(t, func(p *provisioned) {
		alice, carol, guest := p.hs.Register("alice"), p.hs.Register("carol"), struct {
			Token string `json:"access_token"`
		}{}
		p.hs.OK("POST", "/_matrix/client/v3/register?kind=guest", "", "{}", &guest)
		for _, request := range []string{
			"GET /whoami", "GET /capabilities", "GET /login/flows", "POST /login/start/key", "GET /login/step/x", "POST /login/step/x/y/user_input",
			"POST /login/step/x/y/cancel", "POST /login/cancel/x", "POST /logout/x", "GET /logins", "GET /contacts", "POST /search_users",
			"GET /resolve_identifier/ada", "POST /create_dm/ada", "POST /create_group/x", "POST /backfill/x", "GET /image_pack/list",
			"GET /image_pack/import", "POST /image_pack/import", "POST /resolve_media/x",
			"GET /room_links", "POST /room_links/link", "POST /room_links/unlink",
		} {
			body := ""
			if strings.HasPrefix(request, "POST") {
				body = "{}"
			}
			p.ask("", request, body, 401, "M_MISSING_TOKEN")
			p.ask("stranger", request, body, 401, "M_UNKNOWN_TOKEN")
			p.ask(guest.Token, request, body, 403, "M_GUEST_ACCESS_FORBIDDEN")
			p.ask(carol.Token, request, body, 403, "M_FORBIDDEN")
			// Nobody becomes another by saying so.
			p.ask(carol.Token, request+"?user_id="+string(alice.ID), body, 403, "M_FORBIDDEN")
		}
		for _, path := range []string{"/v3/session_transfer/init", "/v3/nothing", "/../../x"} {
			if a := p.hs.Do("GET", "/_causeway/bridges/loop/provision"+path, alice.Token, nil); a.Status < 300 {
				t.Errorf("%s: got %d %s", path, a.Status, a.Body)
			}
		}
		// A network that has none.
		p.ask(alice.Token, "GET /room_links", "", 404, "M_UNRECOGNIZED")
		p.ask(alice.Token, "POST /room_links/link", `{"room":"!x"}`, 404, "M_UNRECOGNIZED")
		if a := p.hs.Do("GET", "/_causeway/bridges/other/provision/v3/whoami", alice.Token, nil); a.Status != 404 {
			t.Errorf("another bridge: got %d %s", a.Status, a.Body)
		}
		p.ask(p.bridge.Registration().ASToken, "GET /whoami", "", 403, "M_FORBIDDEN")
		if _, err := p.hs.Accounts.CreateUser(t.Context(), "root", "correct horse battery", true); err != nil {
			t.Fatal(err)
		}
		var root struct {
			Token string `json:"access_token"`
		}
		p.hs.OK("POST", "/_matrix/client/v3/login", "", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"root"},"password":"correct horse battery"}`, &root)
		p.hs.OK("PUT", "/_matrix/client/v1/admin/suspend/"+string(alice.ID), root.Token, `{"suspended":true}`, nil)
		p.ask(alice.Token, "GET /whoami", "", 403, "M_USER_SUSPENDED")
	})
}

func TestSignIn(t *testing.T) {
	eachProvisioned(t, func(p *provisioned) {
		alice := p.hs.Register("alice").Token
		p.ask(alice, "POST /login/start/nothing", "", 404, "M_NOT_FOUND")
		first := p.ask(alice, "POST /login/start/key", "", 200, "")
		if first.Type != "user_input" || first.StepID != "telegraph.key" || len(first.Input.Fields) != 3 || first.TxnID == "" {
			t.Fatalf("got %+v", first)
		}

		// What is wrong with a field does not end the login.
		for _, wrong := range []struct{ body, code, field string }{
			{`{"name":"Ada","key":"morse"}`, "M_INVALID_PARAM", "name"},
			{`{"name":"ada","key":"morse","office":"Rome"}`, "M_INVALID_PARAM", "office"},
			{`{"name":"ada","key":"` + strings.Repeat("x", 40000) + `"}`, "M_INVALID_PARAM", "key"},
			{`{"name":1}`, "M_NOT_JSON", ""}, {`[]`, "M_NOT_JSON", ""}, {``, "M_NOT_JSON", ""},
		} {
			if got := p.ask(alice, first.take(), wrong.body, 400, wrong.code); got.Field != wrong.field {
				t.Errorf("%.40s: got the field %q, want %q", wrong.body, got.Field, wrong.field)
			}
		}
		p.ask(alice, first.take(), `{"name":"`+strings.Repeat("x", 300000)+`"}`, 413, "M_TOO_LARGE")
		p.ask(alice, strings.Replace(first.take(), "user_input", "cookies", 1), `{}`, 400, "M_UNRECOGNIZED")
		p.ask(alice, strings.Replace(first.take(), "telegraph.key", "telegraph.code", 1), `{}`, 409, "M_BAD_STATE")

		second := p.ask(alice, first.take(), `{"name":"ada","key":"morse"}`, 200, "")
		if second.StepID != "telegraph.code" || second.LoginID != first.LoginID {
			t.Fatalf("got %+v", second)
		}
		// The answer was lost.
		if again := p.ask(alice, first.take(), `{"name":"ada","key":"morse"}`, 200, ""); again.TxnID != second.TxnID {
			t.Errorf("got %+v, want the same as before", again)
		}
		if now := p.ask(alice, "GET /login/step/"+first.LoginID, "", 200, ""); now.TxnID != second.TxnID {
			t.Errorf("got %+v, want the step that it is at", now)
		}
		p.ask(alice, second.take(), `{"code":"12"}`, 400, "M_INVALID_PARAM")

		// Back, and on again.
		back := p.ask(alice, fmt.Sprintf("POST /login/step/%s/%s/cancel?txn_id=%s", second.LoginID, second.StepID, second.TxnID), "", 200, "")
		if back.StepID != "telegraph.key" {
			t.Fatalf("got %+v", back)
		}
		p.ask(alice, fmt.Sprintf("POST /login/step/%s/%s/cancel", back.LoginID, back.StepID), "", 409, "M_BAD_STATE")
		second = p.ask(alice, back.take(), `{"name":"ada","key":"morse"}`, 200, "")
		done := p.ask(alice, second.take(), `{"code":"123456"}`, 200, "")
		if done.Type != "complete" || done.Complete.UserLoginID != "ada-@alice:test" {
			t.Fatalf("got %+v", done)
		}
		p.ask(alice, done.take(), "", 410, "FI.MAU.BRIDGE.LOGIN_ALREADY_FINISHED")
		p.ask(alice, "GET /login/step/"+first.LoginID, "", 200, "")

		// What the network refuses ends it, in words.
		for _, refused := range []struct {
			flow, body string
			status     int
			code, want string
		}{
			{"key", `{"name":"bob","key":"x"}`, 400, "M_UNKNOWN", "the key does not fit"},
			{"fault", `{"x":"x"}`, 500, "M_UNKNOWN", "The bridge has a fault in this way of signing in"},
			{"scan", `{"code":"x"}`, 400, "M_UNKNOWN", "nobody shows this code"},
		} {
			step := p.ask(alice, "POST /login/start/"+refused.flow, "", 200, "")
			got := p.ask(alice, step.take(), refused.body, refused.status, refused.code)
			if got.Error != refused.want {
				t.Errorf("%s: got %q, want %q", refused.flow, got.Error, refused.want)
			}
			p.ask(alice, step.take(), refused.body, refused.status, refused.code)
		}

		// Anew to the login that there is, under another name: the old one ends.
		p.ask(alice, "POST /login/start/key?login_id=other", "", 404, "M_NOT_FOUND")
		anew := p.ask(alice, "POST /login/start/key?login_id=ada-@alice:test", "", 200, "")
		p.ask(alice, anew.take(), `{"name":"bob","key":"morse"}`, 200, "")
		p.wantLogins(alice, "bob-@alice:test")
		p.ask(alice, "POST /logout/nothing", "{}", 404, "M_NOT_FOUND")
		p.ask(alice, "POST /logout/bob-@alice:test", "{}", 200, "")
		p.wantLogins(alice)
	})
}

// wantLogins compares the logins of a user.
func (p *provisioned) wantLogins(token string, want ...string) {
	p.t.Helper()
	var out struct {
		LoginIDs []string `json:"login_ids"`
	}
	p.hs.OK("GET", apiPath+"/logins", token, nil, &out)
	slices.Sort(out.LoginIDs)
	if fmt.Sprint(out.LoginIDs) != fmt.Sprint(want) {
		p.t.Errorf("got the logins %q, want %q", out.LoginIDs, want)
	}
}

func TestWhatIsDoneElsewhere(t *testing.T) {
	eachProvisioned(t, func(p *provisioned) {
		alice := p.hs.Register("alice").Token
		step := p.ask(alice, "POST /login/start/pair", "", 200, "")
		shown := p.ask(alice, step.take(), `{"kind":"qr"}`, 200, "")
		if shown.Type != "display_and_wait" || shown.Display.Type != "qr" || shown.Display.Data != "code-of-alice" {
			t.Fatalf("got %+v", shown)
		}
		// Back while somebody waits.
		waits := make(chan stepBody)
		go func() {
			a := p.hs.Do("POST", apiPath+strings.TrimPrefix(shown.take(), "POST "), alice, nil)
			var out stepBody
			_ = json.Unmarshal(a.Body, &out)
			waits <- out
		}()
		back := p.ask(alice, fmt.Sprintf("POST /login/step/%s/%s/cancel", shown.LoginID, shown.StepID), "", 200, "")
		if back.StepID != "telegraph.kind" {
			t.Errorf("got %+v", back)
		}
		if got := <-waits; got.StepID != "telegraph.show" && got.StepID != "telegraph.kind" && got.ErrCode != "M_BAD_STATE" {
			t.Errorf("who waited got %+v", got)
		}
		shown = p.ask(alice, back.take(), `{"kind":"code"}`, 200, "")
		go func() {
			a := p.hs.Do("POST", apiPath+strings.TrimPrefix(shown.take(), "POST "), alice, nil)
			var out stepBody
			_ = json.Unmarshal(a.Body, &out)
			waits <- out
		}()
		scan := p.ask(alice, "POST /login/start/scan", "", 200, "")
		p.ask(alice, scan.take(), `{"code":"code-of-alice"}`, 200, "")
		if got := <-waits; got.Type != "complete" || got.Complete.UserLoginID != "paired-@alice:test" {
			t.Errorf("got %+v", got)
		}

		cookies := p.ask(alice, "POST /login/start/cookies", "", 200, "")
		for body, field := range map[string]string{`{}`: "session", `{"session":"x"}`: "session"} {
			if got := p.ask(alice, cookies.take(), body, 400, "M_INVALID_PARAM"); got.Field != field {
				t.Errorf("%s: got the field %q", body, got.Field)
			}
		}
		p.ask(alice, cookies.take(), `{"session":"s1"}`, 200, "")
		passkey := p.ask(alice, "POST /login/start/passkey", "", 200, "")
		p.ask(alice, passkey.take(), `{`, 400, "M_NOT_JSON")
		p.ask(alice, passkey.take(), `{"id":"x"}`, 200, "")
	})
}

// TestLoginsOfOthers tries what mallory can do with what is alice's.
func TestLoginsOfOthers(t *testing.T) {
	eachProvisioned(t, func(p *provisioned) {
		alice, mallory := p.hs.Register("alice").Token, p.hs.Register("mallory").Token
		p.signIn(alice, "telegraphist")
		step := p.ask(alice, "POST /login/start/key", "", 200, "")
		for _, request := range []string{
			step.take(), "GET /login/step/" + step.LoginID, "POST /login/cancel/" + step.LoginID,
			fmt.Sprintf("POST /login/step/%s/%s/cancel", step.LoginID, step.StepID),
			"POST /logout/telegraphist-@alice:test", "POST /login/start/key?login_id=telegraphist-@alice:test",
			"GET /contacts?login_id=telegraphist-@alice:test", "GET /resolve_identifier/ada?login_id=telegraphist-@alice:test",
			"POST /create_dm/ada?login_id=telegraphist-@alice:test", "POST /search_users?login_id=telegraphist-@alice:test",
			"GET /image_pack/list?login_id=telegraphist-@alice:test",
		} {
			body := ""
			if strings.HasPrefix(request, "POST") {
				body = `{"name":"mallory","key":"morse"}`
			}
			p.ask(mallory, request, body, 404, "M_NOT_FOUND")
		}
		p.wantLogins(mallory)
		p.ask(alice, step.take(), `{"name":"second","key":"morse"}`, 200, "")
		p.wantLogins(alice, "second-@alice:test", "telegraphist-@alice:test")
	})
}

// TestTooManyLogins gives up the oldest login that is under way for one more.
func TestTooManyLogins(t *testing.T) {
	eachProvisioned(t, func(p *provisioned) {
		alice, bob := p.hs.Register("alice").Token, p.hs.Register("bob").Token
		others := p.ask(bob, "POST /login/start/key", "", 200, "")
		var all []stepBody
		for range 6 {
			all = append(all, p.ask(alice, "POST /login/start/key", "", 200, ""))
		}
		p.ask(alice, "GET /login/step/"+all[0].LoginID, "", 404, "M_NOT_FOUND")
		p.ask(alice, "GET /login/step/"+all[1].LoginID, "", 200, "")
		p.ask(bob, "GET /login/step/"+others.LoginID, "", 200, "")
		p.ask(alice, "POST /login/cancel/"+all[5].LoginID, "", 200, "")
		p.ask(alice, all[5].take(), `{}`, 404, "M_NOT_FOUND")
		p.restart()
		p.ask(alice, all[1].take(), `{}`, 404, "M_NOT_FOUND")
	})
}

func TestStartChats(t *testing.T) {
	eachProvisioned(t, func(p *provisioned) {
		alice := p.hs.Register("alice")
		p.ask(alice.Token, "GET /contacts", "", 400, "FI.MAU.NOT_LOGGED_IN")
		p.signIn(alice.Token, "telegraphist")
		var who struct {
			Network struct{ DisplayName string }
			Logins  []struct {
				Name  string
				State struct {
					StateEvent string `json:"state_event"`
				}
			}
			LoginFlows []struct{ ID string } `json:"login_flows"`
		}
		// The library tells of states on a goroutine of its own.
		for until := time.Now().Add(bridgetest.Patience); time.Now().Before(until); <-time.After(time.Millisecond) {
			p.hs.OK("GET", apiPath+"/whoami", alice.Token, nil, &who)
			if len(who.Logins) != 1 || who.Logins[0].State.StateEvent != "" {
				break
			}
		}
		if len(who.Logins) != 1 || who.Logins[0].State.StateEvent != "CONNECTED" || who.Network.DisplayName != "Telegraph" || len(who.LoginFlows) == 0 {
			t.Errorf("got %+v", who)
		}
		var can struct {
			ResolveIdentifier map[string]bool `json:"resolve_identifier"`
		}
		p.hs.OK("GET", apiPath+"/capabilities", alice.Token, nil, &can)
		if !can.ResolveIdentifier["create_dm"] || !can.ResolveIdentifier["contact_list"] {
			t.Errorf("got %+v", can)
		}
		var contacts struct {
			Contacts []struct{ ID, Name, MXID string }
		}
		p.hs.OK("GET", apiPath+"/contacts", alice.Token, nil, &contacts)
		if len(contacts.Contacts) != 3 || contacts.Contacts[0].MXID != "@loop_ada:test" {
			t.Errorf("got %+v", contacts)
		}
		p.ask(alice.Token, "GET /resolve_identifier/nobody", "", 404, "M_NOT_FOUND")
		if got := p.ask(alice.Token, "GET /resolve_identifier/strike", "", 400, "M_UNKNOWN"); got.Error != "the operators are on strike" {
			t.Errorf("got %+v", got)
		}
		p.ask(alice.Token, "GET /resolve_identifier/"+strings.Repeat("x", 1001), "", 400, "M_INVALID_PARAM")
		p.ask(alice.Token, "POST /search_users", `{"query":"x"}`, 404, "M_UNRECOGNIZED")
		p.ask(alice.Token, "POST /search_users", `{`, 400, "M_NOT_JSON")

		var first, second struct {
			Room string `json:"dm_room_mxid"`
			Name string
		}
		a := p.hs.Do("POST", apiPath+"/create_dm/a%2Fb", alice.Token, nil)
		if err := json.Unmarshal(a.Body, &first); err != nil || a.Status != http.StatusCreated || first.Room == "" || first.Name != "A/b" {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		p.hs.OK("POST", apiPath+"/create_dm/a%2Fb", alice.Token, nil, &second)
		if second.Room != first.Room {
			t.Errorf("got the room %s, want %s again", second.Room, first.Room)
		}
		p.hs.OK("POST", "/_matrix/client/v3/rooms/"+first.Room+"/join", alice.Token, "{}", &struct{}{})
	})
}

// TestBridgeIsAway asks a bridge that does not run.
func TestBridgeIsAway(t *testing.T) {
	eachProvisioned(t, func(p *provisioned) {
		alice := p.hs.Register("alice").Token
		p.stop()
		p.ask(alice, "GET /whoami", "", 503, "M_UNKNOWN")
		p.ask(alice, "POST /login/start/key", "", 503, "M_UNKNOWN")
		p.toApp.SetHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		p.ask(alice, "GET /whoami", "", 502, "M_UNKNOWN")
	})
}
