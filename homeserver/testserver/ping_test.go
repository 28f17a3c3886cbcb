package testserver_test

import (
	"context"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/store"
)

// answering is an application service that answers, or does not.
type answering bool

func (up answering) Ping(_ context.Context, _, txnID string) (int64, error) {
	if !up || txnID == "lost" {
		return 0, httpapi.Error(502, "M_BAD_STATUS", "The application service is down")
	}
	return 12, nil
}

// TestPing has an application service ask for a sign of life of itself. Application Service API, "Pinging".
func TestPing(t *testing.T) {
	const path = "POST /_matrix/client/v1/appservice/"
	eachWithServices(t, "alice", func(s *script) {
		s.run([]step{
			{"answers", "irc " + path + "irc/ping", `{"transaction_id":"1"}`, 200, "duration_ms=12", ""},
			{"without an id", "irc " + path + "irc/ping", `{}`, 200, "duration_ms=12", ""},
			{"is down", "irc " + path + "irc/ping", `{"transaction_id":"lost"}`, 502, "M_BAD_STATUS", ""},
			{"another service", "irc " + path + "limited/ping", `{}`, 403, "M_FORBIDDEN", ""},
			{"by a person", "alice " + path + "irc/ping", `{}`, 403, "M_FORBIDDEN", ""},
			{"without a token", "nobody " + path + "irc/ping", `{}`, 401, "M_MISSING_TOKEN", ""},
			{"malformed", "irc " + path + "irc/ping", `{`, 400, "M_NOT_JSON", ""},
			{"id of the wrong type", "irc " + path + "irc/ping", `{"transaction_id":1}`, 400, "M_BAD_JSON", ""},
		})
	}, func(c *homeserver.Config) { c.Pinger = answering(true) })
}

// TestAlive has the requests of an application service, and nobody else's, tell that it is alive.
func TestAlive(t *testing.T) {
	alive := make(chan string, 10)
	eachWithServices(t, "alice", func(s *script) {
		s.run([]step{
			{"a person", "alice GET /account/whoami", ``, 200, "user_id=<alice>", ""},
			{"a wrong token", "nobody GET /account/whoami", ``, 401, "M_MISSING_TOKEN", ""},
			{"a service", "irc GET /account/whoami", ``, 200, "user_id=@ircbot:test", ""},
			{"another", "limited POST /_matrix/client/v1/appservice/limited/ping", `{`, 400, "M_NOT_JSON", ""},
		})
		for _, want := range []string{"irc", "limited"} {
			if got := <-alive; got != want {
				s.t.Errorf("%s is said to be alive, want %s", got, want)
			}
		}
		if len(alive) > 0 {
			s.t.Errorf("%s is said to be alive as well", <-alive)
		}
	}, func(c *homeserver.Config) { c.Alive = func(appServiceID string) { alive <- appServiceID } })
}

// TestRegistrationTokenValidity asks whether tokens are good for an account. Client-Server API, "Token-authenticated registration".
func TestRegistrationTokenValidity(t *testing.T) {
	const path = "nobody GET /_matrix/client/v1/register/m.login.registration_token/validity"
	each(t, "", func(s *script) {
		if err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
			return tx.InsertRegistrationToken(store.RegistrationToken{Token: "once", UsesAllowed: 1})
		}); err != nil {
			t.Fatal(err)
		}
		body := `{"username":"carol","password":"correct horse battery","auth":{"type":"m.login.registration_token","token":"once","session":"<session>"}}`
		s.run([]step{
			{"good", path + "?token=once", ``, 200, "valid=true", ""},
			{"unknown", path + "?token=other", ``, 200, "valid=false", ""},
			{"none", path, ``, 400, "M_MISSING_PARAM", ""},
			{"challenge", "nobody POST /register", `{"username":"carol","password":"correct horse battery"}`, 401, "flows:array session:string", "session=session"},
			{"use it", "nobody POST /register", body, 200, "user_id=@carol:test", ""},
			{"used up", path + "?token=once", ``, 200, "valid=false", ""},
		})
	}, func(c *homeserver.Config) { c.OpenRegistration = false })
}
