package accountpages_test

import "testing"

// TestSeal has a form that was shown for one request answer another.
func TestSeal(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		a, b := s.app(), s.browser()
		evil := s.app(`{"client_name":"Evil","client_uri":"https://evil.example","redirect_uris":["https://evil.example/back"]}`)
		b.open("/_causeway/account/").signIn("alice").want(200)
		shown := b.visit(a.request("X")).form("/_causeway/oauth2/authorize")
		for _, other := range []string{
			evil.request("X"), a.request("Y"), a.request("X", "state=other"), a.request("X", "response_mode=query"),
			a.request("X", "code_challenge="+challenge("another")),
			a.request("X", "scope=urn:matrix:client:device:X urn:matrix:client:api:*"),
		} {
			for _, says := range []string{"allow", "deny"} {
				shown.fields.Set("answer", says)
				if p := b.post(other, shown.fields); p.status != 403 || p.header.Get("Location") != "" {
					t.Errorf("%s to %s: %d to %s", says, other, p.status, p.header.Get("Location"))
				}
			}
		}
		shown.send("answer=allow", "seal=").want(403)
		if code := shown.send("answer=allow").answer(a.redirect).Get("code"); code == "" {
			t.Errorf("no code")
		}
	})
}
