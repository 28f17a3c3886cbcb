package accountpages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/sso"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"github.com/golang-jwt/jwt/v5"
)

// here runs a test on SQLite alone, where nothing is about the database.
func here(t *testing.T, test func(s *site), providers ...sso.Provider) {
	t.Helper()
	db := storetest.New(t)
	test(&site{Server: testserver.New(t, db, with(providers...)), t: t})
}

// TestSSOForgedTokens has a provider, or somebody in its place, answer with tokens that prove nothing.
func TestSSOForgedTokens(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name   string
		claims map[string]any
		change func(*idp)
	}{
		{name: "another nonce", claims: map[string]any{"nonce": "x"}},
		{name: "no nonce", claims: map[string]any{"nonce": nil}},
		{name: "another issuer", claims: map[string]any{"iss": "https://evil.example"}},
		{name: "no issuer", claims: map[string]any{"iss": nil}},
		{name: "for another client", claims: map[string]any{"aud": "other"}},
		{name: "for nobody", claims: map[string]any{"aud": nil}},
		{name: "for several, and it is not said which", claims: map[string]any{"aud": []string{clientID, "other"}}},
		{name: "for several, and given to another", claims: map[string]any{"aud": []string{clientID, "other"}, "azp": "other"}},
		{name: "given to another", claims: map[string]any{"azp": "other"}},
		{name: "expired", claims: map[string]any{"exp": now.Add(-time.Second).Unix()}},
		{name: "without an end", claims: map[string]any{"exp": nil}},
		{name: "not valid yet", claims: map[string]any{"nbf": now.Add(time.Hour).Unix()}},
		{name: "about nobody", claims: map[string]any{"sub": ""}},
		{name: "about nobody at all", claims: map[string]any{"sub": nil}},
		{name: "a subject that is too long", claims: map[string]any{"sub": strings.Repeat("x", 256)}},
		{name: "a subject that no database takes", claims: map[string]any{"sub": "a\x00b"}},
		{name: "another access token", claims: map[string]any{"at_hash": "LDktKdoQak3Pk0cnXxCltA"}},
		{name: "no signature", change: func(p *idp) { p.method, p.signWith = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType }},
		{name: "signed with the client's secret", change: func(p *idp) { p.method, p.signWith = jwt.SigningMethodHS256, []byte(clientSecret) }},
		{name: "signed by another", change: func(p *idp) { p.signWith = newIDP(p.t).key }},
		{name: "userinfo of another", claims: map[string]any{"name": nil}, change: func(p *idp) { p.userinfo = map[string]any{"sub": "mallory", "name": "x"} }},
	}
	provider := newIDP(t)
	here(t, func(s *site) {
		for _, test := range tests {
			provider.change(func() {
				provider.claims = test.claims
				if test.change != nil {
					test.change(provider)
				}
			})
			b := s.browser()
			p := b.visit(start("id", "redirectUrl", clientAddress)).through(provider, "victim")
			if p.status != http.StatusBadGateway || !strings.Contains(p.text, "did not work") {
				t.Errorf("%s: got %d at %s", test.name, p.status, p.address)
			}
			provider.change(func() {
				provider.claims, provider.method, provider.signWith, provider.userinfo = nil, jwt.SigningMethodES256, nil, nil
			})
		}
		s.count(0, `SELECT COUNT(*) FROM users`)
		s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "victim").confirm()
	}, provider.provider("id"))
}

// TestSSOForgedAnswers has somebody send a browser back with an answer that is not the one to what it asked.
func TestSSOForgedAnswers(t *testing.T) {
	one, two := newIDP(t), newIDP(t)
	one.metadata["authorization_response_iss_parameter_supported"] = true
	here(t, func(s *site) {
		begin := func(b *browser, provider string) string {
			return b.visit(start(provider, "redirectUrl", clientAddress)).header.Get("Location")
		}
		with := func(answer string, change ...string) string {
			u := mustParse(t, answer)
			q := u.Query()
			for i := 0; i+1 < len(change); i += 2 {
				q.Set(change[i], change[i+1])
			}
			return u.Path + "?" + q.Encode()
		}
		iss := func(answer string) string { return with(answer, "iss", one.URL) }
		const stale = "was not begun in this browser"

		b := s.browser()
		answer := iss(one.answer(t, begin(b, "one"), "a"))
		b.visit(with(answer, "state", "x")).want(403, stale)
		b.visit(strings.Replace(answer, "state=", "x=", 1)).want(403, stale)
		b.visit(answer+"&state=x").want(403, stale)
		// Login CSRF: the victim's browser is sent to where the attacker's came back to.
		s.browser().visit(answer).want(403, stale)
		one.change(func() {
			if one.redeemed != 0 {
				t.Errorf("%d codes were redeemed for answers that are none", one.redeemed)
			}
		})
		// The same with what comes after that.
		p := b.visit(answer)
		s.browser().visit(p.header.Get("Location")).want(403, stale)
		b.visit(answer).want(403, stale) // again
		p.follow().confirm()
		b.visit(p.header.Get("Location")).want(403, stale) // the cookie is gone

		// An answer of one provider in the place of another's.
		b = s.browser()
		answer = two.answer(t, begin(b, "two"), "a")
		b.visit(strings.Replace(answer, "/callback/two", "/callback/one", 1)).want(403, stale)
		b.visit(strings.Replace(answer, "/callback/two", "/callback/none", 1)).want(403, stale)
		b.visit(with(answer, "iss", one.URL)).want(502, "did not work")
		b.visit(answer).want(303)
		b.visit(answer).want(403, stale) // it has served
		b = s.browser()
		b.visit(one.answer(t, begin(b, "one"), "a")).want(502, "did not work") // it says that it always names itself
		b.visit(iss(one.answer(t, begin(b, "one"), "a"))).want(303)
		b.visit(with(one.answer(t, begin(b, "one"), "a"), "iss", two.URL)).want(502)

		// What the provider says no to.
		b.visit(with(iss(one.answer(t, begin(b, "one"), "a")), "code", "", "error", "access_denied", "error_description", "<script>")).want(403, "You did not sign in with The one")
		b.visit(with(iss(one.answer(t, begin(b, "one"), "a")), "code", "")).want(502)
		b.visit(with(iss(one.answer(t, begin(b, "one"), "a")), "code", "x")).want(502)
		b.visit(start("none")).want(404)
	}, one.provider("one"), two.provider("two"))
}

// TestSSOCookies has what a browser keeps for the server changed, and put to another use.
func TestSSOCookies(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		b := s.browser()
		p := b.visit(start("id", "redirectUrl", clientAddress))
		cookies := p.header.Values("Set-Cookie")
		i := 0
		for !strings.Contains(cookies[i], "_sso_") {
			i++
		}
		if !strings.Contains(cookies[i], "HttpOnly") || !strings.Contains(cookies[i], "SameSite=Lax") {
			t.Errorf("the cookie is %s", cookies[i])
		}
		name, rest, _ := strings.Cut(cookies[i], "=")
		value, _, _ := strings.Cut(rest, ";")
		_, id, _ := strings.Cut(name, "_sso_")
		b.visit(sso.PathContinue+"?id="+id).want(403, "was not begun") // what is kept on the way says not who they are
		answer := mustParse(t, provider.answer(t, p.header.Get("Location"), "a"))
		base := mustParse(t, "http://test"+sso.PathChoose)
		b.client.Jar.SetCookies(base, []*http.Cookie{{Name: name, Value: value[:len(value)-2] + "AA", Path: sso.PathChoose}})
		b.visit(answer.RequestURI()).want(403, "was not begun")
		b.client.Jar.SetCookies(base, []*http.Cookie{{Name: name, Value: value, Path: sso.PathChoose}})
		b.visit(answer.RequestURI()).want(303)
	}, provider.provider("id"))
}

// TestSSOManyTabs has somebody begin often: the browser keeps some, and not so much that it is refused.
func TestSSOManyTabs(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		kept := func(b *browser) (size int, names []string) {
			for _, c := range b.client.Jar.Cookies(mustParse(t, "http://test"+sso.PathChoose)) {
				if strings.Contains(c.Name, "_sso_") {
					names = append(names, c.Name)
					size += len(c.Name) + len(c.Value)
				}
			}
			return size, names
		}
		b := s.browser()
		for range 10 {
			b.visit(start("id", "redirectUrl", "https://app.example.com/?"+strings.Repeat("&", 1400))).want(303)
			if size, names := kept(b); size > 7000 || len(names) > 3 {
				t.Errorf("it keeps %d bytes of %d", size, len(names))
			}
		}
		b = s.browser()
		var all []*page
		for range 5 {
			all = append(all, b.visit(start("id", "redirectUrl", clientAddress)))
		}
		if _, names := kept(b); len(names) != 3 {
			t.Errorf("it keeps %v", names)
		}
		all[1].through(provider, "alice").want(403, "was not begun")
		all[2].through(provider, "alice").confirm()
		all[4].through(provider, "alice").confirm()
	}, provider.provider("id"))
}

// TestSSORedirects has clients name addresses that people are not to be sent to.
func TestSSORedirects(t *testing.T) {
	provider := newIDP(t)
	bad := []string{
		"", "javascript:alert(1)", "JavaScript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://x/y",
		"https://app.example.com@evil.example/", "https://user:pw@app.example.com/", "//evil.example/", "/_causeway/account/", "evil", "https:evil.example",
		"https:///evil.example", `https://app.example.com\@evil.example/`, `https:\\evil.example`, "https://app.example.com%00.evil.example/", "https://аpp.example.com/",
		"https://a;script-src/", "https://a,b/", "https://a'b/", " https://x.example/", "https://x.example/ y", "https://x.example/" + strings.Repeat("x", 2000), "view-source:https://x.example/",
	}
	here(t, func(s *site) {
		for _, address := range bad {
			query := "?redirectUrl=" + url.QueryEscape(address)
			for _, path := range []string{"/_matrix/client/v3/login/sso/redirect" + query, "/_matrix/client/v3/login/sso/redirect/id" + query} {
				if a := s.Do("GET", path, "", nil); a.Status != 400 || a.Header.Get("Location") != "" {
					t.Errorf("%q is answered with %d to %s", address, a.Status, a.Header.Get("Location"))
				}
			}
			s.browser().visit(sso.PathChoose + query).want(400)
			if address != "" {
				s.browser().visit(start("id", "redirectUrl", address)).want(400)
			}
		}
		for _, address := range []string{"https://app.example.com", "http://localhost:1234/#/x", "com.example.app:/back", "element://vector/webapp/?x=y", "https://[::1]:1/"} {
			a := s.Do("GET", "/_matrix/client/v3/login/sso/redirect/id?redirectUrl="+url.QueryEscape(address), "", nil)
			to, err := url.Parse(a.Header.Get("Location"))
			if err != nil || a.Status != 302 || to.Query().Get("redirectUrl") != address {
				t.Errorf("%q is answered with %d to %s", address, a.Status, to)
			}
		}
		if a := s.Do("GET", "/_matrix/client/v3/login/sso/redirect/none?redirectUrl=https://x.example/", "", nil); a.Status != 404 {
			t.Errorf("an unknown provider is answered with %d", a.Status)
		}
		// Nor is the account page a way to elsewhere.
		b := s.browser()
		p := b.visit(start("id", "next", "https://evil.example/")).through(provider, "a").enter().want(200, "@a:test")
		if !strings.HasPrefix(p.address, "http://test/_causeway/account/") {
			t.Errorf("ended at %s", p.address)
		}
	}, provider.provider("id"))
}

// TestSSOLinkAttacks tries to become a way into another's account.
func TestSSOLinkAttacks(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		s.Register("alice")
		s.Register("bob")
		s.browser().visit(start("id", "link", "yes")).want(200, "Sign in")
		b := s.browser()
		b.visit("/_causeway/account/").signIn("alice")
		p := b.visit(start("id", "link", "yes")).through(provider, "mallory").want(200, "Link your account?")
		f := p.form(sso.PathContinue)
		// A site that has her follow the link does not get her to say yes.
		forged := url.Values{"id": f.fields["id"]}
		b.post(sso.PathContinue, forged).want(403)
		forged.Set("csrf", "x")
		b.post(sso.PathContinue, forged).want(403)
		b.post(sso.PathContinue, f.fields, "Origin", "https://evil.example").want(403)
		// By then somebody else is signed in.
		b.visit("/_causeway/account/").form("/_causeway/account/logout").send()
		b.visit("/_causeway/account/").signIn("bob")
		b.visit(p.address).want(403, "not signed in any more")
		s.count(0, `SELECT COUNT(*) FROM sso_links`)
		// Who has not been there for a while shows that it is them.
		p = b.visit(start("id", "link", "yes")).through(provider, "mallory").want(200, "Link your account?")
		s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
		p.form(sso.PathContinue).send().want(403)
		p.form(sso.PathContinue).send("password=wrong").want(403)
		s.count(0, `SELECT COUNT(*) FROM sso_links`)
		p.form(sso.PathContinue).send("password=" + password).want(303)
		s.count(1, `SELECT COUNT(*) FROM sso_links`)
		p.form(sso.PathContinue).send("password=" + password).want(403)
		// Another's link is not his to undo.
		other := s.browser()
		other.visit("/_causeway/account/linked").signIn("alice")
		token := other.visit("/_causeway/account/").form("/_causeway/account/").fields.Get("csrf")
		other.post("/_causeway/account/linked", url.Values{"csrf": {token}, "issuer": {provider.URL}, "subject": {"mallory"}}).want(404)
		s.count(1, `SELECT COUNT(*) FROM sso_links`)
	}, provider.provider("id"))
}

// TestSSOBarred has people come whose account may not be used, and who come for another's.
func TestSSOBarred(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		come := func() *page {
			return s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice")
		}
		_, token := s.login(come().confirm().header.Get("Location"))
		b := s.browser()
		b.visit(start("id")).through(provider, "alice").enter().want(200, "@alice:test")

		s.exec(`UPDATE users SET suspended = 1`)
		if status, _ := s.login(come().confirm().header.Get("Location")); status != 200 {
			t.Errorf("a suspended user's login is answered with %d", status)
		}
		s.exec(`UPDATE users SET suspended = 0, locked = 1`)
		come().confirm().want(401, "locked")
		s.browser().visit(start("id")).through(provider, "alice").enter().want(401, "locked")
		s.exec(`UPDATE users SET locked = 0, valid_until_ts = 1`)
		come().confirm().want(403, "expired")
		s.exec(`UPDATE users SET valid_until_ts = NULL`)

		// A token that was made before the account was locked.
		to := come().confirm().header.Get("Location")
		s.exec(`UPDATE users SET locked = 1`)
		if status, _ := s.login(to); status != 401 {
			t.Errorf("a locked user's login is answered with %d", status)
		}
		s.exec(`UPDATE users SET locked = 0`)

		// Nobody shows that they are still there by being somebody else.
		s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
		p := b.visit("/_causeway/account/deactivate").want(200, "Sign in again")
		again := hrefOf(t, p, "Continue with The id")
		p.form("/_causeway/account/deactivate").send("sure=yes").want(403, "Sign in again")
		b.visit(again).through(provider, "mallory").want(403)
		provider.change(func() { provider.claims["auth_time"] = time.Now().Add(-time.Hour).Unix() })
		b.visit(again).through(provider, "alice").want(502) // it did not ask
		provider.change(func() { provider.claims["auth_time"] = nil })
		b.visit(again).through(provider, "alice").want(502, "The id does not say when") // OpenID Connect Core 1.0, section 3.1.3.7
		provider.change(func() { delete(provider.claims, "auth_time") })
		b.visit(again).through(provider, "alice").want(200).form("/_causeway/account/deactivate").send("sure=yes").want(200, "Account ended")
		s.count(0, `SELECT COUNT(*) FROM sso_links`)
		if a := s.Do("GET", "/_matrix/client/v3/account/whoami", token, nil); a.Status != 401 {
			t.Errorf("the old session is answered with %d", a.Status)
		}
		come().want(200, "Choose your name") // the name stays taken
	}, provider.provider("id"))
}

// TestSSOMetadata has a provider say of itself what cannot be.
func TestSSOMetadata(t *testing.T) {
	for name, change := range map[string]func(*idp){
		"another's issuer": func(p *idp) { p.metadata["issuer"] = "https://evil.example" },
		"64 MiB":           func(p *idp) { p.huge = true },
		"somewhere else":   func(p *idp) { p.status = http.StatusFound },
		"a script":         func(p *idp) { p.metadata["authorization_endpoint"] = "javascript:alert(1)" },
		"no endpoint":      func(p *idp) { p.metadata["token_endpoint"] = nil },
		"a file":           func(p *idp) { p.metadata["jwks_uri"] = "file:///etc/passwd" },
	} {
		t.Run(name, func(t *testing.T) {
			provider := newIDP(t)
			change(provider)
			here(t, func(s *site) {
				s.browser().visit(start("id", "redirectUrl", clientAddress)).want(502, "cannot be reached")
			}, provider.provider("id"))
		})
	}
}
