package testserver_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"causeway/homeserver"
)

// proof is the auth of a user of newScript.
func proof(user string) string {
	return `"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"` + user + `"},"password":"correct horse battery"}`
}

// login begins another session of a user, whose token is that of as.
func (s *script) login(user, as, device string) {
	s.t.Helper()
	body := `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"` + user + `"},"password":"correct horse battery",
		"device_id":"` + device + `","initial_device_display_name":"` + device + ` of ` + user + `"}`
	s.tokens[as] = s.text("nobody POST /login", body, "access_token")
}

// TestDevices lists, renames and deletes devices. Client-Server API, "Device Management".
func TestDevices(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice", "bob")
		s.login("alice", "phone", "PHONE")
		s.login("alice", "tablet", "TABLET")
		s.run([]step{
			{name: "all", request: "alice GET /devices", status: 200, want: "devices/0/device_id=<alice device> devices/1/device_id=PHONE devices/2/device_id=TABLET devices/2/display_name:string devices/3:absent"},
			{name: "no token", request: "nobody GET /devices", status: 401, want: "M_MISSING_TOKEN"},
			{name: "one", request: "alice GET /devices/PHONE", status: 200, want: "device_id=PHONE display_name:string"},
			{name: "none", request: "alice GET /devices/NONE", status: 404, want: "M_NOT_FOUND"},
			{name: "another's", request: "bob GET /devices/PHONE", status: 404, want: "M_NOT_FOUND"},
			{name: "rename", request: "alice PUT /devices/PHONE", body: `{"display_name":"My phone"}`, status: 200, want: "{}"},
			{name: "renamed", request: "tablet GET /devices/PHONE", status: 200, want: "device_id=PHONE"},
			{name: "rename nothing", request: "alice PUT /devices/PHONE", body: `{}`, status: 200, want: "{}"},
			{name: "rename none", request: "alice PUT /devices/NONE", body: `{"display_name":"x"}`, status: 404, want: "M_NOT_FOUND"},
			{name: "rename another's", request: "bob PUT /devices/PHONE", body: `{"display_name":"x"}`, status: 404, want: "M_NOT_FOUND"},
			{name: "too long", request: "alice PUT /devices/PHONE", body: `{"display_name":"` + strings.Repeat("x", 256) + `"}`, status: 400, want: "M_INVALID_PARAM"},

			{name: "delete: who are you?", request: "alice DELETE /devices/PHONE", status: 401, want: "session:string flows/0/stages/0=m.login.password params={}", keep: "session=session"},
			{name: "the wrong password", request: "alice DELETE /devices/PHONE", body: strings.Replace("{"+proof("alice")+"}", "battery", "x", 1), status: 401, want: "errcode=M_FORBIDDEN error:string flows:array params={} session:string"},
			{name: "another user's proof", request: "alice DELETE /devices/PHONE", body: "{" + proof("bob") + "}", status: 403, want: "M_FORBIDDEN"},
			{name: "the device is still there", request: "phone GET /devices/PHONE", status: 200, want: "display_name:string"},
			{name: "delete", request: "alice DELETE /devices/PHONE", body: "{" + proof("alice") + "}", status: 200, want: "{}"},
			{name: "it is gone", request: "alice GET /devices/PHONE", status: 404, want: "M_NOT_FOUND"},
			{name: "its token is gone", request: "phone GET /sync", status: 401, want: "M_UNKNOWN_TOKEN"},
			{name: "what is gone already", request: "alice DELETE /devices/PHONE", body: "{" + proof("alice") + "}", status: 200, want: "{}"},
			{name: "another's, which is none of one's own", request: "bob DELETE /devices/TABLET", body: "{" + proof("bob") + "}", status: 200, want: "{}"},
			{name: "so it stays", request: "tablet GET /devices/TABLET", status: 200, want: "device_id=TABLET"},

			{name: "several: who are you?", request: "alice POST /delete_devices", body: `{"devices":["TABLET"]}`, status: 401, want: "session:string flows:array"},
			{name: "several", request: "alice POST /delete_devices", body: `{"devices":["TABLET","NONE","\u0000",""],` + proof("alice") + `}`, status: 200, want: "{}"},
			{name: "none", request: "alice POST /delete_devices", body: `{"devices":[],` + proof("alice") + `}`, status: 200, want: "{}"},
			{name: "one is left", request: "alice GET /devices", status: 200, want: "devices/0/device_id=<alice device> devices/1:absent"},
		})
	})
}

// TestProofIsForOneDeletion takes the session in which the deletion of one device was confirmed to another: UIA session swapping.
func TestProofIsForOneDeletion(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		for _, device := range []string{"ONE", "TWO", "THREE"} {
			s.login("alice", device, device)
		}
		s.words["session"] = textAt(t, decode(t, s.ask("alice POST /delete_devices", `{"devices":["ONE","TWO"]}`).Body), "session")
		withSession := strings.Replace(proof("alice"), `{`, `{"session":"<session>",`, 1)
		s.run([]step{
			{name: "the right one", request: "alice POST /delete_devices", body: `{"devices":["TWO","ONE","ONE"],` + withSession + `}`, status: 200, want: "{}"},
			{name: "another", request: "alice DELETE /devices/THREE", body: `{"auth":{"session":"<session>"}}`, status: 401, want: "flows:array completed:absent"},
			{name: "the same once more", request: "alice POST /delete_devices", body: `{"devices":["ONE","TWO"],"auth":{"session":"<session>"}}`, status: 401, want: "flows:array completed:absent"},
			{name: "the password", request: "alice POST /account/password", body: `{"new_password":"x","auth":{"session":"<session>"}}`, status: 401, want: "flows:array completed:absent"},
			{name: "the account", request: "alice POST /account/deactivate", body: `{"auth":{"session":"<session>"}}`, status: 401, want: "flows:array completed:absent"},
			{name: "by another user", request: "bob DELETE /devices/THREE", body: `{"auth":{"session":"<session>"}}`, status: 401, want: "flows:array completed:absent"},
			{name: "it is still there", request: "THREE GET /devices/THREE", status: 200, want: "device_id=THREE"},
		})
	})
}

// TestRenamedDeviceIsToldOf renames a device with keys: those who share a room hear of it, and see the new name.
func TestRenamedDeviceIsToldOf(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice", "bob")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.get("alice PUT /devices/<alice device>", `{"display_name":"without keys"}`)
		s.since("bob", "")
		s.get("alice PUT /devices/<alice device>", `{"display_name":"still without"}`)
		s.must("a device without keys", s.since("bob", ""), "device_lists/changed:empty")
		s.get("alice POST /keys/upload", `{"device_keys":`+s.deviceKeys("alice", "1")+`}`)
		s.since("bob", "")
		got := make(chan []byte)
		go func() {
			got <- s.Do("GET", "/_matrix/client/v3/sync?timeout=60000&since="+s.words["bob since"], s.tokens["bob"], nil).Body
		}()
		s.get("alice PUT /devices/<alice device>", `{"display_name":"Phone"}`)
		s.must("a device with keys", decode(t, <-got), "device_lists/changed/0="+s.words["alice"])
		s.must("the name", s.get("bob POST /keys/query", `{"device_keys":{"<alice>":[]}}`),
			"device_keys/"+s.words["alice"]+"/"+s.words["alice device"]+"/unsigned/device_display_name=Phone")
		s.since("bob", "")
		s.get("alice PUT /devices/<alice device>", `{"display_name":"Phone"}`)
		s.must("the same name again", s.since("bob", ""), "device_lists/changed:empty")
	})
}

// TestEndedSessionsHearNothing parks requests of a device that is deleted meanwhile: they end at once, without what comes after; those of other
// devices go on.
func TestEndedSessionsHearNothing(t *testing.T) {
	bus := &waiting{registered: make(chan struct{}, 1)}
	each(t, "alice bob", func(s *script) {
		for _, test := range []struct{ name, request, body string }{
			{"logout", "phone POST /logout", ""},
			{"deleted", "alice DELETE /devices/PHONE", "{" + proof("alice") + "}"},
			{"another password", "alice POST /account/password", `{"new_password":"correct horse battery",` + proof("alice") + `}`},
			{"logged in again", "nobody POST /login", `{"type":"m.login.password","user":"alice","password":"correct horse battery","device_id":"PHONE"}`},
			{"all", "phone POST /logout/all", ""},
		} {
			s.login("alice", "phone", "PHONE")
			s.since("phone", "")
			s.since("alice", "")
			answered := s.park(bus, "phone")
			others := s.park(bus, "alice")
			s.get(test.request, test.body)
			s.must(test.name, decode(s.t, <-answered), "errcode=M_UNKNOWN_TOKEN")
			if test.name == "all" {
				s.must("the other device, too", decode(s.t, <-others), "errcode=M_UNKNOWN_TOKEN")
				continue
			}
			s.get("alice PUT /user/<alice>/account_data/a.b", `{"test":"`+test.name+`"}`)
			s.must("the other device", s.unpark("alice", others), "account_data/events/0/type=a.b")
		}
	}, func(c *homeserver.Config) { c.Bus = bus })
}

// TestLastSeen asks when and from where a device was seen: at once, after it was written, and by whois.
func TestLastSeen(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice")
		if _, err := s.Accounts.CreateUser(t.Context(), "root", "correct horse battery", true); err != nil {
			t.Fatal(err)
		}
		s.login("root", "root", "ROOT")
		want := "last_seen_ts:integer last_seen_ip=192.0.2.1 user_agent:absent"
		s.must("in memory", s.get("alice GET /devices/<alice device>", ""), want)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := s.Accounts.Run(ctx); err != nil { // writes before it ends
			t.Fatal(err)
		}
		s.must("written", s.get("alice GET /devices/<alice device>", ""), want)
		whois := "user_id=<alice> devices/<alice device>/sessions/0/connections/0/ip=192.0.2.1 devices/<alice device>/sessions/0/connections/0/last_seen:integer"
		s.run([]step{
			{name: "whois oneself", request: "alice GET /admin/whois/<alice>", status: 200, want: whois},
			{name: "whois as administrator", request: "root GET /admin/whois/<alice>", status: 200, want: whois},
			{name: "whois another", request: "bob GET /admin/whois/<alice>", status: 403, want: "M_FORBIDDEN"},
			{name: "whois nobody", request: "root GET /admin/whois/@nobody:test", status: 404, want: "M_NOT_FOUND"},
			{name: "whois nobody, by another", request: "bob GET /admin/whois/@nobody:test", status: 403, want: "M_FORBIDDEN"},
		})
	})
}

// TestGhostDevices has an application service manage the devices of its users (MSC4190).
func TestGhostDevices(t *testing.T) {
	eachWithServices(t, "alice", func(s *script) {
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_x","inhibit_login":true}`)
		const as = "?user_id=@irc_x:test"
		s.run([]step{
			{name: "none", request: "irc GET /devices" + as, status: 200, want: "devices:empty"},
			{name: "make one", request: "irc PUT /devices/BRIDGE" + as, body: `{"display_name":"Bridge"}`, status: http.StatusCreated, want: "{}"},
			{name: "once more", request: "irc PUT /devices/BRIDGE" + as, body: `{"display_name":"The bridge"}`, status: 200, want: "{}"},
			{name: "act as it", request: "irc GET /account/whoami" + as + "&device_id=BRIDGE", status: 200, want: "device_id=BRIDGE"},
			{name: "see it", request: "irc GET /devices/BRIDGE" + as, status: 200, want: "device_id=BRIDGE display_name:string"},
			{name: "of another user", request: "irc GET /devices?user_id=<alice>", status: 403, want: "M_FORBIDDEN"},
			{name: "delete it, without a proof", request: "irc DELETE /devices/BRIDGE" + as, status: 200, want: "{}"},
			{name: "it is gone", request: "irc GET /account/whoami" + as + "&device_id=BRIDGE", status: 400, want: "M_UNKNOWN_DEVICE"},
			{name: "make two", request: "irc PUT /devices/TWO" + as, body: `{}`, status: http.StatusCreated, want: "{}"},
			{name: "delete several", request: "irc POST /delete_devices" + as, body: `{"devices":["TWO"]}`, status: 200, want: "{}"},
			{name: "end the account", request: "irc POST /account/deactivate" + as, body: `{}`, status: 200, want: "id_server_unbind_result=success"},
			{name: "which nobody acts for any more", request: "irc GET /account/whoami" + as, status: 403, want: "M_USER_DEACTIVATED"},
			{name: "nor registers again", request: "irc POST /register", body: `{"type":"m.login.application_service","username":"irc_x"}`, status: 400, want: "M_USER_IN_USE"},
		})
	})
}
