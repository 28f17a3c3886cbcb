package testserver_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"causeway/homeserver"
)

// An account takes an email address where the configuration says so: the link of the mail asks, its button confirms, and the address is
// then one to log in by.
func TestRegisterWithEmail(t *testing.T) {
	const (
		body  = `{"username":"alice","password":"correct horse battery","auth":{"type":"m.login.email.identity","threepid_creds":{"sid":"<sid>","client_secret":"s3cret"}}}`
		login = `{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"alice@EXAMPLE.org"},"password":"correct horse battery"}`
	)
	eachWithMail(t, "", func(s *script, box *mailbox) {
		s.run([]step{
			{"flows", "nobody POST /register", `{"username":"alice","password":"correct horse battery"}`, 401, "flows/0/stages/0=m.login.email.identity flows/1:absent", ""},
			{"no dummy", "nobody POST /register", `{"username":"alice","password":"correct horse battery","auth":{"type":"m.login.dummy"}}`, 401, "M_FORBIDDEN", ""},
			{"token", "nobody POST /register/email/requestToken", `{"client_secret":"s3cret","email":"Alice@Example.org","send_attempt":1}`, 200, "sid:string submit_url:absent", "sid=sid"},
		})
		l := box.next("alice@example.org")
		if l.From != "matrix@test" || !strings.Contains(l.Header, "Auto-Submitted: auto-generated") || !strings.HasSuffix(l.MessageID, "@test") || !strings.Contains(l.HTML, "<a href=") {
			t.Errorf("the letter is %+v", l)
		}
		s.run([]step{
			{"the same attempt sends nothing", "nobody POST /register/email/requestToken", `{"client_secret":"s3cret","email":"alice@example.org","send_attempt":1}`, 200, "sid=<sid>", ""},
			{"not confirmed", "nobody POST /register", body, 401, "M_THREEPID_AUTH_FAILED", ""},
		})
		if w := s.page("GET", l.link(s.t), nil); w.Code != 200 || !strings.Contains(w.Body.String(), "alice@example.org") {
			t.Errorf("the page: %d %s", w.Code, w.Body)
		} else if h := w.Header(); !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("the page's header: %v", h)
		}
		s.run([]step{{"the link alone confirms nothing", "nobody POST /register", body, 401, "M_THREEPID_AUTH_FAILED", ""}})
		if w := s.confirm(l); w.Code != 200 || !strings.Contains(w.Body.String(), "is confirmed") {
			t.Errorf("confirmed: %d %s", w.Code, w.Body)
		}
		s.run([]step{
			{"another secret", "nobody POST /register", strings.ReplaceAll(body, "s3cret", "guess"), 401, "M_THREEPID_AUTH_FAILED", ""},
			{"the phone's stage", "nobody POST /register", strings.ReplaceAll(body, "m.login.email.identity", "m.login.msisdn"), 401, "M_FORBIDDEN", ""},
			{"registered", "nobody POST /register", body, 200, "user_id=@alice:test access_token:string", "token alice=access_token"},
			{"a proof serves once", "nobody POST /register", strings.ReplaceAll(body, `"alice"`, `"eve"`), 401, "M_THREEPID_AUTH_FAILED", ""},
			{"addresses", "alice GET /account/3pid", ``, 200, "threepids/0/address=alice@example.org threepids/0/medium=email threepids/1:absent", ""},
			{"log in by it", "nobody POST /login", login, 200, "user_id=@alice:test", ""},
			{"log in by it in the old way", "nobody POST /login", `{"type":"m.login.password","medium":"email","address":"alice@example.org","password":"correct horse battery"}`, 200, "user_id=@alice:test", ""},
			{"the password is wrong", "nobody POST /login", strings.ReplaceAll(login, "battery", "staple"), 403, "M_FORBIDDEN", ""},
			{"the address is nobody's", "nobody POST /login", strings.ReplaceAll(login, "alice@", "bob@"), 403, "M_FORBIDDEN", ""},
			{"capability", "alice GET /capabilities", ``, 200, "capabilities/m.3pid_changes/enabled=true", ""},
			{"where the identity service is", "nobody GET /.well-known/matrix/client", ``, 200, "m.identity_server/base_url=http://test", ""},
		})
		if w := s.page("GET", l.link(s.t), nil); w.Code != 404 {
			t.Errorf("the link after it has served: %d", w.Code)
		}
	}, func(c *homeserver.Config) { c.EmailRequired = true })
}

// Whoever has lost the password chooses another by mail. That ends the sessions.
func TestResetPassword(t *testing.T) {
	const (
		reset = `{"new_password":"another horse battery","auth":{"type":"m.login.email.identity","threepid_creds":{"sid":"<sid>","client_secret":"lost"}}}`
		login = `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"another horse battery"}`
	)
	eachWithMail(t, "alice bob", func(s *script, box *mailbox) {
		s.addEmail(box, "alice", "alice@example.org")
		s.words["added"] = s.words["sid"]
		s.run([]step{
			{"flows", "nobody POST /account/password", `{"new_password":"another horse battery"}`, 401, "flows/0/stages/0=m.login.email.identity flows/1/stages/0=m.login.msisdn session:string", ""},
			{"token", "nobody POST /account/password/email/requestToken", `{"client_secret":"lost","email":"alice@example.org","send_attempt":1}`, 200, "sid:string", "sid=sid"},
			{"not confirmed", "nobody POST /account/password", reset, 401, "M_THREEPID_AUTH_FAILED", ""},
		})
		l := box.next("alice@example.org")
		s.confirm(l)
		s.run([]step{
			{"not a proof for registration", "nobody POST /register", `{"username":"eve","password":"correct horse battery","auth":{"type":"m.login.email.identity","threepid_creds":{"sid":"<sid>","client_secret":"lost"}}}`, 401, "M_THREEPID_AUTH_FAILED", ""},
			{"another secret", "nobody POST /account/password", strings.ReplaceAll(reset, "lost", "guess"), 401, "M_THREEPID_AUTH_FAILED", ""},
			{"no session", "nobody POST /account/password", strings.ReplaceAll(reset, "<sid>", "1"), 401, "M_THREEPID_AUTH_FAILED", ""},
			{"no credentials", "nobody POST /account/password", `{"new_password":"x","auth":{"type":"m.login.email.identity"}}`, 400, "M_MISSING_PARAM", ""},
			{"reset", "nobody POST /account/password", reset, 200, "{}", ""},
			{"the proof serves once", "nobody POST /account/password", reset, 401, "M_THREEPID_AUTH_FAILED", ""},
			{"the session has ended", "alice GET /account/whoami", ``, 401, "M_UNKNOWN_TOKEN", ""},
			{"the old password", "nobody POST /login", strings.ReplaceAll(login, "another", "correct"), 403, "M_FORBIDDEN", ""},
			{"the new password", "nobody POST /login", login, 200, "user_id=@alice:test", "token alice=access_token"},
			{"bob is as before", "bob GET /account/whoami", ``, 200, "user_id=<bob>", ""},
			{"an address that is nobody's, which nobody is told", "nobody POST /account/password/email/requestToken", `{"client_secret":"lost","email":"nobody@example.org","send_attempt":1}`, 200, "sid:string", "sid=sid"},
		})
		if l := box.next("nobody@example.org"); strings.Contains(l.Text, "http") || !strings.Contains(l.Text, "there is none") {
			t.Errorf("the letter to nobody: %q", l.Text)
		}
		s.run([]step{
			{"and which gets nothing", "nobody POST /account/password", reset, 401, "M_THREEPID_AUTH_FAILED", ""},
			{"delete", "alice POST /account/3pid/delete", `{"medium":"email","address":"Alice@example.org"}`, 200, "id_server_unbind_result=no-support", ""},
			{"gone", "alice GET /account/3pid", ``, 200, "threepids:array threepids/0:absent", ""},
		})
	})
}

// The addresses of an account: who gets which, and what is told of them.
func TestThreepids(t *testing.T) {
	const auth = `"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"mallory"},"password":"correct horse battery"}`
	eachWithMail(t, "alice mallory", func(s *script, box *mailbox) {
		s.run([]step{
			{"none", "alice GET /account/3pid", ``, 200, "threepids:array threepids/0:absent", ""},
			{"token", "alice POST /account/3pid/email/requestToken", `{"client_secret":"alices","email":"alice@example.org","send_attempt":1}`, 200, "sid:string", "sid=sid"},
			{"what is not confirmed", "alice POST /account/3pid/add", `{"sid":"<sid>","client_secret":"alices",` + strings.ReplaceAll(auth, "mallory", "alice") + `}`, 403, "M_THREEPID_AUTH_FAILED", ""},
		})
		s.confirm(box.next("alice@example.org"))
		s.run([]step{
			{"without the password", "alice POST /account/3pid/add", `{"sid":"<sid>","client_secret":"alices"}`, 401, "flows/0/stages/0=m.login.password", ""},
			{"the session of another", "mallory POST /account/3pid/add", `{"sid":"<sid>","client_secret":"alices",` + auth + `}`, 403, "M_THREEPID_AUTH_FAILED", ""},
			{"the secret guessed", "alice POST /account/3pid/add", `{"sid":"<sid>","client_secret":"guess",` + strings.ReplaceAll(auth, "mallory", "alice") + `}`, 403, "M_THREEPID_AUTH_FAILED", ""},
			{"add", "alice POST /account/3pid/add", `{"sid":"<sid>","client_secret":"alices",` + strings.ReplaceAll(auth, "mallory", "alice") + `}`, 200, "{}", ""},
			{"mallory wants it too", "mallory POST /account/3pid/email/requestToken", `{"client_secret":"m","email":"alice@example.org","send_attempt":1}`, 200, "sid:string", "sid=sid"},
		})
		if l := box.next("alice@example.org"); strings.Contains(l.Text, "http") || !strings.Contains(l.Text, "@alice:test") {
			t.Errorf("the letter to the owner: %q", l.Text)
		}
		s.run([]step{
			{"and gets nothing", "mallory POST /account/3pid/add", `{"sid":"<sid>","client_secret":"m",` + auth + `}`, 403, "M_THREEPID_AUTH_FAILED", ""},
			{"nor deletes another's", "mallory POST /account/3pid/delete", `{"medium":"email","address":"alice@example.org"}`, 200, "id_server_unbind_result=no-support", ""},
			{"it is there", "alice GET /account/3pid", ``, 200, "threepids/0/address=alice@example.org", ""},
			{"no address", "alice POST /account/3pid/email/requestToken", `{"client_secret":"a","email":"alice","send_attempt":1}`, 400, "M_INVALID_PARAM", ""},
			{"a header", "alice POST /account/3pid/email/requestToken", `{"client_secret":"a","email":"alice@example.org\r\nBcc: eve@example.org","send_attempt":1}`, 400, "M_INVALID_PARAM", ""},
			{"two addresses", "alice POST /account/3pid/email/requestToken", `{"client_secret":"a","email":"eve@example.org,alice@example.org","send_attempt":1}`, 400, "M_INVALID_PARAM", ""},
			{"a secret that is none", "alice POST /account/3pid/email/requestToken", `{"client_secret":"a b","email":"a@example.org","send_attempt":1}`, 400, "M_INVALID_PARAM", ""},
			{"no number", "alice POST /account/3pid/msisdn/requestToken", `{"client_secret":"a","country":"CH","phone_number":"12","send_attempt":1}`, 400, "M_INVALID_PARAM", ""},
			{"no attempt", "alice POST /account/3pid/email/requestToken", `{"client_secret":"a","email":"a@example.org"}`, 400, "M_MISSING_PARAM", ""},
		})
	})
}

// Telephone numbers are confirmed by a code that few can be tried of.
func TestPhoneNumbers(t *testing.T) {
	const submit = "nobody POST /_causeway/threepid/submitToken"
	eachWithMail(t, "alice", func(s *script, box *mailbox) {
		s.run([]step{
			{"register", "nobody POST /register/msisdn/requestToken", `{"client_secret":"r","country":"GB","phone_number":"07700 900 001","send_attempt":1}`, 400, "M_INVALID_PARAM", ""},
			{"token", "alice POST /account/3pid/msisdn/requestToken", `{"client_secret":"p","country":"CH","phone_number":"044 668 18 00","send_attempt":1}`, 200, "sid:string submit_url=http://test/_causeway/threepid/submitToken", "sid=sid"},
		})
		code, _, _ := strings.Cut(box.text("+41446681800"), " ")
		s.words["code"] = code
		s.run([]step{
			{"a wrong code", submit, `{"sid":"<sid>","client_secret":"p","token":"1"}`, 400, "M_TOKEN_INCORRECT", ""},
			{"a wrong secret", submit, `{"sid":"<sid>","client_secret":"x","token":"<code>"}`, 404, "M_NO_VALID_SESSION", ""},
			{"by the link of a mail", "nobody GET /_causeway/nothing", ``, 404, "M_UNRECOGNIZED", ""},
			{"the code", submit, `{"sid":"<sid>","client_secret":"p","token":"<code>"}`, 200, "success=true", ""},
			{"once more", submit, `{"sid":"<sid>","client_secret":"p","token":"<code>"}`, 200, "success=true", ""},
			{"add", "alice POST /account/3pid/add", `{"sid":"<sid>","client_secret":"p","auth":{"type":"m.login.password","user":"alice","password":"correct horse battery"}}`, 200, "{}", ""},
			{"after it has served", submit, `{"sid":"<sid>","client_secret":"p","token":"<code>"}`, 404, "M_NO_VALID_SESSION", ""},
			{"log in", "nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.phone","country":"CH","phone":"0446681800"},"password":"correct horse battery"}`, 200, "user_id=<alice>", ""},
			{"lost", "nobody POST /account/password/msisdn/requestToken", `{"client_secret":"l","country":"CH","phone_number":"0446681800","send_attempt":1}`, 200, "sid:string", "sid=sid"},
		})
		code, _, _ = strings.Cut(box.text("+41446681800"), " ")
		s.words["code"] = code
		for range 10 {
			s.run([]step{{"guess", submit, `{"sid":"<sid>","client_secret":"l","token":"x"}`, 400, "M_TOKEN_INCORRECT", ""}})
		}
		s.run([]step{
			{"the right one comes too late", submit, `{"sid":"<sid>","client_secret":"l","token":"<code>"}`, 400, "M_TOKEN_INCORRECT", ""},
			{"register", "nobody POST /register/msisdn/requestToken", `{"client_secret":"r","country":"CH","phone_number":"+41446681801","send_attempt":1}`, 200, "sid:string", "sid=sid"},
		})
		s.words["code"], _, _ = strings.Cut(box.text("+41446681801"), " ")
		s.run([]step{
			{"the code", submit, `{"sid":"<sid>","client_secret":"r","token":"<code>"}`, 200, "success=true", ""},
			{"registered", "nobody POST /register", `{"username":"bob","password":"correct horse battery","auth":{"type":"m.login.msisdn","threepid_creds":{"sid":"<sid>","client_secret":"r"}}}`, 200, "user_id=@bob:test", ""},
		})
	})
}

// An address gets few messages, whoever asks for them, and a link leads where the operator lets it lead.
func TestMailIsLimited(t *testing.T) {
	const token = "nobody POST /account/password/email/requestToken"
	eachWithMail(t, "alice", func(s *script, box *mailbox) {
		for _, secret := range []string{"a", "b", "c", "d", "e"} {
			s.run([]step{{"token", token, `{"client_secret":"` + secret + `","email":"victim@example.org","send_attempt":1}`, 200, "sid:string", ""}})
			box.next("victim@example.org")
		}
		s.run([]step{
			{"one too many", token, `{"client_secret":"f","email":"Victim@Example.ORG","send_attempt":1}`, 429, "errcode=M_LIMIT_EXCEEDED retry_after_ms:integer", ""},
			{"or by another way", "alice POST /account/3pid/email/requestToken", `{"client_secret":"f","email":"victim@example.org","send_attempt":1}`, 429, "M_LIMIT_EXCEEDED", ""},
		})
		for i, c := range []struct{ link, want string }{
			{"https://app.example.org/done?x=1", "https://app.example.org/done?x=1"},
			{"https://app.example.org.evil.example/", ""},
			{"https://app.example.org@evil.example/", ""},
			{"https://evil.example/app.example.org", ""},
			{"//evil.example/", ""},
			{"javascript:alert(1)", ""},
			{"http://app.example.org/", ""},
		} {
			address := string(rune('a'+i)) + "@example.org"
			s.run([]step{{"token", "alice POST /account/3pid/email/requestToken", `{"client_secret":"n","email":"` + address + `","send_attempt":1,"next_link":"` + c.link + `"}`, 200, "sid:string", ""}})
			w := s.confirm(box.next(address))
			if got := w.Header().Get("Location"); got != c.want || (c.want != "") != (w.Code == http.StatusSeeOther) {
				t.Errorf("%s leads to %q with %d, want %q", c.link, got, w.Code, c.want)
			}
		}
	}, func(c *homeserver.Config) { c.Mail.NextLinks = []string{"https://app.example.org"} })
}

// A server that may say so tells whether an address is that of an account.
func TestTellUnknownAddresses(t *testing.T) {
	eachWithMail(t, "alice", func(s *script, box *mailbox) {
		s.addEmail(box, "alice", "alice@example.org")
		s.run([]step{
			{"taken", "nobody POST /register/email/requestToken", `{"client_secret":"a","email":"alice@example.org","send_attempt":1}`, 400, "M_THREEPID_IN_USE", ""},
			{"nobody's", "nobody POST /account/password/email/requestToken", `{"client_secret":"a","email":"bob@example.org","send_attempt":1}`, 400, "M_THREEPID_NOT_FOUND", ""},
		})
	}, func(c *homeserver.Config) { c.Mail.TellUnknownAddresses = true })
}

// Without mail nothing is promised.
func TestNoMail(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.run([]step{
			{"register", "nobody POST /register/email/requestToken", `{"client_secret":"a","email":"a@example.org","send_attempt":1}`, 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED", ""},
			{"reset", "nobody POST /account/password", `{"new_password":"x"}`, 401, "M_MISSING_TOKEN", ""},
			{"identity", "nobody GET /_matrix/identity/v2", ``, 404, "M_UNRECOGNIZED", ""},
			{"bind", "alice POST /account/3pid/bind", `{"client_secret":"a","sid":"1","id_server":"x","id_access_token":"y"}`, 400, "M_SERVER_NOT_TRUSTED", ""},
			{"where", "nobody GET /.well-known/matrix/client", ``, 200, "m.identity_server:absent", ""},
		})
	})
}

// Of many who come with one proof at the same time, one gets the account.
func TestOneProofAtOnce(t *testing.T) {
	eachWithMail(t, "", func(s *script, box *mailbox) {
		s.words["sid"] = s.text("nobody POST /register/email/requestToken", `{"client_secret":"s","email":"a@example.org","send_attempt":1}`, "sid")
		s.confirm(box.next("a@example.org"))
		var (
			all  sync.WaitGroup
			made atomic.Int32
		)
		for _, name := range []string{"one", "two", "three", "four"} {
			all.Go(func() {
				a := s.Do("POST", "/_matrix/client/v3/register", "", map[string]any{"username": name, "password": "correct horse battery", "auth": map[string]any{
					"type": "m.login.email.identity", "threepid_creds": map[string]any{"sid": s.words["sid"], "client_secret": "s"}}})
				if a.Status == 200 {
					made.Add(1)
				} else if a.Status != 401 || a.Code() != "M_THREEPID_AUTH_FAILED" && a.Code() != "M_THREEPID_IN_USE" {
					t.Errorf("%s: got %d %s", name, a.Status, a.Body)
				}
			})
		}
		all.Wait()
		if made.Load() != 1 {
			t.Errorf("%d accounts were made", made.Load())
		}
	})
}
