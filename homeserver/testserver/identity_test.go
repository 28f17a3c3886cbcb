package testserver_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/event"
	"causeway/homeserver/identity"
)

const ids = "/_matrix/identity"

// atIdentity gives users a token of the identity service: "alice id" begins requests by it as "alice-id".
func (s *script) atIdentity(names ...string) {
	s.t.Helper()
	for _, name := range names {
		token, err := json.Marshal(s.get(name+" POST /user/<"+name+">/openid/request_token", `{}`))
		if err != nil {
			s.t.Fatal(err)
		}
		s.tokens[name+"-id"] = s.text("nobody POST "+ids+"/v2/account/register", string(token), "token")
		s.words[name+" token"] = s.tokens[name+"-id"]
	}
}

// validate has a user validate an address at the identity service; the session is <sid>, and its secret the name.
func (s *script) validate(box *mailbox, name, address string) {
	s.t.Helper()
	s.words["sid"] = s.text(name+"-id POST "+ids+"/v2/validate/email/requestToken", `{"client_secret":"`+name+`","email":"`+address+`","send_attempt":1}`, "sid")
	if w := s.confirm(box.next(address)); w.Code != 200 {
		s.t.Fatalf("confirm: %d %s", w.Code, w.Body)
	}
}

// The whole of the identity service, for users of this server.
func TestIdentityService(t *testing.T) {
	eachWithMail(t, "alice bob", func(s *script, box *mailbox) {
		s.run([]step{
			{"versions", "nobody GET " + ids + "/versions", ``, 200, "versions:array", ""},
			{"ping", "nobody GET " + ids + "/v2", ``, 200, "{}", ""},
			{"terms", "nobody GET " + ids + "/v2/terms", ``, 200, "policies:object", ""},
			{"no token", "nobody GET " + ids + "/v2/account", ``, 401, "M_UNAUTHORIZED", ""},
			{"the token of the homeserver", "alice GET " + ids + "/v2/account", ``, 401, "M_UNAUTHORIZED", ""},
			{"no OpenID token", "nobody POST " + ids + "/v2/account/register", `{"access_token":"x","matrix_server_name":"test","token_type":"Bearer","expires_in":1}`, 401, "M_UNKNOWN_TOKEN", ""},
			{"of another server", "nobody POST " + ids + "/v2/account/register", `{"access_token":"x","matrix_server_name":"evil.example","token_type":"Bearer","expires_in":1}`, 401, "M_UNAUTHORIZED", ""},
			{"no server", "nobody POST " + ids + "/v2/account/register", `{"access_token":"x"}`, 400, "M_MISSING_PARAMS", ""},
		})
		s.atIdentity("alice", "bob")
		s.run([]step{
			{"account", "alice-id GET " + ids + "/v2/account", ``, 200, "user_id=<alice>", ""},
			{"not a token of the homeserver", "alice-id GET /account/whoami", ``, 401, "M_UNKNOWN_TOKEN", ""},
			{"pepper", "alice-id GET " + ids + "/v2/hash_details", ``, 200, "algorithms/0=sha256 algorithms/1:absent", "pepper=lookup_pepper"},
			{"lookup of nobody", "alice-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["x"]}`, 200, "mappings:object mappings/x:absent", ""},
			{"another pepper", "alice-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"x","addresses":["x"]}`, 400, "M_INVALID_PEPPER", ""},
			{"plain", "alice-id POST " + ids + "/v2/lookup", `{"algorithm":"none","pepper":"<pepper>","addresses":["x"]}`, 400, "M_INVALID_PARAM", ""},
			{"lookup without a token", "nobody POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["x"]}`, 401, "M_UNAUTHORIZED", ""},
			{"no email", "alice-id POST " + ids + "/v2/validate/email/requestToken", `{"client_secret":"a","email":"x","send_attempt":1}`, 400, "M_INVALID_EMAIL", ""},
			{"no number", "alice-id POST " + ids + "/v2/validate/msisdn/requestToken", `{"client_secret":"a","country":"CH","phone_number":"x","send_attempt":1}`, 400, "M_INVALID_ADDRESS", ""},
			{"token", "alice-id POST " + ids + "/v2/validate/email/requestToken", `{"client_secret":"alice","email":"Alice@example.org","send_attempt":1}`, 200, "sid:string", "sid=sid"},
			{"not validated", "alice-id GET " + ids + "/v2/3pid/getValidated3pid?sid=<sid>&client_secret=alice", ``, 400, "M_SESSION_NOT_VALIDATED", ""},
			{"bind", "alice-id POST " + ids + "/v2/3pid/bind", `{"sid":"<sid>","client_secret":"alice","mxid":"<alice>"}`, 400, "M_SESSION_NOT_VALIDATED", ""},
		})
		u, err := url.Parse(box.next("alice@example.org").link(s.t))
		if err != nil {
			s.t.Fatal(err)
		}
		s.words["token"] = u.Query().Get("token")
		s.run([]step{
			{"wrong token", "alice-id POST " + ids + "/v2/validate/email/submitToken", `{"sid":"<sid>","client_secret":"alice","token":"x"}`, 400, "M_TOKEN_INCORRECT", ""},
			{"as a number", "alice-id POST " + ids + "/v2/validate/msisdn/submitToken", `{"sid":"<sid>","client_secret":"alice","token":"<token>"}`, 404, "M_NO_VALID_SESSION", ""},
			{"as one of the homeserver", "nobody POST /_causeway/threepid/submitToken", `{"sid":"<sid>","client_secret":"alice","token":"<token>"}`, 404, "M_NO_VALID_SESSION", ""},
			{"token", "alice-id POST " + ids + "/v2/validate/email/submitToken", `{"sid":"<sid>","client_secret":"alice","token":"<token>"}`, 200, "success=true", ""},
			{"validated", "alice-id GET " + ids + "/v2/3pid/getValidated3pid?sid=<sid>&client_secret=alice", ``, 200, "medium=email address=alice@example.org validated_at:integer", ""},
			{"the secret guessed", "alice-id GET " + ids + "/v2/3pid/getValidated3pid?sid=<sid>&client_secret=guess", ``, 404, "M_NO_VALID_SESSION", ""},
			{"the session of another", "bob-id GET " + ids + "/v2/3pid/getValidated3pid?sid=<sid>&client_secret=alice", ``, 404, "M_NO_VALID_SESSION", ""},
			{"bound by another", "bob-id POST " + ids + "/v2/3pid/bind", `{"sid":"<sid>","client_secret":"alice","mxid":"<bob>"}`, 404, "M_NO_VALID_SESSION", ""},
			{"bound for another", "alice-id POST " + ids + "/v2/3pid/bind", `{"sid":"<sid>","client_secret":"alice","mxid":"<bob>"}`, 403, "M_FORBIDDEN", ""},
			{"bind", "alice-id POST " + ids + "/v2/3pid/bind", `{"sid":"<sid>","client_secret":"alice","mxid":"<alice>"}`, 200,
				"address=alice@example.org medium=email mxid=<alice> not_before:integer not_after:integer ts:integer signatures/test/ed25519:0:string", ""},
		})
		sum := sha256.Sum256([]byte("alice@example.org email " + s.words["pepper"]))
		s.words["hash"] = base64.RawURLEncoding.EncodeToString(sum[:])
		unbind := `{"mxid":"<alice>","threepid":{"medium":"email","address":"alice@example.org"}}`
		s.run([]step{
			{"lookup", "bob-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>","x"]}`, 200, "mappings/<hash>=<alice> mappings/x:absent", ""},
			{"unbound by another", "bob-id POST " + ids + "/v2/3pid/unbind", unbind, 403, "M_FORBIDDEN", ""},
			{"unbound by another, with a session", "bob-id POST " + ids + "/v2/3pid/unbind", strings.TrimSuffix(unbind, "}") + `,"sid":"<sid>","client_secret":"alice"}`, 403, "M_FORBIDDEN", ""},
			{"bound still", "bob-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>"]}`, 200, "mappings/<hash>=<alice>", ""},
			{"unbind", "alice-id POST " + ids + "/v2/3pid/unbind", strings.TrimSuffix(unbind, "}") + `,"sid":"<sid>","client_secret":"alice"}`, 200, "{}", ""},
			{"gone", "bob-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>"]}`, 200, "mappings/<hash>:absent", ""},

			{"bound through the homeserver", "alice POST /account/3pid/bind", `{"sid":"<sid>","client_secret":"alice","id_server":"test","id_access_token":"<alice token>"}`, 200, "{}", ""},
			{"with another's token", "alice POST /account/3pid/bind", `{"sid":"<sid>","client_secret":"alice","id_server":"test","id_access_token":"<bob token>"}`, 403, "M_FORBIDDEN", ""},
			{"by a server of the client's choice", "alice POST /account/3pid/bind", `{"sid":"<sid>","client_secret":"alice","id_server":"127.0.0.1:22","id_access_token":"<alice token>"}`, 400, "M_SERVER_NOT_TRUSTED", ""},
			{"the old way", "alice POST /account/3pid", `{"three_pid_creds":{"sid":"<sid>","client_secret":"alice","id_server":"test","id_access_token":"<alice token>"}}`, 200, "", ""},
			{"bound", "bob-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>"]}`, 200, "mappings/<hash>=<alice>", ""},
			{"unbound by another", "bob POST /account/3pid/unbind", `{"medium":"email","address":"alice@example.org","id_server":"test"}`, 200, "id_server_unbind_result:string", ""},
			{"bound still", "bob-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>"]}`, 200, "mappings/<hash>=<alice>", ""},
			{"unbound", "alice POST /account/3pid/unbind", `{"medium":"email","address":"alice@example.org"}`, 200, "id_server_unbind_result=success", ""},
			{"gone", "bob-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>"]}`, 200, "mappings/<hash>:absent", ""},

			{"logout without a token", "nobody POST " + ids + "/v2/account/logout", ``, 401, "M_UNAUTHORIZED", ""},
			{"logout of nobody", "unknown POST " + ids + "/v2/account/logout", ``, 401, "M_UNKNOWN_TOKEN", ""},
			{"logout", "alice-id POST " + ids + "/v2/account/logout", ``, 200, "{}", ""},
			{"after it", "alice-id GET " + ids + "/v2/account", ``, 401, "M_UNAUTHORIZED", ""},
		})
	})
}

// Telephone numbers at the identity service, and the page for people.
func TestIdentityNumbers(t *testing.T) {
	eachWithMail(t, "alice", func(s *script, box *mailbox) {
		s.atIdentity("alice")
		s.words["sid"] = s.text("alice-id POST "+ids+"/v2/validate/msisdn/requestToken", `{"client_secret":"a","country":"CH","phone_number":"0446681800","send_attempt":1}`, "sid")
		code, _, _ := strings.Cut(box.text("+41446681800"), " ")
		page := ids + "/v2/validate/msisdn/submitToken?" + url.Values{"sid": {s.words["sid"]}, "client_secret": {"a"}}.Encode() + "&token="
		if w := s.page("GET", page+"1", nil); w.Code != 400 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("a wrong code: %d %s", w.Code, w.Body)
		}
		if w := s.page("GET", page+code, nil); w.Code != 200 || !strings.Contains(w.Body.String(), "Confirmed") {
			t.Errorf("the code: %d %s", w.Code, w.Body)
		}
		s.run([]step{{"validated", "alice-id GET " + ids + "/v2/3pid/getValidated3pid?sid=<sid>&client_secret=a", ``, 200, "medium=msisdn address=41446681800", ""}})
	})
}

// Old clients send forms.
func TestIdentityForms(t *testing.T) {
	eachWithMail(t, "alice", func(s *script, box *mailbox) {
		s.atIdentity("alice")
		send := func(path string, form url.Values) (int, string) {
			r := httptest.NewRequestWithContext(s.t.Context(), "POST", ids+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Authorization", "Bearer "+s.tokens["alice-id"])
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			return w.Code, w.Body.String()
		}
		if status, body := send("/v2/validate/email/requestToken", url.Values{"client_secret": {"a"}, "email": {"alice@example.org"}, "send_attempt": {"x"}}); status != 400 {
			t.Errorf("no number: %d %s", status, body)
		}
		status, body := send("/v2/validate/email/requestToken", url.Values{"client_secret": {"a"}, "email": {"alice@example.org"}, "send_attempt": {"1"}})
		if status != 200 {
			t.Fatalf("token: %d %s", status, body)
		}
		s.words["sid"] = textAt(s.t, decode(s.t, []byte(body)), "sid")
		s.confirm(box.next("alice@example.org"))
		if status, body := send("/v2/3pid/bind", url.Values{"client_secret": {"a"}, "sid": {s.words["sid"]}, "mxid": {"@alice:test"}}); status != 200 {
			t.Errorf("bind: %d %s", status, body)
		}
	})
}

// Nobody uses the service before they have accepted its terms, in one language or another.
func TestIdentityTerms(t *testing.T) {
	eachWithMail(t, "alice", func(s *script, box *mailbox) {
		s.atIdentity("alice")
		s.run([]step{
			{"terms", "nobody GET " + ids + "/v2/terms", ``, 200, "policies/privacy/version=2 policies/privacy/en/name=Privacy policies/privacy/de/url=https://test/de", ""},
			{"not accepted", "alice-id GET " + ids + "/v2/hash_details", ``, 403, "M_TERMS_NOT_SIGNED", ""},
			{"invite", "alice POST /createRoom", `{"invite_3pid":[{"id_server":"test","id_access_token":"<alice token>","medium":"email","address":"a@example.org"}]}`, 403, "M_TERMS_NOT_SIGNED", ""},
			{"accept what there is not", "alice-id POST " + ids + "/v2/terms", `{"user_accepts":["https://test/fr"]}`, 200, "{}", ""},
			{"not accepted", "alice-id GET " + ids + "/v2/hash_details", ``, 403, "M_TERMS_NOT_SIGNED", ""},
			{"accept nothing", "alice-id POST " + ids + "/v2/terms", `{}`, 400, "M_MISSING_PARAMS", ""},
			{"accept", "alice-id POST " + ids + "/v2/terms", `{"user_accepts":["https://test/de"]}`, 200, "{}", ""},
			{"accepted", "alice-id GET " + ids + "/v2/hash_details", ``, 200, "lookup_pepper:string", ""},
		})
	}, func(c *homeserver.Config) {
		c.Identity.Terms = map[string]identity.Policy{"privacy": {Version: "2", Languages: map[string]identity.PolicyLanguage{
			"en": {Name: "Privacy", URL: "https://test/en"}, "de": {Name: "Datenschutz", URL: "https://test/de"},
		}}}
	})
}

// An invitation by email comes to whoever has the address: who registers with it, who adds it to an account, who publishes it, and who brings
// a signature.
func TestInviteByEmail(t *testing.T) {
	eachWithMail(t, "alice bob carol", func(s *script, box *mailbox) {
		s.atIdentity("alice", "bob", "carol")
		third := func(address string) string {
			return `{"id_server":"test","id_access_token":"<alice token>","medium":"email","address":"` + address + `"}`
		}
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat","name":"Tea\r\nBcc: eve@example.org","invite_3pid":[`+third("Dora@example.org")+`]}`, "room_id")
		l := box.next("dora@example.org")
		if !strings.Contains(l.Text, "@alice:test") || strings.Contains(l.Header, "Bcc") {
			t.Errorf("the invitation: %s\n%s", l.Header, l.Text)
		}
		token := s.invitation()
		s.run([]step{
			{"the key of the service", "nobody GET " + ids + "/v2/pubkey/ed25519:0", ``, 200, "public_key:string", "key=public_key"},
			{"no such key", "nobody GET " + ids + "/v2/pubkey/ed25519:1", ``, 404, "M_NOT_FOUND", ""},
			{"the event", "alice GET /rooms/<room>/state/m.room.third_party_invite/" + token, ``, 200,
				"display_name=d...@e... public_key=<key> public_keys/0/public_key=<key> public_keys/1/public_key:string key_validity_url=http://test/_matrix/identity/v2/pubkey/isvalid", ""},
			{"by who is not in the room", "bob POST /rooms/<room>/invite", strings.ReplaceAll(third("eve@example.org"), "alice", "bob"), 403, "M_FORBIDDEN", ""},
			{"with another's token", "alice POST /rooms/<room>/invite", strings.ReplaceAll(third("eve@example.org"), "alice", "bob"), 403, "M_FORBIDDEN", ""},
			{"by another service", "alice POST /rooms/<room>/invite", strings.ReplaceAll(third("eve@example.org"), `"test"`, `"127.0.0.1:25"`), 400, "M_SERVER_NOT_TRUSTED", ""},
			{"to no address", "alice POST /rooms/<room>/invite", third("eve"), 400, "M_INVALID_PARAM", ""},
			{"without a token", "alice POST /rooms/<room>/invite", `{"id_server":"test","medium":"email","address":"a@example.org"}`, 400, "M_MISSING_PARAM", ""},
		})
		ephemeral := s.text("alice GET /rooms/<room>/state/m.room.third_party_invite/"+token, ``, "public_keys/1/public_key")
		valid := ids + "/v2/pubkey/ephemeral/isvalid?public_key=" + url.QueryEscape(ephemeral)
		s.run([]step{
			{"the ephemeral key", "nobody GET " + valid, ``, 200, "valid=true", ""},
			{"another", "nobody GET " + ids + "/v2/pubkey/ephemeral/isvalid?public_key=x", ``, 200, "valid=false", ""},
			{"the long-term key", "nobody GET " + ids + "/v2/pubkey/isvalid?public_key=" + url.QueryEscape(s.words["key"]), ``, 200, "valid=true", ""},
			{"no key", "nobody GET " + ids + "/v2/pubkey/isvalid", ``, 400, "M_MISSING_PARAMS", ""},
		})

		// Dora registers with the address, and has the invitation.
		s.words["sid"] = s.text("nobody POST /register/email/requestToken", `{"client_secret":"d","email":"dora@example.org","send_attempt":1}`, "sid")
		s.confirm(box.next("dora@example.org"))
		s.run([]step{{"registers", "nobody POST /register", `{"username":"dora","password":"correct horse battery","auth":{"type":"m.login.email.identity","threepid_creds":{"sid":"<sid>","client_secret":"d"}}}`,
			200, "user_id=@dora:test", "token dora=access_token"}})
		s.words["dora"] = "@dora:test"
		s.awaitInvite("dora")
		s.run([]step{
			{"the member event", "alice GET /rooms/<room>/state/m.room.member/<dora>", ``, 200, "membership=invite third_party_invite/display_name=d...@e... third_party_invite/signed/mxid=<dora>", ""},
			{"joins", "dora POST /rooms/<room>/join", `{}`, 200, "room_id=<room>", ""},
			{"the key has served", "nobody GET " + valid, ``, 200, "valid=false", ""},
		})

		// Bob has an account, and adds the address; carol publishes hers.
		s.run([]step{{"invite bob", "alice POST /rooms/<room>/invite", third("bob@example.org"), 200, "{}", ""}})
		box.next("bob@example.org")
		s.addEmail(box, "bob", "bob@example.org")
		s.awaitInvite("bob")
		s.run([]step{{"invite carol", "alice POST /rooms/<room>/invite", third("carol@example.org"), 200, "{}", ""}})
		box.next("carol@example.org")
		s.validate(box, "carol", "carol@example.org")
		s.run([]step{{"publish", "carol POST /account/3pid/bind", `{"sid":"<sid>","client_secret":"carol","id_server":"test","id_access_token":"<carol token>"}`, 200, "{}", ""}})
		s.awaitInvite("carol")
		s.run([]step{
			{"carol's next room", "alice POST /createRoom", `{"preset":"private_chat"}`, 200, "room_id:roomid", "room=room_id"},
			{"who is known is invited at once", "alice POST /rooms/<room>/invite", third("carol@example.org"), 200, "{}", ""},
			{"so", "alice GET /rooms/<room>/state/m.room.member/<carol>", ``, 200, "membership=invite third_party_invite:absent", ""},
			{"and not stored", "alice-id POST " + ids + "/v2/store-invite", `{"medium":"email","address":"carol@example.org","room_id":"<room>","sender":"<alice>"}`, 400, "errcode=M_THREEPID_IN_USE mxid=<carol>", ""},
			{"for another sender", "alice-id POST " + ids + "/v2/store-invite", `{"medium":"email","address":"f@example.org","room_id":"<room>","sender":"<bob>"}`, 403, "M_FORBIDDEN", ""},
			{"by telephone", "alice-id POST " + ids + "/v2/store-invite", `{"medium":"msisdn","address":"41446681800","room_id":"<room>","sender":"<alice>"}`, 400, "M_UNRECOGNIZED", ""},
		})
	})
}

// Whoever has an account with the address, and has not published that, takes the invitation by the link of the mail: until then, who
// invites does not learn whose the address is.
func TestTakeInvitation(t *testing.T) {
	eachWithMail(t, "alice bob", func(s *script, box *mailbox) {
		s.atIdentity("alice")
		s.addEmail(box, "bob", "bob@example.org")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat","invite_3pid":[{"id_server":"test","id_access_token":"<alice token>","medium":"email","address":"bob@example.org"}]}`, "room_id")
		l := box.next("bob@example.org")
		u, err := url.Parse(l.link(s.t))
		if err != nil {
			s.t.Fatal(err)
		}
		guess := u.Query()
		guess.Set("key", base64.RawStdEncoding.EncodeToString(make([]byte, ed25519.SeedSize)))
		for _, w := range []*httptest.ResponseRecorder{s.page("GET", u.Path+"?"+guess.Encode(), nil), s.page("POST", u.Path, guess), s.page("POST", u.Path, url.Values{})} {
			if w.Code != 404 || strings.Contains(w.Body.String(), "bob") {
				t.Errorf("by another key: %d %s", w.Code, w.Body)
			}
		}
		s.run([]step{{"not yet", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 404, "M_NOT_FOUND", ""}})
		if w := s.confirm(l); w.Code != 200 || !strings.Contains(w.Body.String(), "@bob:test") {
			t.Errorf("taken: %d %s", w.Code, w.Body)
		}
		s.awaitInvite("bob")
		if w := s.page("GET", u.RequestURI(), nil); w.Code != 404 {
			t.Errorf("once more: %d", w.Code)
		}
	})
}

// The mail has the key with which whoever gets it signs for the account that they have.
func TestSignInvitation(t *testing.T) {
	eachWithMail(t, "alice bob mallory", func(s *script, box *mailbox) {
		s.atIdentity("alice", "bob", "mallory")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat","invite_3pid":[{"id_server":"test","id_access_token":"<alice token>","medium":"email","address":"b@example.org"}]}`, "room_id")
		_, fragment, _ := strings.Cut(box.next("b@example.org").link(s.t), "?")
		parameters, err := url.ParseQuery(fragment)
		if err != nil {
			s.t.Fatal(err)
		}
		sign, err := url.Parse(parameters.Get("signurl"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.words["token"], s.words["private"] = sign.Query().Get("token"), sign.Query().Get("private_key")
		_, stranger, err := ed25519.GenerateKey(nil)
		if err != nil {
			s.t.Fatal(err)
		}
		s.words["wrong"] = base64.RawStdEncoding.EncodeToString(stranger.Seed())
		signed := func(name, key string) string {
			raw, err := json.Marshal(s.get(name+"-id POST "+ids+"/v2/sign-ed25519", `{"mxid":"<`+name+`>","token":"<token>","private_key":"<`+key+`>"}`))
			if err != nil {
				s.t.Fatal(err)
			}
			return `{"third_party_signed":` + string(raw) + `}`
		}
		s.run([]step{
			{"no such token", "bob-id POST " + ids + "/v2/sign-ed25519", `{"mxid":"<bob>","token":"x","private_key":"<private>"}`, 404, "M_UNRECOGNIZED", ""},
			{"no key", "bob-id POST " + ids + "/v2/sign-ed25519", `{"mxid":"<bob>","token":"<token>","private_key":"x"}`, 400, "M_INVALID_PARAM", ""},
			{"without any", "mallory POST /rooms/<room>/join", `{}`, 403, "M_FORBIDDEN", ""},
			{"by a key of one's own", "mallory POST /rooms/<room>/join", signed("mallory", "wrong"), 403, "M_FORBIDDEN", ""},
			{"signed for another", "mallory POST /rooms/<room>/join", signed("bob", "private"), 403, "M_FORBIDDEN", ""},
			{"no object", "mallory POST /rooms/<room>/join", `{"third_party_signed":1}`, 400, "M_BAD_JSON", ""},
			{"signed", "bob POST /join/<room>", signed("bob", "private"), 200, "room_id=<room>", ""},
			{"in the room", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=join", ""},
		})
	}, func(c *homeserver.Config) { c.Mail.WebClient = "http://test/client" })
}

// A homeserver takes back what is published of its users by its signature.
func TestSignedUnbind(t *testing.T) {
	eachWithMail(t, "alice bob", func(s *script, box *mailbox) {
		s.atIdentity("alice", "bob")
		s.validate(box, "alice", "alice@example.org")
		s.run([]step{{"bind", "alice-id POST " + ids + "/v2/3pid/bind", `{"sid":"<sid>","client_secret":"alice","mxid":"<alice>"}`, 200, "", ""}})
		seed := make([]byte, ed25519.SeedSize) // of testserver.New
		content := `{"mxid":"@alice:test","threepid":{"medium":"email","address":"alice@example.org"}}`
		ask := func(origin, body string, key ed25519.PrivateKey) int {
			raw, err := event.SignJSON([]byte(`{"method":"POST","uri":"/_matrix/identity/v2/3pid/unbind","origin":"`+origin+`","destination":"test","content":`+content+`}`),
				&event.Key{ServerName: origin, KeyID: "ed25519:test", Private: key})
			if err != nil {
				s.t.Fatal(err)
			}
			sig := textAt(s.t, decode(s.t, raw), "signatures/"+origin+"/ed25519:test")
			r := httptest.NewRequestWithContext(s.t.Context(), "POST", ids+"/v2/3pid/unbind", strings.NewReader(body))
			r.Header.Set("Authorization", `X-Matrix origin="`+origin+`",destination="test",key="ed25519:test",sig="`+sig+`"`)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			return w.Code
		}
		own := ed25519.NewKeyFromSeed(seed)
		seed2 := append([]byte{1}, seed[1:]...)
		for _, c := range []struct {
			name, origin, body string
			key                ed25519.PrivateKey
			want               int
		}{
			{"another key", "test", content, ed25519.NewKeyFromSeed(seed2), 403},
			{"another server", "evil.example", content, own, 403},
			{"another body", "test", strings.ReplaceAll(content, "alice@", "bob@"), own, 403},
			{"signed", "test", content, own, 200},
		} {
			if got := ask(c.origin, c.body, c.key); got != c.want {
				t.Errorf("%s: got %d, want %d", c.name, got, c.want)
			}
		}
		s.words["pepper"] = s.text("bob-id GET "+ids+"/v2/hash_details", ``, "lookup_pepper")
		sum := sha256.Sum256([]byte("alice@example.org email " + s.words["pepper"]))
		s.words["hash"] = base64.RawURLEncoding.EncodeToString(sum[:])
		s.run([]step{{"gone", "bob-id POST " + ids + "/v2/lookup", `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>"]}`, 200, "mappings/<hash>:absent", ""}})
	})
}

// invitation returns the token of the invitation by an address in <room>.
func (s *script) invitation() string {
	s.t.Helper()
	for _, e := range s.get("alice GET /rooms/<room>/state", ``).([]any) {
		if e := e.(map[string]any); e["type"] == "m.room.third_party_invite" {
			return e["state_key"].(string)
		}
	}
	s.t.Fatal("the room has no invitation by an address")
	return ""
}

// awaitInvite waits until a user is invited to <room>.
func (s *script) awaitInvite(name string) {
	s.t.Helper()
	since := ""
	for range 20 {
		out := s.get(name+" GET /sync?timeout=5000&since="+since, ``)
		if len(at(out, "rooms/invite/"+s.words["room"])) == 1 {
			return
		}
		since = textAt(s.t, out, "next_batch")
	}
	s.t.Fatalf("%s has no invitation", name)
}

// Whoever may not use their account may not use the identity service in its name either: neither with a token of it, nor with one that the
// homeserver gave before. Client-Server API, "Account moderation".
func TestIdentityOfBarred(t *testing.T) {
	box := newMailbox(t)
	each(t, "alice", func(s *script) {
		s.withRoot()
		s.atIdentity("alice")
		s.words["openid"] = s.text("alice POST /user/<alice>/openid/request_token", `{}`, "access_token")
		const (
			register = `{"access_token":"<openid>","matrix_server_name":"test","token_type":"Bearer","expires_in":3600}`
			invite   = `{"medium":"email","address":"a@example.org","room_id":"!a:test","sender":"<alice>"}`
			password = `{"new_password":"correct horse battery","logout_devices":false,`
		)
		s.run([]step{
			{name: "lock", request: "root PUT /_matrix/client/v1/admin/lock/<alice>", body: `{"locked":true}`, status: 200},
			{name: "locked", request: "alice-id GET " + ids + "/v2/account", status: 401, want: "M_UNAUTHORIZED"},
			{name: "by the homeserver's word", request: "nobody POST " + ids + "/v2/account/register", body: register, status: 401, want: "M_UNKNOWN_TOKEN"},
			{name: "unlock", request: "root PUT /_matrix/client/v1/admin/lock/<alice>", body: `{"locked":false}`, status: 200},
			{name: "as before", request: "alice-id GET " + ids + "/v2/account", status: 200, want: "user_id=<alice>"},
			{name: "suspend", request: "root PUT /_matrix/client/v1/admin/suspend/<alice>", body: `{"suspended":true}`, status: 200},
			{name: "write to strangers", request: "alice-id POST " + ids + "/v2/store-invite", body: invite, status: 403, want: "M_USER_SUSPENDED"},
			{name: "read", request: "alice-id GET " + ids + "/v2/hash_details", status: 200, want: "lookup_pepper:string"},
			{name: "a new password", request: "alice POST /account/password", body: password + proof("alice") + `}`, status: 200, want: "{}"},
			{name: "ends what the old one has granted", request: "alice-id GET " + ids + "/v2/account", status: 401, want: "M_UNAUTHORIZED"},
			{name: "and what could be made of it", request: "nobody POST " + ids + "/v2/account/register", body: register, status: 401, want: "M_UNKNOWN_TOKEN"},
		})
	}, box.configure)
}
