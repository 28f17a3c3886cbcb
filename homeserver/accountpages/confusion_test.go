package accountpages_test

import (
	"strings"
	"testing"
)

// TestSpellings sends parameters whose names are told apart by nothing but case. Whoever reads both would show the user one client, and give
// the code to another.
func TestSpellings(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		a, b := s.app(), s.browser()
		evil := s.app(`{"client_name":"Evil","client_uri":"https://evil.example","redirect_uris":["https://evil.example/back"]}`)
		b.open("/_causeway/account/").signIn("alice").want(200)
		for _, more := range []string{
			"CLIENT_ID=" + evil.id, "Redirect_Uri=https://evil.example/back", "Code_Challenge=" + challenge("another"), "STATE=x",
			"\u017fcope=x", "Response_mode=query", "REQUEST_URI=x", "Prompt=none",
		} {
			if p := b.visit(a.request("X")+"&"+more).want(400, "not of the right form"); p.header.Get("Location") != "" {
				t.Errorf("%s: sent to %s", more, p.header.Get("Location"))
			}
		}
		b.visit(a.request("X", "client_id") + "&Client_ID=" + a.id).want(400)
		b.visit(a.request("X")+"&CLIENT=x&ui_locales=--&max_age=x").want(200, "Allow Mailbox") // what nobody reads

		code := b.allow(a, "DEVICE")
		for _, more := range []string{"Code_Verifier=x", "CLIENT_ID=" + evil.id, "Redirect_URI=x", "CODE=x", "Grant_Type=refresh_token"} {
			if got := a.exchange(code, more); got.Error != "invalid_request" || got.AccessToken != "" {
				t.Errorf("tokens with %s: %+v", more, got)
			}
		}
		if got := a.exchange(code); got.AccessToken == "" {
			t.Errorf("tokens: %+v", got)
		}
		for endpoint, field := range map[string]string{"revoke": "TOKEN=x", "device_authorization": "Scope=x"} {
			if status, body := s.call(endpoint, "token=x", "client_id="+a.id, "scope=x", field); status != 400 || !strings.Contains(string(body), "lower case") {
				t.Errorf("%s with %s: %d %s", endpoint, field, status, body)
			}
		}
	})
}
