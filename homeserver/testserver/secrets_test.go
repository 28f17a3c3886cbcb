package testserver_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/account"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

// lockedBuffer is a log that is read while others write.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestSecretsAreNotLogged logs in, out and on, and makes and ends accounts, in ways that succeed and in ways that fail, at the level at which the
// most is logged. No password, token or key of those must be in the log, nor in an answer that is an error.
func TestSecretsAreNotLogged(t *testing.T) {
	const (
		jwtSecret = "SECRET-jwt-0123456789-0123456789-0123456789"
		password  = "SECRET-password"
	)
	var log lockedBuffer
	stages := withStages(t)
	each(t, "", func(s *script) {
		secrets := []string{jwtSecret, sharedSecret, "private", "SECRET"}
		keep := func(v any) any {
			for _, field := range []string{"access_token", "refresh_token", "login_token", "session", "nonce"} {
				for _, found := range at(v, field) {
					secrets = append(secrets, plain(found))
				}
			}
			return v
		}
		do := func(request, body string, status int) any {
			t.Helper()
			a := s.ask(request, body)
			if a.Status != status {
				t.Fatalf("%s: %d %s", request, a.Status, a.Body)
			}
			v := decode(t, a.Body)
			if status >= 400 && strings.Contains(string(a.Body), "SECRET") {
				t.Errorf("%s: the secret is in %s", request, a.Body)
			}
			return keep(v)
		}
		token, err := s.Accounts.CreateRegistrationToken(t.Context(), account.RegistrationToken{Token: "SECRET-registration"})
		if err != nil {
			t.Fatal(err)
		}
		ask := do("nobody POST /register", `{"username":"alice","password":"`+password+`"}`, 401)
		s.words["session"] = textAt(t, ask, "session")
		for _, fault := range []string{"broken", "elsewhere", "SECRET-captcha"} {
			a := s.ask("nobody POST /register", `{"username":"alice","password":"`+password+`","auth":{"type":"m.login.recaptcha","response":"`+fault+`","session":"<session>"}}`)
			if a.Status < 400 {
				t.Errorf("captcha %s: %d", fault, a.Status)
			}
		}
		for path, form := range map[string]url.Values{
			"m.login.registration_token": {"token": {token.Token}}, "m.login.recaptcha": {"g-recaptcha-response": {"solved"}}, "m.login.terms": {"accepted": {"y"}},
		} {
			s.form("/auth/"+path+"/fallback/web?session="+s.words["session"], url.Values{"token": {"SECRET-wrong"}, "g-recaptcha-response": {"SECRET-wrong"}})
			s.form("/auth/"+path+"/fallback/web?session="+s.words["session"], form)
		}
		v := do("nobody POST /register", `{"username":"alice","password":"`+password+`","refresh_token":true,"auth":{"session":"<session>"}}`, 200)
		s.tokens["alice"], s.words["refresh"], s.words["alice"] = textAt(t, v, "access_token"), textAt(t, v, "refresh_token"), "@alice:test"
		do("nobody GET /_matrix/client/v1/register/m.login.registration_token/validity?token=SECRET-registration", "", 200)
		do("nobody POST /login", `{"type":"m.login.password","user":"alice","password":"SECRET-wrong"}`, 403)
		do("nobody POST /login", `{"type":"m.login.token","token":"SECRET-token"}`, 403)
		do("nobody POST /login", `{"type":"org.matrix.login.jwt","token":"SECRET.jwt.x"}`, 403)
		signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice"}).SignedString([]byte(jwtSecret))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, signed)
		do("nobody POST /login", `{"type":"org.matrix.login.jwt","token":"`+signed+`"}`, 200)
		do("nobody POST /login", `{"type":"m.login.password","user":"alice","password":["`+password+`"]}`, 400)
		do("nobody POST /refresh", `{"refresh_token":"SECRET-refresh"}`, 401)
		v = do("nobody POST /refresh", `{"refresh_token":"<refresh>"}`, 200)
		s.tokens["alice"] = textAt(t, v, "access_token")
		s.tokens["thief"] = "SECRET-access"
		do("thief GET /account/whoami", "", 401)
		do("alice GET /account/whoami?access_token=SECRET-query", "", 200)
		do("nobody POST /refresh", `{"refresh_token":"<refresh>"}`, 401) // a replay
		v = do("nobody POST /login", `{"type":"m.login.password","user":"alice","password":"`+password+`","device_id":"D"}`, 200)
		s.tokens["alice"] = textAt(t, v, "access_token")
		proof := `"auth":{"type":"m.login.password","user":"alice","password":"` + password + `"}`
		wrong := strings.ReplaceAll(proof, password, "SECRET-wrong")
		for _, request := range []string{"alice POST /_matrix/client/v1/login/get_token", "alice DELETE /devices/X", "alice POST /account/password"} {
			do(request, `{}`, 401)
			do(request, `{"new_password":"SECRET-new",`+wrong+`}`, 401)
		}
		v = do("alice POST /_matrix/client/v1/login/get_token", `{`+proof+`}`, 200)
		do("nobody POST /login", `{"type":"m.login.token","token":"`+textAt(t, v, "login_token")+`"}`, 200)
		do("alice GET /devices", "", 200)
		do("alice PUT /devices/D", `{"display_name":"x"}`, 200)
		do("alice POST /delete_devices", `{"devices":["X"],`+proof+`}`, 200)
		do("alice POST /user/<alice>/openid/request_token", `{}`, 200)
		do("alice POST /account/password", `{"new_password":"SECRET-new",`+proof+`}`, 200)
		do("nobody GET /_synapse/admin/v1/register", "", 200)
		do("nobody POST /_synapse/admin/v1/register", s.secretBody("another secret", "x", "false"), 403)
		v = do("nobody POST /_synapse/admin/v1/register", strings.Replace(s.secretBody(sharedSecret, "root", "true"), `"admin"`, `"displayname":"R","admin"`, 1), 200)
		s.tokens["root"] = textAt(t, v, "access_token")
		do("root PUT /_matrix/client/v1/admin/lock/<alice>", `{"locked":true}`, 200)
		do("alice GET /sync", "", 401)
		do("root PUT /_matrix/client/v1/admin/lock/<alice>", `{"locked":false}`, 200)
		do("root GET /admin/whois/<alice>", "", 200)
		do("alice POST /account/deactivate", `{"erase":true,`+strings.ReplaceAll(proof, password, "SECRET-new")+`}`, 200)
		do("root POST /logout/all", "", 200)
		stop := s.running()
		stop()

		text := log.text()
		if !strings.Contains(text, "Request") || !strings.Contains(text, `"level":"debug"`) {
			t.Fatalf("nothing was logged: %s", text)
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("the log has %q", secret)
			}
		}
	}, stages, func(c *homeserver.Config) {
		c.Log = zerolog.New(&log).Level(zerolog.TraceLevel)
		c.OpenRegistration = false
		c.Legacy.QueryTokens = true
		c.Rules.SharedSecret = sharedSecret
		c.Rules.Usernames = account.UsernameRules{MinLength: 1}
		c.JWT = account.DefaultJWT()
		c.JWT.Enabled, c.JWT.Secret = true, jwtSecret
		if err := c.JWT.Validate(); err != nil {
			panic(fmt.Sprint("the configuration: ", err))
		}
	})
}
