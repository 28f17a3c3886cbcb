package accountpages_test

import (
	"strings"
	"testing"
)

// TestCode signs in by a code, from a browser in which nobody is signed in, to a request of /whoami, and refreshes and revokes the tokens.
// Client-Server API, Authorisation code flow.
func TestCode(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		a, b := s.app(), s.browser()
		consent := b.open(a.request("DEVICE")).want(200, "Sign in", "Mailbox").signIn("alice").want(200, "Allow Mailbox", "app.example.com", "DEVICE", "@alice:test")
		answer := consent.form("/_causeway/oauth2/authorize").send("answer=allow").answer("https://app.example.com/back#")
		if answer.Get("state") != a.state || answer.Get("iss") != "http://test/" || answer.Get("code") == "" {
			t.Fatalf("the app hears %v", answer)
		}
		got := a.exchange(answer.Get("code"))
		if got.Status != 200 || got.TokenType != "Bearer" || got.ExpiresIn != 300 || got.RefreshToken == "" ||
			got.Scope != "urn:matrix:client:api:* urn:matrix:client:device:DEVICE" {
			t.Fatalf("tokens: %+v", got)
		}
		if user, device := s.whoami(got.AccessToken); user != alice.ID || device != "DEVICE" {
			t.Fatalf("the token is of %s on %s", user, device)
		}

		next := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+a.id)
		if next.Status != 200 || next.AccessToken == got.AccessToken || next.RefreshToken == got.RefreshToken {
			t.Fatalf("refreshed: %+v", next)
		}
		if user, _ := s.whoami(next.AccessToken); user != alice.ID {
			t.Fatalf("the refreshed token is of %q", user)
		}
		// RFC 9700, section 4.14.2: who comes with the old one again has stolen it, or was stolen from.
		if again := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+a.id); again.Error != "invalid_grant" {
			t.Errorf("replayed refresh token: %+v", again)
		}
		if user, _ := s.whoami(next.AccessToken); user != "" {
			t.Errorf("the session goes on after its refresh token was replayed")
		}

		last := a.exchange(b.allow(a, "OTHER"))
		if status, body := s.call("revoke", "token="+last.RefreshToken, "token_type_hint=refresh_token", "client_id="+a.id); status != 200 {
			t.Errorf("revoke: %d %s", status, body)
		}
		if user, _ := s.whoami(last.AccessToken); user != "" {
			t.Errorf("the access token is good after its refresh token was revoked")
		}
		if status, _ := s.call("revoke", "token="+last.RefreshToken); status != 200 {
			t.Errorf("revoke what is gone: %d", status)
		}
		if strings.Contains(b.open("/_causeway/account/devices").text, "OTHER") {
			t.Errorf("the device is there after its token was revoked")
		}
	})
}
