package testserver_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/account"
	"causeway/homeserver/testserver"
)

const sharedSecret = "a secret that is shared"

// secretBody is the body of a registration by the shared secret, signed with one.
func (s *script) secretBody(secret, user, admin string, change ...string) string {
	nonce := s.text("nobody GET /_synapse/admin/v1/register", "", "nonce")
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(strings.Join([]string{nonce, user, "pass", map[string]string{"true": "admin", "false": "notadmin"}[admin]}, "\x00")))
	body := `{"nonce":"` + nonce + `","username":"` + user + `","password":"pass","admin":` + admin + `,"mac":"` + hex.EncodeToString(mac.Sum(nil)) + `"}`
	return strings.NewReplacer(change...).Replace(body)
}

// TestSharedSecret makes accounts as Synapse's register_new_matrix_user does.
func TestSharedSecret(t *testing.T) {
	const post = "nobody POST /_synapse/admin/v1/register"
	each(t, "", func(s *script) {
		right := s.secretBody(sharedSecret, "root", "true")
		s.run([]step{
			{name: "an administrator", request: post, body: right, status: 200, want: "user_id=@root:test home_server=test device_id:string access_token:string", keep: "token root=access_token"},
			{name: "who is one", request: "root GET /_matrix/client/v1/admin/lock/@root:test", status: 200, want: "locked=false"},
			{name: "the same once more", request: post, body: right, status: 400, want: "M_UNKNOWN"},
			{name: "a user", request: post, body: s.secretBody(sharedSecret, "user", "false"), status: 200, want: "user_id=@user:test", keep: "token user=access_token"},
			{name: "who is none", request: "user GET /_matrix/client/v1/admin/lock/@root:test", status: 403, want: "M_FORBIDDEN"},
			{name: "the same name", request: post, body: s.secretBody(sharedSecret, "user", "false"), status: 400, want: "M_USER_IN_USE"},
			{name: "the wrong secret", request: post, body: s.secretBody("another secret", "x", "false"), status: 403, want: "M_UNKNOWN"},
			{name: "an administrator, after it was signed", request: post, body: s.secretBody(sharedSecret, "x", "false", `"admin":false`, `"admin":true`), status: 403, want: "M_UNKNOWN"},
			{name: "another name, after it was signed", request: post, body: s.secretBody(sharedSecret, "x", "false", `"username":"x"`, `"username":"y"`), status: 403, want: "M_UNKNOWN"},
			{name: "a NUL that moves the bounds", request: post, body: s.secretBody(sharedSecret, "x", "false", `"username":"x"`, `"username":"x\u0000y"`), status: 400, want: "M_INVALID_PARAM"},
			{name: "no nonce of ours", request: post, body: s.secretBody(sharedSecret, "x", "false", `"nonce":"`, `"nonce":"x`), status: 400, want: "M_UNKNOWN"},
			{name: "no MAC", request: post, body: s.secretBody(sharedSecret, "x", "false", `"mac":"`, `"mac":"x`), status: 403, want: "M_UNKNOWN"},
			{name: "more of a name than can be shown", request: post, body: s.secretBody(sharedSecret, "shown", "false", `"mac":"`, `"displayname":"`+strings.Repeat("x", 300)+`","mac":"`), status: 400, want: "M_INVALID_PARAM"},
			{name: "makes no account", request: "nobody GET /register/available?username=shown", status: 200, want: "available=true"},
			{name: "no name", request: post, body: s.secretBody(sharedSecret, "Not A Name", "false"), status: 400, want: "M_INVALID_USERNAME"},
		})
	}, func(c *homeserver.Config) { c.Rules.SharedSecret = sharedSecret; c.OpenRegistration = false })
	each(t, "", func(s *script) {
		s.run([]step{
			{name: "off: nonce", request: "nobody GET /_synapse/admin/v1/register", status: 400, want: "M_UNKNOWN"},
			{name: "off: register", request: post, body: `{"nonce":"x","username":"x","password":"x","mac":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}`, status: 400, want: "M_UNKNOWN"},
		})
	})
}

// captchaServer is a service that judges captchas: those are solved whose response is "solved".
func captchaServer(t *testing.T) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.FormValue("secret") != "private" || r.FormValue("remoteip") != "192.0.2.1" {
			t.Errorf("asked by %s with %v", r.Method, r.Form)
		}
		switch r.FormValue("response") {
		case "broken":
			http.Error(w, "no", http.StatusInternalServerError)
		case "elsewhere":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"success": r.FormValue("response") == "solved"})
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func withStages(t *testing.T) func(*homeserver.Config) {
	server := captchaServer(t)
	return func(c *homeserver.Config) {
		c.Rules = account.DefaultRegistration()
		c.Rules.Captcha = account.CaptchaConfig{PublicKey: "public", PrivateKey: "private", VerifyURL: server.URL, ScriptURL: "https://captcha.example/api.js"}
		c.Rules.Terms = map[string]account.Policy{
			"privacy": {Version: "2", Languages: map[string]account.Document{"en": {Name: "Privacy", URL: "https://example.org/p"}, "de": {Name: "Datenschutz", URL: "https://example.org/d"}}},
			"terms":   {Version: "1", Languages: map[string]account.Document{"fr": {Name: "Conditions", URL: "https://example.org/c"}}},
		}
		c.Rules.Usernames = account.UsernameRules{Reserved: []string{"Admin"}, Pattern: "[a-z]+", MinLength: 3}
		if err := c.Rules.Validate(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStages registers with a captcha and terms, and under names of all kinds. Client-Server API, "Google ReCaptcha" and "Terms of service at
// registration".
func TestStages(t *testing.T) {
	each(t, "", func(s *script) {
		const post = "nobody POST /register"
		body := func(auth string) string { return `{"username":"alice","password":"long enough","auth":{` + auth + `}}` }
		s.run([]step{
			{name: "a short password", request: post, body: `{"username":"alice","password":"ärgern!"}`, status: 400, want: "errcode=M_WEAK_PASSWORD flows:absent"},
		})
		a := s.ask(post, `{"username":"alice","password":"long enough"}`)
		s.words["session"] = textAt(t, decode(t, a.Body), "session")
		s.must("the question", decode(t, a.Body), `flows/0/stages/0=m.login.recaptcha flows/0/stages/1=m.login.terms flows/1:absent params/m.login.recaptcha/public_key=public
			params/m.login.terms/policies/privacy/version=2 params/m.login.terms/policies/privacy/en/name=Privacy params/m.login.terms/policies/privacy/de/url=https://example.org/d
			params/m.login.terms/policies/terms/fr/name=Conditions`)
		s.run([]step{
			{name: "terms first", request: post, body: body(`"type":"m.login.terms","session":"<session>"`), status: 401, want: "errcode=M_FORBIDDEN completed:absent"},
			{name: "no response", request: post, body: body(`"type":"m.login.recaptcha","session":"<session>"`), status: 401, want: "errcode=M_CAPTCHA_NEEDED"},
			{name: "not solved", request: post, body: body(`"type":"m.login.recaptcha","response":"x","session":"<session>"`), status: 401, want: "errcode=M_CAPTCHA_INVALID"},
			{name: "too long", request: post, body: body(`"type":"m.login.recaptcha","response":"` + strings.Repeat("x", 20_000) + `","session":"<session>"`), status: 401, want: "errcode=M_CAPTCHA_INVALID"},
			{name: "solved", request: post, body: body(`"type":"m.login.recaptcha","response":"solved","session":"<session>"`), status: 401, want: "errcode:absent completed/0=m.login.recaptcha completed/1:absent"},
			{name: "another session", request: post, body: body(`"type":"m.login.terms"`), status: 401, want: "errcode=M_FORBIDDEN completed:absent"},
			{name: "accepted", request: post, body: body(`"type":"m.login.terms","session":"<session>"`), status: 200, want: "user_id=@alice:test access_token:string"},
			{name: "the session has served", request: post, body: strings.Replace(body(`"session":"<session>"`), "alice", "another", 1), status: 401, want: "completed:absent"},

			{name: "reserved", request: "nobody GET /register/available?username=admin", status: 400, want: "M_INVALID_USERNAME"},
			{name: "reserved, in other letters", request: post, body: `{"username":"ADMIN"}`, status: 400, want: "M_INVALID_USERNAME"},
			{name: "too short", request: "nobody GET /register/available?username=al", status: 400, want: "M_INVALID_USERNAME"},
			{name: "of another form", request: "nobody GET /register/available?username=alice2", status: 400, want: "M_INVALID_USERNAME"},
			{name: "of the form in part", request: "nobody GET /register/available?username=alice-b", status: 400, want: "M_INVALID_USERNAME"},
			{name: "free", request: "nobody GET /register/available?username=bob", status: 200, want: "available=true"},
		})
		s.words["accepter"] = "@alice:test"
		if n := s.rowsOf("accepted_terms", "version = '2' AND policy = 'privacy' AND user_nid", "accepter"); n != 1 {
			t.Errorf("%d rows say that the policy was accepted", n)
		}
		if _, err := s.Accounts.CreateUser(t.Context(), "admin", "p", true); err != nil {
			t.Errorf("the operator gives a name that is reserved: %v", err)
		}
	}, withStages(t))
}

// form posts a form to a page.
func (s *script) form(path string, values url.Values) testserver.Answer {
	s.t.Helper()
	return s.Do("POST", "/_matrix/client/v3"+path, "", values.Encode())
}

// pageOf returns a page, of which it demands that nothing runs in it but what is of the server.
func pageOf(t *testing.T, a testserver.Answer) string {
	t.Helper()
	page, h := string(a.Body), a.Header
	policy := h.Get("Content-Security-Policy")
	nonce := regexp.MustCompile(`script-src 'nonce-([\w-]{20,})'`).FindStringSubmatch(policy)
	switch {
	case h.Get("Content-Type") != "text/html; charset=utf-8" || nonce == nil || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'"):
		t.Fatalf("Content-Type %q, policy %q", h.Get("Content-Type"), policy)
	case strings.Contains(policy, "script-src 'unsafe-inline'") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store":
		t.Errorf("headers %v", h)
	case strings.Count(page, "<script") != strings.Count(page, `<script nonce="`+nonce[1]+`"`) || regexp.MustCompile(`\son\w+=`).MatchString(page):
		t.Errorf("a script without the nonce in %s", page)
	case !strings.Contains(page, `<html lang="en">`) || !strings.Contains(page, "<h1>") || !strings.Contains(page, "<title>"):
		t.Errorf("the page has no language, title or heading: %s", page)
	}
	return page
}

// TestFallback completes all stages of a registration on pages. Client-Server API, "Fallback".
func TestFallback(t *testing.T) {
	each(t, "", func(s *script) {
		token, err := s.Accounts.CreateRegistrationToken(t.Context(), account.RegistrationToken{UsesAllowed: 1})
		if err != nil {
			t.Fatal(err)
		}
		session := textAt(t, decode(t, s.ask("nobody POST /register", `{"username":"alice","password":"long enough"}`).Body), "session")
		done := `window.opener.postMessage("authDone", "*");`
		for _, stage := range []struct {
			name, shows  string
			wrong, right url.Values
		}{
			{"m.login.terms", `<a href="https://example.org/p"`, url.Values{}, url.Values{"accepted": {"yes"}}},
			{"m.login.recaptcha", `data-sitekey="public"`, url.Values{"g-recaptcha-response": {"x"}}, url.Values{"g-recaptcha-response": {"solved"}}},
			{"m.login.registration_token", `<label for="token">`, url.Values{"token": {"x"}}, url.Values{"token": {token.Token}}},
		} {
			path := "/auth/" + stage.name + "/fallback/web?session=" + session
			page := s.Do("GET", "/_matrix/client/v3"+path, "", nil)
			if text := pageOf(t, page); page.Status != 200 || !strings.Contains(text, stage.shows) || strings.Contains(text, done) {
				t.Errorf("%s: %d %s", stage.name, page.Status, page.Body)
			}
			page = s.form(path, stage.wrong)
			if text := pageOf(t, page); page.Status != 403 || !strings.Contains(text, `role="alert"`) || strings.Contains(text, done) {
				t.Errorf("%s, wrong: %d %s", stage.name, page.Status, page.Body)
			}
			page = s.form(path, stage.right)
			if text := pageOf(t, page); page.Status != 200 || !strings.Contains(text, done) || !strings.Contains(text, "window.onAuthDone()") {
				t.Errorf("%s, right: %d %s", stage.name, page.Status, page.Body)
			}
		}
		s.must("all are completed", s.get("nobody POST /register", `{"username":"alice","password":"long enough","auth":{"session":"`+session+`"}}`), "user_id=@alice:test")
		s.run([]step{
			{name: "the session has served", request: "nobody POST /register", body: `{"username":"bob","password":"long enough","auth":{"session":"` + session + `"}}`, status: 401, want: "completed:absent"},
			{name: "no such stage", request: "nobody GET /auth/m.login.x/fallback/web?session=" + session, status: 404, want: "M_NOT_FOUND"},
			{name: "no such session", request: "nobody GET /auth/m.login.terms/fallback/web?session=%3Cscript%3E", status: 400, want: "M_INVALID_PARAM"},
			{name: "no session", request: "nobody POST /auth/m.login.terms/fallback/web", status: 400, want: "M_INVALID_PARAM"},
		})
		r := s.Do("GET", "/_matrix/client/v3/auth/m.login.recaptcha/fallback/web?session="+session, "", nil)
		if policy := r.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "https://captcha.example") {
			t.Errorf("the service's frames are not let in by %s", policy)
		}
	}, withStages(t), func(c *homeserver.Config) { c.OpenRegistration = false })
}

// TestWordsForPeople: a browser that is led nowhere gets a page, and the address of the server leads to the pages of accounts.
func TestWordsForPeople(t *testing.T) {
	each(t, "", func(s *script) {
		for _, stage := range []string{"m.login.terms", "m.login.password"} {
			path := "/_matrix/client/v3/auth/" + stage + "/fallback/web?session=gone"
			if a := s.send("GET", path, "", "Accept: text/html"); a.Status < 400 || !strings.Contains(string(a.Body), "<h1>This did not work</h1>") {
				t.Errorf("%s: %d %.200s", stage, a.Status, a.Body)
			}
			if a := s.send("GET", path, ""); a.Code() == "" {
				t.Errorf("%s, for a program: %d %.200s", stage, a.Status, a.Body)
			}
		}
		if a := s.send("GET", "/", ""); a.Status != http.StatusSeeOther || a.Header.Get("Location") != "/_causeway/account/" {
			t.Errorf("%d to %q", a.Status, a.Header.Get("Location"))
		}
	}, func(c *homeserver.Config) { c.OAuth.Enabled = true })
}

// TestPasswordFallback confirms a deletion by password on a page, which says of what it is. What is confirmed there counts for nothing else.
func TestPasswordFallback(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.login("alice", "phone", "PHONE")
		session := textAt(t, decode(t, s.ask("alice DELETE /devices/PHONE", "").Body), "session")
		path := "/auth/m.login.password/fallback/web?session=" + session
		page := pageOf(t, s.Do("GET", "/_matrix/client/v3"+path, "", nil))
		if !strings.Contains(page, "@alice:test") || !strings.Contains(page, "sign out devices") {
			t.Errorf("the page does not say what is confirmed: %s", page)
		}
		if a := s.form(path, url.Values{"password": {"x"}}); a.Status != 403 {
			t.Errorf("the wrong password: %d", a.Status)
		}
		withSession := `{"auth":{"session":"` + session + `"}}`
		if a := s.ask("alice DELETE /devices/PHONE", withSession); a.Status != 401 {
			t.Errorf("after the wrong password: %d", a.Status)
		}
		if a := s.form(path, url.Values{"password": {"correct horse battery"}}); a.Status != 200 {
			t.Errorf("the right password: %d %s", a.Status, a.Body)
		}
		for _, other := range []string{"alice POST /account/deactivate", "bob DELETE /devices/PHONE", "alice DELETE /devices/OTHER"} {
			if a := s.ask(other, withSession); a.Status != 401 {
				t.Errorf("%s with a session for something else: %d %s", other, a.Status, a.Body)
			}
		}
		s.must("delete", s.get("alice DELETE /devices/PHONE", withSession), "{}")
		unknown := strings.Repeat("a", len(session))
		s.run([]step{{name: "nothing was asked", request: "nobody GET /auth/m.login.password/fallback/web?session=" + unknown, status: 400, want: "M_INVALID_PARAM"}})
		// A session that somebody made up is not one of registration either.
		if a := s.form("/auth/m.login.dummy/fallback/web?session="+session, url.Values{}); a.Status != 200 {
			t.Errorf("dummy: %d", a.Status)
		}
		if a := s.ask("alice POST /account/deactivate", withSession); a.Status != 401 {
			t.Errorf("a dummy stage counted for a password: %d", a.Status)
		}
	})
}

// TestLoginPage asks for the page by which old clients log in. Client-Server API, "Login Fallback".
func TestLoginPage(t *testing.T) {
	each(t, "", func(s *script) {
		for _, path := range []string{"/_matrix/static/client/login/", "/_matrix/static/client/login/?device_id=x"} {
			a := s.Do("GET", path, "", nil)
			if page := pageOf(t, a); a.Status != 200 || !strings.Contains(page, "window.matrixLogin.onLogin(login)") {
				t.Errorf("%s: %d %s", path, a.Status, a.Body)
			}
		}
	})
}
