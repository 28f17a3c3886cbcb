package accountpages_test

import (
	"encoding/json"
	"strings"
	"testing"
)

const tvClient = `{"client_name":"Television","client_uri":"https://tv.example","grant_types":["urn:ietf:params:oauth:grant-type:device_code","refresh_token"]}`

// grant is the answer to a device's request.
type grant struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
	Error      string `json:"error"`
}

func (a *app) device(device string) (out grant) {
	a.s.t.Helper()
	_, body := a.s.call("device_authorization", "client_id="+a.id, "scope=urn:matrix:client:api:* urn:matrix:client:device:"+device)
	if err := json.Unmarshal(body, &out); err != nil {
		a.s.t.Fatalf("%v in %s", err, body)
	}
	return out
}

func (a *app) poll(code string) tokens {
	a.s.t.Helper()
	return a.s.token("grant_type=urn:ietf:params:oauth:grant-type:device_code", "device_code="+code, "client_id="+a.id)
}

// TestDeviceGrant signs a device in that has no browser. Client-Server API, Device authorisation flow; RFC 8628.
func TestDeviceGrant(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		tv, other, b := s.app(tvClient), s.app(), s.browser()
		g := tv.device("TV")
		if g.ExpiresIn != 900 || g.Interval != 5 || len(g.UserCode) != 9 || g.URI != "http://test/_causeway/oauth2/device" || g.Complete != g.URI+"?user_code="+g.UserCode {
			t.Fatalf("the device hears %+v", g)
		}
		if got := tv.poll(g.DeviceCode); got.Error != "authorization_pending" {
			t.Errorf("before the user has decided: %+v", got)
		}
		if got := tv.poll(g.DeviceCode); got.Error != "slow_down" {
			t.Errorf("at once again: %+v", got)
		}
		if got := other.poll(g.DeviceCode); got.Error != "unauthorized_client" {
			t.Errorf("a client without the grant: %+v", got)
		}
		if got := s.app(strings.Replace(tvClient, "Television", "Thief", 1)).poll(g.DeviceCode); got.Error != "invalid_grant" {
			t.Errorf("another client: %+v", got)
		}
		if got := tv.poll("x"); got.Error != "invalid_grant" {
			t.Errorf("no code: %+v", got)
		}
		if got := other.device("X"); got.Error != "unauthorized_client" {
			t.Errorf("a request of a client without the grant: %+v", got)
		}
		if got := tv.device("A urn:matrix:client:device:B"); got.Error != "invalid_scope" {
			t.Errorf("two devices: %+v", got)
		}

		page := b.open(g.Complete).want(200, "Sign in").signIn("alice").want(200, "Code that your device shows")
		if got := page.form("/_causeway/oauth2/device").fields.Get("user_code"); got != g.UserCode {
			t.Errorf("the code of the address is %q in the form, want %q", got, g.UserCode)
		}
		confirm := page.form("/_causeway/oauth2/device").send("user_code="+strings.ToLower(strings.ReplaceAll(g.UserCode, "-", " "))).want(200, "Television", "tv.example", "TV")
		confirm.form("/_causeway/oauth2/device").send("answer=allow").want(200, "Device signed in")
		confirm.form("/_causeway/oauth2/device").send("answer=deny").want(400, "no such code") // once is enough
		s.later(t)
		got := tv.poll(g.DeviceCode)
		if user, device := s.whoami(got.AccessToken); user != alice.ID || device != "TV" || got.RefreshToken == "" {
			t.Errorf("tokens %+v, of %s on %s", got, user, device)
		}
		if again := tv.poll(g.DeviceCode); again.Error != "invalid_grant" {
			t.Errorf("a device code twice: %+v", again)
		}

		refused := tv.device("TV2")
		b.open(refused.URI).form("/_causeway/oauth2/device").send("user_code="+refused.UserCode).want(200).
			form("/_causeway/oauth2/device").send("answer=deny").want(200, "Request refused")
		if got := tv.poll(refused.DeviceCode); got.Error != "access_denied" {
			t.Errorf("refused: %+v", got)
		}
		expired := tv.device("TV3")
		s.exec(`UPDATE oauth_device_codes SET expires_ts = 1`)
		if got := tv.poll(expired.DeviceCode); got.Error != "expired_token" {
			t.Errorf("expired: %+v", got)
		}
		b.open(expired.URI).form("/_causeway/oauth2/device").send("user_code="+expired.UserCode).want(400, "no such code")
	})
}

// later lets time go by for devices that ask too often.
func (s *site) later(t *testing.T) {
	t.Helper()
	s.exec(`UPDATE oauth_device_codes SET poll_ts = 0`)
}

// TestExpiry uses codes and browsers' sessions after their time.
func TestExpiry(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		a, b := s.app(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		code := b.allow(a, "DEVICE")
		s.exec(`UPDATE oauth_codes SET expires_ts = 1`)
		if got := a.exchange(code); got.Error != "invalid_grant" {
			t.Errorf("an expired code: %+v", got)
		}
		b.allow(a, "DEVICE") // sweeps up
		if got := a.exchange(code); got.Error != "invalid_grant" {
			t.Errorf("a code that is gone: %+v", got)
		}
		code = b.allow(a, "DEVICE")
		s.exec(`UPDATE users SET locked = 1`)
		b.visit("/_causeway/account/").want(200, "Sign in")
		if got := a.exchange(code); got.Error != "invalid_grant" {
			t.Errorf("a code of a locked account: %+v", got)
		}
		s.exec(`UPDATE users SET locked = 0`)
		got := a.exchange(b.open(a.request("DEVICE")).signIn("alice").form("/_causeway/oauth2/authorize").send("answer=allow").answer(a.redirect).Get("code"))
		s.exec(`UPDATE users SET locked = 1`)
		if next := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+a.id); next.Status != 503 || next.Error != "temporarily_unavailable" {
			t.Errorf("a refresh token of a locked account: %+v", next)
		}
		s.exec(`UPDATE users SET locked = 0`)
		if next := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+a.id); next.Status != 200 {
			t.Errorf("a refresh token of an account that was locked: %+v", next)
		}
		s.exec(`UPDATE browser_sessions SET expires_ts = 1`)
		b.visit("/_causeway/account/").want(200, "Sign in")
	})
}

// TestClients registers clients: the same metadata are one client, and those that nobody uses go.
func TestClients(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		used, b := s.app(), s.browser()
		if again := s.app(); again.id != used.id {
			t.Errorf("the same client is registered as %s and %s", used.id, again.id)
		}
		unused := s.app(tvClient)
		b.open("/_causeway/account/").signIn("alice").want(200)
		got := used.exchange(b.allow(used, "DEVICE"))
		s.exec(`UPDATE oauth_clients SET used_ts = 1`)
		s.app(`{"client_name":"Third","client_uri":"https://third.example","redirect_uris":["https://third.example/"]}`)
		b.visit(unused.request("X", "redirect_uri=https://tv.example/")).want(400, "not known")
		b.visit(used.request("X")).want(200)
		if next := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+used.id); next.Status != 200 {
			t.Errorf("a client with a session is gone: %+v", next)
		}
		if a := s.Do("POST", "/_causeway/oauth2/register", "", `{"client_uri":"http://x.example"}`); a.Status != 400 || !strings.Contains(string(a.Body), `"error":"invalid_client_metadata"`) {
			t.Errorf("a bad client: %d %s", a.Status, a.Body)
		}
	})
}

// TestTakeover has an app ask for a device that is there already.
func TestTakeover(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		_, device := s.whoami(alice.Token)
		a, b := s.app(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		b.visit(a.request(string(device))).want(200, "You have a device of this id already")
		got := a.exchange(b.allow(a, string(device)))
		if user, now := s.whoami(got.AccessToken); user != alice.ID || now != device {
			t.Errorf("the token is of %s on %s", user, now)
		}
		if user, _ := s.whoami(alice.Token); user != "" {
			t.Errorf("the device's token of before is good")
		}
		mallory := s.Register("mallory")
		m := s.browser()
		m.open("/_causeway/account/").signIn("mallory").want(200)
		theirs := a.exchange(m.allow(a, string(device)))
		if user, _ := s.whoami(theirs.AccessToken); user != mallory.ID {
			t.Errorf("the token is of %s", user)
		}
		if user, _ := s.whoami(got.AccessToken); user != alice.ID {
			t.Errorf("another's device of the same id ended the session")
		}
	})
}
