package testserver_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
)

// counted is a request that counts in a class. <query> is who a service acts for, <who> that user.
type counted struct {
	class   httpapi.Class
	request string
	body    string
}

// ofServices are requests that services and their users make.
var ofServices = []counted{
	{httpapi.ClassMessage, "PUT /rooms/!none:test/send/a.b/1<query>", `{}`},
	{httpapi.ClassMessage, "PUT /rooms/!none:test/state/a.b<query>", `{}`},
	{httpapi.ClassMessage, "PUT /rooms/!none:test/redact/$x/1<query>", `{}`},
	{httpapi.ClassJoin, "POST /createRoom<query>", `{}`},
	{httpapi.ClassJoin, "POST /join/!none:test<query>", `{}`},
	{httpapi.ClassJoin, "POST /rooms/!none:test/join<query>", `{}`},
	{httpapi.ClassInvite, "POST /rooms/!none:test/invite<query>", `{"user_id":"@x:test"}`},
	{httpapi.ClassInvite, "POST /rooms/!none:test/kick<query>", `{"user_id":"@x:test"}`},
	{httpapi.ClassProfile, "PUT /profile/<who>/displayname<query>", `{"displayname":"x"}`},
	{httpapi.ClassDelayed, "GET /_matrix/client/v1/delayed_events<query>", ``},
	{httpapi.ClassReport, "POST /users/@x:test/report<query>", `{"reason":""}`},
	{httpapi.ClassOpenID, "POST /user/<who>/openid/request_token<query>", `{}`},
	{httpapi.ClassAccountData, "PUT /user/<who>/account_data/a.b<query>", `{"x":1}`},
	{httpapi.ClassEphemeral, "PUT /presence/<who>/status<query>", `{"presence":"online"}`},
	{httpapi.ClassEphemeral, "PUT /rooms/!none:test/typing/<who><query>", `{"typing":false}`},
	{httpapi.ClassDevice, "POST /keys/query<query>", `{"device_keys":{}}`},
	{httpapi.ClassDirectory, "GET /publicRooms<query>", ``},
	{httpapi.ClassDirectory, "GET /thirdparty/protocols<query>", ``},
	{httpapi.ClassSearch, "POST /search<query>", `{"search_categories":{}}`},
	{httpapi.ClassRead, "GET /rooms/!none:test/messages<query>", ``},
	{httpapi.ClassMail, "POST /account/3pid/email/requestToken<query>", `{}`},
	{httpapi.ClassLogin, "POST /_matrix/client/v1/login/get_token<query>", `{}`},
}

// byToken are those that know a service by its own token alone: most are open to everybody, and count by address.
var byToken = []counted{
	{httpapi.ClassMessage, "POST /_matrix/client/unstable/com.beeper.backfill/rooms/!none:test/batch_send<query>", `{"events":[]}`},
	{httpapi.ClassRegister, "GET /register/available<query>", ``},
	{httpapi.ClassRegister, "GET /_matrix/client/v1/register/m.login.registration_token/validity<query>", ``},
	{httpapi.ClassMail, "POST /register/email/requestToken<query>", `{}`},
	{httpapi.ClassMail, "POST /account/password/email/requestToken<query>", `{}`},
	{httpapi.ClassRefresh, "POST /refresh<query>", `{}`},
	{httpapi.ClassRendezvous, "POST /_matrix/client/unstable/org.matrix.msc4108/rendezvous<query>", ``},
	{httpapi.ClassRead, "GET /login/sso/redirect<query>", ``},
}

// ofThemselves are requests of application services that no limit holds back, whatever the registration says.
var ofThemselves = [][2]string{
	{"POST /login", `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"<name>"}}`},
	{"POST /register", `{"type":"m.login.application_service","username":"<name>"}`},
	{"GET /sync?timeout=0", ``},
	{"GET /account/whoami", ``},
}

// classes are the classes of all routes, or of those alone that are for who is logged in. login_account is none of them: it counts wrong passwords,
// which no service has.
func classes(all bool) map[httpapi.Class]bool {
	found := make(map[httpapi.Class]bool)
	for _, route := range allRoutes() {
		if class := route.Endpoint.Class(); class != "" && (all || route.Access != httpapi.Public && route.Access != httpapi.Optional) {
			found[class] = true
		}
	}
	return found
}

// TestNoLimitForServices asks again and again for what may be asked for once. Application Service API, "Registration", rate_limited.
func TestNoLimitForServices(t *testing.T) {
	each(t, "", func(s *script) {
		for _, reg := range services(t).All() {
			s.tokens[reg.ID] = reg.ASToken
		}
		for service, name := range map[string]string{"irc": "irc_a", "limited": "lim_a"} {
			s.get(service+" POST /register", `{"type":"m.login.application_service","username":"`+name+`","inhibit_login":true}`)
			s.tokens[service+"-session"] = s.text(service+" POST /login", `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"`+name+`"}}`, "access_token")
		}
		for _, c := range []struct {
			name, token, query, who string
			limited                 bool
		}{
			{"service", "irc", "", "@ircbot:test", false},
			{"its ghost", "irc", "?user_id=@irc_a:test", "@irc_a:test", false},
			{"its ghost's session", "irc-session", "", "@irc_a:test", false},
			{"service with limited ghosts", "limited", "", "@limitedbot:test", false},
			{"its ghost", "limited", "?user_id=@lim_a:test", "@lim_a:test", true},
			{"its ghost's session", "limited-session", "", "@lim_a:test", true},
		} {
			rows, untried := ofServices, classes(false)
			if !strings.HasSuffix(c.token, "-session") {
				rows, untried = slices.Concat(ofServices, byToken), classes(true)
			}
			for _, row := range rows {
				delete(untried, row.class)
				request := strings.NewReplacer("<query>", c.query, "<who>", c.who).Replace(row.request)
				limited := false
				for range 3 {
					limited = limited || s.ask(c.token+" "+request, row.body).Status == http.StatusTooManyRequests
				}
				if limited != c.limited {
					s.t.Errorf("%s %s: limited %t", c.name, request, limited)
				}
			}
			if len(untried) > 0 {
				s.t.Errorf("%s: no request is tried of %v", c.name, slices.Collect(maps.Keys(untried)))
			}
		}
		for service, name := range map[string]string{"irc": "irc_a", "limited": "lim_a"} {
			for _, request := range ofThemselves {
				for range 3 {
					if a := s.ask(service+" "+request[0], strings.ReplaceAll(request[1], "<name>", name)); a.Status == http.StatusTooManyRequests {
						s.t.Errorf("%s %s: %s", service, request[0], a.Body)
					}
				}
			}
		}
	}, withServices(t), func(c *homeserver.Config) {
		c.Limits = make(map[httpapi.Class]httpapi.Limit)
		for _, route := range allRoutes() {
			c.Limits[route.Endpoint.Class()] = httpapi.Limit{PerSecond: 0.00001, Burst: 1}
		}
	})
}
