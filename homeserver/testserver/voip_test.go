package testserver_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/httpapi"
	"causeway/sfu/turn"

	"maunium.net/go/mautrix/id"
)

const turnServer = " GET /voip/turnServer"

// relayed gives out credentials for a server that shares a secret.
type relayed struct{ secret string }

func (r relayed) Credentials(user id.UserID, _ id.DeviceID) clientapi.TURNCredentials {
	c := turn.Mint([]byte(r.secret), string(user), time.Now(), time.Hour)
	return clientapi.TURNCredentials{
		Username: c.Username, Password: c.Password, TTL: int64(c.TTL.Seconds()),
		URIs: []string{"turn:turn.test:3478?transport=udp", "turns:turn.test:443?transport=tcp"},
	}
}

func withTURN(guests bool) func(*homeserver.Config) {
	return func(c *homeserver.Config) { c.TURN, c.TURNGuests, c.Guests = relayed{"shared"}, guests, true }
}

// TestTURNServer asks for credentials. Client-Server API, "Obtain TURN server credentials".
func TestTURNServer(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.tokens["guest"] = s.text("nobody POST /register?kind=guest", `{}`, "access_token")
		for _, name := range []string{"alice", "bob", "guest"} {
			a := s.ask(name+turnServer, ``)
			var body map[string]json.RawMessage
			var c clientapi.TURNCredentials
			a.Decode(t, &body)
			a.Decode(t, &c)
			if a.Status != http.StatusOK || len(body) != 4 {
				t.Fatalf("%s: %d %s", name, a.Status, a.Body)
			}
			expiry, user, _ := strings.Cut(c.Username, ":")
			ends, err := strconv.ParseInt(expiry, 10, 64)
			if err != nil || ends < time.Now().Add(59*time.Minute).Unix() || ends > time.Now().Add(61*time.Minute).Unix() || c.TTL != 3600 {
				t.Errorf("%s: the credentials end at %s, in %d s", name, expiry, c.TTL)
			}
			if want := s.words[name]; name != "guest" && user != want {
				t.Errorf("they are of %s, want %s", user, want)
			}
			if c.Password != turn.Sign([]byte("shared"), c.Username) {
				t.Errorf("%s: the password is %s", name, c.Password)
			}
			if want := []string{"turn:turn.test:3478?transport=udp", "turns:turn.test:443?transport=tcp"}; !slices.Equal(c.URIs, want) {
				t.Errorf("%s: uris are %v", name, c.URIs)
			}
		}
		if a := s.ask("alice GET /_matrix/client/r0/voip/turnServer", ``); a.Status != http.StatusOK {
			t.Errorf("by the path of old clients: %d %s", a.Status, a.Body)
		}
		for name, code := range map[string]string{"nobody": "M_MISSING_TOKEN", "unknown": "M_UNKNOWN_TOKEN"} {
			if a := s.ask(name+turnServer, ``); a.Status != http.StatusUnauthorized || a.Code() != code {
				t.Errorf("%s: %d %s", name, a.Status, a.Body)
			}
		}
	}, withTURN(true))
}

// TestTURNServerForNoGuests keeps guests out.
func TestTURNServerForNoGuests(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.tokens["guest"] = s.text("nobody POST /register?kind=guest", `{}`, "access_token")
		if a := s.ask("guest"+turnServer, ``); a.Status != http.StatusForbidden || a.Code() != "M_GUEST_ACCESS_FORBIDDEN" {
			t.Errorf("a guest: %d %s", a.Status, a.Body)
		}
		if a := s.ask("alice"+turnServer, ``); a.Status != http.StatusOK {
			t.Errorf("alice: %d %s", a.Status, a.Body)
		}
	}, withTURN(false))
}

// TestNoTURNServer is the answer where there is none (MSC4166).
func TestNoTURNServer(t *testing.T) {
	each(t, "alice", func(s *script) {
		if a := s.ask("alice"+turnServer, ``); a.Status != http.StatusNotFound || a.Code() != "M_NOT_FOUND" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if a := s.ask("nobody"+turnServer, ``); a.Status != http.StatusUnauthorized {
			t.Errorf("without a token: %d %s", a.Status, a.Body)
		}
	})
}

func TestTURNServerIsLimited(t *testing.T) {
	each(t, "alice", func(s *script) {
		if a := s.ask("alice"+turnServer, ``); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if a := s.ask("alice"+turnServer, ``); a.Status != http.StatusTooManyRequests {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}, withTURN(true), func(c *homeserver.Config) {
		c.Limits = map[httpapi.Class]httpapi.Limit{httpapi.ClassOpenID: {PerSecond: 0.01, Burst: 1}}
	})
}
