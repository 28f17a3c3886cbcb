package accountpages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
)

// TestRefusedRequests has an attacker change a request for authorization. Where the address to answer to is in order, the app hears of it;
// else nobody is sent anywhere (RFC 6749, section 4.1.2.1).
func TestRefusedRequests(t *testing.T) {
	const native = `{"client_name":"Mailbox","client_uri":"https://example.com","application_type":"native",
		"redirect_uris":["com.example.app:/back","http://localhost/back","http://127.0.0.1/back","http://[::1]/back","https://app.example.com/claimed"]}`
	tests := []struct {
		name, metadata, change, want string // want is the error that the app hears, "" for a page that asks the user, "page" for an error page
	}{
		{"in order", "", "", ""},
		{"no PKCE", "", "code_challenge", "invalid_request"},
		{"no method: plain by default", "", "code_challenge_method", "invalid_request"},
		{"plain", "", "code_challenge_method=plain", "invalid_request"},
		{"another method", "", "code_challenge_method=s256", "invalid_request"},
		{"a challenge that is none", "", "code_challenge=short", "invalid_request"},
		{"implicit", "", "response_type=token", "unauthorized_client"},
		{"no response type", "", "response_type", "invalid_request"},
		{"by POST", "", "response_mode=form_post", "invalid_request"},
		{"without being asked", "", "prompt=none", "interaction_required"},
		{"a request object", "", "request=x", "request_not_supported"},
		{"by reference", "", "request_uri=https://evil.example/", "request_not_supported"},
		{"no scope", "", "scope", "invalid_request"},
		{"no device", "", "scope=urn:matrix:client:api:*", "invalid_scope"},
		{"no API", "", "scope=urn:matrix:client:device:X", "invalid_scope"},
		{"two devices", "", "scope=urn:matrix:client:api:* urn:matrix:client:device:X urn:matrix:client:device:Y", "invalid_scope"},
		{"a device without a name", "", "scope=urn:matrix:client:api:* urn:matrix:client:device:", "invalid_scope"},
		{"the names of before", "", "scope=openid urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:X", ""},
		{"an unknown scope beside", "", "scope=urn:x urn:matrix:client:api:* urn:matrix:client:device:X", ""},

		{"no client", "", "client_id=x", "page"},
		{"no address", "", "redirect_uri", "page"},
		{"another host", "", "redirect_uri=https://evil.example/back", "page"},
		{"another path", "", "redirect_uri=https://app.example.com/back/../x", "page"},
		{"a query more", "", "redirect_uri=https://app.example.com/back?x=y", "page"},
		{"another port", "", "redirect_uri=https://app.example.com:444/back", "page"},
		{"a user in it", "", "redirect_uri=https://app.example.com@evil.example/back", "page"},
		{"a fragment", "", "redirect_uri=https://app.example.com/back#x", "page"},
		{"upper case", "", "redirect_uri=HTTPS://app.example.com/back", "page"},
		{"a script", "", "redirect_uri=javascript:alert(1)", "page"},

		{"native", native, "", ""},
		{"any port", native, "redirect_uri=http://localhost:1234/back", ""},
		{"any port by address", native, "redirect_uri=http://127.0.0.1:1234/back", ""},
		{"any port by IPv6", native, "redirect_uri=http://[::1]:1234/back", ""},
		{"claimed", native, "redirect_uri=https://app.example.com/claimed", ""},
		{"claimed, another port", native, "redirect_uri=https://app.example.com:1/claimed", "page"},
		{"another loopback", native, "redirect_uri=http://127.0.0.2:1234/back", "page"},
		{"loopback, another path", native, "redirect_uri=http://localhost:1234/other", "page"},
		{"loopback by https", native, "redirect_uri=https://localhost:1234/back", "page"},
		{"loopback with a user", native, "redirect_uri=http://evil@localhost:1234/back", "page"},
		{"loopback as a user", native, "redirect_uri=http://localhost:1234@evil.example/back", "page"},
		{"loopback with a fragment", native, "redirect_uri=http://localhost:1234/back#x", "page"},
		{"another scheme", native, "redirect_uri=com.example.evil:/back", "page"},
	}
	each(t, func(s *site) {
		s.Register("alice")
		b := s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		s.app().exchange(b.allow(s.app(), "DEVICE")) // who uses the app may be sent on
		for _, test := range tests {
			a := s.app()
			if test.metadata != "" {
				a = s.app(test.metadata)
			}
			p := b.visit(a.request("X", test.change))
			switch test.want {
			case "":
				p.want(200, "Allow Mailbox")
			case "page":
				if p.want(400, "did not work"); p.header.Get("Location") != "" {
					t.Errorf("%s: sent to %s", test.name, p.header.Get("Location"))
				}
			default:
				if p.status != http.StatusSeeOther {
					t.Errorf("%s: got %d, want the error %s", test.name, p.status, test.want)
					continue
				}
				answer := p.answer(a.redirect)
				if got := answer.Get("error"); got != test.want || answer.Get("state") != a.state || answer.Get("iss") != "http://test/" || answer.Get("code") != "" {
					t.Errorf("%s: the app hears %v, want the error %s", test.name, answer, test.want)
				}
			}
		}
		a := s.app()
		b.visit(a.request("X")+"&code_challenge="+challenge("another")).want(400, "twice")
		b.visit(a.request("X")+"&redirect_uri=https://evil.example").want(400, "twice")
		b.visit(a.request("X")+"&x="+strings.Repeat("y", 9000)).want(400, "not of the right form")
	})
}

// TestRefusedCodes brings codes that were not given for what they are brought for.
func TestRefusedCodes(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		a, b := s.app(), s.browser()
		other := s.app(`{"client_name":"Other","client_uri":"https://other.example","redirect_uris":["https://other.example/back"]}`)
		b.open("/_causeway/account/").signIn("alice").want(200)
		code := b.allow(a, "DEVICE")
		for _, test := range []struct{ name, change, want string }{
			{"no verifier", "code_verifier", "invalid_grant"},
			{"the challenge as the verifier", "code_verifier=" + challenge(verifier), "invalid_grant"},
			{"another verifier", "code_verifier=" + strings.Repeat("x", 43), "invalid_grant"},
			{"another client", "client_id=" + other.id, "invalid_grant"},
			{"no client", "client_id", "invalid_request"},
			{"an unknown client", "client_id=x", "invalid_client"},
			{"a client with a secret", "client_secret=x", "invalid_client"},
			{"another address", "redirect_uri=https://evil.example/", "invalid_grant"},
			{"no address", "redirect_uri", "invalid_request"},
			{"no code", "code", "invalid_request"},
			{"another code", "code=x", "invalid_grant"},
			{"no grant", "grant_type", "invalid_request"},
			{"a password", "grant_type=password", "unsupported_grant_type"},
			{"the client itself", "grant_type=client_credentials", "unauthorized_client"},
			{"another grant", "grant_type=urn:ietf:params:oauth:grant-type:device_code", "unauthorized_client"},
		} {
			if got := a.exchange(code, test.change); got.Error != test.want || got.Status/100 != 4 || got.AccessToken != "" {
				t.Errorf("%s: %+v, want %s", test.name, got, test.want)
			}
		}
		got := a.exchange(code)
		if user, _ := s.whoami(got.AccessToken); user != alice.ID {
			t.Fatalf("the code does not serve after attacks: %+v", got)
		}
		if foreign := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+other.id); foreign.Error != "invalid_grant" {
			t.Errorf("refresh token of another client: %+v", foreign)
		}
		if again := a.exchange(code); again.Error != "invalid_grant" {
			t.Errorf("a code twice: %+v", again)
		}
		if user, _ := s.whoami(got.AccessToken); user != "" {
			t.Errorf("the tokens of a code go on after it came twice")
		}
		if next := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+a.id); next.Error != "invalid_grant" {
			t.Errorf("the refresh token of a code goes on after it came twice: %+v", next)
		}
	})
}

// TestReplayedCodes brings codes a second time that may end nothing: without what goes with them, and after the device has begun another
// session.
func TestReplayedCodes(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		a, b := s.app(), s.browser()
		other := s.app(`{"client_name":"Other","client_uri":"https://other.example","redirect_uris":["https://other.example/back"]}`)
		b.open("/_causeway/account/").signIn("alice").want(200)
		goesOn := func(token, what string) {
			t.Helper()
			if user, _ := s.whoami(token); user != alice.ID {
				t.Errorf("%s ends the session", what)
			}
		}
		first := b.allow(a, "DEVICE")
		got := a.exchange(first)
		for _, change := range []string{"code_verifier", "code_verifier=" + strings.Repeat("x", 43), "redirect_uri=https://evil.example/", "client_id=" + other.id} {
			if again := a.exchange(first, change); again.Error != "invalid_grant" {
				t.Errorf("a code twice, with %s: %+v", change, again)
			}
			goesOn(got.AccessToken, "a used code with "+change)
		}
		next := a.exchange(b.allow(a, "DEVICE"))
		if again := a.exchange(first); again.Error != "invalid_grant" {
			t.Errorf("a code of the session before: %+v", again)
		}
		goesOn(next.AccessToken, "a code of the session before")

		second := b.allow(a, "DEVICE")
		a.exchange(second)
		var login struct {
			Token string `json:"access_token"`
		}
		s.Do("POST", "/_matrix/client/v3/login", "", map[string]any{
			"type": "m.login.password", "identifier": map[string]any{"type": "m.id.user", "user": "alice"}, "password": password, "device_id": "DEVICE",
		}).Decode(t, &login)
		if again := a.exchange(second); again.Error != "invalid_grant" {
			t.Errorf("a code of before the login: %+v", again)
		}
		goesOn(login.Token, "a code of before the login")

		// Tokens that descend from the code end with it, however often they were refreshed.
		third := b.allow(a, "DEVICE")
		got = a.exchange(third)
		for range 25 {
			got = s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+a.id)
		}
		goesOn(got.AccessToken, "refreshing")
		a.exchange(third)
		if user, _ := s.whoami(got.AccessToken); user != "" {
			t.Errorf("the refreshed tokens of a code go on after it came twice")
		}
	})
}

// TestSecretsInAddresses sends what must not get into logs in the address, and parameters twice.
func TestSecretsInAddresses(t *testing.T) {
	each(t, func(s *site) {
		a := s.app()
		for _, path := range []string{"token?grant_type=refresh_token", "revoke?token=x", "device_authorization?client_id=" + a.id} {
			if status, body := s.call(path, "client_id="+a.id); status != 400 || !strings.Contains(string(body), "invalid_request") {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		if got := s.token("grant_type=refresh_token", "refresh_token=x", "refresh_token=y", "client_id="+a.id); got.Error != "invalid_request" {
			t.Errorf("a parameter twice: %+v", got)
		}
		if status, _ := s.call("revoke"); status != 400 {
			t.Errorf("revoke nothing: %d", status)
		}
	})
}

// TestForms sends each form without its token, with that of another browser, and from another site.
func TestForms(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		victim, attacker := s.browser(), s.browser()
		a := s.app()
		victim.open("/_causeway/account/").signIn("alice").want(200)
		stolen := attacker.open("/_causeway/account/login").forms[0].fields.Get("csrf")
		for _, form := range []struct{ page, action string }{
			{a.request("X"), "/_causeway/oauth2/authorize"},
			{"/_causeway/oauth2/device", "/_causeway/oauth2/device"},
			{"/_causeway/account/", "/_causeway/account/"},
			{"/_causeway/account/", "/_causeway/account/logout"},
			{"/_causeway/account/login", "/_causeway/account/login"},
			{"/_causeway/account/register", "/_causeway/account/register"},
			{"/_causeway/account/device?device_id=DEVICE", "/_causeway/account/device"},
			{"/_causeway/account/password", "/_causeway/account/password"},
			{"/_causeway/account/reset?device_id=DEVICE", "/_causeway/account/reset"},
			{"/_causeway/account/deactivate", "/_causeway/account/deactivate"},
			{"/_causeway/account/browsers", "/_causeway/account/browsers"},
			{"/_causeway/account/device?device_id=DEVICE", "/_causeway/account/device/name"},
		} {
			if form.action == "/_causeway/account/device" {
				a.exchange(victim.allow(a, "DEVICE"))
			}
			f := victim.visit(form.page).want(200).form(form.action)
			for what, token := range map[string]string{"none": "", "another's": stolen, "the cookie of nobody": "x"} {
				if p := f.send("csrf=" + token); p.status != http.StatusForbidden || p.header.Get("Location") != "" {
					t.Errorf("%s with the token %s: %d %s", form.action, what, p.status, p.header.Get("Location"))
				}
			}
			for _, headers := range [][]string{
				{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "", "Sec-Fetch-Site", "cross-site"},
				{"Origin", "http://evil.test", "Sec-Fetch-Site", "same-site"},
			} {
				if p := victim.post(f.action, f.fields, headers...); p.status != http.StatusForbidden {
					t.Errorf("%s from another site, %v: %d", form.action, headers, p.status)
				}
			}
			if p := s.browser().post(f.action, f.fields); p.status != http.StatusForbidden {
				t.Errorf("%s from another browser: %d", form.action, p.status)
			}
		}
		victim.open("/_causeway/account/").want(200, "@alice:test")
	})
}

// TestSessionFixation has an attacker give a victim a cookie before the victim signs in.
func TestSessionFixation(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		attacker, victim := s.browser(), s.browser()
		home := mustParse(t, "http://test/_causeway/account/")
		before := attacker.open("/_causeway/account/login")
		planted := attacker.client.Jar.Cookies(home)
		planted[0].Path = "/_causeway/"
		victim.client.Jar.SetCookies(home, planted)
		victim.open("/_causeway/account/login").signIn("alice").want(200, "@alice:test")
		if now := victim.client.Jar.Cookies(home); now[0].Value == planted[0].Value {
			t.Errorf("the cookie of before serves after signing in")
		}
		attacker.open("/_causeway/account/").want(200, "Sign in")
		if before.form("/_causeway/account/login").fields.Get("csrf") == victim.open("/_causeway/account/").form("/_causeway/account/").fields.Get("csrf") {
			t.Errorf("the token of forms is that of before")
		}
		// A cookie of the attacker's own making is nobody's.
		attacker.client.Jar.SetCookies(home, []*http.Cookie{{Name: "causeway", Value: "cwb_made-up", Path: "/_causeway/"}})
		attacker.open("/_causeway/account/").want(200, "Sign in")

		session := victim.client.Jar.Cookies(home)
		victim.open("/_causeway/account/").form("/_causeway/account/logout").send().want(303)
		thief := s.browser()
		session[0].Path = "/_causeway/"
		thief.client.Jar.SetCookies(home, session)
		thief.open("/_causeway/account/").want(200, "Sign in")
	})
}

// TestOpenRedirect has links to the pages lead elsewhere.
func TestOpenRedirect(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		for _, next := range []string{
			"https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/_causeway/..//evil.example", "/_causeway/../x",
			"/_causeway/\\..\\evil", "http:evil", "https:///_causeway/", "/_matrix/client/versions", "", "\t//evil.example", "/_causeway/%2e%2e/x",
		} {
			b := s.browser()
			f := b.open("/_causeway/account/login?next=" + url.QueryEscape(next)).form("/_causeway/account/login")
			if got := f.fields.Get("next"); got != "/_causeway/account/" {
				t.Errorf("next %q is taken for %q", next, got)
			}
			if next != "https://evil.example/" {
				continue // argon2 is slow
			}
			if p := f.send("username=alice", "password="+password, "next="+next).want(303); p.header.Get("Location") != "/_causeway/account/" {
				t.Errorf("next %q leads to %s", next, p.header.Get("Location"))
			}
			if p := b.open("/_causeway/account/").form("/_causeway/account/logout").send("next=" + next); strings.Contains(p.header.Get("Location"), "evil") {
				t.Errorf("signing out leads to %s", p.header.Get("Location"))
			}
		}
	})
}

// TestRefusedStranger follows links with an error in them, to an app that the user has nothing to do with: anybody can register one.
func TestRefusedStranger(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		a, b, nobody := s.app(), s.browser(), s.browser()
		native := s.app(`{"client_name":"Evil","client_uri":"https://example.com","application_type":"native","redirect_uris":["com.example.app:/back"]}`)
		b.open("/_causeway/account/").signIn("alice").want(200)
		f := b.visit(a.request("X")).form("/_causeway/oauth2/authorize")
		for _, change := range []string{"prompt=none", "code_challenge_method=plain", "scope=x", "response_type=token"} {
			for _, p := range []*page{b.visit(a.request("X", change)), nobody.visit(a.request("X", change)), b.post(a.request("X", change), f.fields)} {
				p.want(400, "Mailbox has asked", "Go to app.example.com<", `href="https://app.example.com/back#error=`)
				if to := p.header.Get("Location"); to != "" {
					t.Errorf("%s leads to %s", change, to)
				}
			}
		}
		b.visit(native.request("X", "prompt=none")).want(400, `href="com.example.app:/back#error=`)
		a.exchange(b.allow(a, "X"))
		if got := b.visit(a.request("X", "prompt=none")).answer(a.redirect).Get("error"); got != "interaction_required" {
			t.Errorf("the user's app hears %q", got)
		}
		nobody.visit(a.request("X", "prompt=none")).want(400)
		mallory := s.Register("mallory")
		m := s.browser()
		m.open("/_causeway/account/").signIn("mallory").want(200, string(mallory.ID))
		m.visit(a.request("X", "prompt=none")).want(400)
	})
}

// TestHeaders looks at what browsers are told of pages.
func TestHeaders(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		a, b := s.app(), s.browser()
		pages := []*page{b.visit("/_causeway/account/login"), b.visit("/_causeway/account/register"), b.visit(a.request("X")), b.visit(a.request("X", "client_id=x"))}
		pages = append(pages, b.visit("/_causeway/account/").signIn("alice"), b.visit(a.request("X")), b.visit("/_causeway/account/devices"),
			b.visit("/_causeway/account/browsers"), b.visit("/_causeway/account/emails"), b.visit("/_causeway/account/forgot"), b.visit("/_causeway/account/new-password"))
		for _, p := range pages {
			policy := p.header.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("%s: policy %q lacks %s", p.address, policy, want)
				}
			}
			if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") || strings.Contains(p.text, "<script") || strings.Contains(p.text, " style=") {
				t.Errorf("%s: scripts or styles within: %s", p.address, policy)
			}
			for name, want := range map[string]string{
				"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
				"Access-Control-Allow-Origin": "", "Content-Type": "text/html; charset=utf-8",
			} {
				if got := p.header.Get(name); got != want {
					t.Errorf("%s: %s is %q, want %q", p.address, name, got, want)
				}
			}
			if !strings.Contains(p.text, `<html lang="en">`) || !strings.Contains(p.text, "<title>") || !strings.Contains(p.text, "<h1>") {
				t.Errorf("%s: no language, title or heading", p.address)
			}
		}
		if policy := b.visit(a.request("X")).header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://app.example.com;") {
			t.Errorf("the consent page's policy %q does not let its form lead back to the app", policy)
		}
	})
}

// TestCookies looks at the cookie of a server that is reached by https.
func TestCookies(t *testing.T) {
	each(t, func(s *site) {
		p := s.browser().visit("/_causeway/account/login")
		cookies := p.header.Values("Set-Cookie")
		if len(cookies) != 1 {
			t.Fatalf("cookies: %q", cookies)
		}
		for _, want := range []string{"__Host-causeway=", "Path=/;", "HttpOnly", "Secure", "SameSite=Lax"} {
			if !strings.Contains(cookies[0], want) {
				t.Errorf("the cookie %q lacks %s", cookies[0], want)
			}
		}
	}, func(c *homeserver.Config) { c.PublicURL = "https://test" })
}

// TestAttempts guesses passwords and user codes.
func TestAttempts(t *testing.T) {
	limits := map[httpapi.Class]httpapi.Limit{httpapi.ClassLogin: {PerSecond: 0.001, Burst: 4}}
	each(t, func(s *site) {
		s.Register("alice")
		b := s.browser()
		f := b.open("/_causeway/account/login").form("/_causeway/account/login")
		for _, name := range []string{"alice", "nobody"} { // the same is said whoever there is
			f.send("username="+name, "password=wrong").want(403, "Invalid username or password")
		}
		b.visit("/_causeway/account/").signIn("alice").want(200)
		b.visit("/_causeway/oauth2/device").form("/_causeway/oauth2/device").send("user_code=BCDF-GHJK").want(400, "no such code")
		b.visit("/_causeway/oauth2/device").form("/_causeway/oauth2/device").send("user_code=BCDF-GHJK").want(429, "too many attempts")
		f.send("username=alice", "password="+password).want(403) // the form is that of another session
		s.browser().open("/_causeway/account/login").form("/_causeway/account/login").send("username=alice", "password="+password).want(429)
	}, func(c *homeserver.Config) { c.Limits = limits })
}
