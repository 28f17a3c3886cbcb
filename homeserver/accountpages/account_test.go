package accountpages_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/account"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/store"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// exec changes the database behind the server's back.
func (s *site) exec(query string) {
	s.t.Helper()
	if err := s.DB.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(query)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
}

// TestAccountPage does what one can do on the account page, and tries it on another's things.
func TestAccountPage(t *testing.T) {
	each(t, func(s *site) {
		alice, mallory := s.Register("alice"), s.Register("mallory")
		_, hers := s.whoami(alice.Token)
		b, m := s.browser(), s.browser()

		// Deep links, by their names now and before (MSC4191).
		b.open("/_causeway/account/?action=org.matrix.device_view&device_id="+string(hers)).want(200, "Sign in").signIn("alice").want(200, "Sign this device out", string(hers))
		for action, text := range map[string]string{
			"org.matrix.profile": "Name that others see", "profile": "Name that others see", "unknown": "Name that others see", "": "Name that others see",
			"org.matrix.devices_list": string(hers), "devices_list": string(hers), "sessions_list": string(hers), "org.matrix.sessions_list": string(hers),
			"session_view": "Sign this device out", "session_end": "Sign this device out", "org.matrix.device_delete": "Sign this device out",
			"org.matrix.account_deactivate": "End your account", "org.matrix.cross_signing_reset": "encryption identity",
		} {
			b.open("/_causeway/account/?action="+action+"&device_id="+string(hers)).want(200, text)
		}

		b.open("/_causeway/account/").form("/_causeway/account/").send("name=<b>Alice</b>").follow().want(200, "Your name is changed", "<b>Alice</b>")
		if page := b.open("/_causeway/account/"); strings.Contains(page.text, "<b>") {
			t.Errorf("a name is taken for HTML: %s", page.text)
		}
		b.open("/_causeway/account/").form("/_causeway/account/").send("name="+strings.Repeat("x", 300)).want(400, "at most")

		s.exec(`UPDATE users SET suspended = 1`)
		b.open("/_causeway/account/").form("/_causeway/account/").send("name=Bob").want(403, "suspended")
		s.exec(`UPDATE users SET suspended = 0`)

		// Another's device.
		m.open("/_causeway/account/").signIn("mallory").want(200)
		m.visit("/_causeway/account/device?device_id=" + string(hers)).want(404)
		_, theirs := s.whoami(mallory.Token)
		m.visit("/_causeway/account/device?device_id=" + string(theirs)).form("/_causeway/account/device").send("device_id=" + string(hers)).want(404)
		if user, _ := s.whoami(alice.Token); user != alice.ID {
			t.Fatalf("mallory has signed alice's device out")
		}
		m.visit("/_causeway/account/device?device_id=" + string(theirs)).form("/_causeway/account/device").send("device_id=").want(400)
		m.visit("/_causeway/account/device?device_id=").want(200, string(theirs))

		// After a while the password is asked for again.
		s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
		page := b.visit("/_causeway/account/device?device_id="+string(hers)).want(200, "Your password")
		page.form("/_causeway/account/device").send().want(403, "not the right one")
		if user, _ := s.whoami(alice.Token); user != alice.ID {
			t.Fatalf("a device was signed out without the password")
		}
		page.form("/_causeway/account/device").send("password="+password).follow().want(200, "signed out")
		if user, _ := s.whoami(alice.Token); user != "" {
			t.Errorf("the device's token is good after it was signed out")
		}
	})
}

// TestPasswordPage changes a password, which ends all sessions in browsers, those of a thief among them.
func TestPasswordPage(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		b, thief := s.browser(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		thief.open("/_causeway/account/").signIn("alice").want(200)
		f := b.visit("/_causeway/account/password").form("/_causeway/account/password")
		f.send("password="+password, "new=x", "new2=y").want(400, "not the same")
		f.send("password=wrong", "new=x", "new2=x").want(403, "not the right one")
		f.send("password="+password, "new=", "new2=").want(400)
		f.send("password="+password, "new=another horse", "new2=another horse").follow().want(200, "Your password is changed", "Sign in")
		thief.visit("/_causeway/account/").want(200, "Sign in")
		if user, _ := s.whoami(alice.Token); user != "" {
			t.Errorf("a device's token is good after the password was changed")
		}
		b.visit("/_causeway/account/").form("/_causeway/account/login").send("username=alice", "password=another horse").follow().want(200, "@alice:test")
	})
}

// TestSignUpPage makes accounts where the server allows it.
func TestSignUpPage(t *testing.T) {
	each(t, func(s *site) {
		a, b := s.app(), s.browser()
		f := b.open(a.request("X", "prompt=create")).want(200, "Create an account").form("/_causeway/account/register")
		f.send("username=Bob", "password=x", "password2=y").want(400, "not the same")
		f.send("password=x", "password2=x").want(400, "Choose a user name")
		f.send("username=b ob", "password=x", "password2=x").want(400, "consist of")
		f.send("username=bob", "password="+password, "password2="+password).follow().want(200, "Allow Mailbox", "@bob:test")
		s.browser().open("/_causeway/account/register").form("/_causeway/account/register").send("username=bob", "password=x", "password2=x").want(400, "taken")
	})
	each(t, func(s *site) {
		token, err := s.Accounts.FirstToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		late := s.browser().open("/_causeway/account/register").form("/_causeway/account/register")
		f := s.browser().open("/_causeway/account/register").want(200, "Registration token").form("/_causeway/account/register")
		f.send("username=bob", "password=x", "password2=x", "token=wrong").want(400, "not valid", `id="token-problem"`)
		f.send("username=bob", "password=x", "password2=x").want(400, `id="token-problem"`)
		f.send("username=bob", "password=x", "password2=x", "token="+token).follow().want(200, "@bob:test")
		late.send("username=eve", "password=x", "password2=x", "token="+token).want(400, "not valid", `id="token-problem"`)
		s.browser().open("/_causeway/account/register").want(200, "takes no new accounts", `href="mailto:admin@example.org"`)
		if p := s.browser().open("/_causeway/account/login"); strings.Contains(p.text, "Create one") {
			t.Errorf("one is sent to make an account where nobody can: %s", p.text)
		}
	}, func(c *homeserver.Config) {
		c.OpenRegistration = false
		c.Support.Contacts = []clientapi.Contact{{Role: "m.role.admin", EmailAddress: "admin@example.org"}}
	})
}

// TestResetKeys confirms that keys are replaced by the account page (MSC4312), where a device came by OAuth, and by password elsewhere.
func TestResetKeys(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		mallory := s.Register("mallory")
		a, b := s.app(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		if got := a.exchange(b.allow(a, "DEVICE")); got.Status != 200 {
			t.Fatalf("%+v", got)
		}
		confirm := func(user id.UserID, device id.DeviceID, what string, auth *account.AuthData) (*account.Challenge, func()) {
			t.Helper()
			done, err := s.Accounts.Confirm(t.Context(), account.Requester{UserID: user, DeviceID: device}, what, auth)
			var c *account.Challenge
			if err != nil && !errors.As(err, &c) {
				t.Fatal(err)
			}
			return c, done
		}
		c, _ := confirm(alice.ID, "DEVICE", account.ReplaceKeys, nil)
		if len(c.Flows) != 2 || c.Flows[0].Stages[0] != "m.oauth" || c.Flows[1].Stages[0] != "org.matrix.cross_signing_reset" {
			t.Fatalf("flows %v", c.Flows)
		}
		address := c.Params["m.oauth"].(map[string]any)["url"].(string)
		if address != "http://test/_causeway/account/?action=org.matrix.cross_signing_reset&device_id=DEVICE" {
			t.Fatalf("the page is %s", address)
		}
		session := c.Session
		for _, kind := range []string{"", "m.oauth", "org.matrix.cross_signing_reset", "m.login.password"} {
			if c, _ := confirm(alice.ID, "DEVICE", account.ReplaceKeys, &account.AuthData{Session: session, Type: kind, Password: password, User: "alice"}); c == nil || c.ErrCode != "M_FORBIDDEN" {
				t.Errorf("stage %q before the user has allowed it: %+v", kind, c)
			}
		}
		b.open(address).want(200).form("/_causeway/account/reset").send().follow().want(200, "within ten minutes")
		for who, want := range map[account.Requester]bool{{UserID: alice.ID, DeviceID: "DEVICE"}: true, {UserID: alice.ID, DeviceID: "OTHER"}: false, {UserID: mallory.ID, DeviceID: "DEVICE"}: false} {
			if got := s.Accounts.CrossSigningResetAllowed(t.Context(), who.UserID, who.DeviceID); got != want {
				t.Fatalf("the reset is allowed for %s of %s: %v", who.DeviceID, who.UserID, got)
			}
		}
		_, device := s.whoami(alice.Token)
		if c, _ := confirm(alice.ID, device, account.ReplaceKeys, &account.AuthData{Session: session}); c == nil || c.Flows[0].Stages[0] != "m.login.password" {
			t.Errorf("a device that came by password: %+v", c)
		}
		if c, _ := confirm(alice.ID, "DEVICE", "delete devices", &account.AuthData{Session: session}); c == nil || c.Flows[0].Stages[0] != "m.login.password" {
			t.Errorf("another operation: %+v", c)
		}
		if c, _ := confirm(mallory.ID, "DEVICE", account.ReplaceKeys, &account.AuthData{Session: session}); c == nil {
			t.Errorf("another user's session serves")
		}
		c, done := confirm(alice.ID, "DEVICE", account.ReplaceKeys, &account.AuthData{Session: session})
		if c != nil {
			t.Fatalf("after the user has allowed it: %+v", c)
		}
		done()
		if c, _ := confirm(alice.ID, "DEVICE", account.ReplaceKeys, &account.AuthData{Session: session}); c == nil {
			t.Errorf("the permission serves twice")
		}
		b.open(address).form("/_causeway/account/reset").send().want(303)
		s.exec(`UPDATE devices SET reset_until_ts = 1 WHERE reset_until_ts IS NOT NULL`)
		if c, _ := confirm(alice.ID, "DEVICE", account.ReplaceKeys, &account.AuthData{Session: session}); c == nil {
			t.Errorf("the permission serves after its time")
		}
	})
}

// TestResetByClient replaces cross-signing keys as a client does that came by OAuth. Client-Server API, OAuth authentication.
func TestResetByClient(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		a, b := s.app(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		token := a.exchange(b.allow(a, "DEVICE")).AccessToken
		upload := func(seed byte, auth map[string]any) testserver.Answer {
			private := ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))
			key := base64.RawStdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
			body := map[string]any{"master_key": map[string]any{"user_id": alice.ID, "usage": []string{"master"}, "keys": map[string]string{"ed25519:" + key: key}}}
			if auth != nil {
				body["auth"] = auth
			}
			return s.Do("POST", "/_matrix/client/v3/keys/device_signing/upload", token, body)
		}
		if first := upload(1, nil); first.Status != 200 {
			t.Fatalf("the first keys: %d %s", first.Status, first.Body)
		}
		var asked struct {
			Session string
			Flows   []account.Flow
			Params  map[string]struct{ URL string }
		}
		refused := upload(2, nil)
		refused.Decode(t, &asked)
		if refused.Status != 401 || len(asked.Flows) != 2 || asked.Flows[0].Stages[0] != "m.oauth" || asked.Params["m.oauth"].URL == "" {
			t.Fatalf("other keys: %d %s", refused.Status, refused.Body)
		}
		if again := upload(2, map[string]any{"session": asked.Session}); again.Status != 401 {
			t.Fatalf("before the user has allowed it: %d %s", again.Status, again.Body)
		}
		b.open(asked.Params["m.oauth"].URL).form("/_causeway/account/reset").send().want(303)
		if allowed := upload(2, map[string]any{"session": asked.Session}); allowed.Status != 200 {
			t.Fatalf("after the user has allowed it: %d %s", allowed.Status, allowed.Body)
		}
		if third := upload(3, map[string]any{"session": asked.Session}); third.Status != 401 {
			t.Errorf("the permission serves twice: %d %s", third.Status, third.Body)
		}
	})
}

// TestResetIsForOneDevice: what a user allows one device is worth nothing to the others, nor to who signs in on it anew.
func TestResetIsForOneDevice(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		_, password := s.whoami(alice.Token)
		a, b := s.app(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		for _, device := range []string{"MINE", "STOLEN"} {
			if got := a.exchange(b.allow(a, device)); got.Status != 200 {
				t.Fatalf("%s: %+v", device, got)
			}
		}
		// ask is how a device fares: challenged, or with what the address of its page is and the session.
		ask := func(device id.DeviceID, session string) (page, newSession string, allowed bool) {
			t.Helper()
			var auth *account.AuthData
			if session != "" {
				auth = &account.AuthData{Session: session}
			}
			done, err := s.Accounts.Confirm(t.Context(), account.Requester{UserID: alice.ID, DeviceID: device}, account.ReplaceKeys, auth)
			if err == nil {
				done()
				return "", "", true
			}
			c, challenged := errors.AsType[*account.Challenge](err)
			if !challenged {
				t.Fatal(err)
			}
			return c.Params["m.oauth"].(map[string]any)["url"].(string), c.Session, false
		}
		mine, session, _ := ask("MINE", "")
		theirs, stolen, _ := ask("STOLEN", "")
		if mine == theirs {
			t.Fatalf("both are sent to %s", mine)
		}
		b.open(mine).want(200, "MINE", "no other will be allowed").form("/_causeway/account/reset").send().follow().want(200, "within ten minutes")
		for _, session := range []string{stolen, session, ""} {
			if _, _, allowed := ask("STOLEN", session); allowed {
				t.Fatal("another device may replace the keys")
			}
		}
		if _, _, allowed := ask("MINE", session); !allowed {
			t.Error("the device that asked may not replace the keys")
		}

		// Without a device in the address, one chooses; the device that has a password of its own is not among them.
		chooser := b.open("/_causeway/account/?action=org.matrix.cross_signing_reset").want(200, "MINE", "STOLEN", "Begin in the application")
		if strings.Contains(chooser.text, string(password)) || strings.Contains(chooser.text, "danger") {
			t.Errorf("the page offers too much: %s", chooser.text)
		}
		for _, device := range []string{"", "NONE", string(password)} {
			b.open(mine).form("/_causeway/account/reset").send("device_id=" + device).want(404)
		}
		b.open(mine).form("/_causeway/account/reset").send().want(303)
		_, session, _ = ask("MINE", "")
		if got := a.exchange(b.allow(a, "MINE")); got.Status != 200 {
			t.Fatalf("%+v", got)
		}
		if _, _, allowed := ask("MINE", session); allowed {
			t.Error("whoever signs in on the device has what was allowed before")
		}
	})
}
