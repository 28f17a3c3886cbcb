package testserver_test

import (
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
	"causeway/registration"

	"maunium.net/go/mautrix/id"
)

// services returns two application services: "irc", which owns what begins with irc_ and shares what begins with shared_, and
// "limited", whose users are rate-limited.
func services(t *testing.T) *registration.Set {
	t.Helper()
	set, err := registration.NewSet(
		&registration.Registration{
			ID: "irc", ASToken: "irc_as_token_0123456789", HSToken: "irc_hs_token_0123456789", SenderLocalpart: "ircbot",
			Namespaces: registration.Namespaces{
				Users:   []registration.Namespace{{Regex: "@irc_.*", Exclusive: true}, {Regex: "@shared_.*"}},
				Aliases: []registration.Namespace{{Regex: "#irc_.*", Exclusive: true}},
			},
		},
		&registration.Registration{
			ID: "limited", ASToken: "limited_as_token_0123456", HSToken: "limited_hs_token_0123456", SenderLocalpart: "limitedbot", RateLimited: true,
			Namespaces: registration.Namespaces{Users: []registration.Namespace{{Regex: "@lim_.*", Exclusive: true}}},
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// withServices configures a server with those.
func withServices(t *testing.T) func(*homeserver.Config) {
	set := services(t)
	return func(c *homeserver.Config) {
		c.AppServices = func() *registration.Set { return set }
		c.AliasOwner = func(alias id.RoomAlias) string {
			if owner := set.ExclusiveOwnerOfAlias(alias); owner != nil {
				return owner.ID
			}
			return ""
		}
	}
}

// eachWithServices is each with the application services, whose tokens are "irc" and "limited".
func eachWithServices(t *testing.T, names string, test func(s *script), change ...func(*homeserver.Config)) {
	t.Helper()
	each(t, names, func(s *script) {
		for _, reg := range services(t).All() {
			s.tokens[reg.ID] = reg.ASToken
		}
		test(s)
	}, append(change, withServices(t))...)
}

// TestAppService acts as an application service does. Application Service API, "Client-Server API Extensions".
func TestAppService(t *testing.T) {
	eachWithServices(t, "alice shared_person", func(s *script) {
		s.words["ghost"], s.words["other ghost"] = "@irc_ghost:test", "@irc_other:test"
		s.run(ghostSteps)
		s.run(masqueradeSteps)
		s.run(namespaceSteps)
	})
}

var ghostSteps = []step{
	{"who the service is", "irc GET /account/whoami", ``, 200, "user_id=@ircbot:test device_id:absent", ""},
	{"act for who is not registered", "irc GET /account/whoami?user_id=<ghost>", ``, 403, "M_FORBIDDEN", ""},
	{"register a ghost", "irc POST /register", `{"type":"m.login.application_service","username":"irc_ghost","inhibit_login":true}`, 200, "user_id=@irc_ghost:test access_token:absent device_id:absent", ""},
	{"register it again", "irc POST /register", `{"type":"m.login.application_service","username":"irc_ghost"}`, 400, "M_USER_IN_USE", ""},
	{"register with a session", "irc POST /register", `{"type":"m.login.application_service","username":"irc_other"}`, 200, "user_id=@irc_other:test access_token:string device_id:string", ""},
	{"register outside", "irc POST /register", `{"type":"m.login.application_service","username":"elsewhere"}`, 400, "M_EXCLUSIVE", ""},
	{"register another's", "irc POST /register", `{"type":"m.login.application_service","username":"lim_a"}`, 400, "M_EXCLUSIVE", ""},
	{"register without a name", "irc POST /register", `{"type":"m.login.application_service"}`, 400, "M_MISSING_PARAM", ""},
	{"register without a token", "nobody POST /register", `{"type":"m.login.application_service","username":"irc_x"}`, 401, "M_MISSING_TOKEN", ""},
	{"register with a person's token", "alice POST /register", `{"type":"m.login.application_service","username":"irc_x"}`, 401, "M_UNKNOWN_TOKEN", ""},
	{"register in the shared namespace", "irc POST /register", `{"type":"m.login.application_service","username":"shared_ghost"}`, 200, "user_id=@shared_ghost:test", ""},
	{"log a ghost in", "irc POST /login", `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"irc_ghost"}}`, 200, "user_id=@irc_ghost:test access_token:string device_id:string", ""},
	{"log another's in", "irc POST /login", `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"alice"}}`, 400, "M_EXCLUSIVE", ""},
}

var masqueradeSteps = []step{
	{"act for a ghost", "irc GET /account/whoami?user_id=<ghost>", ``, 200, "user_id=@irc_ghost:test", ""},
	{"act for a person outside", "irc GET /account/whoami?user_id=<alice>", ``, 403, "M_FORBIDDEN", ""},
	{"act for a person inside", "irc GET /account/whoami?user_id=<shared_person>", ``, 200, "user_id=@shared_person:test", ""},
	{"act for who is of another server", "irc GET /account/whoami?user_id=@irc_ghost:elsewhere", ``, 403, "M_FORBIDDEN", ""},
	{"a person cannot act for another", "alice GET /account/whoami?user_id=<ghost>", ``, 200, "user_id=@alice:test", ""},
	{"with a device that there is not", "irc GET /account/whoami?user_id=<ghost>&device_id=NONE", ``, 400, "M_UNKNOWN_DEVICE", ""},
	{"make a room", "irc POST /createRoom?user_id=<ghost>&ts=1000000000000", `{"preset":"public_chat","room_alias_name":"irc_room"}`, 200, "room_id:roomid", "room=room_id"},
	{"at the time that was asked for", "irc GET /rooms/<room>/state/m.room.create?format=event&user_id=<ghost>", ``, 200, "sender=@irc_ghost:test origin_server_ts=1000000000000", ""},
	{"join as the sender", "irc POST /rooms/<room>/join", ``, 200, "room_id:roomid", ""},
	{"join at a time", "irc POST /join/<room>?user_id=<other ghost>&ts=1100000000000", `{}`, 200, "room_id:roomid", ""},
	{"at that time", "irc GET /rooms/<room>/state/m.room.member/<other ghost>?format=event", ``, 200, "origin_server_ts=1100000000000", ""},
	{"send at a time", "irc PUT /rooms/<room>/send/m.room.message/1?user_id=<ghost>&ts=1200000000000", `{"body":"old"}`, 200, "event_id:eventid", "old=event_id"},
	{"at that time", "irc GET /rooms/<room>/event/<old>", ``, 200, "sender=@irc_ghost:test origin_server_ts=1200000000000", ""},
	{"its transaction id is the service's", "irc GET /rooms/<room>/event/<old>?user_id=<ghost>", ``, 200, "unsigned/transaction_id=1", ""},
	{"another ghost's transaction", "irc PUT /rooms/<room>/send/m.room.message/1?user_id=<other ghost>", `{"body":"new"}`, 200, "event_id:eventid", "new=event_id"},
	{"is another event", "irc GET /rooms/<room>/event/<new>", ``, 200, "sender=@irc_other:test content/body=new", ""},
	{"state at a time", "irc PUT /rooms/<room>/state/x.y?user_id=<ghost>&ts=1300000000000", `{}`, 200, "event_id:eventid", ""},
	{"at that time", "irc GET /rooms/<room>/state/x.y?format=event", ``, 200, "origin_server_ts=1300000000000", ""},
	{"a redaction at a time", "irc PUT /rooms/<room>/redact/<new>/9?user_id=<ghost>&ts=1400000000000", `{}`, 200, "event_id:eventid", "redaction=event_id"},
	{"at that time", "irc GET /rooms/<room>/event/<redaction>", ``, 200, "origin_server_ts=1400000000000", ""},
	{"no time", "irc PUT /rooms/<room>/send/m.room.message/2?user_id=<ghost>&ts=soon", `{}`, 400, "M_INVALID_PARAM", ""},
	{"a time before time", "irc PUT /rooms/<room>/send/m.room.message/2?user_id=<ghost>&ts=-1", `{}`, 400, "M_INVALID_PARAM", ""},
	{"a person joins", "alice POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"a person's time does not count", "alice PUT /rooms/<room>/send/m.room.message/1?ts=1", `{"body":"now"}`, 200, "event_id:eventid", "now=event_id"},
	{"but the server's does", "alice GET /rooms/<room>/event/<now>", ``, 200, ":event content/body=now", ""},
	{"joined members of a ghost's room", "irc GET /rooms/<room>/joined_members?user_id=<ghost>", ``, 200, "joined/@irc_ghost:test:object joined/@ircbot:test:object", ""},
	{"the sender leaves", "irc POST /rooms/<room>/leave", ``, 200, "{}", ""},
	{"joined members, by a service whose ghosts are in", "irc GET /rooms/<room>/joined_members", ``, 200, "joined/@irc_ghost:test:object", ""},
	{"joined members, by a service whose ghosts are not", "limited GET /rooms/<room>/joined_members", ``, 403, "M_FORBIDDEN", ""},
	{"a ghost without a name, to its service", "irc GET /profile/<ghost>/displayname?user_id=<ghost>", ``, 200, "{}", ""},
	{"and a picture", "irc GET /profile/<ghost>/avatar_url?user_id=<ghost>", ``, 200, "{}", ""},
	{"or anything else", "irc GET /profile/<ghost>/x.y?user_id=<ghost>", ``, 404, "M_NOT_FOUND", ""},
	{"a ghost's name", "irc PUT /profile/<ghost>/displayname?user_id=<ghost>", `{"displayname":"G"}`, 200, "{}", ""},
	{"a ghost's name in its room", "alice GET /rooms/<room>/state/m.room.member/<ghost>", ``, 200, "displayname=G", ""},
	{"a ghost's name by another", "irc PUT /profile/<ghost>/displayname", `{"displayname":"G"}`, 403, "M_FORBIDDEN", ""},
}

var namespaceSteps = []step{
	{"a person takes a ghost's name", "nobody POST /register", `{"username":"irc_person","password":"correct horse","auth":{"type":"m.login.dummy"}}`, 400, "M_EXCLUSIVE", ""},
	{"a person takes the sender's name", "nobody POST /register", `{"username":"ircbot","password":"correct horse","auth":{"type":"m.login.dummy"}}`, 400, "M_EXCLUSIVE", ""},
	{"is it free?", "nobody GET /register/available?username=irc_person", ``, 400, "M_EXCLUSIVE", ""},
	{"a person's room", "alice POST /createRoom", `{"preset":"public_chat"}`, 200, "room_id:roomid", ""},
	{"a person makes an exclusive alias with a room", "alice POST /createRoom", `{"room_alias_name":"irc_x"}`, 400, "M_EXCLUSIVE", ""},
	{"a person makes an exclusive alias", "alice PUT /directory/room/%23irc_x:test", `{"room_id":"<room>"}`, 400, "M_EXCLUSIVE", ""},
	{"another service makes an exclusive alias", "limited PUT /directory/room/%23irc_x:test", `{"room_id":"<room>"}`, 400, "M_EXCLUSIVE", ""},
	{"the service makes it", "irc PUT /directory/room/%23irc_x:test?user_id=<ghost>", `{"room_id":"<room>"}`, 200, "{}", ""},
	{"a person joins by it", "alice POST /join/%23irc_x:test", `{}`, 200, "room_id:roomid", ""},
	{"a person removes it", "alice DELETE /directory/room/%23irc_x:test", ``, 400, "M_EXCLUSIVE", ""},
	{"the service removes it", "irc DELETE /directory/room/%23irc_x:test?user_id=<ghost>", ``, 200, "{}", ""},
	{"who is a service's", "irc POST /_matrix/client/unstable/causeway/service_users", `{"users":["@irc_x:test","@lim_a:test","@ircbot:test","<alice>","@shared_person:test","@irc_x:elsewhere","no"]}`, 200,
		"users/0=@irc_x:test users/1=@lim_a:test users/2=@ircbot:test users/3:absent", ""},
	{"of none", "irc POST /_matrix/client/unstable/causeway/service_users", `{}`, 200, "users:empty", ""},
	{"as a person", "alice POST /_matrix/client/unstable/causeway/service_users", `{"users":["@irc_x:test"]}`, 403, "M_FORBIDDEN", ""},
	{"a ping with a person's token", "alice POST /_matrix/client/v1/appservice/irc/ping", `{}`, 403, "M_FORBIDDEN", ""},
	{"a ping of another service", "limited POST /_matrix/client/v1/appservice/irc/ping", `{}`, 403, "M_FORBIDDEN", ""},
}

// TestRateLimits sends until the limit of one message is reached. Client-Server API, "Rate limiting"; Application Service API,
// "Registration", rate_limited.
func TestRateLimits(t *testing.T) {
	limits := func(c *homeserver.Config) {
		c.Limits = map[httpapi.Class]httpapi.Limit{httpapi.ClassMessage: {PerSecond: 0.000001, Burst: 1}}
	}
	eachWithServices(t, "alice bob", func(s *script) {
		const register = `{"type":"m.login.application_service","username":"`
		s.get("irc POST /register", register+`irc_a"}`)
		s.get("limited POST /register", register+`lim_a"}`)
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		for _, row := range []struct {
			name, who, query string
			limited          bool
		}{
			{"person", "alice", "", true},
			{"another person", "bob", "", true},
			{"service that is not limited", "irc", "", false},
			{"its ghost", "irc", "?user_id=@irc_a:test", false},
			{"service that is limited", "limited", "", false},
			{"its ghost", "limited", "?user_id=@lim_a:test", true},
		} {
			s.get(row.who+" POST /rooms/<room>/join"+row.query, "")
			send := row.who + " PUT /rooms/<room>/send/m.room.message/"
			s.get(send+"1"+row.query, `{}`)
			a := s.ask(send+"2"+row.query, `{}`)
			if limited := a.Status == 429; limited != row.limited {
				s.t.Errorf("%s: got %d %s, want limited %t", row.name, a.Status, a.Body, row.limited)
			}
			if row.limited {
				s.must(row.name, decode(s.t, a.Body), "errcode=M_LIMIT_EXCEEDED error:string retry_after_ms:integer")
				if a.Header.Get("Retry-After") == "" || a.Header.Get("Access-Control-Allow-Origin") != "*" {
					s.t.Errorf("%s: got the headers %v", row.name, a.Header)
				}
			}
		}
	}, limits)
}
