package testserver_test

import (
	"testing"
	"time"

	"causeway/homeserver"
)

// withRoot makes an administrator, whose token is that of "root".
func (s *script) withRoot() {
	s.t.Helper()
	for _, name := range []string{"root", "root2"} {
		user, err := s.Accounts.CreateUser(s.t.Context(), name, "correct horse battery", true)
		if err != nil {
			s.t.Fatal(err)
		}
		s.words[name] = string(user)
		s.login(name, name, "R")
	}
}

// TestWhoModerates asks of both endpoints what they must refuse, by both names. Client-Server API, "Account moderation".
func TestWhoModerates(t *testing.T) {
	each(t, "alice bob gone", func(s *script) {
		s.withRoot()
		s.get("gone POST /account/deactivate", "{"+proof("gone")+"}")
		for _, what := range []struct{ path, field string }{
			{"/_matrix/client/v1/admin/suspend", "suspended"}, {"/_matrix/client/v1/admin/lock", "locked"},
			{"/_matrix/client/unstable/uk.timedout.msc4323/admin/suspend", "suspended"}, {"/_matrix/client/unstable/uk.timedout.msc4323/admin/lock", "locked"},
		} {
			yes, no := `{"`+what.field+`":true}`, `{"`+what.field+`":false}`
			for _, test := range []struct {
				who, user string
				status    int
				code      string
			}{
				{"bob", "<alice>", 403, "M_FORBIDDEN"}, {"bob", "@nobody:test", 403, "M_FORBIDDEN"}, {"nobody", "<alice>", 401, "M_MISSING_TOKEN"},
				{"root", "@nobody:test", 404, "M_NOT_FOUND"}, {"root", "<gone>", 404, "M_NOT_FOUND"}, {"root", "@alice:elsewhere", 400, "M_INVALID_PARAM"},
				{"root", "alice", 400, "M_INVALID_PARAM"}, {"root", "<root2>", 403, "M_FORBIDDEN"}, {"root", "<root>", 403, "M_FORBIDDEN"},
			} {
				for method, body := range map[string]string{"GET": "", "PUT": yes} {
					if method == "GET" && test.user == "<root>" {
						continue
					}
					a := s.ask(test.who+" "+method+" "+what.path+"/"+test.user, body)
					if a.Status != test.status || a.Code() != test.code {
						t.Errorf("%s %s %s of %s: got %d %s", method, what.path, test.user, test.who, a.Status, a.Body)
					}
				}
			}
			s.run([]step{
				{name: "not yet", request: "root GET " + what.path + "/<alice>", status: 200, want: what.field + "=false"},
				{name: "nothing", request: "root PUT " + what.path + "/<alice>", body: `{}`, status: 400, want: "M_MISSING_PARAM"},
				{name: "do", request: "root PUT " + what.path + "/<alice>", body: yes, status: 200, want: what.field + "=true"},
				{name: "done", request: "root GET " + what.path + "/<alice>", status: 200, want: what.field + "=true"},
				{name: "undo", request: "root PUT " + what.path + "/<alice>", body: no, status: 200, want: what.field + "=false"},
			})
		}
		s.run([]step{
			{name: "capability", request: "root GET /capabilities", status: 200, want: "capabilities/m.account_moderation/suspend=true capabilities/m.account_moderation/lock=true"},
			{name: "nobody else's", request: "alice GET /capabilities", status: 200, want: "capabilities/m.account_moderation:absent"},
		})
	})
}

// TestSuspended does what a suspended user may do, and what not. Client-Server API, "Account suspension".
func TestSuspended(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.withRoot()
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["open"] = s.text("bob POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["invited"] = s.text("bob POST /createRoom", `{"invite":["<alice>"]}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		for _, user := range []string{"alice", "bob"} {
			for _, n := range []string{"1", "2"} {
				s.words[user+" event"+n] = s.text(user+" PUT /rooms/<room>/send/m.room.message/"+n, `{"body":"x"}`, "event_id")
			}
		}
		s.get("root PUT /_matrix/client/v1/admin/suspend/<alice>", `{"suspended":true}`)
		s.login("alice", "phone", "PHONE")
		for _, request := range [][2]string{
			{"PUT /rooms/<room>/send/m.room.message/9", `{"body":"x"}`}, {"PUT /rooms/<room>/send/m.reaction/9", `{}`},
			{"PUT /rooms/<room>/state/m.room.topic", `{"topic":"x"}`}, {"PUT /rooms/<room>/state/m.room.member/<alice>", `{"membership":"join","displayname":"x"}`},
			{"PUT /rooms/<room>/state/m.room.member/<bob>", `{"membership":"leave"}`},
			{"PUT /rooms/<room>/redact/<bob event1>/9", `{}`}, {"PUT /rooms/<room>/send/m.room.redaction/9", `{"redacts":"<bob event1>"}`},
			{"POST /rooms/<room>/invite", `{"user_id":"<root>"}`}, {"POST /rooms/<room>/kick", `{"user_id":"<bob>"}`},
			{"POST /rooms/<open>/join", ``}, {"POST /join/<open>", ``}, {"POST /rooms/<invited>/join", ``}, {"POST /knock/<open>", ``}, {"POST /createRoom", `{}`},
			{"PUT /rooms/<open>/state/m.room.member/<alice>", `{"membership":"join"}`},
			{"PUT /profile/<alice>/displayname", `{"displayname":"x"}`}, {"PUT /profile/<alice>/avatar_url", `{"avatar_url":"mxc://a/b"}`},
			{"DELETE /profile/<alice>/displayname", ``}, {"PUT /profile/<alice>/m.tz", `{"m.tz":"UTC"}`},
			{"PUT /directory/room/%23x:test", `{"room_id":"<room>"}`}, {"PUT /rooms/<room>/delayed_event/a.b/9", `{"delay_ms":1000,"content":{}}`},
		} {
			for _, who := range []string{"alice", "phone"} {
				if a := s.ask(who+" "+request[0], request[1]); a.Status != 403 || a.Code() != "M_USER_SUSPENDED" {
					t.Errorf("%s: %d %s", request[0], a.Status, a.Body)
				}
			}
		}
		s.devices("alice")
		for _, request := range [][2]string{
			{"GET /sync", ``}, {"GET /rooms/<room>/messages?dir=b", ``}, {"POST /keys/upload", `{"device_keys":` + s.deviceKeys("alice", "1") + `}`},
			{"PUT /sendToDevice/m.key.verification.start/1", `{"messages":{}}`}, {"PUT /user/<alice>/account_data/a.b", `{}`},
			{"PUT /rooms/<room>/redact/<alice event1>/1", `{}`}, {"PUT /rooms/<room>/send/m.room.redaction/2", `{"redacts":"<alice event2>"}`},
			{"POST /rooms/<invited>/leave", ``}, {"PUT /rooms/<room>/state/m.room.member/<alice>", `{"membership":"leave"}`},
			{"DELETE /devices/PHONE", "{" + proof("alice") + "}"}, {"POST /account/deactivate", "{" + proof("alice") + "}"},
		} {
			s.get("alice "+request[0], request[1])
		}
	})
}

// TestSuspensionEnds has a user speak again.
func TestSuspensionEnds(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.withRoot()
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		const send = "alice PUT /rooms/<room>/send/m.room.message/"
		s.run([]step{
			{name: "suspend", request: "root PUT /_matrix/client/v1/admin/suspend/<alice>", body: `{"suspended":true}`, status: 200},
			{name: "say", request: send + "1", body: `{}`, status: 403, want: "M_USER_SUSPENDED"},
			{name: "end", request: "root PUT /_matrix/client/v1/admin/suspend/<alice>", body: `{"suspended":false}`, status: 200},
			{name: "say again", request: send + "1", body: `{}`, status: 200, want: "event_id:string"},
		})
	})
}

// TestLocked locks an account whose device waits: that ends, and nothing is served but logging out. Client-Server API, "Account locking".
func TestLocked(t *testing.T) {
	bus := &waiting{registered: make(chan struct{}, 1)}
	each(t, "alice", func(s *script) {
		s.withRoot()
		v := s.get("nobody POST /login", `{"type":"m.login.password","user":"alice","password":"correct horse battery","refresh_token":true}`)
		s.tokens["phone"], s.words["refresh"] = textAt(t, v, "access_token"), textAt(t, v, "refresh_token")
		s.since("alice", "")
		answered := s.park(bus, "alice")
		s.get("root PUT /_matrix/client/v1/admin/lock/<alice>", `{"locked":true}`)
		const locked = "errcode=M_USER_LOCKED error:string soft_logout=true"
		s.must("a sync that waits", decode(t, <-answered), locked)
		const login = `{"type":"m.login.password","user":"alice","password":"correct horse battery"}`
		s.run([]step{
			{name: "sync", request: "alice GET /sync", status: 401, want: locked},
			{name: "whoami", request: "alice GET /account/whoami", status: 401, want: locked},
			{name: "a profile, which strangers may see", request: "alice GET /profile/<root>", status: 401, want: locked},
			{name: "log in", request: "nobody POST /login", body: login, status: 401, want: locked},
			{name: "log in with the wrong password", request: "nobody POST /login", body: `{"type":"m.login.password","user":"alice","password":"x"}`, status: 403, want: "M_FORBIDDEN"},
			{name: "refresh", request: "nobody POST /refresh", body: `{"refresh_token":"<refresh>"}`, status: 401, want: locked},
			{name: "log out", request: "phone POST /logout", status: 200, want: "{}"},
			{name: "unlock", request: "root PUT /_matrix/client/v1/admin/lock/<alice>", body: `{"locked":false}`, status: 200, want: "locked=false"},
			{name: "the session is still there", request: "alice GET /account/whoami", status: 200, want: "user_id=<alice>"},
			{name: "but that which was ended", request: "phone GET /account/whoami", status: 401, want: "M_UNKNOWN_TOKEN"},
			{name: "lock again", request: "root PUT /_matrix/client/v1/admin/lock/<alice>", body: `{"locked":true}`, status: 200},
			{name: "log out all", request: "alice POST /logout/all", status: 200, want: "{}"},
		})
	}, func(c *homeserver.Config) { c.Bus = bus })
}

// TestExpiredAccount has an account end by itself, and go on when the operator says so.
func TestExpiredAccount(t *testing.T) {
	each(t, "", func(s *script) {
		v := s.get("nobody POST /register", `{"username":"alice","password":"p","auth":{"type":"m.login.dummy"}}`)
		s.tokens["alice"] = textAt(t, v, "access_token")
		const expired = "errcode=ORG_MATRIX_EXPIRED_ACCOUNT error:string"
		for ended := false; !ended; { // a millisecond
			a := s.ask("alice GET /sync", "")
			if ended = a.Status == 403; ended {
				s.must("after it", decode(t, a.Body), expired)
			}
		}
		s.run([]step{{name: "log in", request: "nobody POST /login", body: `{"type":"m.login.password","user":"alice","password":"p"}`, status: 403, want: expired}})
		if err := s.Accounts.SetValidity(t.Context(), "@alice:test", 0); err != nil {
			t.Fatal(err)
		}
		s.get("alice GET /sync", "")
	}, func(c *homeserver.Config) { c.Rules.Validity = time.Millisecond })
}
