package testserver_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"

	"causeway/homeserver/store"
)

// running has the server do what it does by itself, until the test ends.
func (s *script) running() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		s.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	}
}

// awaitLeft syncs as a user until somebody has left <room>.
func (s *script) awaitLeft(user, who string) {
	s.t.Helper()
	for {
		for _, e := range at(s.since(user, "timeout=60000"), "rooms/join/"+s.words["room"]+"/timeline/events/*") {
			if check(e, "state_key="+s.words[who]+" content/membership=leave") == "" {
				s.must("nothing is left of the profile", e, "content/displayname:absent content/avatar_url:absent")
				return
			}
		}
	}
}

// TestDeactivate ends an account: nobody uses it again, nobody has its name, and nothing of what it kept is left. Client-Server API, POST
// /account/deactivate.
func TestDeactivate(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.devices("alice")
		s.words["room"] = s.text("bob POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["invited"] = s.text("bob POST /createRoom", `{"invite":["<alice>"]}`, "room_id")
		s.words["mine"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.get("alice PUT /profile/<alice>/displayname", `{"displayname":"Secret of alice"}`)
		s.get("alice PUT /profile/<alice>/avatar_url", `{"avatar_url":"mxc://secret/alice"}`)
		s.get("alice PUT /profile/<alice>/m.tz", `{"m.tz":"secret/zone"}`)
		s.get("alice POST /rooms/<room>/join", "")
		s.get("bob POST /rooms/<room>/invite", `{"user_id":"<carol>"}`)
		s.words["event"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"said before"}`, "event_id")
		s.get("alice PUT /presence/<alice>/status", `{"presence":"online","status_msg":"secret"}`)
		s.get("alice POST /rooms/<room>/receipt/m.read/<event>", `{}`)
		s.get("alice POST /rooms/<room>/receipt/m.read.private/<event>", `{}`)
		s.get("alice PUT /user/<alice>/account_data/a.b", `{"x":"secret"}`)
		s.get("alice PUT /user/<alice>/rooms/<room>/account_data/a.b", `{"x":"secret"}`)
		s.get("alice PUT /pushrules/global/override/secret", `{"actions":[]}`)
		s.get("alice POST /user/<alice>/filter", `{"event_fields":["secret"]}`)
		s.get("alice POST /user/<alice>/openid/request_token", `{}`)
		s.get("alice POST /keys/upload", `{"device_keys":`+s.deviceKeys("alice", "1")+`}`)
		s.get("alice PUT /rooms/<room>/delayed_event/a.b/1", `{"delay_ms":1000000,"content":{"body":"secret"}}`)
		s.login("alice", "phone", "PHONE")
		s.since("bob", "")
		const end = "alice POST /account/deactivate"
		s.run([]step{
			{name: "no token", request: "nobody POST /account/deactivate", body: `{}`, status: 401, want: "M_MISSING_TOKEN"},
			{name: "who are you?", request: end, body: `{}`, status: 401, want: "session:string flows/0/stages/0=m.login.password params={}"},
			{name: "the wrong password", request: end, body: strings.Replace("{"+proof("alice")+"}", "battery", "x", 1), status: 401, want: "errcode=M_FORBIDDEN"},
			{name: "another's proof", request: end, body: "{" + proof("bob") + "}", status: 403, want: "M_FORBIDDEN"},
			{name: "nothing has happened", request: "alice GET /account/whoami", status: 200, want: "user_id=<alice>"},
			{name: "the end", request: end, body: `{"erase":true,` + proof("alice") + `}`, status: 200, want: "id_server_unbind_result=success"},
			{name: "its token", request: "alice GET /sync", status: 401, want: "M_UNKNOWN_TOKEN"},
			{name: "another of its tokens", request: "phone GET /sync", status: 401, want: "M_UNKNOWN_TOKEN"},
			{name: "its password", request: "nobody POST /login", body: `{"type":"m.login.password","user":"alice","password":"correct horse battery"}`, status: 403, want: "M_FORBIDDEN"},
			{name: "its name", request: "nobody POST /register", body: `{"username":"alice","password":"x","auth":{"type":"m.login.dummy"}}`, status: 400, want: "M_USER_IN_USE"},
			{name: "available?", request: "nobody GET /register/available?username=Alice", status: 400, want: "M_USER_IN_USE"},
			{name: "its profile", request: "bob GET /profile/<alice>", status: 200, want: "{}"},
			{name: "whether it is there", request: "bob GET /presence/<alice>/status", status: 200, want: "presence=offline status_msg:absent"},
			{name: "its keys", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200, want: "device_keys/<alice>={}"},
			{name: "in the directory", request: "bob POST /user_directory/search", body: `{"search_term":"alice"}`, status: 200, want: "results:empty"},
		})
		s.must("others hear that the keys are gone", s.since("bob", ""), "device_lists/changed/0="+s.words["alice"])
		// The server stops here; the next one goes on.
		stop := s.running()
		s.awaitLeft("bob", "alice")
		for s.rowsOf("departures", "user_nid", "alice") != 0 { // the room that nobody else is in comes last
			runtime.Gosched()
		}
		stop()
		if a := s.ask("bob POST /rooms/<room>/invite", `{"user_id":"<alice>"}`); a.Status != 403 {
			t.Errorf("an invitation that nobody would see: %d %s", a.Status, a.Body)
		}
		s.must("the invitation is declined", s.get("bob GET /rooms/<invited>/state/m.room.member/<alice>", ""), "membership=leave")
		s.must("those who were there", s.get("bob GET /rooms/<room>/event/<event>", ""), "content/body:string")
		s.get("carol POST /rooms/<room>/join", "")
		s.must("those who come after the erasure", s.get("carol GET /rooms/<room>/event/<event>", ""), "content={}")
		for _, table := range []string{
			"devices", "access_tokens", "refresh_tokens", "device_keys", "account_data", "filters", "openid_tokens", "login_tokens", "delayed_events", "profile_fields",
			"user_words", "departures", "sliding_connections", "thread_subscriptions", "presence", "receipts",
		} {
			if n := s.rowsOf(table, "user_nid", "alice"); n != 0 {
				t.Errorf("%d rows are left in %s", n, table)
			}
		}
		if n := s.rowsOf("users", "password IS NOT NULL AND nid", "alice"); n != 0 {
			t.Error("the password is left")
		}
	})
}

// Whose account ends has no address any more, and is found by none: somebody else may have it. Client-Server API, POST /account/deactivate.
func TestDeactivateWithAddress(t *testing.T) {
	eachWithMail(t, "alice bob", func(s *script, box *mailbox) {
		s.atIdentity("alice", "bob")
		s.addEmail(box, "alice", "alice@example.org")
		s.validate(box, "alice", "alice@example.org")
		s.words["pepper"] = s.text("alice-id GET "+ids+"/v2/hash_details", "", "lookup_pepper")
		sum := sha256.Sum256([]byte("alice@example.org email " + s.words["pepper"]))
		s.words["hash"] = base64.RawURLEncoding.EncodeToString(sum[:])
		const (
			lookup = `{"algorithm":"sha256","pepper":"<pepper>","addresses":["<hash>"]}`
			login  = `{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"alice@example.org"},"password":"correct horse battery"}`
		)
		s.run([]step{
			{name: "published", request: "alice POST /account/3pid/bind", body: `{"sid":"<sid>","client_secret":"alice","id_server":"test","id_access_token":"<alice token>"}`, status: 200, want: "{}"},
			{name: "found", request: "bob-id POST " + ids + "/v2/lookup", body: lookup, status: 200, want: "mappings/<hash>=<alice>"},
			{name: "the end", request: "alice POST /account/deactivate", body: "{" + proof("alice") + "}", status: 200, want: "id_server_unbind_result=success"},
			{name: "not found", request: "bob-id POST " + ids + "/v2/lookup", body: lookup, status: 200, want: "mappings/<hash>:absent"},
			{name: "at the identity service", request: "alice-id GET " + ids + "/v2/account", status: 401, want: "M_UNAUTHORIZED"},
			{name: "login by the address", request: "nobody POST /login", body: login, status: 403, want: "M_FORBIDDEN"},
		})
		for _, table := range []string{"threepids", "threepid_binds", "threepid_sessions"} {
			if n := s.rowsOf(table, "user_nid", "alice"); n != 0 {
				t.Errorf("%d rows are left in %s", n, table)
			}
		}
		s.addEmail(box, "bob", "alice@example.org")
		s.run([]step{
			{name: "it is bob's now", request: "nobody POST /login", body: login, status: 200, want: "user_id=<bob>"},
			{name: "a service that is not trusted is not asked", request: "bob POST /account/deactivate", body: `{"id_server":"elsewhere.example",` + proof("bob") + `}`, status: 200, want: "id_server_unbind_result=no-support"},
		})
	})
}

// rowsOf counts the rows of a table in which a column is a user's integer.
func (s *script) rowsOf(table, column, user string) (n int) {
	s.t.Helper()
	err := s.DB.View(s.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Row(`SELECT COUNT(*) FROM `+table+` WHERE `+column+` = (SELECT nid FROM strings WHERE value = $1)`, []any{s.words[user]}, &n)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
