package testserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
	"causeway/registration"

	"github.com/rs/zerolog"
)

// puppets is withServices with two services more: "puppets" may act for every user of the server, and "crypt" makes devices without logging in.
func puppets(t *testing.T) func(*homeserver.Config) {
	set, err := registration.NewSet(append(services(t).All(),
		&registration.Registration{
			ID: "puppets", ASToken: "puppets_as_token_0123456", HSToken: "puppets_hs_token_0123456", SenderLocalpart: "puppeteer",
			Namespaces: registration.Namespaces{Users: []registration.Namespace{{Regex: "@.*:test"}}},
		},
		&registration.Registration{
			ID: "crypt", ASToken: "crypt_as_token_012345678", HSToken: "crypt_hs_token_012345678", SenderLocalpart: "cryptbot", MSC4190: true, MSC3202: true,
			Namespaces: registration.Namespaces{Users: []registration.Namespace{{Regex: "@crypt_.*", Exclusive: true}}},
		},
	)...)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *homeserver.Config) { c.AppServices = func() *registration.Set { return set } }
}

func eachWithPuppets(t *testing.T, names string, test func(s *script), change ...func(*homeserver.Config)) {
	t.Helper()
	each(t, names, func(s *script) {
		for _, reg := range services(t).All() {
			s.tokens[reg.ID] = reg.ASToken
		}
		s.tokens["puppets"], s.tokens["crypt"] = "puppets_as_token_0123456", "crypt_as_token_012345678"
		test(s)
	}, append(change, withServices(t), puppets(t))...)
}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// TestMasqueradeEverywhere asks each route that looks at tokens for somebody whom the service may not act for. Application Service API,
// "Identity assertion": "This applies to all aspects of the Client-Server API".
func TestMasqueradeEverywhere(t *testing.T) {
	eachWithPuppets(t, "alice", func(s *script) {
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_a","inhibit_login":true}`)
		s.get("limited POST /register", `{"type":"m.login.application_service","username":"lim_a","inhibit_login":true}`)
		s.ask("irc PUT /devices/IRC?user_id=@irc_a:test", `{}`)
		seen := 0
		for _, route := range allRoutes() {
			if route.Access == httpapi.Public {
				continue
			}
			seen++
			path := wildcard.ReplaceAllString(strings.NewReplacer("(v3|r0)", "v3", "/{$}", "/").Replace(route.Path), "x")
			for _, c := range []struct {
				name, token string
				query       url.Values
				status      int
				code        string
			}{
				{"a person", "irc", url.Values{"user_id": {"@alice:test"}}, 403, "M_FORBIDDEN"},
				{"nobody yet", "irc", url.Values{"user_id": {"@irc_none:test"}}, 403, "M_FORBIDDEN"},
				{"another service's user", "irc", url.Values{"user_id": {"@lim_a:test"}}, 403, "M_FORBIDDEN"},
				{"another service itself", "irc", url.Values{"user_id": {"@limitedbot:test"}}, 403, "M_FORBIDDEN"},
				{"another service's own user, by who may act for all", "puppets", url.Values{"user_id": {"@irc_a:test"}}, 403, "M_EXCLUSIVE"},
				{"another server's user", "irc", url.Values{"user_id": {"@irc_a:elsewhere"}}, 403, "M_FORBIDDEN"},
				{"no user", "irc", url.Values{"user_id": {"irc_a"}}, 403, "M_FORBIDDEN"},
				{"no device", "irc", url.Values{"user_id": {"@irc_a:test"}, "device_id": {"NONE"}}, 400, "M_UNKNOWN_DEVICE"},
				{"no device, by the old name", "irc", url.Values{"user_id": {"@irc_a:test"}, "org.matrix.msc3202.device_id": {"NONE"}}, 400, "M_UNKNOWN_DEVICE"},
				{"another's device", "irc", url.Values{"device_id": {"IRC"}}, 400, "M_UNKNOWN_DEVICE"},
				{"another service's token", "limited", url.Values{"user_id": {"@irc_a:test"}, "device_id": {"IRC"}}, 403, "M_FORBIDDEN"},
			} {
				a := s.Do(route.Method, path+"?"+c.query.Encode(), s.tokens[c.token], `{}`)
				if a.Status != c.status || a.Code() != c.code {
					s.t.Errorf("%s %s for %s: %d %s, want %d %s", route.Method, path, c.name, a.Status, a.Body, c.status, c.code)
				}
			}
			if route.Access != httpapi.AppService {
				continue
			}
			if a := s.Do(route.Method, path, s.tokens["alice"], `{}`); a.Status != 403 || a.Code() != "M_FORBIDDEN" {
				s.t.Errorf("%s %s, which is for services, answers a person with %d %s", route.Method, path, a.Status, a.Body)
			}
		}
		if seen < 150 {
			s.t.Errorf("%d routes were asked", seen)
		}
	})
}

// TestMSC4190 manages devices as a service does that does not log in. Application Service API, "Device management", "Cross-signing".
func TestMSC4190(t *testing.T) {
	eachWithPuppets(t, "alice", func(s *script) {
		s.words["ghost"] = "@crypt_a:test"
		s.run([]step{
			{"register with a session", "crypt POST /register", `{"type":"m.login.application_service","username":"crypt_a"}`, 400, "M_APPSERVICE_LOGIN_UNSUPPORTED", ""},
			{"register", "crypt POST /register", `{"type":"m.login.application_service","username":"crypt_a","inhibit_login":true}`, 200, "user_id=<ghost> access_token:absent device_id:absent", ""},
			{"log in", "crypt POST /login", `{"type":"m.login.application_service","device_id":"D","identifier":{"type":"m.id.user","user":"crypt_a"}}`, 400, "M_APPSERVICE_LOGIN_UNSUPPORTED", ""},
			{"who logs in may choose a device", "irc POST /register", `{"type":"m.login.application_service","username":"irc_a","inhibit_login":true}`, 200, "", ""},
			{"for it", "irc POST /login", `{"type":"m.login.application_service","device_id":"D","identifier":{"type":"m.id.user","user":"irc_a"}}`, 200, "device_id=D access_token:string", ""},
			{"make a device", "crypt PUT /devices/DEV?user_id=<ghost>", `{"display_name":"Bridge"}`, 201, "{}", ""},
			{"again", "crypt PUT /devices/DEV?user_id=<ghost>", `{"display_name":"Bridge2"}`, 200, "{}", ""},
			{"as it", "crypt PUT /devices/DEV?user_id=<ghost>&device_id=DEV", `{}`, 200, "{}", ""},
			{"its name", "crypt GET /devices/DEV?user_id=<ghost>", ``, 200, "device_id=DEV display_name=Bridge2", ""},
			{"one of the service's own", "crypt PUT /devices/BOT", `{}`, 201, "{}", ""},
			{"who it is then", "crypt GET /account/whoami?device_id=BOT", ``, 200, "user_id=@cryptbot:test device_id=BOT", ""},
			{"who it is for a ghost", "crypt GET /account/whoami?user_id=<ghost>&device_id=DEV", ``, 200, "user_id=<ghost> device_id=DEV is_guest=false", ""},
			{"by the old name", "crypt GET /account/whoami?user_id=<ghost>&org.matrix.msc3202.device_id=DEV", ``, 200, "device_id=DEV", ""},
			{"a person makes no device", "alice PUT /devices/NEW", `{}`, 404, "M_NOT_FOUND", ""},
			{"keys without a device", "crypt POST /keys/upload?user_id=<ghost>", `{}`, 400, "errcode:string", ""},
			{"keys", "crypt POST /keys/upload?user_id=<ghost>&device_id=DEV", `{}`, 200, "one_time_key_counts:object", ""},
			{"ask for keys", "crypt POST /keys/query?user_id=<ghost>&device_id=DEV", `{"device_keys":{"<ghost>":[]}}`, 200, "device_keys:object", ""},
			{"claim", "crypt POST /keys/claim?user_id=<ghost>&device_id=DEV", `{"one_time_keys":{}}`, 200, "one_time_keys:object", ""},
			{"messages to devices", "crypt PUT /sendToDevice/a.b/1?user_id=<ghost>&device_id=DEV", `{"messages":{}}`, 200, "{}", ""},
			{"a second device", "crypt PUT /devices/SECOND?user_id=<ghost>", `{}`, 201, "{}", ""},
			{"delete one", "crypt DELETE /devices/DEV?user_id=<ghost>", ``, 200, "{}", ""},
			{"delete some", "crypt POST /delete_devices?user_id=<ghost>", `{"devices":["SECOND"]}`, 200, "{}", ""},
			{"they are gone", "crypt GET /devices?user_id=<ghost>", ``, 200, "devices:empty", ""},
			{"also to act as", "crypt GET /account/whoami?user_id=<ghost>&device_id=DEV", ``, 400, "M_UNKNOWN_DEVICE", ""},
		})
		for _, round := range []string{"1", "2"} { // cross-signing keys may be replaced, too
			s.get("crypt POST /keys/device_signing/upload?user_id=<ghost>", s.signingKeys("ghost", round, round, allUsages...))
		}
	})
}

// TestDoublePuppeting acts for a person with everything a client does but what only the person may.
func TestDoublePuppeting(t *testing.T) {
	eachWithPuppets(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("bob POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		const as = "?user_id=<alice>"
		s.run([]step{
			{"who it is", "puppets GET /account/whoami" + as, ``, 200, "user_id=<alice>", ""},
			{"join", "puppets POST /rooms/<room>/join" + as, ``, 200, "", ""},
			{"send", "puppets PUT /rooms/<room>/send/m.room.message/1" + as + "&ts=1000", `{"body":"x","msgtype":"m.text"}`, 200, "", "said=event_id"},
			{"receipt", "puppets POST /rooms/<room>/receipt/m.read.private/<said>" + as, `{}`, 200, "{}", ""},
			{"fully read", "puppets POST /rooms/<room>/read_markers" + as, `{"m.fully_read":"<said>"}`, 200, "{}", ""},
			{"typing", "puppets PUT /rooms/<room>/typing/<alice>" + as, `{"typing":true,"timeout":1000}`, 200, "{}", ""},
			{"account data", "puppets PUT /user/<alice>/account_data/a.b" + as, `{"x":1}`, 200, "{}", ""},
			{"of a room", "puppets PUT /user/<alice>/rooms/<room>/account_data/a.b" + as, `{"x":2}`, 200, "{}", ""},
			{"a tag", "puppets PUT /user/<alice>/rooms/<room>/tags/m.favourite" + as, `{"order":0.5}`, 200, "{}", ""},
			{"a push rule", "puppets PUT /pushrules/global/room/<room>" + as, `{"actions":[]}`, 200, "{}", ""},
			{"presence", "puppets PUT /presence/<alice>/status" + as, `{"presence":"online"}`, 200, "{}", ""},
			{"a device", "puppets PUT /devices/PUPPET" + as, `{}`, 201, "{}", ""},
			{"a filter", "puppets POST /user/<alice>/filter" + as, `{}`, 200, "filter_id:string", ""},
			{"to a device", "bob PUT /sendToDevice/a.b/1", `{"messages":{"<alice>":{"PUPPET":{"x":1}}}}`, 200, "{}", ""},
			{"as a device", "puppets PUT /sendToDevice/a.b/1" + as + "&device_id=PUPPET", `{"messages":{"<bob>":{"*":{"x":1}}}}`, 200, "{}", ""},
			{"sync", "puppets GET /sync" + as + "&device_id=PUPPET", ``, 200, "next_batch:string rooms/join/<room>:object to_device/events/0/type=a.b", ""},
			{"profile", "puppets PUT /profile/<alice>/displayname" + as, `{"displayname":"A"}`, 200, "{}", ""},
			{"the person's own client has it", "alice GET /user/<alice>/account_data/a.b", ``, 200, "x=1", ""},
			{"and the tag", "alice GET /user/<alice>/rooms/<room>/tags", ``, 200, "tags/m.favourite/order=0.5", ""},
			{"and the rule", "alice GET /pushrules/global/room/<room>", ``, 200, "rule_id=<room>", ""},

			{"a password", "puppets POST /account/password" + as, `{"new_password":"another horse"}`, 403, "M_FORBIDDEN", ""},
			{"the end of the account", "puppets POST /account/deactivate" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"a token to log in with", "puppets POST /login/get_token" + as, `{}`, 404, "M_UNRECOGNIZED", ""},
			{"at its place", "puppets POST /_matrix/client/v1/login/get_token" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"an address", "puppets POST /account/3pid/add" + as, `{"sid":"x","client_secret":"y"}`, 403, "M_FORBIDDEN", ""},
			{"an address elsewhere", "puppets POST /account/3pid/bind" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"by the old way", "puppets POST /account/3pid" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"taken back", "puppets POST /account/3pid/unbind" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"removed", "puppets POST /account/3pid/delete" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"a mail", "puppets POST /account/3pid/email/requestToken" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"a message", "puppets POST /account/3pid/msisdn/requestToken" + as, `{}`, 403, "M_FORBIDDEN", ""},
			{"what administrators may", "puppets PUT /_matrix/client/v1/admin/lock/<bob>" + as, `{"locked":true}`, 403, "M_FORBIDDEN", ""},
			{"the person logs in as ever", "nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"correct horse battery"}`, 200, "", ""},

			{"a ghost's account may be ended", "irc POST /register", `{"type":"m.login.application_service","username":"irc_gone","inhibit_login":true}`, 200, "", ""},
			{"not by others", "puppets POST /account/deactivate?user_id=@irc_gone:test", `{}`, 403, "M_EXCLUSIVE", ""},
			{"but by its service", "irc POST /account/deactivate?user_id=@irc_gone:test", `{}`, 200, "id_server_unbind_result:string", ""},
			{"and nobody acts for it then", "irc GET /account/whoami?user_id=@irc_gone:test", ``, 403, "M_USER_DEACTIVATED", ""},
		})
		if n := fmt.Sprint(s.get("alice GET /rooms/<room>/event/<said>", "")); !strings.Contains(n, "origin_server_ts:1000") {
			s.t.Errorf("the message is %s", n)
		}
	})
}

// TestMasqueradeIsLogged reads the log of who acts for whom.
func TestMasqueradeIsLogged(t *testing.T) {
	var log bytes.Buffer
	each(t, "alice", func(s *script) {
		s.tokens["irc"] = services(t).ByID("irc").ASToken
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_a","inhibit_login":true}`)
		s.ask("irc PUT /devices/DEV?user_id=@irc_a:test", `{}`)
		log.Reset()
		s.get("irc GET /account/whoami?user_id=@irc_a:test&device_id=DEV", ``)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("the log is %q", log.String())
		}
		var said, request map[string]any
		if err := errors.Join(json.Unmarshal([]byte(lines[0]), &said), json.Unmarshal([]byte(lines[1]), &request)); err != nil {
			t.Fatal(err)
		}
		if said["level"] != "debug" || said["appservice"] != "irc" || said["user_id"] != "@irc_a:test" || said["device_id"] != "DEV" ||
			said["request_id"] != request["request_id"] || request["route"] == nil {
			t.Errorf("the log is %q", lines)
		}
		if strings.Contains(log.String(), s.tokens["irc"]) {
			t.Errorf("the log has the token: %q", lines)
		}
		log.Reset()
		s.get("alice GET /account/whoami?user_id=@irc_a:test", ``)
		if strings.Contains(log.String(), "acts for") {
			t.Errorf("a person acts for nobody: %q", log.String())
		}
	}, withServices(t), func(c *homeserver.Config) { c.Log = zerolog.New(&log).Level(zerolog.DebugLevel) })
}
